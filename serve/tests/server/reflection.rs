use futures_util::stream;
use tonic::Code;
use tonic_reflection::pb::{v1, v1alpha};
use trestle_serve::{Reflection, ServerOptions};

use crate::harness::{Running, assert_code, loopback, soon};

/// Asks one question in one version of the protocol; the two differ in nothing but their package.
macro_rules! ask {
    ($version:ident, $server:expr, $question:ident($text:expr)) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        let request = $version::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::$question(String::from($text))),
        };
        let mut client = ServerReflectionClient::new($server.client().await.0);
        match soon(client.server_reflection_info(stream::iter([request]))).await {
            Ok(answers) => {
                let answer = soon(answers.into_inner().message()).await;
                answer.map(|answer| answer.unwrap().message_response.unwrap())
            }
            Err(status) => Err(status),
        }
    }};
}

macro_rules! services {
    ($version:ident, $server:expr) => {{
        use $version::server_reflection_response::MessageResponse;
        let answer = ask!($version, $server, ListServices("")).unwrap();
        let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        names.sort();
        names
    }};
}

macro_rules! assert_described {
    ($version:ident, $server:expr, $symbol:expr) => {{
        use $version::server_reflection_response::MessageResponse;
        let answer = ask!($version, $server, FileContainingSymbol($symbol)).unwrap();
        let MessageResponse::FileDescriptorResponse(files) = answer else { panic!("{answer:?}") };
        assert!(!files.file_descriptor_proto.is_empty());
    }};
}

#[tokio::test]
async fn both_versions_list_the_services() {
    let server = Running::start(ServerOptions::default()).await;
    assert_eq!(services!(v1, server), ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
    assert_eq!(services!(v1alpha, server), ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]);
}

#[tokio::test]
async fn both_versions_describe_the_details_of_errors() {
    let server = Running::start(ServerOptions::default()).await;
    for symbol in ["google.rpc.BadRequest", "google.rpc.ErrorInfo", "google.rpc.PreconditionFailure"] {
        assert_described!(v1, server, symbol);
        assert_described!(v1alpha, server, symbol);
    }
}

#[tokio::test]
async fn reflection_can_be_off() {
    let server = Running::start_on(&[loopback()], None, ServerOptions::default(), Reflection::Off).await;
    assert_code(&ask!(v1, server, ListServices("")).unwrap_err(), Code::Unimplemented);
    assert_code(&ask!(v1alpha, server, ListServices("")).unwrap_err(), Code::Unimplemented);
}

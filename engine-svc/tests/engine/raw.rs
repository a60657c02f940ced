//! Every method of Trestle's services by its descriptor, and calls with whatever bytes.

use prost::bytes::{Buf as _, BufMut as _};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};
use trestle_serve::Connection;

/// A method, as `/package.Service/Method`.
pub(crate) struct Method {
    pub(crate) path: String,
    pub(crate) input: MessageDescriptor,
    pub(crate) ends: Ends,
}

/// When a call is over whose client has said all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Soon.
    ByItself,
    /// When the client goes: it is told of changes until then.
    WithTheClient,
}

/// Returns the methods that the engine serves.
pub(crate) fn methods() -> Vec<Method> {
    let pool = DescriptorPool::decode(trestle_proto::FILE_DESCRIPTOR_SET).unwrap();
    let served = |package: &str| ["trestle.engine.v1", "trestle.session.v1"].contains(&package);
    let services = pool.services().filter(|service| served(service.package_name()));
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| Method {
            path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
            input: method.input(),
            ends: match (method.is_client_streaming(), method.is_server_streaming()) {
                (false, true) => Ends::WithTheClient,
                (true | false, _) => Ends::ByItself,
            },
        })
        .collect()
}

/// Calls a method with these messages, and returns the answers as they come.
pub(crate) async fn call(
    connection: Connection,
    path: &str,
    messages: Vec<Vec<u8>>,
) -> Result<Streaming<Vec<u8>>, Status> {
    let mut client = tonic::client::Grpc::new(connection);
    client.ready().await.unwrap();
    let request = Request::new(tokio_stream::iter(messages));
    client.streaming(request, path.parse().unwrap(), Raw).await.map(tonic::Response::into_inner)
}

/// Passes bytes through.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

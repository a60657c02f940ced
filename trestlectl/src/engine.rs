//! The engine's services as a client sees them: one way for every kind of resource, and the hosts' own.

mod checks;
mod codec;
mod copies;
mod events;
mod operations;
mod placements;
pub(crate) mod retry;
mod watches;

use std::time::Duration;

use http::uri::PathAndQuery;
use prost_reflect::{DynamicMessage, Value};
use prost_types::FieldMask;
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};
use trestle_proto::engine::v1::host_service_client::HostServiceClient;
use trestle_proto::engine::v1::{
    GetHostRequest, Host, ListHostsRequest, ListUnmanagedInterfacesRequest, UnmanagedInterface, WatchHostsRequest,
    WatchHostsResponse,
};
use trestle_proto::finding::v1::Finding;
use trestle_proto::schema;
use trestle_serve::Connection;
use uuid::Uuid;

use crate::context::Context;
use crate::failure::Failure;
use crate::kind::Kind;

use codec::DynamicCodec;

/// A connection to the engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    connection: Connection,
    call_timeout: Duration,
}

/// How a write is meant.
#[derive(Clone, Debug)]
pub struct Write {
    /// Warnings that do not stop it.
    pub acknowledge: Vec<String>,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// The resource afterwards; none after a removal.
    pub resource: Option<DynamicMessage>,
    /// Findings that did not refuse it.
    pub findings: Vec<Finding>,
}

impl Engine {
    /// Connects to the engine. *Cancel safety*: safe.
    ///
    /// # Errors
    /// When the engine is not reached, or the target or certificates are not usable.
    pub async fn connect(context: &Context, call_timeout: Duration) -> Result<Self, Failure> {
        let (target, options) = context.engine()?;
        let connection = retry::connect(&target, &options).await?;
        Ok(Self { connection, call_timeout })
    }

    /// Returns a resource; none where there is none.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<DynamicMessage>, Failure> {
        let method = format!("Get{kind}");
        let mut request = request(&method);
        request.set_field_by_name("name", Value::String(name.to_owned()));
        match self.call(kind, &method, &request).await {
            Ok(answer) => Ok(Some(part(&answer, kind.field()))),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(Failure::of_call(name, status)),
        }
    }

    /// Returns all resources of a kind, or those in `parent`, that meet a filter, in the order of their names, page by page.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn list(&self, kind: Kind, parent: Option<&str>, filter: &str) -> Result<Vec<DynamicMessage>, Failure> {
        let method = format!("List{kind}s");
        let mut request = request(&method);
        if let Some(parent) = parent {
            request.set_field_by_name("parent", Value::String(parent.to_owned()));
        }
        request.set_field_by_name("filter", Value::String(filter.to_owned()));
        let mut found = Vec::new();
        loop {
            let answer = self.call(kind, &method, &request).await;
            let mut answer = answer.map_err(|status| Failure::of_call(kind.collection(), status))?;
            if let Some(Value::List(page)) = answer.take_field_by_name(&format!("{}s", kind.field())) {
                found.extend(page.into_iter().filter_map(|value| value.as_message().cloned()));
            }
            match answer.take_field_by_name("next_page_token") {
                Some(token @ Value::String(_)) if token.as_str() != Some("") => {
                    request.set_field_by_name("page_token", token);
                }
                Some(_) | None => return Ok(found),
            }
        }
    }

    /// Makes a resource what is given, whether it is there or not.
    ///
    /// # Errors
    /// When the engine is not reached or refuses; with all findings.
    pub async fn put(&self, kind: Kind, resource: &DynamicMessage, write: &Write) -> Result<Written, Failure> {
        let mask = FieldMask { paths: vec!["*".to_owned()] };
        let method = format!("Update{kind}");
        let mut request = request(&method);
        request.set_field_by_name(kind.field(), Value::Message(resource.clone()));
        let mask = schema::dynamic("google.protobuf.FieldMask", &mask);
        request.set_field_by_name("update_mask", Value::Message(mask));
        request.set_field_by_name("allow_missing", Value::Bool(true));
        let mut written = self.write(kind, &method, request, write, name_of(resource)).await?;
        Ok(Written {
            resource: written.take_field_by_name(kind.field()).and_then(into_message),
            findings: findings(&written),
        })
    }

    /// Removes a resource; tells what was found, or nothing where there is no such resource.
    ///
    /// # Errors
    /// When the engine is not reached or refuses; with all findings.
    pub async fn delete(&self, kind: Kind, name: &str, write: &Write) -> Result<Option<Written>, Failure> {
        let method = format!("Delete{kind}");
        let mut request = request(&method);
        request.set_field_by_name("name", Value::String(name.to_owned()));
        match self.write(kind, &method, request, write, name).await {
            Ok(answer) => Ok(Some(Written { resource: None, findings: findings(&answer) })),
            Err(Failure::Refused { status, .. }) if status.code() == Code::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Returns a host with its status; none where there is none.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn host(&self, name: &str) -> Result<Option<Host>, Failure> {
        let answer = retry::idempotent(|| async {
            self.hosts_client().get_host(self.timed(GetHostRequest { name: name.to_owned() })).await
        });
        match answer.await {
            Ok(answer) => Ok(answer.into_inner().host),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(Failure::of_call(name, status)),
        }
    }

    /// Returns all hosts with their status, in the order of their names.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn hosts(&self) -> Result<Vec<Host>, Failure> {
        let mut found = Vec::new();
        let mut asked = ListHostsRequest::default();
        loop {
            let answer =
                retry::idempotent(|| async { self.hosts_client().list_hosts(self.timed(asked.clone())).await });
            let page = answer.await.map_err(|status| Failure::of_call("hosts", status))?.into_inner();
            found.extend(page.hosts);
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            asked.page_token = page.next_page_token;
        }
    }

    /// Returns the interfaces that are no vNIC's, of one host or of all where `parent` is empty, that meet a filter, page by page.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn unmanaged(&self, parent: &str, filter: &str) -> Result<Vec<UnmanagedInterface>, Failure> {
        let mut found = Vec::new();
        let mut asked = ListUnmanagedInterfacesRequest {
            parent: parent.to_owned(),
            filter: filter.to_owned(),
            ..Default::default()
        };
        loop {
            let answer = retry::idempotent(|| async {
                self.hosts_client().list_unmanaged_interfaces(self.timed(asked.clone())).await
            });
            let subject = if parent.is_empty() { "hosts" } else { parent };
            let page = answer.await.map_err(|status| Failure::of_call(subject, status))?.into_inner();
            found.extend(page.unmanaged_interfaces);
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            asked.page_token = page.next_page_token;
        }
    }

    /// Watches hosts; all of them where `names` is empty. The stream has no deadline of its own.
    ///
    /// # Errors
    /// The engine's status.
    pub(crate) async fn watch(&self, names: Vec<String>) -> Result<Streaming<WatchHostsResponse>, Status> {
        let answer = retry::idempotent(|| async {
            self.hosts_client().watch_hosts(Request::new(WatchHostsRequest { names: names.clone() })).await
        });
        answer.await.map(tonic::Response::into_inner)
    }

    fn hosts_client(&self) -> HostServiceClient<Connection> {
        HostServiceClient::new(self.connection.clone())
    }

    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.call_timeout);
        request
    }

    /// Every write has a request id, so that a repetition changes nothing twice.
    async fn write(
        &self,
        kind: Kind,
        method: &str,
        mut request: DynamicMessage,
        write: &Write,
        name: &str,
    ) -> Result<DynamicMessage, Failure> {
        let codes = write.acknowledge.iter().cloned().map(Value::String).collect();
        request.set_field_by_name("request_id", Value::String(Uuid::now_v7().to_string()));
        request.set_field_by_name("acknowledge_warnings", Value::List(codes));
        self.call(kind, method, &request).await.map_err(|status| Failure::of_call(name, status))
    }

    async fn call(&self, kind: Kind, method: &str, request: &DynamicMessage) -> Result<DynamicMessage, Status> {
        let path: PathAndQuery =
            format!("/trestle.engine.v1.{kind}Service/{method}").parse().expect("kinds and methods are letters only");
        let codec = DynamicCodec { answer: schema::message(&format!("trestle.engine.v1.{method}Response")) };
        retry::idempotent(|| async {
            let mut grpc = Grpc::new(self.connection.clone());
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(self.timed(request.clone()), path.clone(), codec.clone()).await.map(tonic::Response::into_inner)
        })
        .await
    }
}

/// Returns a resource's name.
#[must_use]
pub fn name_of(resource: &DynamicMessage) -> &str {
    text(resource, "name")
}

/// Returns a resource's etag, which changes with every change.
#[must_use]
pub fn etag_of(resource: &DynamicMessage) -> &str {
    text(resource, "etag")
}

fn text<'a>(resource: &'a DynamicMessage, field: &str) -> &'a str {
    let value = resource.fields().find(|(descriptor, _)| descriptor.name() == field);
    value.and_then(|(_, value)| value.as_str()).unwrap_or_default()
}

fn request(method: &str) -> DynamicMessage {
    DynamicMessage::new(schema::message(&format!("trestle.engine.v1.{method}Request")))
}

fn part(answer: &DynamicMessage, field: &str) -> DynamicMessage {
    let value = answer.get_field_by_name(field).and_then(|value| value.as_message().cloned());
    value.unwrap_or_else(|| answer.clone())
}

fn into_message(value: Value) -> Option<DynamicMessage> {
    value.as_message().cloned()
}

fn findings(answer: &DynamicMessage) -> Vec<Finding> {
    let listed = answer.get_field_by_name("findings");
    let listed = listed.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    listed.iter().filter_map(Value::as_message).map(schema::typed).collect()
}

//! Message sizes: the limits, and the status that breaking them is answered with.
//!
//! tonic enforces the limits, per service, and answers `OUT_OF_RANGE`; gRPC's users expect `RESOURCE_EXHAUSTED`. A
//! handler's own `OUT_OF_RANGE` passes through untouched.

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::around::{Around, Calls, refusal};
use crate::ending::trailers;
use crate::status;

/// The most bytes in one message that a server takes; what tonic does when it is told nothing.
pub const MAX_RECEIVE_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes in one message that a server sends: what its clients take. Lists are paged to stay below.
pub const MAX_SEND_BYTES: usize = MAX_RECEIVE_BYTES;

/// The beginnings of tonic's messages about size.
const TONIC_TEXTS: [&str; 2] = ["Error, decoded message length too large", "Error, encoded message length too large"];

/// Answers `RESOURCE_EXHAUSTED` where tonic found a message too large.
#[derive(Clone)]
pub(crate) struct Sizes;

impl Around for Sizes {
    async fn around<S: Calls>(self, request: Request<Body>, mut inner: S) -> Response<Body> {
        let response = inner.answer(request).await;
        match too_large(response.headers()) {
            Some(status) => refusal(status),
            None => response.map(|body| {
                Body::new(body.map_frame(|frame| match frame.trailers_ref().and_then(too_large) {
                    Some(status) => trailers(&status),
                    None => frame,
                }))
            }),
        }
    }
}

fn too_large(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    let by_tonic = TONIC_TEXTS.iter().any(|text| status.message().starts_with(text));
    (status.code() == Code::OutOfRange && by_tonic).then(|| status::too_large(status.message()))
}

//! Messages that cannot be taken or sent: too large, or no protobuf.
//!
//! tonic enforces the limits, per service, and answers `OUT_OF_RANGE`; gRPC's users expect `RESOURCE_EXHAUSTED`. What
//! does not decode it answers with `INTERNAL`, though the sender is at fault. A handler's own status passes through
//! untouched.

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
const SIZE_TEXTS: [&str; 2] = ["Error, decoded message length too large", "Error, encoded message length too large"];
/// The beginning of prost's message about what does not decode.
const FORM_TEXT: &str = "failed to decode Protobuf message";

/// Answers `RESOURCE_EXHAUSTED` where tonic found a message too large, and `INVALID_ARGUMENT` where it found no message.
#[derive(Clone)]
pub(crate) struct Messages;

impl Around for Messages {
    async fn around<S: Calls>(self, request: Request<Body>, mut inner: S) -> Response<Body> {
        let response = inner.answer(request).await;
        match replacement(response.headers()) {
            Some(status) => refusal(status),
            None => response.map(|body| {
                Body::new(body.map_frame(|frame| match frame.trailers_ref().and_then(replacement) {
                    Some(status) => trailers(&status),
                    None => frame,
                }))
            }),
        }
    }
}

fn replacement(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    let text = status.message();
    if status.code() == Code::OutOfRange && SIZE_TEXTS.iter().any(|beginning| text.starts_with(beginning)) {
        return Some(status::too_large(text));
    }
    (status.code() == Code::Internal && text.starts_with(FORM_TEXT)).then(|| status::malformed(text))
}

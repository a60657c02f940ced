//! Request ids: taken from the client's `x-request-id` or made here, shown in the span, echoed in the response.

use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tracing::Span;
use trestle_telemetry::names;
use uuid::Uuid;

use crate::around::{Around, Calls};

const HEADER: &str = "x-request-id";
const LONGEST: usize = 128;

/// The id of a request, in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Gives every request an id.
#[derive(Clone)]
pub(crate) struct RequestIds;

impl Around for RequestIds {
    async fn around<S: Calls>(self, mut request: Request<Body>, mut inner: S) -> Response<Body> {
        let id = request.headers().get(HEADER).and_then(usable).unwrap_or_else(|| Uuid::now_v7().to_string());
        Span::current().record(names::REQUEST_ID, id.as_str());
        let echo = HeaderValue::try_from(id.as_str());
        request.extensions_mut().insert(RequestId(id));
        let mut response = inner.answer(request).await;
        if let Ok(echo) = echo {
            response.headers_mut().insert(HEADER, echo);
        }
        response
    }
}

/// Returns a client's id if it is short and printable.
fn usable(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!text.is_empty() && text.len() <= LONGEST && printable).then(|| text.to_owned())
}

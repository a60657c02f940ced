//! Deadlines: the client's `grpc-timeout`, the server's default, and the server's cap.
//!
//! When a deadline passes, a call that has no response yet is dropped and answered `DEADLINE_EXCEEDED`, and a response
//! stream ends with that status. tonic's own server has a timer for the same header, which answers
//! `CANCELLED` and lets streams run on; that is one reason why this crate does not use it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::body::Body;

use crate::around::{Around, Calls, refusal};
use crate::ending::end_when;
use crate::status;

const HEADER: &str = "grpc-timeout";
/// The longest number that the gRPC specification allows in `grpc-timeout`.
const MOST_DIGITS: usize = 8;

/// Says how long calls may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time for a call whose client set none.
    pub default: Duration,
    /// The most time that a client may ask for.
    pub cap: Duration,
    /// Methods whose streams are meant to last, as `/package.Service/Method`. Neither default nor cap applies to them;
    /// a deadline that the client sets does. Watching health and reflection always belong to them.
    pub long_lived: BTreeSet<String>,
}

/// The moment at which a call ends, in the extensions of its request; absent for a call without one.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// Ends calls at their deadlines.
#[derive(Clone)]
pub(crate) struct Deadlines(Arc<Limits>);

/// A `grpc-timeout` that does not parse.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

impl Default for Limits {
    /// Half a minute, ten minutes at most, and no long-lived method but the built-in ones.
    fn default() -> Self {
        Self { default: Duration::from_secs(30), cap: Duration::from_secs(600), long_lived: BTreeSet::new() }
    }
}

impl Limits {
    /// Returns how long a call may take, given its path and what the client asked for.
    fn allow(&self, path: &str, asked: Option<Duration>) -> Option<Duration> {
        if self.is_long_lived(path) { asked } else { Some(asked.unwrap_or(self.default).min(self.cap)) }
    }

    fn is_long_lived(&self, path: &str) -> bool {
        const BUILT_IN: [&str; 3] = [
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ];
        BUILT_IN.contains(&path) || self.long_lived.contains(path)
    }
}

impl Deadline {
    /// Returns the time that is left, to be passed on to calls made on behalf of this one; zero when it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl Deadlines {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(limits))
    }
}

impl Around for Deadlines {
    async fn around<S: Calls>(self, mut request: Request<Body>, mut inner: S) -> Response<Body> {
        let Ok(asked) = asked(request.headers()) else { return refusal(status::deadline_malformed()) };
        let allowed = self.0.allow(request.uri().path(), asked);
        let Some(deadline) = allowed.and_then(|time| Instant::now().checked_add(time)) else {
            return inner.answer(request).await;
        };
        request.extensions_mut().insert(Deadline(deadline));
        match timeout_at(deadline, inner.answer(request)).await {
            Err(_) => refusal(status::deadline_exceeded()),
            Ok(response) => end_when(response, async move {
                sleep_until(deadline).await;
                status::deadline_exceeded()
            }),
        }
    }
}

/// Reads `grpc-timeout`; nothing when the client set none.
///
/// Source: "gRPC over HTTP2", Timeout.
fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Malformed)?;
    let unit = text.chars().next_back().ok_or(Malformed)?;
    let digits = text.strip_suffix(unit).ok_or(Malformed)?;
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    let number: u64 = digits.parse().map_err(|_| Malformed)?;
    match unit {
        'H' => Ok(Some(Duration::from_secs(number * 3600))),
        'M' => Ok(Some(Duration::from_secs(number * 60))),
        'S' => Ok(Some(Duration::from_secs(number))),
        'm' => Ok(Some(Duration::from_millis(number))),
        'u' => Ok(Some(Duration::from_micros(number))),
        'n' => Ok(Some(Duration::from_nanos(number))),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_is_read_as_the_specification_says() {
        let cases = [
            (None, Ok(None)),
            (Some("1H"), Ok(Some(Duration::from_secs(3600)))),
            (Some("2M"), Ok(Some(Duration::from_secs(120)))),
            (Some("3S"), Ok(Some(Duration::from_secs(3)))),
            (Some("4m"), Ok(Some(Duration::from_millis(4)))),
            (Some("5u"), Ok(Some(Duration::from_micros(5)))),
            (Some("99999999n"), Ok(Some(Duration::from_nanos(99_999_999)))),
            (Some("0S"), Ok(Some(Duration::ZERO))),
            (Some("100000000S"), Err(Malformed)),
            (Some("S"), Err(Malformed)),
            (Some("1"), Err(Malformed)),
            (Some("1s"), Err(Malformed)),
            (Some("-1S"), Err(Malformed)),
            (Some("1.5S"), Err(Malformed)),
            (Some(""), Err(Malformed)),
        ];
        for (text, expected) in cases {
            let headers = text.map(|text| (HEADER.parse().unwrap(), text.parse().unwrap())).into_iter().collect();
            assert_eq!(asked(&headers), expected, "{text:?}");
        }
    }

    #[test]
    fn default_and_cap_spare_long_lived_methods_only() {
        let limits = Limits {
            default: Duration::from_secs(30),
            cap: Duration::from_secs(60),
            long_lived: BTreeSet::from(["/a.B/Watch".to_owned()]),
        };
        let seconds = |number| Some(Duration::from_secs(number));
        let cases = [
            ("/a.B/Get", None, seconds(30)),
            ("/a.B/Get", seconds(5), seconds(5)),
            ("/a.B/Get", seconds(3600), seconds(60)),
            ("/a.B/Watch", None, None),
            ("/a.B/Watch", seconds(3600), seconds(3600)),
            ("/grpc.health.v1.Health/Watch", None, None),
            ("/grpc.health.v1.Health/Check", None, seconds(30)),
        ];
        for (path, asked, expected) in cases {
            assert_eq!(limits.allow(path, asked), expected, "{path} {asked:?}");
        }
    }
}

//! Repeats calls that may be repeated, and only when the server says that it is away for now.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use tonic::{Code, Status};
use trestle_proto::status::retry_delay_of;
use trestle_serve::{ClientOptions, ConnectError, Connection, Target};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const TIMES: usize = 4;

/// Returns how long to pause between repetitions.
pub(crate) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(TIMES)
        .with_jitter()
}

/// Connects, a few times if need be. *Cancel safety*: safe.
///
/// # Errors
/// The last attempt's.
pub(crate) async fn connect(target: &Target, options: &ClientOptions) -> Result<Connection, ConnectError> {
    (|| trestle_serve::connect(target, options)).retry(pauses()).when(ConnectError::is_retriable).await
}

/// Makes a call that is idempotent, a few times if the server is away. *Cancel safety*: as the call's.
///
/// # Errors
/// The last attempt's.
pub(crate) async fn idempotent<T, F>(call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let later = |status: &Status, pause: Option<Duration>| {
        let asked = retry_delay_of(status).unwrap_or_default().min(LONGEST_PAUSE);
        pause.map(|pause| pause.max(asked))
    };
    call.retry(pauses()).when(|status: &Status| status.code() == Code::Unavailable).adjust(later).await
}

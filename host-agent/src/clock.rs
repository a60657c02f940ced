//! The wall clock, for records that people read; nothing is decided by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns milliseconds since 1970; 0 on a host whose clock stands before that.
pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place where the agent reads the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

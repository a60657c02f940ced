//! What a client says to servers, and hears: the same three conversations in both families.
//!
//! Each has a time limit of its own, and starts from nothing: an error of the protocol library, or a server that answers
//! one message and not the next, never holds a client longer than that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trestle_model::{DhcpClientSpec, IpFamily, Lease};
use uuid::Uuid;

use crate::device::{Device, device};
use crate::{ipv4, ipv6};

/// How long a server may take to give a lease, with the messages sent again in between.
pub(crate) const ACQUIRE_LIMIT: Duration = Duration::from_secs(12);
/// How long a server may take to confirm a lease.
pub(crate) const CONFIRM_LIMIT: Duration = Duration::from_secs(4);

/// The answer of servers about a lease that the client has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes on, perhaps with other words.
    Confirmed(Lease),
    /// The client must not use it any more.
    Refused,
    /// Nobody said anything, and why, for people.
    None(String),
}

/// Asks for a lease; the error says for people why there is none.
pub(crate) async fn acquire(spec: &DhcpClientSpec, duid: Uuid) -> Result<Lease, String> {
    let device = device(&spec.link)?;
    match spec.family {
        IpFamily::Ipv4 => ipv4::acquire(spec, &device).await,
        IpFamily::Ipv6 => ipv6::acquire(spec, &device, duid).await,
    }
}

/// Asks the server that gave the lease for more time.
pub(crate) async fn renew(spec: &DhcpClientSpec, duid: Uuid, lease: &Lease) -> Answer {
    match device(&spec.link) {
        Ok(device) => match spec.family {
            IpFamily::Ipv4 => ipv4::renew(spec, &device, lease).await,
            IpFamily::Ipv6 => ipv6::renew(spec, &device, duid, lease).await,
        },
        Err(reason) => Answer::None(reason),
    }
}

/// Asks any server whether the lease is still good here.
pub(crate) async fn verify(spec: &DhcpClientSpec, duid: Uuid, lease: &Lease) -> Answer {
    match device(&spec.link) {
        Ok(device) => match spec.family {
            IpFamily::Ipv4 => ipv4::verify(spec, &device, lease).await,
            // Its renewal goes to all servers, after the one that gave it did not answer.
            IpFamily::Ipv6 => ipv6::renew(spec, &device, duid, lease).await,
        },
        Err(reason) => Answer::None(reason),
    }
}

/// Says why nothing came.
pub(crate) fn silence(device: &Device, spec: &DhcpClientSpec) -> String {
    match (spec.family, device.link_local) {
        (IpFamily::Ipv6, None) => format!("{} has no link-local address", spec.link),
        (IpFamily::Ipv4 | IpFamily::Ipv6, _) => "no server has answered".to_owned(),
    }
}

/// Returns when a lease of that length ends that is given now; never, for the longest.
pub(crate) fn expiry_ms(lifetime_s: u32) -> Option<u64> {
    (lifetime_s != u32::MAX).then(|| now_ms().saturating_add(u64::from(lifetime_s) * 1000))
}

/// Returns milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "an edge: leases are kept beyond the process, by the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

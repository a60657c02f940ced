//! A look at the host that a libvirt that does not answer keeps from nothing but its own part.

use tracing::debug;
use trestle_model::HostState;
use trestle_plan::ObserveError;
use trestle_telemetry::chain;

use crate::site::{Part, Site};

/// Reads the host, without libvirt's part where that does not answer; says why, then.
///
/// *Errors*: the kernel's part cannot be read. *Cancel safety*: safe.
pub(super) async fn look<H: Site>(host: &H) -> Result<(HostState, Option<ObserveError>), ObserveError> {
    match host.observe().await {
        Ok(observed) => Ok((observed, None)),
        Err(error) => {
            debug!(error = %chain(&error), "host not observed whole, the kernel's part alone is read");
            Ok((host.survey(&Part::all()).await?.state, Some(error)))
        }
    }
}

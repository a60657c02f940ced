//! Cables that come back: the DHCP clients of the place ask at once whether their leases are still good there.
//!
//! A cable that goes takes nothing away: the address stays as long as its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};
use trestle_dhcp::Dhcp;
use trestle_model::IfName;
use trestle_netlink::{Change, ConnectError, Kernel, Watch};

/// The least time between two looks at the devices, however often they change.
const REST: Duration = Duration::from_millis(200);

/// The task; made with [`Carriers::new`].
pub struct Carriers {
    dhcp: Dhcp,
    kernel: Kernel,
    watch: Watch,
    /// Whether the devices that clients' networks leave the host by had a carrier at the last look.
    known: BTreeMap<IfName, bool>,
}

impl Carriers {
    /// Makes the task, which hears of every change from now on.
    ///
    /// *Errors*: the kernel gave no socket.
    pub fn new(dhcp: Dhcp, kernel: Kernel) -> Result<Self, ConnectError> {
        let watch = kernel.watch()?;
        Ok(Self { dhcp, kernel, watch, known: BTreeMap::new() })
    }

    /// Tells clients of carriers until `stop` is cancelled.
    ///
    /// *Cancel safety*: safe; what it has not told is told by time: a lease is renewed all the same.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look().await;
            // Cancel safety: both arms are.
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.changed() => if !changed {
                    error!("kernel's notices have ended, leases are renewed by time alone");
                    return;
                },
            }
        }
    }

    /// Waits until a device has changed, or any might have; tells whether there will be more.
    async fn changed(&mut self) -> bool {
        sleep(REST).await;
        loop {
            match self.watch.next().await {
                Some(changes) if changes.iter().any(|change| matches!(change, Change::Links | Change::Resync)) => {
                    return true;
                }
                Some(_) => {}
                None => return false,
            }
        }
    }

    async fn look(&mut self) {
        let segments: BTreeSet<IfName> = self.dhcp.observe().into_iter().map(|client| client.spec.segment).collect();
        if segments.is_empty() {
            self.known.clear();
            return;
        }
        let links = match self.kernel.look(&BTreeSet::new()).await {
            Ok(look) => look.state.links,
            Err(error) => {
                debug!(error = %error, "carriers not read");
                return;
            }
        };
        let now: BTreeMap<IfName, bool> = segments
            .into_iter()
            .map(|segment| (segment.clone(), links.get(&segment).is_some_and(|link| link.carrier)))
            .collect();
        for (segment, _) in now.iter().filter(|(_, carrier)| **carrier) {
            if self.known.get(segment) == Some(&false) {
                info!(link = %segment, "cable is back, leases are looked after");
                self.dhcp.ask_again(segment);
            }
        }
        self.known = now;
    }
}

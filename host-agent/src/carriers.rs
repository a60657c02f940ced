//! Cables that come back: the DHCP clients of the place ask at once whether their leases are still good there.
//!
//! A cable that goes takes nothing away: the address stays as long as its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};
use trestle_dhcp::Dhcp;
use trestle_model::IfName;
use trestle_netlink::{Carrier, Change, ConnectError, Kernel, Watch};

/// The least time between two looks at the devices, however often they change.
const REST: Duration = Duration::from_millis(200);

/// The task; made with [`Carriers::new`].
pub struct Carriers {
    dhcp: Dhcp,
    clients: watch::Receiver<u64>,
    kernel: Kernel,
    watch: Watch,
    /// The devices' carriers at the last look; of a device that has gone, at the last look that saw it. Empty while there
    /// are no clients.
    known: BTreeMap<IfName, Carrier>,
}

impl Carriers {
    /// Makes the task, which hears of every change from now on.
    ///
    /// *Errors*: the kernel gave no socket.
    pub fn new(dhcp: Dhcp, kernel: Kernel) -> Result<Self, ConnectError> {
        let (watch, clients) = (kernel.watch()?, dhcp.watch());
        Ok(Self { dhcp, clients, kernel, watch, known: BTreeMap::new() })
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

    /// Waits until a client or a device has changed, or any might have; tells whether there will be more.
    async fn changed(&mut self) -> bool {
        // The first client is looked after at once: what happens to its cable from then on is told by the next look.
        if !self.known.is_empty() {
            sleep(REST).await;
        }
        loop {
            // Cancel safety: both arms are.
            tokio::select! {
                changed = self.clients.changed() => return changed.is_ok(),
                changes = self.watch.next() => match changes {
                    Some(changes) if changes.iter().any(may_be_of_links) => return true,
                    Some(_) => {}
                    None => return false,
                },
            }
        }
    }

    async fn look(&mut self) {
        let clients = self.dhcp.observe();
        if clients.is_empty() {
            self.known.clear();
            return;
        }
        let now = match self.kernel.carriers().await {
            Ok(carriers) => carriers,
            Err(error) => {
                debug!(error = %error, "carriers not read");
                return;
            }
        };
        let segments: BTreeSet<IfName> = clients.into_iter().map(|client| client.spec.segment).collect();
        for segment in &segments {
            if let (Some(before), Some(now)) = (self.known.get(segment), now.get(segment))
                && has_come_back(*before, *now)
            {
                info!(link = %segment, "cable is back, leases are looked after");
                self.dhcp.ask_again(segment);
            }
        }
        self.known.retain(|link, _| segments.contains(link));
        self.known.extend(now);
    }
}

const fn may_be_of_links(change: &Change) -> bool {
    match change {
        Change::Links | Change::Resync => true,
        Change::Addresses
        | Change::Routes
        | Change::Rules
        | Change::Forwarding
        | Change::Learning
        | Change::Egress
        | Change::Vlans
        | Change::Nics => false,
    }
}

/// Tells whether a device has a carrier that is not the one it had, however short the time without was.
const fn has_come_back(before: Carrier, now: Carrier) -> bool {
    now.present && (!before.present || now.times != before.times || now.index != before.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_has_come_back_where_it_is_another_one_than_at_the_last_look() {
        let up = Carrier { index: 4, present: true, times: 2 };
        let down = Carrier { present: false, ..up };
        let cases = [
            ("as it was", up, up, false),
            ("gone", up, down, false),
            ("still gone", down, down, false),
            ("back", down, Carrier { times: 3, ..up }, true),
            ("gone and back between the looks", up, Carrier { times: 3, ..up }, true),
            ("back and gone between the looks", down, Carrier { times: 3, ..down }, false),
            ("another device of the name", up, Carrier { index: 5, ..up }, true),
            ("another device of the name, without a cable", up, Carrier { index: 5, ..down }, false),
        ];
        for (case, before, now, expected) in cases {
            assert_eq!(has_come_back(before, now), expected, "{case}");
        }
    }
}

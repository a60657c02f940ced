//! What a poll compares: cheap facts that differ when a network or a guest comes, goes, starts or stops.

use std::collections::BTreeSet;

use tokio::sync::watch;
use uuid::Uuid;
use virt::connect::Connect;
use virt_sys as sys;

use crate::Fault;
use crate::connection::Connection;

/// How often something was told or found to differ since the handle was started; one change may count twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Networks: which there are, how they are defined, and which of them run or start by themselves.
    pub networks: u64,
    /// Domains: which there are, how they are defined, what they do, and their devices.
    pub guests: u64,
    /// Whether libvirt can be reached, or over which connection.
    pub connection: u64,
}

/// The state of polling: what the last poll saw.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    /// The number of the connection, or none where libvirt could not be reached; none at all before the first poll.
    reached: Option<Option<u64>>,
    seen: Option<Fingerprint>,
}

#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    networks: BTreeSet<(NetworkFacet, Uuid, String)>,
    guests: BTreeSet<(GuestFacet, Uuid, Option<u32>)>,
}

/// Which of libvirt's lists a network is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NetworkFacet {
    Exists,
    Active,
    Autostart,
}

/// Which of libvirt's lists a domain is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GuestFacet {
    Exists,
    Running,
}

impl Poll {
    /// Tells whether the last poll went over the connection that is open now: what changed before it was told is known.
    pub(crate) fn knows(&self, connection: &Connection) -> bool {
        self.reached == Some(connection.number())
    }

    /// Asks libvirt, and counts what differs from the last time.
    ///
    /// While libvirt cannot be reached, what was seen last is kept, so that its return alone changes no network.
    pub(crate) fn run(&mut self, connection: &mut Connection, changes: &watch::Sender<Changes>) {
        let outcome = connection.call(|| true, read);
        let before = self.reached.replace(outcome.as_ref().ok().and_then(|_| connection.number()));
        let connection_differs = before != self.reached;
        let (networks_differ, guests_differ) = match outcome {
            Ok(now) => {
                let networks = self.seen.as_ref().is_none_or(|seen| seen.networks != now.networks);
                let guests = self.seen.as_ref().is_none_or(|seen| seen.guests != now.guests);
                self.seen = Some(now);
                (networks, guests)
            }
            Err(_) => (false, false),
        };
        changes.send_if_modified(|changes| {
            changes.connection += u64::from(connection_differs);
            changes.networks += u64::from(networks_differ);
            changes.guests += u64::from(guests_differ);
            connection_differs || networks_differ || guests_differ
        });
    }
}

/// Five round trips, however many networks and domains there are: name, UUID and id come with the lists.
fn read(connect: &Connect) -> Result<Fingerprint, Fault> {
    let mut networks = BTreeSet::new();
    for (facet, flag) in [
        (NetworkFacet::Exists, 0),
        (NetworkFacet::Active, sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE),
        (NetworkFacet::Autostart, sys::VIR_CONNECT_LIST_NETWORKS_AUTOSTART),
    ] {
        for network in connect.list_all_networks(flag)? {
            networks.insert((facet, network.get_uuid()?, network.get_name()?));
        }
    }
    let mut guests = BTreeSet::new();
    for (facet, flag) in [(GuestFacet::Exists, 0), (GuestFacet::Running, sys::VIR_CONNECT_LIST_DOMAINS_RUNNING)] {
        for domain in connect.list_all_domains(flag)? {
            guests.insert((facet, domain.get_uuid()?, domain.get_id()));
        }
    }
    Ok(Fingerprint { networks, guests })
}

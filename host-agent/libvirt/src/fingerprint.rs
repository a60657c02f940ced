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
    /// How often polls found a difference.
    found: PerKind<u64>,
    /// How often libvirt had told of one before the last poll.
    told: Option<PerKind<u64>>,
    /// Whether the last poll found what nobody had told of until then.
    untold: PerKind<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PerKind<T> {
    networks: T,
    guests: T,
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

    /// Asks libvirt, and counts what differs from the last time. Returns whether libvirt, which is to tell of changes by itself,
    /// has not told of one that the poll before found: not until then, and not since.
    ///
    /// While libvirt cannot be reached, what was seen last is kept, so that its return alone changes no network.
    #[must_use]
    pub(crate) fn run(&mut self, connection: &mut Connection, changes: &watch::Sender<Changes>) -> bool {
        // Before libvirt is asked: what is told from here on counts for the next poll, as what changes does.
        let told = self.told_so_far(&changes.borrow());
        let outcome = connection.call(|| true, read);
        let before = self.reached.replace(outcome.as_ref().ok().and_then(|_| connection.number()));
        let connection_differs = before != self.reached;
        let differs = match outcome {
            Ok(now) => {
                let networks = self.seen.as_ref().is_none_or(|seen| seen.networks != now.networks);
                let guests = self.seen.as_ref().is_none_or(|seen| seen.guests != now.guests);
                self.seen = Some(now);
                PerKind { networks, guests }
            }
            Err(_) => PerKind::default(),
        };
        self.found.networks += u64::from(differs.networks);
        self.found.guests += u64::from(differs.guests);
        changes.send_if_modified(|changes| {
            changes.connection += u64::from(connection_differs);
            changes.networks += u64::from(differs.networks);
            changes.guests += u64::from(differs.guests);
            connection_differs || differs.networks || differs.guests
        });
        self.is_deaf(told, differs, connection_differs)
    }

    fn told_so_far(&self, changes: &Changes) -> PerKind<u64> {
        // Before a poll that begins anew somebody else may have found some of it; only differences count.
        PerKind {
            networks: changes.networks.wrapping_sub(self.found.networks),
            guests: changes.guests.wrapping_sub(self.found.guests),
        }
    }

    fn is_deaf(&mut self, told: PerKind<u64>, differs: PerKind<bool>, connection_differs: bool) -> bool {
        let before = self.told.replace(told);
        let untold = std::mem::take(&mut self.untold);
        let Some(before) = before.filter(|_| !connection_differs) else { return false };
        let is_silent = PerKind { networks: before.networks == told.networks, guests: before.guests == told.guests };
        if (untold.networks && is_silent.networks) || (untold.guests && is_silent.guests) {
            return true;
        }
        self.untold =
            PerKind { networks: differs.networks && is_silent.networks, guests: differs.guests && is_silent.guests };
        false
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

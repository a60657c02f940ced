//! What a poll compares: cheap facts that differ when a network or a guest comes, goes, starts or stops.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;
use virt::connect::Connect;
use virt_sys as sys;

use crate::Fault;
use crate::connection::Connection;

/// By when libvirt has told of what a poll finds.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(1);

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
    /// When a poll first found what nobody has told of since.
    untold: PerKind<Option<Instant>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PerKind<T> {
    networks: T,
    guests: T,
}

#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    networks: BTreeSet<(NetworkFacet, Uuid, String)>,
    autostart: BTreeSet<Uuid>,
    guests: BTreeSet<(GuestFacet, Uuid, Option<u32>)>,
}

/// Which of libvirt's lists a network is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NetworkFacet {
    Exists,
    Active,
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
    /// has not told of one that a poll found [`TOLD_WITHIN`] ago.
    ///
    /// While libvirt cannot be reached, what was seen last is kept, so that its return alone changes no network.
    #[must_use]
    pub(crate) fn run(&mut self, connection: &mut Connection, changes: &watch::Sender<Changes>, now: Instant) -> bool {
        // Before libvirt is asked: what is told from here on counts for the next poll, as what changes does.
        let told = self.told_so_far(&changes.borrow());
        let outcome = connection.call(|| true, read);
        let before = self.reached.replace(outcome.as_ref().ok().and_then(|_| connection.number()));
        let connection_differs = before != self.reached;
        let (mut differs, mut is_to_be_told) = (PerKind::default(), PerKind::default());
        if let Ok(seen) = outcome {
            let before = self.seen.replace(seen);
            let is_other = |part: &dyn Fn(&Fingerprint, &Fingerprint) -> bool| {
                before.as_ref().zip(self.seen.as_ref()).is_none_or(|(before, seen)| part(before, seen))
            };
            let networks = is_other(&|before, seen| before.networks != seen.networks);
            let guests = is_other(&|before, seen| before.guests != seen.guests);
            is_to_be_told = PerKind { networks, guests };
            // That a network starts by itself is no event.
            let autostart = is_other(&|before, seen| before.autostart != seen.autostart);
            differs = PerKind { networks: networks || autostart, guests };
        }
        self.found.networks += u64::from(differs.networks);
        self.found.guests += u64::from(differs.guests);
        changes.send_if_modified(|changes| {
            changes.connection += u64::from(connection_differs);
            changes.networks += u64::from(differs.networks);
            changes.guests += u64::from(differs.guests);
            connection_differs || differs.networks || differs.guests
        });
        let was_told = self.told.replace(told);
        let Some(was_told) = was_told.filter(|_| !connection_differs) else {
            self.untold = PerKind::default();
            return false;
        };
        let networks =
            is_untold(&mut self.untold.networks, is_to_be_told.networks, was_told.networks != told.networks, now);
        let guests = is_untold(&mut self.untold.guests, is_to_be_told.guests, was_told.guests != told.guests, now);
        networks || guests
    }

    /// Only differences count: what somebody found before this polling began is among it.
    const fn told_so_far(&self, changes: &Changes) -> PerKind<u64> {
        PerKind {
            networks: changes.networks.wrapping_sub(self.found.networks),
            guests: changes.guests.wrapping_sub(self.found.guests),
        }
    }
}

/// Notes since when what was found is untold, and tells whether that is too long.
fn is_untold(since: &mut Option<Instant>, is_found: bool, is_told: bool, now: Instant) -> bool {
    match *since {
        _ if is_told => *since = None,
        None if is_found => *since = Some(now),
        None | Some(_) => {}
    }
    since.is_some_and(|since| now.saturating_duration_since(since) >= TOLD_WITHIN)
}

/// Five round trips, however many networks and domains there are: name, UUID and id come with the lists.
fn read(connect: &Connect) -> Result<Fingerprint, Fault> {
    let mut networks = BTreeSet::new();
    for (facet, flag) in [(NetworkFacet::Exists, 0), (NetworkFacet::Active, sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE)] {
        for network in connect.list_all_networks(flag)? {
            networks.insert((facet, network.get_uuid()?, network.get_name()?));
        }
    }
    let mut autostart = BTreeSet::new();
    for network in connect.list_all_networks(sys::VIR_CONNECT_LIST_NETWORKS_AUTOSTART)? {
        autostart.insert(network.get_uuid()?);
    }
    let mut guests = BTreeSet::new();
    for (facet, flag) in [(GuestFacet::Exists, 0), (GuestFacet::Running, sys::VIR_CONNECT_LIST_DOMAINS_RUNNING)] {
        for domain in connect.list_all_domains(flag)? {
            guests.insert((facet, domain.get_uuid()?, domain.get_id()));
        }
    }
    Ok(Fingerprint { networks, autostart, guests })
}

//! What is plugged on hosts, as VMs, vNICs and hosts show it in their status, and as a list of its own.

use tokio::time::Instant;
use trestle_model::fleet::{Fleet, Sighting, Vnic, VnicId};
use trestle_model::{Finding, HostName, VmId};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire::{self, build_seen_domain, build_seen_interface};
use trestle_proto::finding::v1::Finding as WireFinding;
use trestle_proto::finding_wire;

use super::Api;
use super::vnic_field::in_vnics_words;
use crate::clock;
use crate::reconcile::{Aim, Difference, Place, PlugSync, VmSync, VnicSync, places_on, vm_sync, vnic_sync};
use crate::session::{Board, PlugStanding};

/// How much of what is seen a status shows.
const SEEN_HOSTS: usize = 16;
const SEEN_INTERFACES: usize = 32;
const SHOWN_VIOLATIONS: usize = 50;

/// What of a host's guests is shown in its status.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// How many interfaces are no vNIC's.
    pub(super) unmanaged: u32,
    /// The first violations.
    pub(super) violations: Vec<WireFinding>,
    /// How many violations there are.
    pub(super) violation_count: u32,
    /// How many are not what vNICs say.
    pub(super) plugs: wire::PlugCounts,
}

/// Tells what is observed of a VM; of one that is not in the fleet, as after a dry run, nothing is known.
pub(super) fn vm_status(api: &Api, id: VmId) -> wire::VmStatus {
    api.store.read(|fleet| {
        let Some(vm) = fleet.vms().get(&id) else {
            return wire::VmStatus { sync: wire::PlugSync::Unknown.into(), ..Default::default() };
        };
        let VmSync { sync, differences } = vm_sync(fleet, vm, &|host| api.board.is_heard(host));
        let seen = fleet.domains_of(id).take(SEEN_HOSTS);
        let seen = seen.map(|(host, domain)| build_seen_domain(host, domain, reported_ms(fleet, host))).collect();
        let mut unmanaged = fleet.domains_of(id).flat_map(|(host, domain)| {
            let interfaces = domain.interfaces.iter().map(move |interface| fleet.sighting(host, domain, interface));
            interfaces.filter(|sighting| fleet.vnic_of(sighting).is_none())
        });
        let shown: Vec<_> =
            unmanaged.by_ref().take(SEEN_INTERFACES).map(|sighting| seen_interface(fleet, &sighting)).collect();
        let unmanaged_interface_count = number(shown.len() + unmanaged.count());
        wire::VmStatus {
            sync: wire_sync(sync).into(),
            differences: wire_differences(differences),
            seen,
            unmanaged_interfaces: shown,
            unmanaged_interface_count,
        }
    })
}

/// Tells what is observed of a vNIC but for its MAC; of one that is not in the fleet, as after a dry run, nothing is known.
pub(super) fn vnic_status(api: &Api, id: &VnicId) -> wire::VnicStatus {
    api.store.read(|fleet| {
        let Some(vnic) = fleet.vnics().get(id) else {
            return wire::VnicStatus { sync: wire::PlugSync::Unknown.into(), ..Default::default() };
        };
        let VnicSync { sync, differences, seen } = vnic_sync(fleet, vnic, &|host| api.board.is_heard(host));
        let violations = seen.as_ref().map(|sighting| trestle_rules::violations(fleet, sighting)).unwrap_or_default();
        wire::VnicStatus {
            mac: String::new(),
            sync: wire_sync(sync).into(),
            differences: wire_differences(differences),
            seen: seen.map(|sighting| seen_interface(fleet, &sighting)),
            violations: finding_wire::build_all(&violations),
            plugging: Some(plugging(fleet, &api.board, vnic)),
        }
    })
}

/// Tells what is done about a vNIC that is not as wanted.
fn plugging(fleet: &Fleet, board: &Board, vnic: &Vnic) -> wire::Plugging {
    let place = fleet.vms().get(&vnic.vm).and_then(|vm| Place::of(fleet, vm, &|host| board.is_heard(host)));
    let (state, findings, retry_at) = match place.map(|place| standing(fleet, board, vnic, place)) {
        None | Some(Standing::Nothing) => (wire::PlugState::None, Vec::new(), None),
        Some(Standing::Told(PlugStanding::Owed)) => (wire::PlugState::Pending, Vec::new(), None),
        Some(Standing::Told(PlugStanding::UnderWay)) => (wire::PlugState::UnderWay, Vec::new(), None),
        Some(Standing::Told(PlugStanding::Failed(findings, at))) => {
            let findings = findings.into_iter().map(|finding| in_vnics_words(finding, vnic)).collect();
            (wire::PlugState::Failed, findings, Some(at))
        }
        Some(Standing::Withheld(finding)) => (wire::PlugState::Withheld, vec![*finding], None),
    };
    let retry_ms = retry_at.map(|at| {
        let rest = at.saturating_duration_since(Instant::now());
        clock::now_ms().saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX))
    });
    wire::Plugging {
        state: state.into(),
        findings: finding_wire::build_all(&findings),
        retry_time: retry_ms.map(engine_wire::timestamp),
    }
}

/// What is done about a vNIC's interface.
enum Standing {
    Nothing,
    Told(PlugStanding),
    Withheld(Box<Finding>),
}

fn standing(fleet: &Fleet, board: &Board, vnic: &Vnic, place: Place<'_>) -> Standing {
    let aim = place.aim(fleet, vnic);
    match (place.ask(&aim), aim) {
        (Some(ask), _) => Standing::Told(board.plug_state(place.host, &ask)),
        (None, Aim::Withheld(finding)) => Standing::Withheld(finding),
        (None, Aim::Keep | Aim::Set(_) | Aim::Remove(_)) => Standing::Nothing,
    }
}

/// Looks at everything that is plugged on a host, at the cost of its last report.
pub(super) fn guests_of(fleet: &Fleet, board: &Board, host: &HostName) -> Guests {
    let mut guests = Guests { plugs: plug_counts(fleet, board, host), ..Guests::default() };
    for sighting in fleet.interfaces_of(host) {
        if fleet.vnic_of(&sighting).is_none() {
            guests.unmanaged = guests.unmanaged.saturating_add(1);
        }
        let found: Vec<Finding> = trestle_rules::violations(fleet, &sighting);
        guests.violation_count = guests.violation_count.saturating_add(number(found.len()));
        let room = SHOWN_VIOLATIONS.saturating_sub(guests.violations.len());
        guests.violations.extend(found.iter().take(room).map(finding_wire::build));
    }
    guests
}

fn plug_counts(fleet: &Fleet, board: &Board, host: &HostName) -> wire::PlugCounts {
    let mut counts = wire::PlugCounts::default();
    for place in places_on(fleet, host).filter(|place| place.is_wanted()) {
        for vnic in fleet.vnics_of(place.vm.id) {
            let count = match standing(fleet, board, vnic, place) {
                Standing::Nothing => continue,
                Standing::Told(PlugStanding::Owed | PlugStanding::UnderWay) => &mut counts.pending,
                Standing::Told(PlugStanding::Failed(..)) => &mut counts.failed,
                Standing::Withheld(_) => &mut counts.withheld,
            };
            *count = count.saturating_add(1);
        }
    }
    counts
}

pub(super) fn seen_interface(fleet: &Fleet, sighting: &Sighting<'_>) -> wire::SeenInterface {
    build_seen_interface(sighting, reported_ms(fleet, sighting.host))
}

fn reported_ms(fleet: &Fleet, host: &HostName) -> u64 {
    fleet.observed(host).map_or(0, |record| record.reported_ms)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wire_differences(differences: Vec<Difference>) -> Vec<wire::PlugDifference> {
    let build = |Difference { field, expected, actual }: Difference| wire::PlugDifference {
        field: field.to_owned(),
        expected,
        actual,
    };
    differences.into_iter().map(build).collect()
}

const fn wire_sync(sync: PlugSync) -> wire::PlugSync {
    match sync {
        PlugSync::InSync => wire::PlugSync::InSync,
        PlugSync::Absent => wire::PlugSync::Absent,
        PlugSync::Different => wire::PlugSync::Different,
        PlugSync::Unknown => wire::PlugSync::Unknown,
    }
}

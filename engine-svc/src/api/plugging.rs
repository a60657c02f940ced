//! What is plugged on hosts, as VMs, vNICs and hosts show it in their status, and as a list of its own.

use prost::Message as _;
use trestle_model::fleet::{EntityId, Fleet, Sighting, VnicId};
use trestle_model::{Finding, HostName, VmId};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire::{self, build_seen_domain, build_seen_interface};
use trestle_proto::finding::v1::Finding as WireFinding;
use trestle_proto::finding_wire;
use trestle_proto::page::{self, Page};
use trestle_proto::status::Refusal;
use trestle_store::Store;

use super::{Api, PAGE_BYTES};
use crate::reconcile::{Difference, PlugSync, VmSync, VnicSync, vm_sync, vnic_sync};

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
        }
    })
}

/// Looks at everything that is plugged on a host, at the cost of its last report.
pub(super) fn guests_of(fleet: &Fleet, host: &HostName) -> Guests {
    let mut guests = Guests::default();
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

/// Lists the interfaces that are no vNIC's.
///
/// *Errors*: `INVALID_ARGUMENT` for a name that is no host's, or a page that cannot be, `NOT_FOUND` for a host that does not
/// exist.
pub(super) fn list_unmanaged(
    store: &Store,
    wish: &wire::ListUnmanagedInterfacesRequest,
) -> Result<wire::ListUnmanagedInterfacesResponse, Refusal> {
    let parent = match wish.parent.as_str() {
        "" => None,
        name => Some(engine_wire::parse_name_of::<wire::Host>(name, "parent").map_err(Refusal::malformed)?),
    };
    let query = format!("{}/unmanagedInterfaces", wish.parent);
    let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
    let after = page.after.as_deref().and_then(Place::read);
    store.read(|fleet| {
        if let Some(host) = parent.as_ref().filter(|host| !fleet.hosts().contains_key(*host)) {
            return Err(engine_wire::missing(&EntityId::Host(host.clone()), "parent").into());
        }
        let hosts: Box<dyn Iterator<Item = &HostName>> = match (&parent, &after) {
            (Some(host), _) => Box::new([host].into_iter()),
            (None, Some(after)) => Box::new(fleet.hosts().range(after.host.clone()..).map(|(host, _)| host)),
            (None, None) => Box::new(fleet.hosts().keys()),
        };
        let rest = hosts
            .flat_map(|host| places(fleet, host, after.as_ref()))
            .filter(|(_, sighting)| fleet.vnic_of(sighting).is_none());
        let (found, mut next_page_token) = page.cut(&query, rest, |(place, _)| place.write());
        let (mut unmanaged_interfaces, mut bytes, mut last) = (Vec::new(), 0, None);
        for (place, sighting) in found {
            let shown = unmanaged(fleet, &sighting);
            bytes += shown.encoded_len();
            if let Some(last) = last.filter(|_| bytes > PAGE_BYTES) {
                next_page_token = page::next_token(&query, &Place::write(&last));
                break;
            }
            unmanaged_interfaces.push(shown);
            last = Some(place);
        }
        Ok(wire::ListUnmanagedInterfacesResponse { unmanaged_interfaces, next_page_token })
    })
}

/// Where an interface is in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    host: HostName,
    domain: String,
    position: usize,
}

impl Place {
    /// Writes it as `host/position/domain`; a domain's name may be any text.
    fn write(&self) -> String {
        format!("{}/{}/{}", self.host, self.position, self.domain)
    }

    fn read(text: &str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let (position, domain) = rest.split_once('/')?;
        Some(Self { host: HostName::parse(host).ok()?, domain: domain.to_owned(), position: position.parse().ok()? })
    }
}

/// Returns the interfaces of a host beyond `after` with their places, in order.
fn places<'a>(
    fleet: &'a Fleet,
    host: &'a HostName,
    after: Option<&Place>,
) -> impl Iterator<Item = (Place, Sighting<'a>)> + use<'a> {
    let (last_domain, next) = match after.filter(|after| after.host == *host) {
        Some(after) => (after.domain.clone(), after.position.saturating_add(1)),
        None => (String::new(), 0),
    };
    let domains = fleet.domains_on(host);
    let start = domains.partition_point(|domain| domain.name < last_domain);
    domains.iter().skip(start).flat_map(move |domain| {
        let skipped = if domain.name == last_domain { next } else { 0 };
        domain.interfaces.iter().enumerate().skip(skipped).map(move |(position, interface)| {
            let place = Place { host: host.clone(), domain: domain.name.clone(), position };
            (place, fleet.sighting(host, domain, interface))
        })
    })
}

fn unmanaged(fleet: &Fleet, sighting: &Sighting<'_>) -> wire::UnmanagedInterface {
    let vm = VmId(sighting.domain.uuid);
    wire::UnmanagedInterface {
        seen: Some(seen_interface(fleet, sighting)),
        vm: fleet.vms().get(&vm).map(|vm| EntityId::Vm(vm.id).to_string()).unwrap_or_default(),
        violations: finding_wire::build_all(&trestle_rules::violations(fleet, sighting)),
    }
}

fn seen_interface(fleet: &Fleet, sighting: &Sighting<'_>) -> wire::SeenInterface {
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

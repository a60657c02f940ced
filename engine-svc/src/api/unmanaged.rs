//! The reported interfaces that are no vNIC's, in pages.

use prost::Message as _;
use trestle_model::fleet::{EntityId, Fleet, Sighting};
use trestle_model::{HostName, VmId};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire;
use trestle_proto::filter::Filter;
use trestle_proto::finding_wire;
use trestle_proto::page::{self, Page};
use trestle_proto::status::Refusal;
use trestle_store::Store;

use super::PAGE_BYTES;
use super::filtered::is_wanted;
use super::plugging::seen_interface;

const UNMANAGED: &str = "trestle.engine.v1.UnmanagedInterface";

/// Lists the interfaces that are no vNIC's.
///
/// *Errors*: `INVALID_ARGUMENT` for a name that is no host's, or a page that cannot be, `NOT_FOUND` for a host that does not
/// exist.
pub(super) fn list(
    store: &Store,
    wish: &wire::ListUnmanagedInterfacesRequest,
) -> Result<wire::ListUnmanagedInterfacesResponse, Refusal> {
    let parent = match wish.parent.as_str() {
        "" => None,
        name => Some(engine_wire::parse_name_of::<wire::Host>(name, "parent").map_err(Refusal::malformed)?),
    };
    let filter = Filter::parse(&wish.filter, UNMANAGED).map_err(Refusal::malformed)?;
    let query = format!("{}/unmanagedInterfaces/{}", wish.parent, wish.filter);
    let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
    let after = page.after.as_deref().and_then(Cursor::read);
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
                next_page_token = page::next_token(&query, &Cursor::write(&last));
                break;
            }
            if is_wanted(filter.as_ref(), UNMANAGED, &shown) {
                unmanaged_interfaces.push(shown);
            }
            last = Some(place);
        }
        Ok(wire::ListUnmanagedInterfacesResponse { unmanaged_interfaces, next_page_token })
    })
}

/// Where an interface is in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    host: HostName,
    domain: String,
    position: usize,
}

impl Cursor {
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
    after: Option<&Cursor>,
) -> impl Iterator<Item = (Cursor, Sighting<'a>)> + use<'a> {
    let (last_domain, next) = match after.filter(|after| after.host == *host) {
        Some(after) => (after.domain.clone(), after.position.saturating_add(1)),
        None => (String::new(), 0),
    };
    let domains = fleet.domains_on(host);
    let start = domains.partition_point(|domain| domain.name < last_domain);
    domains.iter().skip(start).flat_map(move |domain| {
        let skipped = if domain.name == last_domain { next } else { 0 };
        domain.interfaces.iter().enumerate().skip(skipped).map(move |(position, interface)| {
            let place = Cursor { host: host.clone(), domain: domain.name.clone(), position };
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

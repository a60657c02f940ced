//! Where a virtual machine could be: each host with what is in the way.

use prost::Message as _;
use trestle_model::fleet::{EntityId, Fleet};
use trestle_model::{Finding, HostName, Severity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire::{self, PlacementSubject, parse_placements};
use trestle_proto::filter::Filter;
use trestle_proto::finding_wire;
use trestle_proto::page::{self, Page};
use trestle_proto::status::Refusal;
use trestle_rules::Guest;
use uuid::Uuid;

use super::filtered::is_wanted;
use super::{Api, PAGE_BYTES};

const PLACEMENT: &str = "trestle.engine.v1.Placement";

/// Lists hosts with what is in the way of a virtual machine on each.
///
/// *Errors*: `INVALID_ARGUMENT` for a question that is malformed, `NOT_FOUND` for what it names and does not exist.
pub(super) fn list(api: &Api, wish: &wire::ListPlacementsRequest) -> Result<wire::ListPlacementsResponse, Refusal> {
    let question = parse_placements(wish).map_err(Refusal::malformed)?;
    let filter = Filter::parse(&wish.filter, PLACEMENT).map_err(Refusal::malformed)?;
    let query = query(wish);
    let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
    let after = page.after.as_deref().map(|name| engine_wire::parse_name_of::<wire::Host>(name, "page_token"));
    let after = after.transpose().map_err(Refusal::malformed)?;
    api.store.read(|fleet| {
        let guest = guest(question.subject, fleet)?;
        if let Some(missing) = question.hosts.iter().find(|host| !fleet.hosts().contains_key(*host)) {
            return Err(engine_wire::missing(&EntityId::Host(missing.clone()), "hosts").into());
        }
        let hosts: Box<dyn Iterator<Item = &HostName>> = if question.hosts.is_empty() {
            Box::new(fleet.hosts_in(&guest.cluster))
        } else {
            Box::new(question.hosts.iter())
        };
        let rest = hosts.filter(|host| after.as_ref().is_none_or(|after| *host > after));
        let (found, mut next_page_token) = page.cut(&query, rest, |host| name_of(host));
        let (mut placements, mut bytes, mut last) = (Vec::new(), 0, None::<String>);
        for host in found {
            let Some(findings) = api.states.obstacles(&guest, host, fleet) else { continue };
            let placement = build(host, &findings);
            bytes += placement.encoded_len();
            if let Some(last) = last.filter(|_| bytes > PAGE_BYTES) {
                next_page_token = page::next_token(&query, &last);
                break;
            }
            last = Some(placement.host.clone());
            if is_wanted(filter.as_ref(), PLACEMENT, &placement) {
                placements.push(placement);
            }
        }
        Ok(wire::ListPlacementsResponse { placements, next_page_token })
    })
}

/// Finds what is to be placed; what its vNICs name has to be there.
fn guest(subject: PlacementSubject, fleet: &Fleet) -> Result<Guest, Refusal> {
    match subject {
        PlacementSubject::Vm(id) => match fleet.vms().get(&id) {
            Some(vm) => Ok(Guest::of(vm, fleet)),
            None => Err(engine_wire::missing(&EntityId::Vm(id), "vm").into()),
        },
        PlacementSubject::New(cluster, vnics) => {
            if !fleet.clusters().contains_key(&cluster) {
                return Err(engine_wire::missing(&EntityId::Cluster(cluster), "cluster").into());
            }
            let profiles =
                vnics.iter().enumerate().filter_map(|(position, vnic)| Some((position, vnic.profile.as_ref()?)));
            let mut missing = profiles.filter(|(_, profile)| !fleet.profiles().contains_key(profile));
            if let Some((position, (network, profile))) = missing.next() {
                let id = EntityId::VnicProfile(network.clone(), profile.clone());
                return Err(engine_wire::missing(&id, &format!("vnics[{position}].profile")).into());
            }
            Ok(Guest { vm: None, cluster, vnics })
        }
    }
}

/// A token goes on with the same question only.
fn query(wish: &wire::ListPlacementsRequest) -> String {
    let question = wire::ListPlacementsRequest { page_size: 0, page_token: String::new(), ..wish.clone() };
    format!("placements/{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, &question.encode_to_vec()))
}

fn build(host: &HostName, findings: &[Finding]) -> wire::Placement {
    let eligible = findings.iter().all(|finding| finding.severity != Severity::Error);
    wire::Placement { host: name_of(host), eligible, findings: finding_wire::build_all(findings) }
}

fn name_of(host: &HostName) -> String {
    EntityId::Host(host.clone()).to_string()
}

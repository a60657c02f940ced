//! A profile is weakened only after every host has reported its network unmanaged.

use trestle_model::fleet::{Entity, Fleet, GuestTagging, NetworkFilter, VnicProfile};
use trestle_model::{Code, MacTableManager};

use crate::fixture::{capable, error, fleet, found, host, host_name, network, profile, put, report};

const FILTER: &str = "vnic_profile.spec.network_filter";
const TAGGING: &str = "vnic_profile.spec.guest_tagging";

/// The network is switched off in the fleet; h1 still runs it managed, and is no longer to run it at all.
fn switched_off() -> Fleet {
    let mut fleet = fleet([
        Entity::Network(network("blue")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Host(host("h1", "main")),
    ]);
    fleet.observe(host_name("h1"), report(capable(), vec![found("blue", MacTableManager::Libvirt)]));
    fleet
}

fn weak() -> VnicProfile {
    VnicProfile { filter: NetworkFilter::None, guest_tagging: GuestTagging::Any, ..profile("blue", "guests") }
}

#[test]
fn a_profile_is_not_weakened_while_a_host_reports_its_network_managed() {
    assert_eq!(
        put(&switched_off(), Entity::VnicProfile(weak())),
        [error(Code::StillManaged, TAGGING, &["hosts/h1"]), error(Code::StillManaged, FILTER, &["hosts/h1"])]
    );
}

#[test]
fn a_weak_profile_is_not_added_while_a_host_reports_its_network_managed() {
    let profile = VnicProfile { filter: NetworkFilter::None, ..profile("blue", "others") };
    assert_eq!(put(&switched_off(), Entity::VnicProfile(profile)), [error(Code::StillManaged, FILTER, &["hosts/h1"])]);
}

#[test]
fn a_profile_is_weakened_once_the_host_has_reported_off() {
    let mut fleet = switched_off();
    fleet.observe(host_name("h1"), report(capable(), vec![found("blue", MacTableManager::Kernel)]));
    assert_eq!(put(&fleet, Entity::VnicProfile(weak())), []);
}

#[test]
fn a_weak_profile_may_change_otherwise_while_a_host_reports_its_network_managed() {
    let mut fleet = switched_off();
    fleet.apply(trestle_model::fleet::Mutation::Put(Entity::VnicProfile(weak())));
    assert_eq!(put(&fleet, Entity::VnicProfile(VnicProfile { description: "new".to_owned(), ..weak() })), []);
}

#[test]
fn another_networks_report_is_in_nobodys_way() {
    let mut fleet = switched_off();
    fleet.observe(host_name("h1"), report(capable(), vec![found("red", MacTableManager::Libvirt)]));
    assert_eq!(put(&fleet, Entity::VnicProfile(weak())), []);
}

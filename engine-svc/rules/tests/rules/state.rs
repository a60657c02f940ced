//! The states of hosts.

use trestle_model::fleet::{
    ClusterNetwork, Entity, EntityId, Fleet, Host, HostRecord, Mutation, Network, NetworkAttachment,
};
use trestle_model::{
    Capabilities, Code, DriftKind, Feature, NetworkName, NetworkReport, Presence, Repair, RepairState, Severity,
};
use trestle_rules::{Contact, HostState, Standing, edited_out_of_sync, host_verdict};

use crate::fixture::{
    attachment, cluster, cluster_network, fleet, host, host_name, managed, network, network_name, obedient, vlan,
    without,
};

/// A cluster with `blue`, required, and `red`, not required, on h1's two NICs.
fn ordinary() -> Fleet {
    fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(network("blue")),
        Entity::Network(trestle_model::fleet::Network { vlan: Some(vlan(7)), ..network("red") }),
        Entity::ClusterNetwork(ClusterNetwork { required: true, ..cluster_network("main", "blue") }),
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::NetworkAttachment(attachment("h1", "red", "eth1")),
    ])
}

fn capabilities(record: &mut HostRecord) -> &mut Capabilities {
    record.capabilities.as_mut().unwrap()
}

fn report_of<'a>(record: &'a mut HostRecord, name: &str) -> &'a mut NetworkReport {
    let name = network_name(name);
    capabilities(record).networks.iter_mut().find(|report| report.configured.spec.name == name).unwrap()
}

fn verdict(fleet: &Fleet, standing: &Standing) -> (HostState, Vec<Code>) {
    let host = fleet.hosts().get(&host_name("h1")).unwrap();
    let verdict = host_verdict(host, fleet, standing);
    for reason in &verdict.reasons {
        assert_eq!((reason.subject.as_str(), reason.field.as_str()), ("hosts/h1", ""), "{reason:?}");
        assert!(!reason.message.is_empty() && !reason.remedy.is_empty(), "{reason:?}");
    }
    (verdict.state, verdict.reasons.into_iter().map(|reason| reason.code).collect())
}

/// Checks the state of h1 when its report is changed, and that an obedient report makes it up again.
fn check(mut fleet: Fleet, change: impl Fn(&mut HostRecord), state: HostState, codes: &[Code]) {
    let whole = obedient(&fleet, "h1");
    let mut record = whole.clone();
    change(&mut record);
    fleet.observe(host_name("h1"), record);
    assert_eq!(verdict(&fleet, &Standing::default()), (state, codes.to_vec()));
    fleet.observe(host_name("h1"), whole);
    assert_eq!(verdict(&fleet, &Standing::default()).0, HostState::Up, "it recovers");
}

fn is_up(change: impl Fn(&mut HostRecord)) {
    check(ordinary(), change, HostState::Up, &[]);
}

fn is_not(code: Code, change: impl Fn(&mut HostRecord)) {
    check(ordinary(), change, HostState::NonOperational, &[code]);
}

#[test]
fn a_host_that_runs_what_it_is_told_is_up() {
    is_up(|_| {});
}

#[test]
fn a_host_is_not_operational_without_a_required_network() {
    is_not(Code::NetworkOutOfSync, |record| {
        capabilities(record).networks.retain(|r| r.configured.spec.name != network_name("blue"))
    });
    is_not(Code::NetworkOutOfSync, |record| report_of(record, "blue").configured.spec.vlan = Some(vlan(9)));
    is_not(Code::NetworkOutOfSync, |record| report_of(record, "blue").mtu = None);
    is_up(|record| capabilities(record).networks.retain(|r| r.configured.spec.name == network_name("blue")));

    let mut fleet = ordinary();
    fleet.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))));
    fleet.observe(host_name("h1"), obedient(&fleet, "h1"));
    assert_eq!(verdict(&fleet, &Standing::default()), (HostState::NonOperational, vec![Code::NetworkNotOnHost]));
}

#[test]
fn a_host_is_not_operational_without_a_link_under_a_required_network() {
    let nic = |record: &mut HostRecord, change: &dyn Fn(&mut trestle_model::NicReport)| {
        change(&mut capabilities(record).nics[0])
    };
    is_not(Code::UplinkDown, |record| nic(record, &|nic| nic.carrier = false));
    is_not(Code::UplinkDown, |record| nic(record, &|nic| nic.up = false));
    is_not(Code::UplinkDown, |record| nic(record, &|nic| nic.presence = Presence::Missing));
    is_not(Code::UplinkDown, |record| drop(capabilities(record).nics.remove(0)));
    is_up(|record| capabilities(record).nics[1].carrier = false);
}

#[test]
fn drift_counts_once_nobody_brings_back_what_differs() {
    let drifted = |state| {
        move |record: &mut HostRecord| {
            let report = report_of(record, "blue");
            report.drift = vec!["the bridge has no address".to_owned()];
            report.repairs = vec![Repair { kind: DriftKind::Addresses, state, attempts: 3, reason: String::new() }];
        }
    };
    is_up(drifted(RepairState::Due));
    is_up(drifted(RepairState::LeftAlone));
    is_not(Code::NetworkOutOfSync, drifted(RepairState::Suspended));
    is_not(Code::NetworkOutOfSync, drifted(RepairState::Impossible));
}

#[test]
fn an_attachment_that_is_out_of_sync_for_good_is_edited_only_with_an_acknowledgement() {
    let told_by = |state, standing: &Standing, change: &dyn Fn(&mut Fleet, &mut NetworkAttachment)| {
        let mut fleet = ordinary();
        let mut record = obedient(&fleet, "h1");
        let report = report_of(&mut record, "blue");
        report.drift = vec!["the bridge has no address".to_owned()];
        report.repairs = vec![Repair { kind: DriftKind::Addresses, state, attempts: 3, reason: String::new() }];
        fleet.observe(host_name("h1"), record);
        let mut attachment = fleet.attachments()[&(host_name("h1"), network_name("blue"))].clone();
        change(&mut fleet, &mut attachment);
        edited_out_of_sync(&attachment, &fleet, |_| standing.clone())
    };
    let heard = Standing::default();
    let edit = |_: &mut Fleet, attachment: &mut NetworkAttachment| {
        attachment.custom.insert("a".to_owned(), "b".to_owned());
    };
    for state in [RepairState::Suspended, RepairState::Impossible] {
        let told = told_by(state, &heard, &edit).unwrap();
        assert_eq!((told.code, told.severity), (Code::NetworkOutOfSync, Severity::Warning));
        assert_eq!(
            (told.subject.as_str(), told.related),
            ("hosts/h1/networkAttachments/blue", vec!["hosts/h1".to_owned()])
        );
        assert!(!told.field.is_empty() && !told.remedy.is_empty() && told.message.contains("has no address"));
    }
    assert_eq!(told_by(RepairState::Due, &heard, &edit), None);
    assert_eq!(told_by(RepairState::LeftAlone, &heard, &edit), None);
    let given_up = RepairState::Suspended;
    assert_eq!(told_by(given_up, &heard, &|_, _| {}), None, "it stays as it is");
    assert_eq!(told_by(given_up, &Standing { contact: Contact::Silent, ..heard.clone() }, &edit), None);
    assert_eq!(told_by(given_up, &Standing { pending: [network_name("blue")].into(), ..heard.clone() }, &edit), None);
    let in_maintenance = |fleet: &mut Fleet, attachment: &mut NetworkAttachment| {
        fleet.apply(Mutation::Put(Entity::Host(Host { maintenance: true, ..host("h1", "main") })));
        edit(fleet, attachment);
    };
    assert_eq!(told_by(given_up, &heard, &in_maintenance), None);
    // The host was not brought to run it so yet: the next command may mend it.
    let owed = |fleet: &mut Fleet, attachment: &mut NetworkAttachment| {
        fleet.apply(Mutation::Put(Entity::Network(Network { vlan: Some(vlan(9)), ..network("blue") })));
        edit(fleet, attachment);
    };
    assert_eq!(told_by(given_up, &heard, &owed), None);
}

#[test]
fn every_reason_is_told() {
    let without_all = |record: &mut HostRecord| {
        report_of(record, "blue").configured.spec.vlan = Some(vlan(9));
        capabilities(record).nics[0].carrier = false;
        capabilities(record).features = without(Feature::BridgeVlanFiltering);
    };
    let mut fleet = ordinary();
    fleet.apply(Mutation::Put(Entity::Network(managed("blue"))));
    let codes = [Code::NetworkOutOfSync, Code::UplinkDown, Code::HostUnsupported];
    check(fleet, without_all, HostState::NonOperational, &codes);
}

#[test]
fn a_required_managed_network_needs_a_host_that_can() {
    for feature in [Feature::BridgeVlanFiltering, Feature::LibvirtMacTableManager] {
        let mut fleet = ordinary();
        fleet.apply(Mutation::Put(Entity::Network(managed("blue"))));
        let lost = |record: &mut HostRecord| capabilities(record).features = without(feature);
        check(fleet, lost, HostState::NonOperational, &[Code::HostUnsupported]);
        let mut optional = ordinary();
        optional.apply(Mutation::Put(Entity::Network(trestle_model::fleet::Network {
            vlan: Some(vlan(7)),
            ..managed("red")
        })));
        check(optional, lost, HostState::Up, &[]);
    }
}

#[test]
fn the_management_network_is_required_without_a_word() {
    let mut fleet = ordinary();
    let management = ClusterNetwork { management: true, ..cluster_network("main", "blue") };
    fleet.apply(Mutation::Put(Entity::ClusterNetwork(management)));
    check(fleet, |record| capabilities(record).nics[0].carrier = false, HostState::NonOperational, &[Code::UplinkDown]);
}

#[test]
fn what_a_command_is_about_is_judged_when_it_has_ended() {
    let pending = |name: &str| Standing { pending: [NetworkName::parse(name).unwrap()].into(), ..Standing::default() };
    let mut fleet = ordinary();
    let mut record = obedient(&fleet, "h1");
    report_of(&mut record, "blue").configured.spec.vlan = Some(vlan(9));
    capabilities(&mut record).nics[0].carrier = false;
    fleet.observe(host_name("h1"), record);
    assert_eq!(verdict(&fleet, &pending("blue")), (HostState::Up, Vec::new()));
    assert_eq!(verdict(&fleet, &pending("red")).0, HostState::NonOperational);
    assert_eq!(verdict(&fleet, &Standing::default()).0, HostState::NonOperational);
}

#[test]
fn a_silent_host_does_not_respond_whatever_it_said_last() {
    let silent = Standing { contact: Contact::Silent, ..Standing::default() };
    let mut fleet = ordinary();
    let unheard = (HostState::NonResponsive, vec![Code::HostSilent]);
    assert_eq!(verdict(&fleet, &Standing::default()), unheard, "it never reported");
    fleet.observe(host_name("h1"), obedient(&fleet, "h1"));
    assert_eq!(verdict(&fleet, &Standing::default()).0, HostState::Up);
    assert_eq!(verdict(&fleet, &silent), unheard);
    fleet.apply(Mutation::Put(Entity::Host(Host { maintenance: true, ..host("h1", "main") })));
    assert_eq!(verdict(&fleet, &silent), (HostState::Maintenance, Vec::new()));
}

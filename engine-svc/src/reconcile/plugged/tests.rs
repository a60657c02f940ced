use trestle_model::fleet::{
    Entity, HostRecord, Mutation, Network, NetworkFilter, Passthrough, VnicAttachment, VnicProfile,
};
use trestle_model::{BandwidthRate, DomainInterface, GuestPort, MacTableManager, Mtu, PortFlags, PortReport};

use super::*;

use crate::fixture::{
    attachment, cluster, cluster_network, device, domain, fleet, host, host_name, hosting, mac, network, profile, vm,
    vnic,
};

type Change = fn(&mut DomainInterface);

/// What it is, where the VM is to run, the domains of each host; what is told of the VM, and of its vNIC, and where it is seen.
type Case<'a> =
    (&'a str, Option<&'a str>, Vec<Domain>, Vec<Domain>, (PlugSync, &'a [&'a str]), (PlugSync, Option<&'a str>));

/// VM 1 with a vNIC on `blue`, which is to run on `on`; the hosts `h1` and `h2` report these domains.
fn world(on: Option<&str>, first: Vec<Domain>, second: Vec<Domain>) -> Fleet {
    let mut fleet = fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(network("blue")),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Host(host("h1", "main")),
        Entity::Host(host("h2", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::Vm(Vm { host: on.map(host_name), ..vm(1, "main") }),
        Entity::Vnic(vnic(1, "blue", "guests")),
    ]);
    fleet.observe(host_name("h1"), connected(hosting(&["blue", "red"], first)));
    fleet.observe(host_name("h2"), connected(hosting(&["blue", "red"], second)));
    fleet
}

fn connected(mut record: HostRecord) -> HostRecord {
    record.capabilities.as_mut().unwrap().libvirt.connected = true;
    record
}

fn guest(state: DomainState) -> Domain {
    Domain { state, ..domain(1, "blue", mac(1), Some("no-mac-spoofing")) }
}

fn running() -> Vec<Domain> {
    vec![guest(DomainState::Running)]
}

fn defined() -> Vec<Domain> {
    vec![guest(DomainState::ShutOff)]
}

const HEARD: &dyn Fn(&HostName) -> bool = &|_| true;

/// `PlugSync` and what differs, in short: `host: hosts/h1 is hosts/h2`.
fn vm_told(fleet: &Fleet, is_heard: &dyn Fn(&HostName) -> bool) -> (PlugSync, Vec<String>) {
    let vm = fleet.vms().values().next().unwrap();
    let VmSync { sync, differences } = vm_sync(fleet, vm, is_heard);
    (sync, told(&differences))
}

fn vnic_told(fleet: &Fleet, is_heard: &dyn Fn(&HostName) -> bool) -> (PlugSync, Vec<String>, Option<String>) {
    let vnic = fleet.vnics().values().next().unwrap();
    let VnicSync { sync, differences, seen } = vnic_sync(fleet, vnic, is_heard);
    (sync, told(&differences), seen.map(|sighting| sighting.host.to_string()))
}

fn told(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(|d| format!("{}: {} is {}", d.field, d.expected, d.actual)).collect()
}

#[test]
fn a_vm_is_compared_with_where_its_domain_is() {
    use PlugSync::{Absent, Different, InSync, Unknown};

    let paused = || vec![guest(DomainState::Paused)];
    let crashed = || vec![guest(DomainState::Other)];
    let none = Vec::<Domain>::new;
    let (here, runs_there) = (Some("h1"), ["host: hosts/h1 is hosts/h2"].as_slice());
    let cases: [Case<'_>; 13] = [
        ("runs where it is to", here, running(), none(), (InSync, &[]), (InSync, here)),
        ("is paused there", here, paused(), none(), (InSync, &[]), (InSync, here)),
        ("is stopped there", here, defined(), none(), (Different, &["state: running is shut off"]), (InSync, here)),
        ("has crashed there", here, crashed(), none(), (Different, &["state: running is other"]), (InSync, here)),
        ("is not seen", here, none(), none(), (Absent, &[]), (Absent, None)),
        ("is defined elsewhere", here, none(), defined(), (Absent, &[]), (Absent, Some("h2"))),
        ("runs elsewhere", here, none(), running(), (Different, runs_there), (InSync, Some("h2"))),
        ("was left behind here", here, defined(), running(), (Different, runs_there), (InSync, Some("h2"))),
        ("runs twice", here, running(), running(), (Different, runs_there), (InSync, here)),
        ("was left behind elsewhere", here, running(), defined(), (InSync, &[]), (InSync, here)),
        ("is nowhere, and is to be nowhere", None, none(), none(), (InSync, &[]), (InSync, None)),
        ("is defined, and does not run", None, none(), defined(), (InSync, &[]), (InSync, Some("h2"))),
        ("runs, and is not to", None, running(), none(), (Different, &["host:  is hosts/h1"]), (InSync, here)),
    ];
    for (case, on, first, second, (sync, differences), (vnic, seen)) in cases {
        let fleet = world(on, first, second);
        let (told_sync, told) = vm_told(&fleet, HEARD);
        assert_eq!((told_sync, told), (sync, differences.iter().map(ToString::to_string).collect()), "{case}");
        let (told_sync, told, told_seen) = vnic_told(&fleet, HEARD);
        assert_eq!((told_sync, told, told_seen.as_deref()), (vnic, Vec::new(), seen), "{case}");
    }
    // A silent host, and what others know.
    let silent: &dyn Fn(&HostName) -> bool = &|host| host.as_str() != "h1";
    for (case, on, first, second, sync, seen) in [
        ("its host is silent", Some("h1"), running(), none(), Unknown, Some("h1")),
        ("its host is silent, and never told of it", Some("h1"), none(), none(), Unknown, None),
        ("its host is silent, and it runs elsewhere", Some("h1"), running(), running(), Different, Some("h2")),
        ("another host is silent", Some("h2"), running(), running(), InSync, Some("h2")),
        ("a silent host had it last", None, running(), none(), Unknown, Some("h1")),
    ] {
        let fleet = world(on, first, second);
        assert_eq!(vm_told(&fleet, silent).0, sync, "{case}");
        assert_eq!(vnic_told(&fleet, silent).2.as_deref(), seen, "{case}");
    }
}

#[test]
fn a_host_that_does_not_tell_of_its_domains_is_not_taken_at_its_word() {
    let mut fleet = world(Some("h1"), Vec::new(), Vec::new());
    let mut record = connected(hosting(&["blue"], Vec::new()));
    let guest = GuestPort { domain: "web".to_owned(), mac: mac(1), mac_table_manager: MacTableManager::Kernel };
    let port = PortReport {
        device: device("vnet0"),
        flags: PortFlags {
            learning: true,
            flood: true,
            multicast_flood: true,
            broadcast_flood: true,
            isolated: false,
            locked: false,
        },
        promiscuity: 0,
        vlans: None,
        guest: Some(guest),
    };
    record.capabilities.as_mut().unwrap().networks[0].ports.push(port);
    fleet.observe(host_name("h1"), record);
    assert_eq!(vm_told(&fleet, HEARD).0, PlugSync::Unknown);
    fleet.observe(host_name("h1"), hosting(&["blue"], Vec::new()));
    assert_eq!(vm_told(&fleet, HEARD).0, PlugSync::Unknown, "libvirt was not reached");
    fleet.observe(host_name("h1"), HostRecord::default());
    assert_eq!(vnic_told(&fleet, HEARD), (PlugSync::Unknown, Vec::new(), None));
}

/// What differs of VM 1's vNIC, the interface and the vNIC being changed.
fn differs(interface: impl Fn(&mut DomainInterface), vnic_change: impl Fn(&mut Vnic)) -> (PlugSync, Vec<String>) {
    let mut domain = guest(DomainState::Running);
    domain.interfaces.iter_mut().for_each(interface);
    let mut fleet = world(Some("h1"), vec![domain], Vec::new());
    let mut wanted = vnic(1, "blue", "guests");
    vnic_change(&mut wanted);
    fleet.apply(Mutation::Put(Entity::Vnic(wanted)));
    let (sync, differences, _) = vnic_told(&fleet, HEARD);
    (sync, differences)
}

fn different(lines: &[&str]) -> (PlugSync, Vec<String>) {
    (PlugSync::Different, lines.iter().map(ToString::to_string).collect())
}

#[test]
fn each_attribute_of_an_interface_is_compared() {
    let same = |_: &mut Vnic| {};
    let cases: [(&str, Change); 12] = [
        // It stops spoofing, and more than the profile says.
        ("filter: no-mac-spoofing is clean-traffic", |it| {
            it.filter.as_mut().unwrap().name = "clean-traffic".to_owned();
        }),
        ("bandwidth:  is outbound 1000,,64", |it| {
            it.bandwidth.outbound = Some(BandwidthRate { average: 1000, peak: None, burst: Some(64) });
        }),
        ("link: up is down", |it| it.linked = false),
        ("network: networks/blue is networks/red", |it| it.bridge = Some("red".to_owned())),
        ("network: networks/blue is bridge br0", |it| it.bridge = Some("br0".to_owned())),
        ("network: networks/blue is libvirt network default", |it| {
            (it.bridge, it.network) = (None, Some("default".to_owned()));
        }),
        ("network: networks/blue is direct", |it| {
            (it.bridge, it.network, it.attachment) = (None, None, "direct".to_owned());
        }),
        ("filter: no-mac-spoofing is ", |it| it.filter = None),
        ("filter: no-mac-spoofing is allow-arp", |it| it.filter.as_mut().unwrap().name = "allow-arp".to_owned()),
        ("model: virtio is e1000", |it| it.model = Some("e1000".to_owned())),
        ("mtu: 1500 is 9000", |it| it.mtu = Some(9000)),
        ("isolated: no is yes", |it| it.isolated = true),
    ];
    for (line, change) in cases {
        assert_eq!(differs(change, same), different(&[line]));
    }
    let harmless: [Change; 4] =
        [|it| it.mtu = Some(1500), |it| it.model = None, |it| it.alias = None, |it| (it.bridge, it.tap) = (None, None)];
    for change in harmless {
        assert_eq!(differs(change, same), (PlugSync::InSync, Vec::new()));
    }
    assert_eq!(differs(|it| it.mac = mac(7), same), (PlugSync::Absent, Vec::new()));
    assert_eq!(differs(|_| {}, |vnic| vnic.plugged = false), different(&["plugged: no is yes"]));
    assert_eq!(differs(|it| it.mac = mac(7), |vnic| vnic.plugged = false), (PlugSync::InSync, Vec::new()));
    assert_eq!(differs(|it| it.filter = None, |vnic| vnic.bypasses_filter = true), (PlugSync::InSync, Vec::new()));
    // Without a network, its cable is out, wherever it hangs.
    assert_eq!(differs(|_| {}, |vnic| vnic.profile = None), different(&["link: down is up"]));
    assert_eq!(differs(|it| it.linked = false, |vnic| vnic.profile = None), (PlugSync::InSync, Vec::new()));
    assert_eq!(differs(|it| it.mac = mac(7), |vnic| vnic.profile = None), (PlugSync::InSync, Vec::new()));
}

#[test]
fn the_same_mac_twice_in_a_domain_is_told() {
    let mut domain = guest(DomainState::Running);
    domain.interfaces.push(domain.interfaces[0].clone());
    let fleet = world(Some("h1"), vec![domain], Vec::new());
    assert_eq!(vnic_told(&fleet, HEARD).1, ["number: 1 is 2"]);
}

#[test]
fn profiles_say_what_filter_mtu_and_attachment_are_wanted() {
    let with = |change: &dyn Fn(&mut VnicProfile), filter: Option<&str>| {
        let guest = domain(1, "blue", mac(1), filter);
        let mut fleet = world(Some("h1"), vec![guest], Vec::new());
        let mut wanted = profile("blue", "guests");
        change(&mut wanted);
        fleet.apply(Mutation::Put(Entity::VnicProfile(wanted)));
        fleet.apply(Mutation::Put(Entity::Network(Network { mtu: Mtu::try_from(9000).unwrap(), ..network("blue") })));
        vnic_told(&fleet, HEARD).1
    };
    let none = |profile: &mut VnicProfile| profile.filter = NetworkFilter::None;
    assert_eq!(with(&none, None), Vec::<String>::new());
    assert_eq!(with(&none, Some("clean-traffic")), ["filter:  is clean-traffic"]);
    let named = |profile: &mut VnicProfile| profile.filter = NetworkFilter::Named("ours".to_owned());
    assert_eq!(with(&named, Some("ours")), Vec::<String>::new());
    assert_eq!(with(&named, Some("clean-traffic")), ["filter: ours is clean-traffic"]);
    let past = |profile: &mut VnicProfile| {
        profile.attachment = VnicAttachment::Passthrough(Passthrough { migratable: false, failover: None });
    };
    assert_eq!(with(&past, None), ["attachment: hostdev is bridge"]);
}

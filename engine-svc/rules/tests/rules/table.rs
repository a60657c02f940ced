//! The cells of `matrix.md`: for each, the fleet before the change, the change, and what is told of it.

use std::collections::BTreeMap;

use trestle_model::fleet::{
    Cluster, ClusterNetwork, Entity, GuestTagging, Host, HostRecord, MacConflictPolicy, MacPool, Mutation, Nesting,
    Network, NetworkAttachment, NetworkFilter, SwitchType, Vm, Vnic, VnicProfile,
};
use trestle_model::{
    BridgeOptions, Domain, DomainState, Feature, FeatureSet, Finding, HostName, MacTableManager, Severity, SourceMacs,
    Support,
};

use super::fixture::{
    attachment, capable, cluster, cluster_network, domain, host, host_name, hosting, id, ipv4, mac, managed, network,
    passthrough, pool, profile, report, vlan, vm, vnic, without,
};

const TABLE: &str = include_str!("matrix.md");

/// One cell under one policy.
pub(crate) struct Cell {
    /// Where it is, for people.
    pub(crate) place: String,
    /// Everything that is there before the change.
    pub(crate) entities: Vec<Entity>,
    /// What the host reported before the change.
    pub(crate) record: Option<(HostName, HostRecord)>,
    /// The change.
    pub(crate) change: Mutation,
    /// What is told: severity and code each, in the order of the cell.
    expected: Vec<String>,
    /// Who is in the way, by code.
    culprits: BTreeMap<String, Vec<String>>,
    column: String,
}

/// Which change completes a fleet: a column.
#[derive(Debug, Clone, Copy)]
enum Change {
    On,
    Bridged,
    Off,
    Add,
    Update,
    Vnic,
    Plug,
    Rewire,
    Vm,
    Cluster,
    Type,
    Joins,
    Carries,
    Active,
}

const CHANGES: [Change; 14] = [
    Change::On,
    Change::Bridged,
    Change::Off,
    Change::Add,
    Change::Update,
    Change::Vnic,
    Change::Plug,
    Change::Rewire,
    Change::Vm,
    Change::Cluster,
    Change::Type,
    Change::Joins,
    Change::Carries,
    Change::Active,
];

const POLICIES: [MacConflictPolicy; 2] = [MacConflictPolicy::Prevent, MacConflictPolicy::Warn];

/// The completed fleet of a case.
struct Case {
    network: Network,
    profile: Option<VnicProfile>,
    cluster: Cluster,
    cluster_network: ClusterNetwork,
    host: Host,
    attachment: Option<NetworkAttachment>,
    record: Option<HostRecord>,
    vm: Vm,
    vnic: Option<Vnic>,
    others: Vec<Entity>,
}

/// Reads every cell that is not blank, under each policy.
pub(crate) fn cells() -> Vec<Cell> {
    let lines = table("| #  |");
    let line_of = |row: &str| {
        let line = lines.iter().find(|line| line[0] == row && !line[line.len() - 2].is_empty());
        line.unwrap_or_else(|| panic!("row {row} has no code"))
    };
    let mut cells = Vec::new();
    for line in &lines {
        let [row, name, verdicts @ .., code, culprits] = line.as_slice() else { panic!("{line:?}") };
        assert_eq!(verdicts.len(), CHANGES.len(), "{line:?}");
        for (change, verdict) in CHANGES.into_iter().zip(verdicts).filter(|(_, verdict)| !verdict.is_empty()) {
            for (position, policy) in POLICIES.into_iter().enumerate() {
                let mut case = case(name);
                case.cluster.mac_conflict_policy = policy;
                let (entities, record, change_of) = before(case, change);
                let mut named = BTreeMap::new();
                let expected = verdict.split(' ').filter(|word| *word != "ok").map(|word| {
                    let word = word.split('/').nth(position).unwrap_or_else(|| word.split('/').next().unwrap());
                    let (severity, other) = word.split_at(1);
                    let (code, culprits) = match other {
                        "" => (*code, *culprits),
                        row => (line_of(row)[CHANGES.len() + 2], line_of(row)[CHANGES.len() + 3]),
                    };
                    named.insert(code.to_owned(), culprits.split(", ").map(str::to_owned).collect());
                    format!("{severity} {code}")
                });
                cells.push(Cell {
                    place: format!("row {row}, {name}, {change:?}, {policy:?}"),
                    expected: expected.collect(),
                    entities,
                    record,
                    change: Mutation::Put(change_of),
                    culprits: named,
                    column: format!("{change:?}").to_lowercase(),
                });
            }
        }
    }
    cells
}

/// Reads the cells of the table with that head, but for the head.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let lines = TABLE.lines().skip_while(|line| !line.starts_with(head));
    let lines = lines.take_while(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Returns the fields that a finding may be about.
fn fields(column: &str, code: &str) -> Vec<&'static str> {
    let has = |list: &str, one: &str| list.split(", ").any(|listed| listed == one);
    let lines: Vec<_> = table("| column").into_iter().filter(|line| has(line[0], column)).collect();
    let line =
        lines.iter().find(|line| has(line[1], code)).or_else(|| lines.iter().find(|line| line[1] == "any other"));
    line.map(|line| line[2].split(", ").collect()).unwrap_or_default()
}

/// Returns what the table says is not held, line by line.
pub(crate) fn not_held() -> Vec<&'static str> {
    TABLE.lines().skip_while(|line| *line != "Not held yet:").skip(1).take_while(|line| !line.is_empty()).collect()
}

impl Cell {
    /// Says how `findings` differ from what the cell says; `None` where they do not.
    pub(crate) fn differs(&self, findings: &[Finding]) -> Option<String> {
        let mut told: Vec<String> = findings.iter().map(|f| format!("{} {}", letter(f.severity), f.code)).collect();
        let mut expected = self.expected.clone();
        told.sort();
        expected.sort();
        if told != expected {
            return Some(format!("{}: expected {expected:?}, told {told:?}", self.place));
        }
        let faults = findings.iter().filter_map(|finding| Some((self.fault(finding)?, finding)));
        let faults: Vec<_> = faults.map(|(fault, finding)| format!("{}: {fault}: {finding:?}", self.place)).collect();
        (!faults.is_empty()).then(|| faults.join("\n"))
    }

    /// Says what a finding lacks, which is told as it should be.
    fn fault(&self, finding: &Finding) -> Option<String> {
        let subject = self.change.id().to_string();
        if finding.subject != subject {
            return Some("is about something else".to_owned());
        }
        let others: Vec<_> = self.culprits[finding.code.as_str()].iter().filter(|name| **name != subject).collect();
        if !others.is_empty() && !others.iter().any(|name| finding.related.contains(name)) {
            return Some(format!("relates to none of {others:?}"));
        }
        let fields = fields(&self.column, finding.code.as_str());
        if !fields.contains(&finding.field.as_str()) {
            return Some(format!("is about none of {fields:?}"));
        }
        // What is merely told needs no remedy.
        let says_what_to_do = finding.severity == Severity::Info || finding.remedy.split(' ').count() > 2;
        (!says_what_to_do).then(|| "does not say what to do".to_owned())
    }
}

fn letter(severity: Severity) -> char {
    match severity {
        Severity::Error => 'E',
        Severity::Warning => 'W',
        Severity::Info => 'I',
    }
}

/// Makes the complete fleet of a case, by its name in the table.
fn case(name: &str) -> Case {
    let mut case = Case {
        network: managed("blue"),
        profile: Some(profile("blue", "guests")),
        cluster: cluster("main"),
        cluster_network: cluster_network("main", "blue"),
        host: host("h1", "main"),
        attachment: Some(attachment("h1", "blue", "eth0")),
        record: Some(report(capable(), Vec::new())),
        vm: vm(1, "main"),
        vnic: Some(vnic(1, "blue", "guests")),
        others: Vec::new(),
    };
    let options = |options| Network { bridge_options: options, ..managed("blue") };
    let filter = |filter| Some(VnicProfile { filter, ..profile("blue", "guests") });
    let tagging = |guest_tagging| Some(VnicProfile { guest_tagging, ..profile("blue", "guests") });
    let on_profile = |change: &dyn Fn(&mut VnicProfile)| {
        let mut profile = profile("blue", "guests");
        change(&mut profile);
        Some(profile)
    };
    let on_vnic = |change: &dyn Fn(&mut Vnic)| {
        let mut vnic = vnic(1, "blue", "guests");
        change(&mut vnic);
        Some(vnic)
    };
    let extra_macs = || on_profile(&|profile| profile.extra_macs_allowed = 1);
    let old = || Some(report(without(Feature::LibvirtMacTableManager), Vec::new()));
    match name {
        "ordinary" => {}
        "no filter" => case.profile = filter(NetworkFilter::None),
        named if named.starts_with("filter ") => {
            case.profile = filter(NetworkFilter::Named(named.trim_start_matches("filter ").to_owned()));
        }
        "tagging any" => case.profile = tagging(GuestTagging::Any),
        "tagging list" => case.profile = tagging(GuestTagging::List(vec![vlan(7)])),
        "tagging list, host cannot" | "tagging list, host cannot, required" => {
            case.profile = tagging(GuestTagging::List(vec![vlan(7)]));
            case.cluster_network.required = name.ends_with("required");
            case.record = Some(report(without(Feature::GuestPorts), Vec::new()));
        }
        "tagging list, too long" => case.profile = tagging(GuestTagging::List((2..259).map(vlan).collect())),
        "tagging list, the bridge's own VLAN" => case.profile = tagging(GuestTagging::List(vec![vlan(1)])),
        "tagging unspecified" => case.profile = tagging(GuestTagging::Unspecified),
        "vnic past its filter" => case.vnic = on_vnic(&|vnic| vnic.bypasses_filter = true),
        "vm past its filters" => case.vm.bypasses_filters = true,
        "extra macs" => (case.profile, case.vnic) = (extra_macs(), on_vnic(&|vnic| vnic.extra_macs = vec![mac(99)])),
        named if named.starts_with("extra macs, host ") => {
            (case.profile, case.vnic) = (extra_macs(), on_vnic(&|vnic| vnic.extra_macs = vec![mac(99)]));
            case.record = match named {
                "extra macs, host cannot" | "extra macs, host cannot, required" => {
                    case.cluster_network.required = named.ends_with("required");
                    Some(report(without(Feature::GuestPorts), Vec::new()))
                }
                "extra macs, host silent about it" => {
                    let mut features = capable();
                    features.0.remove(&Feature::GuestPorts);
                    Some(report(features, Vec::new()))
                }
                _ => None,
            };
        }
        "extra macs, too many" => {
            case.profile = on_profile(&|profile| profile.extra_macs_allowed = 65);
            case.vnic = on_vnic(&|vnic| vnic.extra_macs = (100..165).map(mac).collect());
        }
        "extra macs, nobody carries" => {
            (case.profile, case.vnic) = (extra_macs(), on_vnic(&|vnic| vnic.extra_macs = vec![mac(99)]));
            case.attachment = None;
        }
        "passthrough" => case.profile = Some(passthrough("blue", "guests", None)),
        "passthrough, failing over here" => {
            case.profile = Some(passthrough("blue", "guests", Some(("blue", "meanwhile"))));
            case.others.push(Entity::VnicProfile(profile("blue", "meanwhile")));
        }
        "mirroring" => case.profile = on_profile(&|profile| profile.port_mirroring = true),
        "mirroring, no filter" => {
            case.profile = on_profile(&|profile| {
                profile.port_mirroring = true;
                profile.filter = NetworkFilter::None;
            });
        }
        "nested, routed" => case.vm.nesting = Nesting::Routed,
        "nested, bridged" => case.vm.nesting = Nesting::Bridged,
        "nested, bridged, extra macs, nobody carries" => {
            (case.profile, case.vnic) = (extra_macs(), on_vnic(&|vnic| vnic.extra_macs = vec![mac(99)]));
            (case.attachment, case.vm.nesting) = (None, Nesting::Bridged);
        }
        "live" => {
            case.vm.host = Some(host_name("h1"));
            case.profile = on_profile(&|profile| drop(profile.custom.insert("queues".to_owned(), "4".to_owned())));
        }
        "live, no filter" => {
            (case.vm.host, case.profile) = (Some(host_name("h1")), filter(NetworkFilter::None));
        }
        "live, tagging any" => (case.vm.host, case.profile) = (Some(host_name("h1")), tagging(GuestTagging::Any)),
        "duplicate mac" | "duplicate mac, the other unplugged" => {
            let other = Vnic { mac: Some(mac(1)), plugged: name == "duplicate mac", ..vnic(2, "blue", "guests") };
            case.others.extend([Entity::Vm(vm(2, "main")), Entity::Vnic(other)]);
        }
        named if named.starts_with("reported ") => case.record = Some(hosting(&["blue", "red"], vec![reported(named)])),
        "live, plugged without its filter" => {
            case.vm.host = Some(host_name("h1"));
            case.record = Some(hosting(&["blue"], vec![domain(1, "blue", mac(1), None)]));
        }
        "pool allows duplicates" => {
            case.cluster.mac_pool = Some(id("p"));
            case.others.push(Entity::MacPool(MacPool { allow_duplicates: true, ..pool("p", 0, 255) }));
        }
        "stp" => case.network.stp = true,
        "port isolation" => case.network.port_isolation = true,
        "multicast not flooded" => {
            case.network = options(BridgeOptions { multicast_querier: Some(true), ..BridgeOptions::default() });
        }
        "querier without snooping" => {
            case.network = options(BridgeOptions {
                multicast_querier: Some(true),
                multicast_snooping: Some(false),
                ..BridgeOptions::default()
            });
        }
        "vlan" => case.network.vlan = Some(vlan(7)),
        "empty profile" => case.vnic = on_vnic(&|vnic| vnic.profile = None),
        "unlinked" => case.vnic = on_vnic(&|vnic| vnic.linked = false),
        "virtual macs of the vnic" => case.vnic = on_vnic(&|vnic| vnic.virtual_macs = true),
        "virtual macs of the profile" => case.profile = on_profile(&|profile| profile.virtual_macs = true),
        "not bridged" => {
            case.network.vm_network = false;
            (case.profile, case.vnic) = (None, None);
        }
        "open vswitch" => case.cluster.switch_type = SwitchType::Ovs,
        "libvirt too old" => case.record = old(),
        "locked" => case.network.source_macs = SourceMacs::Locked,
        "locked, kernel too old" => {
            case.network.source_macs = SourceMacs::Locked;
            case.record = Some(report(without(Feature::PortLocked), Vec::new()));
        }
        "kernel without filtering" => {
            case.record = Some(report(without(Feature::BridgeVlanFiltering), Vec::new()));
        }
        "libvirt not reached" => {
            let mut features = capable();
            features.0.insert(Feature::LibvirtMacTableManager, Support::Unknown("no connection".to_owned()));
            case.record = Some(report(features, Vec::new()));
        }
        "agent silent about it" => case.record = Some(report(FeatureSet::default(), Vec::new())),
        "libvirt too old, required" => {
            case.record = old();
            case.cluster_network.required = true;
        }
        "libvirt too old, maintenance" => {
            case.record = old();
            case.host.maintenance = true;
        }
        "libvirt too old, not carrying" => {
            case.record = old();
            case.attachment = None;
        }
        "host never reported" => case.record = None,
        "management network" => {
            case.cluster_network.management = true;
            let addressed = NetworkAttachment { ipv4: ipv4("192.0.2.9/24", None), ..attachment("h1", "blue", "eth0") };
            case.attachment = Some(addressed);
        }
        "vlan_filtering off" => {
            case.network = options(BridgeOptions { vlan_filtering: Some(false), ..BridgeOptions::default() });
        }
        "default_pvid 0" => {
            case.network = options(BridgeOptions { default_pvid: Some(0), ..BridgeOptions::default() });
        }
        "ageing changed" => {
            case.network = options(BridgeOptions { ageing_time_cs: Some(100), ..BridgeOptions::default() });
        }
        "harmless options" => {
            case.network = options(BridgeOptions {
                ageing_time_cs: Some(30_000),
                vlan_filtering: Some(true),
                default_pvid: Some(1),
                forward_delay_cs: Some(200),
                multicast_snooping: Some(false),
                ..BridgeOptions::default()
            });
        }
        unknown => panic!("the table has a case {unknown:?} that nobody knows"),
    }
    case
}

/// A domain of nobody's, by the case's name.
fn reported(name: &str) -> Domain {
    let (what, state) = match name.trim_start_matches("reported ").strip_suffix(", stopped") {
        Some(what) => (what, DomainState::ShutOff),
        None => (name.trim_start_matches("reported "), DomainState::Running),
    };
    let domain = match what {
        "guest without filter" => domain(9, "blue", mac(9), None),
        "guest with filter no-arp-spoofing" => domain(9, "blue", mac(9), Some("no-arp-spoofing")),
        "guest with filter clean-traffic" => domain(9, "blue", mac(9), Some("clean-traffic")),
        "guest without filter elsewhere" => domain(9, "red", mac(9), None),
        "duplicate mac" => domain(9, "blue", mac(1), Some("no-mac-spoofing")),
        "duplicate mac elsewhere" => domain(9, "red", mac(1), Some("no-mac-spoofing")),
        "vnic" => domain(1, "blue", mac(1), Some("no-mac-spoofing")),
        unknown => panic!("the table has a guest {unknown:?} that nobody knows"),
    };
    Domain { state, ..domain }
}

/// The fleet before the change, and what completes it.
fn before(mut case: Case, change: Change) -> (Vec<Entity>, Option<(HostName, HostRecord)>, Entity) {
    let mut attached = true;
    let entity = match change {
        Change::On => {
            let after = case.network.clone();
            case.network.mac_table_manager = MacTableManager::Kernel;
            Entity::Network(after)
        }
        Change::Bridged => {
            let after = case.network.clone();
            case.network.vm_network = false;
            Entity::Network(after)
        }
        Change::Off => Entity::Network(Network { mac_table_manager: MacTableManager::Kernel, ..case.network.clone() }),
        Change::Add => {
            case.vnic = None;
            Entity::VnicProfile(case.profile.take().expect("the case has a profile"))
        }
        Change::Update => {
            let ordinary = VnicProfile { extra_macs_allowed: 1, ..profile("blue", "guests") };
            Entity::VnicProfile(case.profile.replace(ordinary).expect("the case has a profile"))
        }
        Change::Vnic => Entity::Vnic(case.vnic.take().expect("the case has a vNIC")),
        Change::Plug => {
            let after = case.vnic.clone().expect("the case has a vNIC");
            case.vnic = Some(Vnic { plugged: false, ..after.clone() });
            Entity::Vnic(after)
        }
        Change::Rewire => {
            let after = case.vnic.clone().expect("the case has a vNIC");
            case.vnic = Some(Vnic { profile: vnic(1, "red", "guests").profile, ..after.clone() });
            Entity::Vnic(after)
        }
        Change::Vm => {
            let after = case.vm.clone();
            case.vm = vm(1, "main");
            Entity::Vm(after)
        }
        Change::Cluster => {
            (case.attachment, attached) = (None, false);
            Entity::ClusterNetwork(case.cluster_network.clone())
        }
        Change::Type => {
            let after = case.cluster.clone();
            case.cluster.switch_type = SwitchType::LinuxBridge;
            Entity::Cluster(after)
        }
        Change::Joins => {
            case.attachment = None;
            let after = case.host.clone();
            case.host = Host { maintenance: after.maintenance, ..host("h1", "elsewhere") };
            Entity::Host(after)
        }
        Change::Carries => Entity::NetworkAttachment(case.attachment.take().expect("the case has an attachment")),
        Change::Active => {
            let after = case.host.clone();
            case.host.maintenance = true;
            Entity::Host(after)
        }
    };
    let (entities, record) = case.parts(attached);
    (entities, record, entity)
}

impl Case {
    fn parts(self, attached: bool) -> (Vec<Entity>, Option<(HostName, HostRecord)>) {
        let name = self.host.id.clone();
        let elsewhere = [
            Entity::Cluster(cluster("elsewhere")),
            Entity::Network(network("red")),
            Entity::VnicProfile(VnicProfile { extra_macs_allowed: 1, ..profile("red", "guests") }),
            Entity::ClusterNetwork(cluster_network("main", "red")),
        ];
        let entities = [Entity::Cluster(self.cluster), Entity::Network(self.network)]
            .into_iter()
            .chain(elsewhere)
            .chain(self.profile.map(Entity::VnicProfile))
            .chain(attached.then_some(Entity::ClusterNetwork(self.cluster_network)))
            .chain([Entity::Host(self.host)])
            .chain(self.attachment.map(Entity::NetworkAttachment))
            .chain([Entity::Vm(self.vm)])
            .chain(self.vnic.map(Entity::Vnic))
            .chain(self.others);
        (entities.collect(), self.record.map(|record| (name, record)))
    }
}

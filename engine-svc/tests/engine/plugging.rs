//! What hosts report of guests, beside the VMs and vNICs that clients made.

use trestle_model::{Feature, FeatureSet, Support};
use trestle_proto::engine::v1 as wire;
use trestle_proto::finding::v1::{Finding, Severity};
use trestle_proto::host::v1::{Domain, DomainInterface, DomainState, FilterReference, LibvirtInfo, Network};
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::status::reason_of;

use super::harness::{Agent, PATIENCE, Running};
use super::sessions::{applied, report_of, setup_of, welcomed_as};
use super::vnics::{self, GUESTS, VM, mac, managed, put};

const STRANGER: &str = "11111111-2222-4333-8444-555555555555";
const STRANGERS_MAC: &str = "02:00:5e:00:01:0a";

/// An interface on blue's bridge, wired by libvirt's network.
pub(crate) fn interface(mac: &str, filter: Option<&str>) -> DomainInterface {
    DomainInterface {
        mac: mac.to_owned(),
        attachment: "bridge".to_owned(),
        network: "trestle-blue".to_owned(),
        bridge: "blue".to_owned(),
        tap: "vnet0".to_owned(),
        filter: filter.map(|name| FilterReference { name: name.to_owned(), parameters: Vec::new() }),
        model: "virtio".to_owned(),
        linked: true,
        alias: "net0".to_owned(),
        ..Default::default()
    }
}

pub(crate) fn domain(name: &str, uuid: &str, interfaces: Vec<DomainInterface>) -> Domain {
    let state = DomainState::Running.into();
    Domain { name: name.to_owned(), uuid: uuid.to_owned(), state, interfaces, ..Default::default() }
}

/// A report of a host that runs `blue` as it was told, and of its domains.
fn report(networks: &[Network], hash: &str, domains: Vec<Domain>) -> AgentKind {
    let features = FeatureSet(Feature::ALL.map(|feature| (feature, Support::Present)).into());
    let mut report = report_of(networks, hash, features);
    if let AgentKind::Report(report) = &mut report {
        let capabilities = report.capabilities.as_mut().unwrap();
        capabilities.libvirt = Some(LibvirtInfo { connected: true, ..Default::default() });
        capabilities.domains = domains;
    }
    report
}

/// An engine with `blue` on `host-a`, which runs it, and VM `VM` there with the vNIC `eth0`; the vNIC's MAC.
pub(crate) struct World {
    pub(crate) engine: Running,
    pub(crate) agent: Agent,
    networks: Vec<Network>,
    hash: String,
    pub(crate) mac: String,
}

impl World {
    pub(crate) async fn furnish() -> Self {
        let engine = Running::start().await;
        vnics::furnish(&engine).await;
        let mac = mac(&put(&engine, vnics::vnic("eth0", GUESTS)).await.unwrap());
        let mut agent = welcomed_as(&engine, "host-a").await;
        agent.say(report(&[], "empty", Vec::new())).await;
        let (id, setup) = setup_of(agent.hear().await.unwrap());
        agent.say(applied(&id, &id)).await;
        assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
        Self { engine, agent, networks: setup.networks, hash: id, mac }
    }

    pub(crate) async fn report(&self, domains: Vec<Domain>) {
        self.agent.say(report(&self.networks, &self.hash, domains)).await;
    }

    fn web(&self, filter: Option<&str>) -> Domain {
        domain("web", VM, vec![interface(&self.mac, filter)])
    }

    pub(crate) async fn vnic(&self) -> wire::VnicStatus {
        let request = wire::GetVnicRequest { name: format!("vms/{VM}/vnics/eth0") };
        self.engine.vnics().get_vnic(request).await.unwrap().into_inner().vnic.unwrap().status.unwrap()
    }

    async fn vm(&self) -> wire::VmStatus {
        let request = wire::GetVmRequest { name: format!("vms/{VM}") };
        self.engine.vms().get_vm(request).await.unwrap().into_inner().vm.unwrap().status.unwrap()
    }

    /// Looks after each change of the host's status, until it is as asked for.
    async fn becomes<T>(&self, look: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
        let watch = wire::WatchHostsRequest { names: vec!["hosts/host-a".to_owned()] };
        let mut events = self.engine.hosts().watch_hosts(watch).await.unwrap().into_inner();
        let found = async {
            loop {
                let found = look().await;
                if wanted(&found) {
                    return found;
                }
                events.message().await.unwrap().unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it never became as asked for")
    }

    pub(crate) async fn vnic_becomes(&self, wanted: impl Fn(&wire::VnicStatus) -> bool) -> wire::VnicStatus {
        self.becomes(async || self.vnic().await, wanted).await
    }

    /// Breaks the session and opens another, in which nothing was reported yet.
    pub(crate) async fn dial_again(&mut self) {
        let (outbox, _) = tokio::sync::mpsc::channel(1);
        self.agent.outbox = outbox;
        self.engine.wait_for("host-a", |status| status.connection() == wire::Connection::Disconnected).await;
        self.agent = welcomed_as(&self.engine, "host-a").await;
    }

    async fn unmanaged(&self, size: i32, token: &str) -> wire::ListUnmanagedInterfacesResponse {
        let request = wire::ListUnmanagedInterfacesRequest {
            page_size: size,
            page_token: token.to_owned(),
            parent: "hosts/host-a".to_owned(),
            ..Default::default()
        };
        self.engine.hosts().list_unmanaged_interfaces(request).await.unwrap().into_inner()
    }
}

fn codes(findings: &[Finding]) -> Vec<(&str, Severity, &str)> {
    findings.iter().map(|finding| (finding.code.as_str(), finding.severity(), finding.subject.as_str())).collect()
}

#[tokio::test]
async fn a_vnic_tells_where_it_is_plugged_and_what_differs() {
    let mut world = World::furnish().await;
    world.report(vec![world.web(Some("no-mac-spoofing"))]).await;
    let status = world.vnic_becomes(|status| status.sync() == wire::PlugSync::InSync).await;
    let seen = status.seen.unwrap();
    assert_eq!((seen.host.as_str(), seen.domain.as_str(), seen.domain_uuid.as_str()), ("hosts/host-a", "web", VM));
    assert_eq!((seen.network.as_str(), seen.state()), ("networks/blue", DomainState::Running));
    assert_eq!(seen.interface, Some(interface(&world.mac, Some("no-mac-spoofing"))));
    assert!(seen.report_time.is_some() && status.violations.is_empty());
    let vm = world.vm().await;
    assert_eq!((vm.sync(), vm.seen.len(), vm.unmanaged_interface_count), (wire::PlugSync::InSync, 1, 0));

    let changed = DomainInterface { linked: false, ..interface(&world.mac, Some("no-mac-spoofing")) };
    world.report(vec![domain("web", VM, vec![changed])]).await;
    let status = world.vnic_becomes(|status| status.sync() == wire::PlugSync::Different).await;
    let difference = |field: &str, expected: &str, actual: &str| wire::PlugDifference {
        field: field.to_owned(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    };
    assert_eq!(status.differences, [difference("link", "up", "down")]);

    world.report(vec![domain("web", VM, Vec::new())]).await;
    world.vnic_becomes(|status| status.sync() == wire::PlugSync::Absent && status.seen.is_none()).await;
    assert_eq!(world.vm().await.sync(), wire::PlugSync::InSync);
    world.report(Vec::new()).await;
    world.becomes(async || world.vm().await, |vm| vm.sync() == wire::PlugSync::Absent).await;

    // A silent host: what it last said is shown, and not believed.
    world.report(vec![world.web(None)]).await;
    world.vnic_becomes(|status| status.seen.is_some()).await;
    world.dial_again().await;
    let status = world.vnic().await;
    assert_eq!((status.sync(), status.seen.is_some()), (wire::PlugSync::Unknown, true));
    assert_eq!(world.vm().await.sync(), wire::PlugSync::Unknown);
}

#[tokio::test]
async fn interfaces_behind_the_engines_back_are_listed_and_told_of_what_they_break() {
    let world = World::furnish().await;
    world.engine.networks().update_network(managed(true)).await.unwrap();
    let past = DomainInterface { network: String::new(), ..interface(STRANGERS_MAC, Some("no-mac-spoofing")) };
    let elsewhere =
        DomainInterface { bridge: "br0".to_owned(), network: String::new(), ..interface("02:00:5e:00:01:0b", None) };
    let web = domain("web", VM, vec![interface(&world.mac, None), interface("02:00:5e:00:01:0c", None)]);
    let stranger = domain("db", STRANGER, vec![past, elsewhere, interface(&world.mac, Some("clean-traffic"))]);
    world.report(vec![stranger, web]).await;
    let status = world.engine.wait_for("host-a", |status| status.unmanaged_interface_count == 4).await;
    let vnic = format!("vms/{VM}/vnics/eth0");
    assert_eq!(
        codes(&status.violations),
        [
            ("GUEST_WIRED_PAST_LIBVIRT", Severity::Warning, "hosts/host-a"),
            ("DUPLICATE_MAC", Severity::Error, "hosts/host-a"),
            ("MAC_SPOOF_CONFLICT", Severity::Error, vnic.as_str()),
            ("MAC_SPOOF_CONFLICT", Severity::Error, "hosts/host-a"),
        ]
    );
    assert_eq!(status.violation_count, 4);
    assert_eq!(codes(&world.vnic().await.violations), [("MAC_SPOOF_CONFLICT", Severity::Error, vnic.as_str())]);
    let vm = world.vm().await;
    let behind: Vec<_> = vm.unmanaged_interfaces.iter().map(|seen| seen.interface.clone().unwrap().mac).collect();
    assert_eq!((behind, vm.unmanaged_interface_count), (vec!["02:00:5e:00:01:0c".to_owned()], 1));

    // Page by page, in the order of domains.
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let page = world.unmanaged(1, &token).await;
        found.extend(page.unmanaged_interfaces);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let whole = world.unmanaged(0, "").await;
    for (filter, wanted) in [("violations:*", true), ("NOT violations:*", false)] {
        let request = wire::ListUnmanagedInterfacesRequest { filter: filter.to_owned(), ..Default::default() };
        let listed = world.engine.hosts().list_unmanaged_interfaces(request).await.unwrap().into_inner();
        let expected: Vec<_> = found.iter().filter(|one| one.violations.is_empty() != wanted).cloned().collect();
        assert_eq!(listed.unmanaged_interfaces, expected, "{filter}");
    }
    assert_eq!((found.as_slice(), whole.next_page_token.as_str()), (whole.unmanaged_interfaces.as_slice(), ""));
    let told: Vec<_> = found
        .iter()
        .map(|unmanaged| {
            let seen = unmanaged.seen.clone().unwrap();
            (seen.domain, seen.network, unmanaged.vm.clone(), unmanaged.violations.len())
        })
        .collect();
    let line = |domain: &str, network: &str, vm: &str, violations: usize| {
        (domain.to_owned(), network.to_owned(), vm.to_owned(), violations)
    };
    assert_eq!(
        told,
        [
            line("db", "networks/blue", "", 1),
            line("db", "", "", 0),
            line("db", "networks/blue", "", 1),
            line("web", "networks/blue", &format!("vms/{VM}"), 1),
        ]
    );
    let nowhere = wire::ListUnmanagedInterfacesRequest { parent: "hosts/nobody".to_owned(), ..Default::default() };
    let refused = world.engine.hosts().list_unmanaged_interfaces(nowhere).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_network_is_not_managed_under_guests_that_may_spoof() {
    let world = World::furnish().await;
    let stranger = |filter| domain("db", STRANGER, vec![interface(STRANGERS_MAC, filter)]);
    world.report(vec![world.web(Some("no-mac-spoofing")), stranger(None)]).await;
    world.engine.wait_for("host-a", |status| status.unmanaged_interface_count == 1).await;
    let mut on = managed(true);
    on.acknowledge_warnings.push("MAC_SPOOF_CONFLICT".to_owned());
    let refused = world.engine.networks().update_network(on.clone()).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("MAC_SPOOF_CONFLICT"), "{refused:?}");
    let asked = wire::UpdateNetworkRequest { validate_only: true, ..on.clone() };
    let told = world.engine.networks().update_network(asked).await.unwrap().into_inner().findings;
    let finding = told.iter().find(|finding| finding.code == "MAC_SPOOF_CONFLICT").unwrap();
    assert_eq!(
        (finding.severity(), finding.related.as_slice()),
        (Severity::Error, ["hosts/host-a".to_owned()].as_slice())
    );
    assert!(finding.message.contains(&format!("guest db on host host-a ({STRANGERS_MAC})")), "{finding:?}");
    // One that is only defined is warned of.
    let stopped = Domain { state: DomainState::ShutOff.into(), ..stranger(None) };
    world.report(vec![world.web(Some("no-mac-spoofing")), stopped]).await;
    let is_stopped = |page: &wire::ListUnmanagedInterfacesResponse| {
        page.unmanaged_interfaces.iter().filter_map(|it| it.seen.as_ref()).any(|it| it.state() == DomainState::ShutOff)
    };
    world.becomes(async || world.unmanaged(0, "").await, is_stopped).await;
    let refused = world.engine.networks().update_network(managed(true)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("MAC_SPOOF_CONFLICT"));
    world.engine.networks().update_network(on).await.unwrap();
}

#[tokio::test]
async fn a_report_that_no_libvirt_makes_is_passed_over_and_the_one_before_stays() {
    let world = World::furnish().await;
    world.report(vec![world.web(None)]).await;
    world.vnic_becomes(|status| status.seen.is_some()).await;
    let long = DomainInterface { alias: "a".repeat(20_000), ..interface(STRANGERS_MAC, None) };
    for bad in [
        vec![domain("db", "no-uuid", Vec::new())],
        vec![domain("db", STRANGER, vec![interface("52:54:00", None)])],
        vec![domain("a", STRANGER, Vec::new()), domain("b", STRANGER, Vec::new())],
        vec![domain(&"n".repeat(2000), STRANGER, Vec::new())],
        vec![domain("db", STRANGER, vec![long])],
        (0..10_000).map(|number| domain(&format!("d{number}"), "", Vec::new())).collect(),
    ] {
        world.report(bad).await;
    }
    // Messages are heard in order: with the next good one the bad ones have been.
    world.report(vec![world.web(None), domain("db", STRANGER, vec![interface(STRANGERS_MAC, None)])]).await;
    let status = world.engine.wait_for("host-a", |status| status.unmanaged_interface_count > 0).await;
    assert_eq!((status.unmanaged_interface_count, status.sync()), (1, wire::Sync::InSync));
}

#[tokio::test]
async fn a_hundred_thousand_interfaces_are_counted_listed_in_pages_and_nowhere_shown_whole() {
    let world = World::furnish().await;
    // As small as an interface may be, so that a report has room for them.
    let tiny = |number: u32| DomainInterface {
        mac: format!("02:00:00:{:02x}:{:02x}:{:02x}", number >> 16, number >> 8 & 255, number & 255),
        bridge: "blue".to_owned(),
        ..Default::default()
    };
    world.report(vec![domain("web", VM, (0..100_000).map(tiny).collect())]).await;
    let status = world.engine.wait_for("host-a", |status| status.unmanaged_interface_count > 0).await;
    assert_eq!((status.unmanaged_interface_count, status.violations.len()), (100_000, 0));
    let vm = world.vm().await;
    assert_eq!((vm.unmanaged_interface_count, vm.unmanaged_interfaces.len()), (100_000, 32));
    let (mut token, mut seen) = (String::new(), 0);
    for _ in 0..3 {
        let page = world.unmanaged(1000, &token).await;
        seen += page.unmanaged_interfaces.len();
        token = page.next_page_token;
    }
    assert_eq!((seen, token.is_empty()), (3000, false));
    // All of them stand against a managed MAC table, in one finding; those that come later are violations.
    let refused = world.engine.networks().update_network(managed(true)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("MAC_SPOOF_CONFLICT"));
    world.report(vec![world.web(Some("no-mac-spoofing"))]).await;
    world.vnic_becomes(|status| status.sync() == wire::PlugSync::InSync).await;
    assert_eq!(world.unmanaged(0, "").await.unmanaged_interfaces, []);
}

#[tokio::test]
async fn what_hosts_reported_is_found_after_a_restart() {
    let world = World::furnish().await;
    world.report(vec![world.web(None), domain("db", STRANGER, vec![interface(STRANGERS_MAC, None)])]).await;
    world.engine.wait_for("host-a", |status| status.unmanaged_interface_count == 1).await;
    let World { engine, agent, networks, hash, mac } = world;
    drop(agent);
    let engine = engine.restart().await;
    let agent = welcomed_as(&engine, "host-a").await;
    let world = World { engine, agent, networks, hash, mac };
    assert_eq!(world.unmanaged(0, "").await.unmanaged_interfaces.len(), 1);
    let status = world.vnic().await;
    assert_eq!((status.sync(), status.seen.is_some()), (wire::PlugSync::Unknown, true));
    world.report(vec![world.web(Some("no-mac-spoofing"))]).await;
    world.vnic_becomes(|status| status.sync() == wire::PlugSync::InSync).await;
}

//! Against libvirt's in-process test driver, which needs no daemon.
//!
//! Each handle gets a node file of its own, so each test has a libvirt to itself; it is gone with the connection.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use trestle_libvirt::{Changes, Fault, Libvirt, Options};
use trestle_model::{
    DomainPersistence, DomainState, Feature, GuestInterface, IfName, LibvirtNetwork, LibvirtState, MacTableManager,
    PortVlans, Support,
};
use trestle_plan::{LibvirtStep, NetworkDefinition, ObserveError};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(30);
/// Longer than a poll's period and an event's way.
const QUIET: Duration = Duration::from_millis(100);
const EMPTY: &str = "<node/>";

struct Lab {
    libvirt: Libvirt,
    _node: NamedTempFile,
}

fn lab(node: &str) -> Lab {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(node.as_bytes()).unwrap();
    let uri = format!("test://{}", file.path().display());
    Lab { libvirt: start(uri, LONG), _node: file }
}

fn start(uri: String, call_timeout: Duration) -> Libvirt {
    Libvirt::start(Options { uri, call_timeout, poll_period: Duration::from_millis(10) }).unwrap()
}

impl Lab {
    async fn perform(&self, steps: &[LibvirtStep]) {
        for step in steps {
            self.libvirt.perform(step).await.unwrap_or_else(|fault| panic!("{step}: {fault}"));
        }
    }

    async fn observe(&self) -> LibvirtState {
        self.libvirt.observe().await.unwrap()
    }

    async fn network(&self, name: &str) -> Option<LibvirtNetwork> {
        self.observe().await.networks.remove(name)
    }
}

fn definition(name: &str, mac_table_manager: MacTableManager) -> NetworkDefinition {
    NetworkDefinition {
        name: name.to_owned(),
        uuid: None,
        bridge: IfName::parse("br0").unwrap(),
        mac_table_manager,
        owner: "blue".to_owned(),
    }
}

fn define(name: &str) -> LibvirtStep {
    LibvirtStep::Define(definition(name, MacTableManager::Kernel))
}

fn start_step(name: &str) -> LibvirtStep {
    LibvirtStep::Start { name: name.to_owned() }
}

fn stop(name: &str) -> LibvirtStep {
    LibvirtStep::Stop { name: name.to_owned() }
}

fn undefine(name: &str) -> LibvirtStep {
    LibvirtStep::Undefine { name: name.to_owned() }
}

fn autostart(name: &str, autostart: bool) -> LibvirtStep {
    LibvirtStep::SetAutostart { name: name.to_owned(), autostart }
}

#[tokio::test]
async fn network_lives_from_definition_to_removal_with_each_step_performed_twice() {
    let lab = lab(EMPTY);
    let facts = |network: Option<LibvirtNetwork>| network.map(|n| (n.active, n.autostart, n.persistent));
    for (step, expected) in [
        (define("net"), Some((false, false, true))),
        (start_step("net"), Some((true, false, true))),
        (autostart("net", true), Some((true, true, true))),
        (autostart("net", false), Some((true, false, true))),
        (stop("net"), Some((false, false, true))),
        (undefine("net"), None),
        (stop("net"), None),
    ] {
        lab.perform(&[step.clone(), step.clone()]).await;
        assert_eq!(facts(lab.network("net").await), expected, "{step}");
    }
}

#[tokio::test]
async fn observation_tells_what_was_defined() {
    let lab = lab(EMPTY);
    lab.perform(&[LibvirtStep::Define(definition("net", MacTableManager::Libvirt))]).await;
    let network = lab.network("net").await.unwrap();
    assert_eq!(network.bridge.as_deref(), Some("br0"));
    assert_eq!(network.forward, "bridge");
    assert_eq!(network.mac_table_manager, MacTableManager::Libvirt);
    assert_eq!(network.owner.as_deref(), Some("blue"));
    assert!(network.xml.contains(&network.uuid.to_string()), "{}", network.xml);
}

#[tokio::test]
async fn defining_again_keeps_the_uuid() {
    let lab = lab(EMPTY);
    lab.perform(&[define("net")]).await;
    let before = lab.network("net").await.unwrap();
    lab.perform(&[LibvirtStep::Define(definition("net", MacTableManager::Libvirt))]).await;
    let after = lab.network("net").await.unwrap();
    assert_eq!(after.uuid, before.uuid);
    assert_eq!(after.mac_table_manager, MacTableManager::Libvirt);
}

#[tokio::test]
async fn given_uuid_is_used_and_another_for_the_same_name_is_refused() {
    let lab = lab(EMPTY);
    let with = |uuid| {
        LibvirtStep::Define(NetworkDefinition { uuid: Some(uuid), ..definition("net", MacTableManager::Kernel) })
    };
    let uuid = Uuid::from_u128(0x77);
    lab.perform(&[with(uuid)]).await;
    assert_eq!(lab.network("net").await.unwrap().uuid, uuid);
    let refusal = lab.libvirt.perform(&with(Uuid::from_u128(0x78))).await.unwrap_err();
    assert!(matches!(&refusal, Fault::Refused(reason) if reason.contains("already exists")), "{refusal:?}");
    assert!(!refusal.is_transient());
}

#[tokio::test]
async fn observed_xml_defines_the_network_as_it_was() {
    let lab = lab(EMPTY);
    lab.perform(&[LibvirtStep::Define(definition("net", MacTableManager::Libvirt))]).await;
    let before = lab.network("net").await.unwrap();
    let undo = LibvirtStep::DefineXml { name: "net".to_owned(), xml: before.xml.clone() };
    lab.perform(&[undefine("net"), undo.clone(), undo]).await;
    assert_eq!(lab.network("net").await.unwrap(), before);
}

#[tokio::test]
async fn steps_on_an_absent_network_fail_in_libvirts_words_where_it_must_be_there() {
    let lab = lab(EMPTY);
    for step in [start_step("nosuch"), autostart("nosuch", true)] {
        let fault = lab.libvirt.perform(&step).await.unwrap_err();
        assert!(matches!(&fault, Fault::Refused(reason) if reason.contains("nosuch")), "{step}: {fault:?}");
    }
}

#[tokio::test]
async fn text_with_a_zero_character_is_refused() {
    let lab = lab(EMPTY);
    let xml = LibvirtStep::DefineXml { name: "a".to_owned(), xml: "<network>\0</network>".to_owned() };
    for step in [start_step("a\0"), stop("a\0"), undefine("a\0"), autostart("a\0", true), define("a\0"), xml] {
        assert!(matches!(lab.libvirt.perform(&step).await, Err(Fault::Xml(_))), "{step}");
    }
    assert!(lab.libvirt.info().await.connected, "the thread lives");
}

#[tokio::test]
async fn foreign_networks_are_told_without_owner() {
    let lab = lab(
        "<node><network><name>default</name><uuid>dd8fe884-6c02-601e-7551-cca97df1c5df</uuid><forward mode='nat'/>\
         <bridge name='virbr0'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network></node>",
    );
    let network = lab.network("default").await.unwrap();
    assert_eq!(network.uuid.to_string(), "dd8fe884-6c02-601e-7551-cca97df1c5df");
    assert_eq!((network.forward.as_str(), network.bridge.as_deref(), network.owner), ("nat", Some("virbr0"), None));
}

/// A domain of the test driver, in `state`: libvirt's number for it.
fn domain(name: &str, uuid: Uuid, state: u32, interfaces: &str) -> String {
    format!(
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>\
         <name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory><os><type>hvm</type></os>\
         <devices>{interfaces}</devices><test:runstate>{state}</test:runstate></domain>"
    )
}

#[tokio::test]
async fn guests_are_told_with_their_wiring_ordered_by_domain_and_mac() {
    let [alpha, beta, gamma] = [1, 2, 3].map(Uuid::from_u128);
    let node = [
        "<node>".to_owned(),
        domain(
            "beta",
            beta,
            3,
            "<interface type='bridge'><mac address='52:54:00:00:00:03'/><source bridge='br1'/><target dev='tap3'/></interface>",
        ),
        domain(
            "alpha",
            alpha,
            1,
            "<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><target dev='tap2'/></interface>\
             <interface type='network'><mac address='52:54:00:00:00:01'/><source network='blue'/><target dev='tap1'/></interface>",
        ),
        domain(
            "gamma",
            gamma,
            5,
            "<interface type='network'><mac address='52:54:00:00:00:04'/><source network='blue'/><target dev='tap4'/></interface>",
        ),
        domain("bare", Uuid::from_u128(4), 1, ""),
        "</node>".to_owned(),
    ]
    .concat();
    let lab = lab(&node);
    let guest =
        |name: &str, uuid, mac: &str, network: Option<&str>, bridge: Option<&str>, tap: Option<&str>, running| {
            GuestInterface {
                domain: name.to_owned(),
                domain_uuid: uuid,
                mac: mac.parse().unwrap(),
                network: network.map(str::to_owned),
                bridge: bridge.map(str::to_owned),
                tap: tap.map(|tap| tap.parse().unwrap()),
                running,
                mac_table_manager: MacTableManager::Kernel,
                vlans: PortVlans::default(),
            }
        };
    let observed = lab.observe().await;
    let told: Vec<_> =
        observed.domains.iter().map(|d| (d.name.as_str(), d.uuid, d.state, d.interfaces.len())).collect();
    assert_eq!(
        told,
        [
            ("alpha", alpha, DomainState::Running, 2),
            ("bare", Uuid::from_u128(4), DomainState::Running, 0),
            ("beta", beta, DomainState::Paused, 1),
            ("gamma", gamma, DomainState::ShutOff, 1),
        ]
    );
    assert!(observed.domains.iter().all(|domain| domain.persistence == DomainPersistence::Persistent));
    assert_eq!(
        observed.guests,
        [
            guest("alpha", alpha, "52:54:00:00:00:01", Some("blue"), None, Some("tap1"), true),
            guest("alpha", alpha, "52:54:00:00:00:02", None, Some("br0"), Some("tap2"), true),
            guest("beta", beta, "52:54:00:00:00:03", None, Some("br1"), Some("tap3"), false),
            guest("gamma", gamma, "52:54:00:00:00:04", Some("blue"), None, None, false),
        ]
    );
}

#[tokio::test]
async fn info_tells_uri_and_version() {
    let libvirt = start("test:///default".to_owned(), LONG);
    let info = libvirt.info().await;
    assert!(info.connected && info.fault.is_empty(), "{info:?}");
    assert_eq!(info.uri, "test:///default");
    let numbers: Vec<u32> = info.version.split('.').map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 3, "{info:?}");
    assert!(numbers[0] > 0, "{info:?}");
}

#[tokio::test]
async fn absent_libvirt_is_a_transient_fault_and_makes_features_unknown() {
    let libvirt = start("qemu+unix:///system?socket=/no/such/socket".to_owned(), LONG);
    let info = libvirt.info().await;
    assert!(!info.connected && info.version.is_empty(), "{info:?}");
    assert!(info.fault.contains("/no/such/socket"), "{info:?}");
    assert!(matches!(libvirt.observe().await, Err(ObserveError::Libvirt(_))));
    let fault = libvirt.perform(&stop("net")).await.unwrap_err();
    assert!(matches!(fault, Fault::Unreachable { .. }) && fault.is_transient(), "{fault:?}");
    let features = libvirt.probe().await;
    assert_eq!(features.len(), 3);
    for feature in [Feature::LibvirtMacTableManager, Feature::LibvirtBridgeVlan, Feature::DomainInterfaces] {
        assert!(matches!(&features[&feature], Support::Unknown(reason) if reason.contains("not reachable")));
    }
}

#[tokio::test]
async fn daemon_that_takes_no_call_is_given_up_at_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("sock");
    let silent = UnixListener::bind(&socket).unwrap();
    let libvirt = start(format!("qemu+unix:///system?socket={}", socket.display()), Duration::from_millis(100));
    let outcome = timeout(LONG, libvirt.observe()).await.expect("the caller is not blocked");
    assert_eq!(outcome, Err(ObserveError::Libvirt("libvirt did not answer within 100ms".to_owned())));
    drop(silent);
    let freed = async { while !libvirt.info().await.fault.contains("not reachable") {} };
    timeout(LONG, freed).await.expect("the thread is free again once the daemon is gone");
}

#[tokio::test]
async fn probe_leaves_no_network_behind_and_says_the_same_again() {
    let lab = lab(EMPTY);
    let expected = BTreeMap::from([
        (Feature::LibvirtMacTableManager, Support::Present),
        (Feature::LibvirtBridgeVlan, Support::Present),
        (Feature::DomainInterfaces, Support::Present),
    ]);
    assert_eq!(lab.libvirt.probe().await, expected);
    assert_eq!(lab.observe().await.networks.len(), 0);
    assert_eq!(lab.libvirt.probe().await, expected);
}

#[tokio::test]
async fn probe_spares_a_foreign_network_of_its_name() {
    let lab = lab(EMPTY);
    lab.perform(&[define("trestle-probe")]).await;
    let before = lab.network("trestle-probe").await;
    let features = lab.libvirt.probe().await;
    for feature in [Feature::LibvirtMacTableManager, Feature::LibvirtBridgeVlan] {
        assert!(matches!(features[&feature], Support::Unknown(_)), "{features:?}");
    }
    assert_eq!(lab.network("trestle-probe").await, before);
}

#[tokio::test]
async fn watcher_is_told_of_the_first_poll_and_of_each_difference() {
    let lab = lab(EMPTY);
    let mut changes = lab.libvirt.watch();
    let mut known = Changes::default();
    let steps = [
        None,
        Some(define("net")),
        Some(start_step("net")),
        Some(autostart("net", true)),
        Some(stop("net")),
        Some(undefine("net")),
    ];
    for step in steps {
        let first = step.is_none();
        if let Some(step) = &step {
            lab.perform(std::slice::from_ref(step)).await;
        }
        let told = timeout(LONG, changes.wait_for(|changes| changes.networks > known.networks)).await;
        known = *told.unwrap_or_else(|_| panic!("{step:?} is told")).unwrap();
        assert_eq!((known.connection, known.guests), (1, 1), "{step:?}");
        // Some are told by an event and found by a poll.
        let quiet = async { while timeout(QUIET, changes.changed()).await.is_ok() {} };
        timeout(LONG, quiet).await.expect("no change is told for ever");
        known = *changes.borrow();
        assert!(!first || known == Changes { networks: 1, guests: 1, connection: 1 }, "{known:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// libvirt's own parser reads what this crate writes, and this crate reads what libvirt prints.
    #[test]
    fn libvirt_reads_names_as_they_were_meant(name in r"[^\pC/]{1,40}", owner in r"\PC{1,40}") {
        // libvirt takes no name that is only white space.
        prop_assume!(!name.trim().is_empty());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let network = runtime.block_on(async {
            let lab = lab(EMPTY);
            let definition = NetworkDefinition { owner: owner.clone(), ..definition(&name, MacTableManager::Kernel) };
            lab.perform(&[LibvirtStep::Define(definition), start_step(&name)]).await;
            lab.network(&name).await
        });
        prop_assert_eq!(network.unwrap().owner, Some(owner));
    }
}

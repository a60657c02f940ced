//! Against a real libvirtd, private to each test; where there is none or it needs root, the reason is printed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod daemon;
mod events;
mod guests;

use std::time::Duration;

use daemon::{Daemon, LONG};
use tokio::time::{interval, timeout};
use trestle_libvirt::{Fault, Libvirt, Options};
use trestle_model::{
    DomainPersistence, DomainState, Feature, GuestInterface, IfName, LibvirtNetwork, MacTableManager, Support,
};
use trestle_plan::{LibvirtStep, NetworkDefinition, ObserveError};
use virt::connect::Connect;
use virt::domain::Domain;

fn handle(daemon: &Daemon, call_timeout: Duration) -> Libvirt {
    Libvirt::start(Options { uri: daemon.uri(), call_timeout, poll_period: Duration::from_millis(20) }).unwrap()
}

async fn perform(libvirt: &Libvirt, steps: &[LibvirtStep]) {
    for step in steps {
        libvirt.perform(step).await.unwrap_or_else(|fault| panic!("{step}: {fault}"));
    }
}

async fn network(libvirt: &Libvirt, name: &str) -> Option<LibvirtNetwork> {
    libvirt.observe().await.unwrap().networks.remove(name)
}

fn define(name: &str, bridge: &str, mac_table_manager: MacTableManager) -> LibvirtStep {
    LibvirtStep::Define(NetworkDefinition {
        name: name.to_owned(),
        uuid: None,
        bridge: IfName::parse(bridge).unwrap(),
        mac_table_manager,
        owner: "blue".to_owned(),
    })
}

fn start(name: &str) -> LibvirtStep {
    LibvirtStep::Start { name: name.to_owned() }
}

fn stop(name: &str) -> LibvirtStep {
    LibvirtStep::Stop { name: name.to_owned() }
}

fn undefine(name: &str) -> LibvirtStep {
    LibvirtStep::Undefine { name: name.to_owned() }
}

#[tokio::test]
async fn kernel_managed_network_lives_from_definition_to_removal_with_each_step_performed_twice() {
    let Some(daemon) = Daemon::start().await else { return };
    assert!(daemon.ip("link add brt type bridge"));
    let libvirt = handle(&daemon, LONG);
    let autostart = |autostart| LibvirtStep::SetAutostart { name: "net".to_owned(), autostart };
    let mut uuid = None;
    for (step, expected) in [
        (define("net", "brt", MacTableManager::Kernel), Some((false, false, true))),
        (start("net"), Some((true, false, true))),
        (autostart(true), Some((true, true, true))),
        (autostart(false), Some((true, false, true))),
        (undefine("net"), Some((true, false, false))),
        (define("net", "brt", MacTableManager::Kernel), Some((true, false, true))),
        (stop("net"), Some((false, false, true))),
        (undefine("net"), None),
        (stop("net"), None),
    ] {
        perform(&libvirt, &[step.clone(), step.clone()]).await;
        let network = network(&libvirt, "net").await;
        assert_eq!(network.as_ref().map(|n| (n.active, n.autostart, n.persistent)), expected, "{step}");
        if let Some(network) = network {
            assert_eq!(network.uuid, *uuid.get_or_insert(network.uuid), "{step}");
            assert_eq!(network.owner.as_deref(), Some("blue"), "{step}");
            assert_eq!(network.bridge.as_deref(), Some("brt"), "{step}");
        }
    }
}

#[tokio::test]
async fn running_network_stays_what_it_was_until_it_restarts_and_is_undone_from_its_xml() {
    let Some(daemon) = Daemon::start().await else { return };
    let libvirt = handle(&daemon, LONG);
    perform(&libvirt, &[define("net", "brt", MacTableManager::Kernel), start("net")]).await;
    let before = network(&libvirt, "net").await.unwrap();

    perform(&libvirt, &[define("net", "brt", MacTableManager::Libvirt)]).await;
    let redefined = network(&libvirt, "net").await.unwrap();
    assert_eq!(redefined.mac_table_manager, MacTableManager::Kernel);
    assert!(redefined.xml.contains("macTableManager='libvirt'"), "{}", redefined.xml);
    assert_eq!(redefined.uuid, before.uuid);
    let next = redefined.redefined.map(|form| (form.bridge, form.forward, form.mac_table_manager));
    let wanted = (before.bridge.clone(), before.forward.clone(), MacTableManager::Libvirt);
    assert_eq!((&before.redefined, next), (&None, Some(wanted)), "it tells what it becomes at its next start");

    perform(&libvirt, &[stop("net")]).await;
    assert_eq!(network(&libvirt, "net").await.unwrap().mac_table_manager, MacTableManager::Libvirt);

    let undo = LibvirtStep::DefineXml { name: "net".to_owned(), xml: before.xml.clone() };
    perform(&libvirt, &[undo, start("net")]).await;
    assert_eq!(network(&libvirt, "net").await.unwrap(), before);
}

#[tokio::test]
async fn start_of_a_managed_network_that_libvirt_refuses_fails_in_its_words() {
    let Some(daemon) = Daemon::start().await else { return };
    assert!(daemon.ip("link add brt type bridge"));
    let kernel_filters = daemon.ip("link add brf type bridge vlan_filtering 1");
    let libvirt = handle(&daemon, LONG);
    for (bridge, succeeds) in [("nosuch", false), ("brt", kernel_filters)] {
        perform(&libvirt, &[define(bridge, bridge, MacTableManager::Libvirt)]).await;
        match libvirt.perform(&start(bridge)).await {
            Ok(()) => assert!(succeeds, "{bridge}"),
            Err(fault) => {
                assert!(!succeeds, "{bridge}: {fault}");
                let expected = format!("Unable to set bridge {bridge} vlan_filtering");
                assert!(matches!(&fault, Fault::Refused(reason) if reason.contains(&expected)), "{fault:?}");
                assert!(!fault.is_transient());
            }
        }
    }
}

#[tokio::test]
async fn killed_daemon_is_told_and_the_next_one_is_used_by_the_same_handle() {
    let Some(mut daemon) = Daemon::start().await else { return };
    let libvirt = handle(&daemon, LONG);
    perform(&libvirt, &[define("net", "brt", MacTableManager::Kernel)]).await;
    let before = network(&libvirt, "net").await.unwrap();
    let mut changes = libvirt.watch();
    timeout(LONG, changes.wait_for(|changes| changes.connection == 1)).await.unwrap().unwrap();

    daemon.kill();
    assert!(matches!(libvirt.observe().await, Err(ObserveError::Libvirt(_))));
    let info = libvirt.info().await;
    assert!(!info.connected && info.fault.contains("not reachable"), "{info:?}");
    assert!(libvirt.perform(&stop("net")).await.unwrap_err().is_transient());
    timeout(LONG, changes.wait_for(|changes| changes.connection == 2)).await.unwrap().unwrap();

    daemon.restart().await;
    timeout(LONG, changes.wait_for(|changes| changes.connection == 3)).await.unwrap().unwrap();
    assert_eq!(network(&libvirt, "net").await, Some(before));
}

#[tokio::test]
async fn daemon_restarted_between_two_calls_costs_neither() {
    let Some(mut daemon) = Daemon::start().await else { return };
    let libvirt = handle(&daemon, LONG);
    perform(&libvirt, &[define("net", "brt", MacTableManager::Kernel)]).await;
    daemon.kill();
    daemon.restart().await;
    perform(&libvirt, &[start("net")]).await;
}

#[tokio::test]
async fn hung_daemon_is_given_up_at_the_deadline_and_used_again_when_it_goes_on() {
    let Some(daemon) = Daemon::start().await else { return };
    let deadline = Duration::from_millis(500);
    let libvirt = handle(&daemon, deadline);
    timeout(LONG, async { while !libvirt.info().await.connected {} }).await.expect("the handle works");

    daemon.signal("STOP");
    let outcome = timeout(LONG, libvirt.observe()).await.expect("the caller is not blocked");
    assert_eq!(outcome, Err(ObserveError::Libvirt("libvirt did not answer within 500ms".to_owned())));
    let info = timeout(LONG, libvirt.info()).await.expect("the caller is not blocked");
    assert!(!info.connected && info.fault.contains("did not answer"), "{info:?}");
    assert_eq!(libvirt.perform(&stop("net")).await, Err(Fault::Deadline(deadline)));

    daemon.signal("CONT");
    let mut pause = interval(Duration::from_millis(20));
    let again = async {
        while libvirt.observe().await.is_err() {
            pause.tick().await;
        }
    };
    timeout(LONG, again).await.expect("the handle works again");
}

#[tokio::test]
async fn features_are_found_by_trying_and_leave_nothing_behind() {
    let Some(daemon) = Daemon::start().await else { return };
    let libvirt = handle(&daemon, LONG);
    let features = libvirt.probe().await;
    assert_eq!(features[&Feature::LibvirtMacTableManager], Support::Present);
    let info = libvirt.info().await;
    let major: u32 = info.version.split('.').next().unwrap().parse().unwrap();
    match &features[&Feature::LibvirtBridgeVlan] {
        Support::Present => assert!(major >= 11, "{info:?}"),
        Support::Absent(reason) => assert!(major < 11 && reason.contains("vlan"), "{info:?} {reason}"),
        Support::Unknown(reason) => panic!("{reason}"),
    }
    assert_eq!(libvirt.observe().await.unwrap().networks.len(), 0);
}

#[tokio::test]
async fn guest_is_told_with_network_bridge_and_tap_and_whether_its_cpus_run() {
    let Some(daemon) = Daemon::start().await else { return };
    assert!(daemon.ip("link add brt type bridge"));
    let libvirt = handle(&daemon, LONG);
    perform(&libvirt, &[define("net", "brt", MacTableManager::Kernel), start("net")]).await;
    let connect = Connect::open(Some(&daemon.uri())).unwrap();
    let domain = Domain::define_xml(
        &connect,
        "<domain type='qemu'><name>vm</name><uuid>00000000-0000-0000-0000-00000000000a</uuid>\
         <memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><devices>\
         <interface type='network'><mac address='52:54:00:00:00:01'/><source network='net'/><model type='virtio'/>\
         <mtu size='1400'/><link state='down'/></interface>\
         <memballoon model='none'/></devices></domain>",
    )
    .unwrap();
    let told = async || -> trestle_model::Domain {
        let mut domains = libvirt.observe().await.unwrap().domains;
        assert_eq!(domains.len(), 1);
        domains.remove(0)
    };
    let guest = async || -> GuestInterface {
        let mut guests = libvirt.observe().await.unwrap().guests;
        assert_eq!(guests.len(), 1);
        guests.remove(0)
    };
    let stopped = guest().await;
    assert_eq!((stopped.domain.as_str(), stopped.mac.to_string().as_str()), ("vm", "52:54:00:00:00:01"));
    assert_eq!((stopped.network.as_deref(), stopped.bridge.clone()), (Some("net"), None));
    assert_eq!((stopped.tap.clone(), stopped.running), (None, false));
    let off = told().await;
    assert_eq!((off.state, off.persistence), (DomainState::ShutOff, DomainPersistence::Persistent));
    let interface = &off.interfaces[0];
    assert_eq!((interface.attachment.as_str(), interface.model.as_deref()), ("network", Some("virtio")));
    assert_eq!((interface.mtu, interface.linked, interface.alias.clone()), (Some(1400), false, None));

    domain.create().unwrap();
    let on = told().await;
    assert_eq!((on.state, on.interfaces[0].alias.as_deref()), (DomainState::Running, Some("net0")));
    let running = guest().await;
    assert_eq!((running.network.as_deref(), running.bridge.as_deref()), (Some("net"), Some("brt")));
    assert!(running.running);
    let tap = running.tap.clone().expect("a running guest has a tap");
    assert!(daemon.ip(&format!("link show dev {tap} master brt")), "{tap} is a port of the bridge");

    domain.suspend().unwrap();
    assert_eq!(told().await, trestle_model::Domain { state: DomainState::Paused, ..on });
    assert_eq!(guest().await, GuestInterface { running: false, ..running });

    domain.destroy().unwrap();
    assert_eq!(guest().await, stopped);
}

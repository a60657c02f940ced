//! Steps on guests' interfaces, each of them twice: whose effect is there already, it succeeds and changes nothing.

use std::collections::BTreeSet;

use trestle_libvirt::{Fault, Libvirt};
use trestle_model::{
    Bandwidth, DomainKey, DomainState, DomainWiring, FilterReference, MacAddr, MacTableManager, OwnFilter,
    WiredInterface,
};
use trestle_plan::{DomainSide, GuestStep, InterfaceChange, InterfaceDefinition, InterfaceStep, InterfaceText};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::nwfilter::NWFilter;

use crate::daemon::{Daemon, LONG};
use crate::{define, handle, perform, start};

const UUID: Uuid = Uuid::from_u128(0xa);
const MAC: &str = "52:54:00:00:00:02";

fn step(side: DomainSide, change: InterfaceChange) -> GuestStep {
    let mac = MAC.parse().unwrap();
    GuestStep::Interface(InterfaceStep { domain: UUID, name: "vm".to_owned(), side, mac, change })
}

fn wanted(network: &str, base: Option<&WiredInterface>) -> InterfaceText {
    InterfaceText::Wanted(InterfaceDefinition {
        network: network.to_owned(),
        model: "virtio".to_owned(),
        mtu: None,
        linked: true,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: None,
        base: base.map(|interface| interface.xml.clone()),
    })
}

async fn twice(libvirt: &Libvirt, step: &GuestStep) {
    for _ in 0..2 {
        libvirt.perform_on_guest(step).await.unwrap_or_else(|fault| panic!("{step}: {fault}"));
    }
}

async fn wiring(libvirt: &Libvirt) -> DomainWiring {
    libvirt.wiring(&DomainKey::Uuid(UUID)).await.unwrap().expect("the domain is there")
}

fn find(interfaces: Option<&Vec<WiredInterface>>) -> Option<WiredInterface> {
    let mac: MacAddr = MAC.parse().unwrap();
    interfaces?.iter().find(|interface| interface.told.mac == mac).cloned()
}

#[tokio::test]
async fn interface_is_plugged_changed_and_put_back_on_both_sides() {
    let Some(daemon) = Daemon::start().await else { return };
    assert!(daemon.ip("link add brt type bridge") && daemon.ip("link add bru type bridge"));
    let libvirt = handle(&daemon, LONG);
    let networks = [("net", "brt"), ("other", "bru")];
    for (network, bridge) in networks {
        perform(&libvirt, &[define(network, bridge, MacTableManager::Kernel), start(network)]).await;
    }
    let connect = Connect::open(Some(&daemon.uri())).unwrap();
    let domain = Domain::define_xml(
        &connect,
        "<domain type='qemu'><name>vm</name><uuid>00000000-0000-0000-0000-00000000000a</uuid>\
         <memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><features><acpi/></features><devices>\
         <memballoon model='none'/></devices></domain>",
    )
    .unwrap();
    assert_eq!(libvirt.wiring(&DomainKey::Name("nobody".to_owned())).await, Ok(None));
    let off = wiring(&libvirt).await;
    assert_eq!((off.state, off.live.clone(), off.defined.clone()), (DomainState::ShutOff, None, Some(vec![])));

    domain.create().unwrap();
    for side in [DomainSide::Definition, DomainSide::Live] {
        twice(&libvirt, &step(side, InterfaceChange::Attach(wanted("net", None)))).await;
    }
    let plugged = wiring(&libvirt).await;
    let count = |interfaces: &Option<Vec<WiredInterface>>| interfaces.as_ref().map_or(0, Vec::len);
    assert_eq!((count(&plugged.live), count(&plugged.defined)), (1, 1));
    let live = find(plugged.live.as_ref()).unwrap();
    let tap = live.told.tap.clone().expect("a running guest has a tap");
    assert!(daemon.ip(&format!("link show dev {tap} master brt")), "{tap}");

    let before = live.xml.clone();
    twice(&libvirt, &step(DomainSide::Live, InterfaceChange::Update(wanted("other", Some(&live))))).await;
    assert!(daemon.ip(&format!("link show dev {tap} master bru")), "{tap} moved");
    twice(&libvirt, &step(DomainSide::Live, InterfaceChange::Update(InterfaceText::AsWas { xml: before }))).await;
    assert!(daemon.ip(&format!("link show dev {tap} master brt")), "{tap} is back");
    assert_eq!(find(wiring(&libvirt).await.live.as_ref()), Some(live.clone()));

    let other = InterfaceText::Wanted(InterfaceDefinition {
        network: "net".to_owned(),
        model: "e1000".to_owned(),
        mtu: None,
        linked: true,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: Some(FilterReference { name: "nobodys".to_owned(), parameters: Vec::new() }),
        base: Some(live.xml),
    });
    let refused = libvirt.perform_on_guest(&step(DomainSide::Live, InterfaceChange::Update(other))).await;
    assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");

    domain.destroy().unwrap();
    let xml = find(plugged.defined.as_ref()).unwrap().xml;
    twice(&libvirt, &step(DomainSide::Definition, InterfaceChange::Detach { xml: xml.clone() })).await;
    assert_eq!(wiring(&libvirt).await, off);
    twice(&libvirt, &step(DomainSide::Definition, InterfaceChange::Attach(InterfaceText::AsWas { xml }))).await;
    assert_eq!(find(wiring(&libvirt).await.defined.as_ref()), find(plugged.defined.as_ref()), "as it was");
}

#[tokio::test]
async fn filters_of_ours_are_defined_at_the_first_connection_and_when_a_plug_misses_them() {
    let Some(daemon) = Daemon::start().await else { return };
    let connect = Connect::open(Some(&daemon.uri())).unwrap();
    let theirs = "<filter name='no-mac-spoofing' chain='mac'><rule action='drop' direction='in'/></filter>";
    NWFilter::define_xml(&connect, theirs).unwrap();
    let before = NWFilter::lookup_by_name(&connect, OwnFilter::NoMacSpoofing.name()).unwrap().get_xml_desc(0).unwrap();
    let libvirt = handle(&daemon, LONG);
    let names = OwnFilter::ALL.map(|filter| filter.name().to_owned());
    assert_eq!(libvirt.filters().await.unwrap(), BTreeSet::from(names.clone()));
    let text = |filter: OwnFilter| NWFilter::lookup_by_name(&connect, filter.name()).unwrap().get_xml_desc(0).unwrap();
    assert_eq!(text(OwnFilter::NoMacSpoofing), before, "what is there stays");
    for filter in OwnFilter::ALL {
        NWFilter::lookup_by_name(&connect, filter.name()).unwrap().undefine().unwrap();
        twice(&libvirt, &GuestStep::DefineFilter(filter)).await;
    }
    assert_eq!(libvirt.filters().await.unwrap(), BTreeSet::from(names));
    let effects = libvirt.info().await.filters;
    for filter in OwnFilter::ALL {
        let effects = effects[filter.name()];
        assert!(effects.stops_mac_spoofing && effects.lets_guest_send, "{filter:?}");
    }
}

#[tokio::test]
async fn filters_are_told_by_what_their_rules_do() {
    let Some(daemon) = Daemon::start().await else { return };
    let libvirt = handle(&daemon, LONG);
    assert!(!libvirt.filters().await.unwrap().is_empty());
    let connect = Connect::open(Some(&daemon.uri())).unwrap();
    let ours = "<filter name='ours' chain='root'><filterref filter='no-mac-spoofing'/></filter>";
    NWFilter::define_xml(&connect, ours).unwrap();
    let stopping = async || {
        let filters = libvirt.info().await.filters;
        let are_asked = |(name, _): &(String, _)| name != OwnFilter::ListedMacs.name();
        let stops = filters.into_iter().filter(are_asked).map(|(name, effects)| (name, effects.stops_mac_spoofing));
        stops.collect::<Vec<_>>()
    };
    let both = |stops| vec![(OwnFilter::NoMacSpoofing.name().to_owned(), stops), ("ours".to_owned(), stops)];
    assert_eq!(stopping().await, both(true));
    // Whoever weakens it weakens what refers to it.
    let guard = NWFilter::lookup_by_name(&connect, OwnFilter::NoMacSpoofing.name()).unwrap().get_xml_desc(0).unwrap();
    assert!(guard.contains("action='drop'"), "{guard}");
    NWFilter::define_xml(&connect, &guard.replace("action='drop'", "action='accept'")).unwrap();
    assert_eq!(stopping().await, both(false));
}

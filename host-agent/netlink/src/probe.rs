//! What the kernel can do, found by really trying it where nobody sees.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use trestle_model::{
    BitRate, FdbEntry, FdbState, Feature, HostQos, IfName, MacAddr, Route, Rule, Support, TrafficClass, VlanId,
    VlanRange,
};
use trestle_plan::ownership::ROUTE_PROTOCOL;
use trestle_plan::{BridgeChange, KernelStep, PortChange};

use crate::device::Devices;
use crate::failure::Failure;
use crate::nic_line::NicLine;
use crate::observation;
use crate::performance::{create_link, perform};
use crate::scratch::start_in_scratch_namespace;
use crate::socket::Socket;

/// Tries every feature of the kernel, in a network namespace that is made for it and ends with it.
///
/// Nothing is made on the host itself. Modules that a trial loads stay loaded, as after any `ip link add`; the one that
/// makes a device on the host when the kernel loads it (bonding) is loaded first, told not to.
///
/// *Shape*: one entry for each feature that is not libvirt's. Where no namespace can be made (no `CAP_SYS_ADMIN`), all
/// are unknown, with the reason.
/// *Cancel safety*: safe; the trial then ends unheard.
pub async fn probe() -> BTreeMap<Feature, Support> {
    match start_in_scratch_namespace(try_all).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => all_unknown(&format!("no network namespace to try it in: {error}")),
        Err(_) => all_unknown("the trial broke off"),
    }
}

/// Where a loaded module shows.
const BONDING_MODULE: &str = "/sys/module/bonding";
/// How long loading a module may take.
const LOADING: Duration = Duration::from_secs(10);

/// The devices of the trial.
struct Names {
    bridge: IfName,
    port: IfName,
    peer: IfName,
    vlan: IfName,
    bond: IfName,
}

async fn try_all() -> BTreeMap<Feature, Support> {
    let (socket, nics) = match Socket::open(NETLINK_ROUTE).and_then(|socket| Ok((socket, NicLine::open()?))) {
        Ok(lines) => lines,
        Err(error) => return all_unknown(&format!("no netlink connection: {error}")),
    };
    let mut devices = Devices::new(&socket, &nics);
    let names = Names::new();
    let veth = create_veth(&mut devices, &names).await;
    let bridge = perform(&mut devices, &names.create_bridge()).await;
    let port = match (&veth, &bridge) {
        (Ok(()), Ok(())) => perform(&mut devices, &names.make_port()).await,
        (Err(failure), _) | (_, Err(failure)) => Err(failure.clone()),
    };
    let base = if veth.is_ok() { &names.peer } else { &names.bridge };
    BTreeMap::from([
        (Feature::VlanDevices, support(perform(&mut devices, &names.create_vlan(base)).await)),
        (Feature::Bonding, try_bonding(&mut devices, &names).await),
        (Feature::FdbSticky, given(&port, try_sticky(&mut devices, &names).await)),
        (Feature::PortLocked, given(&port, try_locked(&mut devices, &names).await)),
        (Feature::BridgeVlanFiltering, given(&bridge, try_filtering(&mut devices, &names).await)),
        (Feature::GuestPorts, given(&port, try_port_vlans(&mut devices, &names).await)),
        (Feature::EgressShaping, try_shaping(&mut devices).await),
        (Feature::PolicyRouting, support(perform(&mut devices, &rule()).await)),
        (Feature::Bridge, support(bridge)),
    ])
}

fn all_unknown(reason: &str) -> BTreeMap<Feature, Support> {
    let of_kernel = Feature::ALL.into_iter().filter(|feature| !feature.is_of_libvirt());
    of_kernel.map(|feature| (feature, Support::Unknown(reason.to_owned()))).collect()
}

async fn create_veth(devices: &mut Devices<'_>, names: &Names) -> Result<(), Failure> {
    let mut peer = LinkMessage::default();
    peer.attributes.push(LinkAttribute::IfName(names.peer.as_str().to_owned()));
    let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)));
    let info = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), data]);
    create_link(devices, &names.port, vec![info]).await
}

/// Tries a bond. Where the kernel would load the module for that, it is loaded first: the kernel's way makes a device
/// `bond0` on the host.
async fn try_bonding(devices: &mut Devices<'_>, names: &Names) -> Support {
    if !Path::new(BONDING_MODULE).exists() && has_module_to_load("bonding.ko").await {
        let loaded = load_bonding().await;
        if !Path::new(BONDING_MODULE).exists() {
            return Support::Unknown(format!("the module bonding is there, and could not be loaded: {loaded}"));
        }
    }
    let info = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bond)]);
    support(create_link(devices, &names.bond, vec![info]).await)
}

/// Loads the module that makes bonds by the program that the kernel loads modules with, and returns what came of it.
async fn load_bonding() -> String {
    let program = tokio::fs::read_to_string("/proc/sys/kernel/modprobe").await.unwrap_or_default();
    let mut command = tokio::process::Command::new(program.trim());
    command.args(["-q", "--", "bonding", "max_bonds=0"]).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(LOADING, command.output()).await {
        Ok(Ok(output)) => format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
        Ok(Err(error)) => format!("{}: {error}", program.trim()),
        Err(_) => format!("{} took longer than {} s", program.trim(), LOADING.as_secs()),
    }
}

async fn has_module_to_load(file: &str) -> bool {
    let Ok(release) = tokio::fs::read_to_string("/proc/sys/kernel/osrelease").await else { return false };
    let list = format!("/lib/modules/{}/modules.dep", release.trim());
    let modules = tokio::fs::read_to_string(list).await.unwrap_or_default();
    modules
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(path, _)| path.rsplit('/').next().is_some_and(|name| name.starts_with(file)))
}

/// Tries queueing by classes, with a class for a VLAN, on the loopback device.
async fn try_shaping(devices: &mut Devices<'_>) -> Support {
    let link = IfName::parse("lo").expect("the name is short and plain");
    let rest = HostQos { link_share: BitRate::LEAST, upper_limit: Some(BitRate::MOST), committed_rate: None };
    let class = TrafficClass::Vlan(VlanId::try_from(10).expect("10 is in range"));
    let steps =
        [KernelStep::ShapeEgress { link: link.clone(), rest }, KernelStep::SetTrafficClass { link, class, qos: rest }];
    for step in &steps {
        if let Err(failure) = perform(devices, step).await {
            return match failure.errno() {
                // The kernel's words for a discipline or a filter that it does not know.
                Some(Errno::ENOENT) => Support::Absent(failure.to_string()),
                _ => support(Err(failure)),
            };
        }
    }
    Support::Present
}

fn rule() -> KernelStep {
    let source = IpNet::from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let rule = Rule { source, table: Route::SOURCE_TABLES.start, priority: 30_000, protocol: ROUTE_PROTOCOL };
    KernelStep::AddRule { rule }
}

/// Tries a sticky entry; a kernel that does not know the flag ignores it.
async fn try_sticky(devices: &mut Devices<'_>, names: &Names) -> Support {
    let entry = FdbEntry {
        bridge: names.bridge.clone(),
        port: names.port.clone(),
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        vlan: None,
        state: FdbState::Static,
        sticky: true,
    };
    if let Err(failure) = perform(devices, &KernelStep::ReplaceFdb { entry: entry.clone() }).await {
        return support(Err(failure));
    }
    match observation::observe(devices.socket, devices.nics).await {
        Ok(state) if state.fdb.contains(&entry) => Support::Present,
        Ok(_) => Support::Absent("the kernel ignores the flag".to_owned()),
        Err(error) => Support::Unknown(error.to_string()),
    }
}

/// Tries a locked port; a kernel that does not know the attribute ignores it.
async fn try_locked(devices: &mut Devices<'_>, names: &Names) -> Support {
    let change = PortChange { locked: Some(true), ..PortChange::default() };
    if let Err(failure) = perform(devices, &KernelStep::SetPort { port: names.port.clone(), change }).await {
        return support(Err(failure));
    }
    match observation::observe(devices.socket, devices.nics).await {
        Ok(state) if state.links.get(&names.port).and_then(|link| link.port).is_some_and(|flags| flags.locked) => {
            Support::Present
        }
        Ok(_) => Support::Absent("the kernel ignores the flag".to_owned()),
        Err(error) => Support::Unknown(error.to_string()),
    }
}

/// Tries to switch filtering on. That a bridge has the attribute proves nothing: it reads 0 without the feature too.
async fn try_filtering(devices: &mut Devices<'_>, names: &Names) -> Support {
    let change = BridgeChange { vlan_filtering: Some(true), ..BridgeChange::default() };
    support(perform(devices, &KernelStep::SetBridge { bridge: names.bridge.clone(), change }).await)
}

/// Tries a port in a further VLAN, with an entry there.
async fn try_port_vlans(devices: &mut Devices<'_>, names: &Names) -> Support {
    let vlan = VlanId::try_from(10).expect("10 is in range").get();
    let vlans = VlanRange { first: vlan, last: vlan, untagged: false, pvid: false };
    let entry = FdbEntry {
        bridge: names.bridge.clone(),
        port: names.port.clone(),
        mac: MacAddr::new([2, 0, 0, 0, 0, 2]),
        vlan: Some(vlan),
        state: FdbState::Static,
        sticky: false,
    };
    let steps = [KernelStep::AddVlans { port: names.port.clone(), vlans }, KernelStep::ReplaceFdb { entry }];
    for step in &steps {
        if let Err(failure) = perform(devices, step).await {
            return support(Err(failure));
        }
    }
    Support::Present
}

/// Returns what a trial proves.
fn support(result: Result<(), Failure>) -> Support {
    match result {
        Ok(()) => Support::Present,
        Err(failure) => {
            let forbidden = matches!(failure.errno(), Some(Errno::EPERM | Errno::EACCES) | None);
            let reason = failure.to_string();
            if forbidden || failure.is_transient() { Support::Unknown(reason) } else { Support::Absent(reason) }
        }
    }
}

/// Returns `found`, if what the trial needs was there at all.
fn given(needed: &Result<(), Failure>, found: Support) -> Support {
    match needed {
        Ok(()) => found,
        Err(failure) => Support::Unknown(format!("nothing to try it on: {failure}")),
    }
}

impl Names {
    fn new() -> Self {
        let name = |text| IfName::parse(text).expect("the name is short and plain");
        Self {
            bridge: name("probe-bridge"),
            port: name("probe-port"),
            peer: name("probe-peer"),
            vlan: name("probe-vlan"),
            bond: name("probe-bond"),
        }
    }

    fn create_bridge(&self) -> KernelStep {
        KernelStep::CreateBridge { name: self.bridge.clone(), mac: None, alias: "probe".to_owned() }
    }

    fn create_vlan(&self, base: &IfName) -> KernelStep {
        let id = VlanId::try_from(10).expect("10 is in range");
        KernelStep::CreateVlan { name: self.vlan.clone(), base: base.clone(), id, alias: "probe".to_owned() }
    }

    fn make_port(&self) -> KernelStep {
        KernelStep::SetMaster { link: self.port.clone(), master: Some(self.bridge.clone()) }
    }
}

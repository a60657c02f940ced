//! Cases about bridge ports and forwarding entries.

use trestle_model::{FdbEntry, FdbState, IfName, MacAddr, PortFlags, VlanRange};

use super::bench::{Bench, OTHER_MAC, master, port_step, same, up};
use crate::{BridgeChange, Host, KernelStep, PortChange};

const NEW_PORT: PortFlags = PortFlags {
    learning: true,
    flood: true,
    multicast_flood: true,
    broadcast_flood: true,
    isolated: false,
    locked: false,
};

pub(super) async fn ports_come_and_go<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, bridge, other) = (&bench.nic, &bench.bridge, &bench.other_bridge);
    bench.perform([bench.create_bridge(bridge), bench.create_bridge(other), master(nic, Some(bridge))]).await?;
    same("master", &bench.link(nic).await?.master.as_ref(), &Some(bridge))?;
    bench.perform([master(nic, Some(other))]).await?;
    same("master", &bench.link(nic).await?.master.as_ref(), &Some(other))?;
    bench.perform([master(nic, None)]).await?;
    let link = bench.link(nic).await?;
    same("master", &link.master, &None)?;
    same("flags", &link.port, &None)?;
    bench.perform([master(nic, Some(other)), KernelStep::DeleteLink { name: other.clone() }.into()]).await?;
    same("master after the bridge has gone", &bench.link(nic).await?.master, &None)
}

pub(super) async fn port_flags_are_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, bridge) = (&bench.nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge))]).await?;
    same("a new port", &bench.port(nic).await?, &NEW_PORT)?;
    let change =
        PortChange { learning: Some(false), flood: Some(false), isolated: Some(true), ..PortChange::default() };
    bench.perform([port_step(nic, change)]).await?;
    let expected = PortFlags { learning: false, flood: false, isolated: true, ..NEW_PORT };
    same("flags", &bench.port(nic).await?, &expected)?;
    let change = PortChange {
        flood: Some(true),
        multicast_flood: Some(false),
        broadcast_flood: Some(false),
        ..PortChange::default()
    };
    bench.perform([port_step(nic, change)]).await?;
    let expected = PortFlags { flood: true, multicast_flood: false, broadcast_flood: false, ..expected };
    same("flags", &bench.port(nic).await?, &expected)?;
    // A port that comes back has forgotten its flags.
    bench.perform([master(nic, None), master(nic, Some(bridge))]).await?;
    same("a port that came back", &bench.port(nic).await?, &NEW_PORT)?;
    let refused = bench.perform_once(&[port_step(&bench.other_nic, change)]).await.is_err();
    same("flags of a device that is no port are refused", &refused, &true)
}

pub(super) async fn port_is_locked<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, bridge) = (&bench.nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge))]).await?;
    bench.perform([port_step(nic, PortChange { locked: Some(true), ..PortChange::default() })]).await?;
    same("flags", &bench.port(nic).await?, &PortFlags { locked: true, ..NEW_PORT })
}

pub(super) async fn entries_are_set_and_moved<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, other, bridge) = (&bench.nic, &bench.other_nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge)), master(other, Some(bridge))]).await?;
    bench.perform([up(bridge), up(nic), up(other)]).await?;
    bench.perform([KernelStep::ReplaceFdb { entry: entry(bridge, nic, None) }]).await?;
    same("entry", &at(bench, None).await?, &Some(entry(bridge, nic, None)))?;
    bench.perform([KernelStep::ReplaceFdb { entry: entry(bridge, other, None) }]).await?;
    same("entry after its move", &at(bench, None).await?, &Some(entry(bridge, other, None)))?;
    bench.perform([KernelStep::RemoveFdb { entry: entry(bridge, other, None) }]).await?;
    same("entry after its removal", &at(bench, None).await?, &None)?;
    bench.perform([KernelStep::ReplaceFdb { entry: entry(bridge, nic, None) }]).await?;
    bench.perform([master(nic, None)]).await?;
    same("entry after its port has gone", &at(bench, None).await?, &None)
}

pub(super) async fn learned_is_forgotten_by_port<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, other, bridge) = (&bench.nic, &bench.other_nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge)), master(other, Some(bridge))]).await?;
    bench.perform([up(bridge), up(nic), up(other)]).await?;
    let learned = |port: &IfName, last| FdbEntry {
        mac: MacAddr::new([2, 0, 0, 0, 0, last]),
        state: FdbState::Learned,
        ..entry(bridge, port, None)
    };
    let entries = [learned(nic, 1), learned(nic, 2), learned(other, 3), entry(bridge, nic, None)];
    bench.perform(entries.clone().map(|entry| KernelStep::ReplaceFdb { entry })).await?;
    bench.perform([KernelStep::ForgetLearned { port: nic.clone() }]).await?;
    let fdb = bench.state().await?.kernel.fdb;
    let has = entries.map(|entry| fdb.contains(&entry));
    same("entries after a port's were forgotten", &has, &[false, false, true, true])?;
    bench.perform([KernelStep::ForgetLearned { port: nic.clone() }]).await?;
    let no_port = KernelStep::ForgetLearned { port: bridge.clone() };
    let refused = bench.perform_once(&[no_port.into()]).await.is_err();
    same("what is no port is refused", &refused, &true)
}

pub(super) async fn entries_follow_vlans<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, other, bridge) = (&bench.nic, &bench.other_nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge)]).await?;
    let change = BridgeChange { vlan_filtering: Some(true), ..BridgeChange::default() };
    bench.perform([KernelStep::SetBridge { bridge: bridge.clone(), change }]).await?;
    bench.perform([master(nic, Some(bridge)), master(other, Some(bridge)), up(bridge), up(nic), up(other)]).await?;
    // Both, as a plan has them: outside VLANs first, then in the default one.
    for vlan in [None, Some(1)] {
        bench.perform([KernelStep::ReplaceFdb { entry: entry(bridge, nic, vlan) }]).await?;
    }
    for vlan in [None, Some(1)] {
        same("entry", &at(bench, vlan).await?, &Some(entry(bridge, nic, vlan)))?;
    }
    for vlan in [None, Some(1)] {
        bench.perform([KernelStep::RemoveFdb { entry: entry(bridge, nic, vlan) }]).await?;
    }
    for vlan in [None, Some(1)] {
        same("entry after its removal", &at(bench, vlan).await?, &None)?;
    }
    Ok(())
}

pub(super) async fn are_in_vlans<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, bridge) = (&bench.nic, &bench.bridge);
    let set = |change| KernelStep::SetBridge { bridge: bridge.clone(), change };
    let add = |vlans| KernelStep::AddVlans { port: nic.clone(), vlans };
    let remove = |first, last| KernelStep::RemoveVlans { port: nic.clone(), first, last };
    let told = async |expected: Option<&str>| {
        let vlans = bench.link(nic).await?.vlans.map(|vlans| vlans.to_string());
        same("VLANs", &vlans.as_deref(), &expected)
    };
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge)), up(bridge), up(nic)]).await?;
    told(None).await?;
    let filter = |on| set(BridgeChange { vlan_filtering: Some(on), ..BridgeChange::default() });
    bench.perform([filter(true)]).await?;
    told(Some("1 untagged")).await?;
    let tens = VlanRange { last: 19, ..VlanRange::tagged(10) };
    bench.perform([add(tens), add(VlanRange::tagged(30))]).await?;
    told(Some("1 untagged, 10-19 tagged, 30 tagged")).await?;
    // What was untagged before leaves untagged still, and comes in as another.
    bench.perform([add(VlanRange::untagged(15))]).await?;
    told(Some("1 tagged in, untagged out, 10-14 tagged, 15 untagged, 16-19 tagged, 30 tagged")).await?;
    bench.perform([add(VlanRange::untagged(1)), add(VlanRange::tagged(15))]).await?;
    told(Some("1 untagged, 10-19 tagged, 30 tagged")).await?;
    // An entry in a VLAN stays behind where the port leaves the VLAN, and is out of reach until the port is back.
    bench.perform([KernelStep::ReplaceFdb { entry: entry(bridge, nic, Some(15)) }, remove(12, 25)]).await?;
    told(Some("1 untagged, 10-11 tagged, 30 tagged")).await?;
    same("entry left behind", &at(bench, Some(15)).await?, &Some(entry(bridge, nic, Some(15))))?;
    let removal = KernelStep::RemoveFdb { entry: entry(bridge, nic, Some(15)) };
    let refused = bench.perform_once(&[removal.clone().into()]).await.is_err();
    same("removal of an entry left behind is refused", &refused, &true)?;
    bench.perform([add(VlanRange::tagged(15)), removal, remove(15, 15), remove(11, 11)]).await?;
    same("entry after its removal", &at(bench, Some(15)).await?, &None)?;
    let pvid = |pvid| set(BridgeChange { default_pvid: Some(pvid), ..BridgeChange::default() });
    bench.perform([pvid(5)]).await?;
    told(Some("5 untagged, 10 tagged, 30 tagged")).await?;
    bench.perform([pvid(0)]).await?;
    told(Some("10 tagged, 30 tagged")).await?;
    bench.perform([filter(false)]).await?;
    told(None).await?;
    bench.perform([filter(true).into(), master(nic, None), master(nic, Some(bridge)), pvid(1).into()]).await?;
    told(Some("1 untagged")).await?;
    let refused = bench.perform_once(&[add(VlanRange::tagged(4095)).into()]).await.is_err();
    same("VLAN 4095 is refused", &refused, &true)
}

pub(super) async fn entry_is_sticky<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, bridge) = (&bench.nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge)), up(bridge), up(nic)]).await?;
    let sticky = FdbEntry { sticky: true, ..entry(bridge, nic, None) };
    bench.perform([KernelStep::ReplaceFdb { entry: sticky.clone() }]).await?;
    same("entry", &at(bench, None).await?, &Some(sticky))
}

pub(super) async fn own_entries_come_back<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (nic, bridge) = (&bench.nic, &bench.bridge);
    bench.perform([bench.create_bridge(bridge), master(nic, Some(bridge)), up(bridge), up(nic)]).await?;
    let mac = bench.link(bridge).await?.mac.ok_or("the bridge has no MAC")?;
    let is_there = async || {
        let fdb = bench.state().await?.kernel.fdb;
        let is_own = |entry: &FdbEntry| {
            entry.bridge == *bridge && entry.mac == mac && entry.vlan.is_none() && entry.state == FdbState::Local
        };
        Ok::<_, String>(fdb.iter().any(is_own))
    };
    same("the host's own entry", &is_there().await?, &true)?;
    let own = FdbEntry { mac, state: FdbState::Local, ..entry(bridge, bridge, None) };
    // Whoever flushes the table removes it, and the kernel lets it be at the bridge or at the port with its MAC.
    for port in [bridge, nic] {
        bench.perform([KernelStep::RemoveFdb { entry: FdbEntry { port: port.clone(), ..own.clone() } }]).await?;
    }
    same("the host's own entry after its removal", &is_there().await?, &false)?;
    bench.perform([KernelStep::ReplaceFdb { entry: own.clone() }]).await?;
    same("the host's own entry that came back", &is_there().await?, &true)
}

fn entry(bridge: &IfName, port: &IfName, vlan: Option<u16>) -> FdbEntry {
    let (bridge, port) = (bridge.clone(), port.clone());
    FdbEntry { bridge, port, mac: OTHER_MAC, vlan, state: FdbState::Static, sticky: false }
}

/// Returns the static entry of the cases' MAC in the bridge.
async fn at<H: Host>(bench: &Bench<'_, H>, vlan: Option<u16>) -> Result<Option<FdbEntry>, String> {
    let fdb = bench.state().await?.kernel.fdb;
    Ok(fdb.into_iter().find(|entry| {
        entry.bridge == bench.bridge && entry.mac == OTHER_MAC && entry.vlan == vlan && entry.state == FdbState::Static
    }))
}

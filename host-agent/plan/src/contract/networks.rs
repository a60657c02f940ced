//! Cases about libvirt's networks.

use trestle_model::{LibvirtNetwork, MacTableManager};

use super::bench::{Bench, NETWORK, libvirt, same, up};
use crate::{Host, LibvirtStep, NetworkDefinition};

pub(super) async fn network_comes_and_goes<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    bench.perform([bench.create_bridge(&bench.bridge), up(&bench.bridge)]).await?;
    // Without a UUID, the second definition has to find that of the first.
    bench.perform([LibvirtStep::Define(definition(bench, None))]).await?;
    let defined = network(bench).await?.ok_or("the network is not there")?;
    same("bridge", &defined.bridge.as_deref(), &Some(bench.bridge.as_str()))?;
    same("forward mode", &defined.forward.as_str(), &"bridge")?;
    same("manager", &defined.mac_table_manager, &MacTableManager::Kernel)?;
    same("owner", &defined.owner.as_deref(), &Some("contract"))?;
    same(
        "active, autostart, persistent",
        &(defined.active, defined.autostart, defined.persistent),
        &(false, false, true),
    )?;
    bench.perform([LibvirtStep::Start { name: NETWORK.to_owned() }]).await?;
    bench.perform([LibvirtStep::SetAutostart { name: NETWORK.to_owned(), autostart: true }]).await?;
    let running = network(bench).await?.ok_or("the network is not there")?;
    same(
        "active, autostart, persistent",
        &(running.active, running.autostart, running.persistent),
        &(true, true, true),
    )?;
    bench.perform([LibvirtStep::SetAutostart { name: NETWORK.to_owned(), autostart: false }]).await?;
    bench.perform([LibvirtStep::Stop { name: NETWORK.to_owned() }]).await?;
    let stopped = network(bench).await?.ok_or("the network is not there")?;
    same("active, autostart", &(stopped.active, stopped.autostart), &(false, false))?;
    same("UUID", &stopped.uuid, &defined.uuid)?;
    bench.perform([LibvirtStep::Undefine { name: NETWORK.to_owned() }]).await?;
    same("network", &network(bench).await?, &None)?;
    // Stopping what is not there is fine.
    bench.perform([LibvirtStep::Stop { name: NETWORK.to_owned() }]).await
}

pub(super) async fn definition_is_restored<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    bench.perform([bench.create_bridge(&bench.bridge), bench.create_bridge(&bench.other_bridge)]).await?;
    bench.perform([LibvirtStep::Define(definition(bench, None))]).await?;
    let before = network(bench).await?.ok_or("the network is not there")?;
    let other = NetworkDefinition { bridge: bench.other_bridge.clone(), ..definition(bench, Some(&before)) };
    bench.perform([LibvirtStep::Define(other)]).await?;
    let changed = network(bench).await?.ok_or("the network is not there")?;
    same("bridge", &changed.bridge.as_deref(), &Some(bench.other_bridge.as_str()))?;
    same("UUID", &changed.uuid, &before.uuid)?;
    bench.perform([LibvirtStep::DefineXml { name: NETWORK.to_owned(), xml: before.xml.clone() }]).await?;
    same("network", &network(bench).await?, &Some(before.clone()))?;
    bench.perform([LibvirtStep::Undefine { name: NETWORK.to_owned() }]).await?;
    bench.perform([LibvirtStep::DefineXml { name: NETWORK.to_owned(), xml: before.xml.clone() }]).await?;
    same("network that was gone", &network(bench).await?, &Some(before))
}

pub(super) async fn manages_mac_table<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let managed =
        |before| NetworkDefinition { mac_table_manager: MacTableManager::Libvirt, ..definition(bench, before) };
    bench.perform([LibvirtStep::Define(managed(None))]).await?;
    let start = libvirt(LibvirtStep::Start { name: NETWORK.to_owned() });
    let refused = bench.perform_once(std::slice::from_ref(&start)).await.is_err();
    same("a start without the bridge is refused", &refused, &true)?;
    bench.perform([bench.create_bridge(&bench.bridge), start]).await?;
    let running = network(bench).await?.ok_or("the network is not there")?;
    same("manager", &running.mac_table_manager, &MacTableManager::Libvirt)?;
    same("active", &running.active, &true)?;
    same("VLAN filtering", &bench.bridge_of(&bench.bridge).await?.vlan_filtering, &true)?;
    // The running network keeps what it was started with, and tells what it becomes.
    same("what it becomes", &running.redefined, &None)?;
    bench.perform([LibvirtStep::Define(definition(bench, Some(&running)))]).await?;
    let redefined = network(bench).await?.ok_or("the network is not there")?;
    same("manager in force", &redefined.mac_table_manager, &MacTableManager::Libvirt)?;
    let next = redefined.redefined.map(|form| form.mac_table_manager);
    same("manager at the next start", &next, &Some(MacTableManager::Kernel))?;
    bench.perform([LibvirtStep::Define(managed(Some(&running)))]).await?;
    same("network that is defined as it runs", &network(bench).await?, &Some(running.clone()))?;
    // A stop leaves the bridge as it is.
    bench.perform([LibvirtStep::Stop { name: NETWORK.to_owned() }]).await?;
    same("VLAN filtering", &bench.bridge_of(&bench.bridge).await?.vlan_filtering, &true)?;
    bench.perform([LibvirtStep::Define(definition(bench, Some(&running)))]).await?;
    let changed = network(bench).await?.ok_or("the network is not there")?;
    same("manager", &changed.mac_table_manager, &MacTableManager::Kernel)
}

fn definition<H>(bench: &Bench<'_, H>, before: Option<&LibvirtNetwork>) -> NetworkDefinition {
    NetworkDefinition {
        name: NETWORK.to_owned(),
        uuid: before.map(|network| network.uuid),
        bridge: bench.bridge.clone(),
        mac_table_manager: MacTableManager::Kernel,
        owner: "contract".to_owned(),
    }
}

async fn network<H: Host>(bench: &Bench<'_, H>) -> Result<Option<LibvirtNetwork>, String> {
    let libvirt = bench.state().await?.libvirt.ok_or("the host has no libvirt")?;
    Ok(libvirt.networks.get(NETWORK).cloned())
}

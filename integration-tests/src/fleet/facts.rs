//! Facts about hosts, read from the kernel and from libvirt and not from Trestle.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::host::Host;
use crate::lab::libvirt::Guest;

/// The name under which libvirt knows a network of Trestle's.
pub fn libvirt_name(network: &str) -> String {
    format!("trestle-{network}")
}

/// A guest for a network of Trestle's.
pub fn guest(name: &str, mac: &str, network: &str) -> Guest {
    Guest { name: name.to_owned(), mac: mac.to_owned(), network: libvirt_name(network) }
}

/// The attributes of a bridge, as `ip -d -j link` has them.
///
/// *Errors*: there is no such bridge.
pub async fn bridge(host: &Host, bridge: &str) -> Result<Value> {
    let link = host.link(bridge).await?;
    ensure!(link["linkinfo"]["info_kind"] == "bridge", "{bridge} on {} is no bridge: {link}", host.name());
    Ok(link["linkinfo"]["info_data"].clone())
}

/// Whether the kernel filters VLANs on a bridge.
pub async fn filters_vlans(host: &Host, name: &str) -> Result<bool> {
    Ok(bridge(host, name).await?["vlan_filtering"] == 1)
}

/// Who manages the MAC table of a network's bridge, as libvirt says: `libvirt`, or nothing for the kernel.
///
/// *Errors*: libvirt does not know the network, or it does not run or does not start by itself.
pub async fn mac_table_manager(host: &Host, network: &str) -> Result<Option<String>> {
    let name = libvirt_name(network);
    let info = host.machine.virsh(&format!("net-info {name}")).await?;
    for (key, wanted) in [("Active:", "yes"), ("Autostart:", "yes")] {
        let line = info.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        ensure!(line.ends_with(wanted), "{name} on {}: {info}", host.name());
    }
    let xml = host.machine.virsh(&format!("net-dumpxml {name}")).await?;
    let (_, rest) = xml.split_once("<bridge ").with_context(|| xml.clone())?;
    let manager = rest.split_once("macTableManager='").and_then(|(_, rest)| rest.split_once('\''));
    Ok(manager.map(|(manager, _)| manager.to_owned()))
}

/// Whether libvirt knows a network of Trestle's.
pub async fn libvirt_knows(host: &Host, network: &str) -> Result<bool> {
    let names = host.machine.virsh("net-list --all --name").await?;
    Ok(names.lines().any(|name| name.trim() == libvirt_name(network)))
}

/// Succeeds when a guest's port neither learns nor floods, and its MAC is a static entry of that port.
///
/// *Errors*: it is otherwise; the error quotes the port and the table.
pub async fn guest_port_is_managed(host: &Host, bridge: &str, tap: &str, mac: &str) -> Result<()> {
    let port = &host.asked(&format!("bridge -d -j link show dev {tap}")).await?[0];
    ensure!(port["learning"] == false && port["flood"] == false, "{tap} learns or floods: {port}");
    ensure!(port["mcast_flood"] == true, "{tap} gets no multicast: {port}");
    let table = host.asked(&format!("bridge -d -j fdb show br {bridge}")).await?;
    let entries = table.as_array().context("no table")?;
    let is_static = |entry: &&Value| entry["mac"] == mac && entry["ifname"] == tap && entry["state"] == "static";
    ensure!(entries.iter().any(|entry| is_static(&entry)), "{mac} has no static entry at {tap}: {table:#}");
    Ok(())
}

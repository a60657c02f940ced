//! Networks on hosts: what was applied is what kernel, libvirt and agents say.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::host::Host;
use integration_tests::fleet::{Fleet, facts, in_checkout, is_in_sync, network};
use integration_tests::lab::libvirt::{AnsweringGuest, Wiring};
use serde_json::{Value, json};

use crate::SETTLE;

pub(crate) const GUEST_MAC: &str = "52:54:00:aa:00:01";
/// Where the guest answers that moves.
const MOVER: &str = "10.10.0.50";
const SHORT: Duration = Duration::from_secs(30);

/// The VLAN network of the story, with an address on each host.
const RED: &str = "
kind: Network
name: networks/red
spec: {vlanId: 100, mtu: 1450}
---
kind: ClusterNetwork
name: clusters/lab/clusterNetworks/red
---
kind: NetworkAttachment
name: hosts/host-a/networkAttachments/red
spec: {nic: eth2, ipv4: {static: {addresses: [198.51.100.1/24]}}}
---
kind: NetworkAttachment
name: hosts/host-b/networkAttachments/red
spec: {nic: eth2, ipv4: {static: {addresses: [198.51.100.2/24]}}}
";

fn hosts(fleet: &Fleet) -> [&Host; 2] {
    [&fleet.a, &fleet.b]
}

/// The example that the documentation shows.
fn example() -> Result<String> {
    let path = in_checkout("deploy/examples/fleet.yaml");
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

pub(crate) async fn a_file_is_applied(fleet: &Fleet) -> Result<()> {
    fleet.ctl.apply(&example()?).await?;
    // The command has waited: nothing is owed any more.
    for host in ["host-a", "host-b"] {
        let status = fleet.status(host).await?;
        ensure!(is_in_sync(&status), "{host}: {status:#}");
        ensure!(network(&status, "blue").context("no blue")?["sync"] == "SYNC_IN_SYNC", "{host}: {status:#}");
    }
    Ok(())
}

pub(crate) async fn kernel_and_libvirt_have_it(fleet: &Fleet) -> Result<()> {
    for host in hosts(fleet) {
        let bridge = facts::bridge(host, "blue").await?;
        ensure!(bridge["vlan_filtering"] == 1, "{bridge}");
        ensure!(bridge["vlan_default_pvid"] == 1, "{bridge}");
        let uplink = host.link("eth1.10").await?;
        ensure!(uplink["master"] == "blue", "{uplink}");
        ensure!(uplink["flags"].to_string().contains("\"UP\""), "{uplink}");
        ensure!(facts::mac_table_manager(host, "blue").await?.as_deref() == Some("libvirt"));
    }
    fleet.a.machine.wait_until("ping -c1 -W2 10.10.0.2", SHORT).await
}

pub(crate) async fn a_guest_is_managed(fleet: &Fleet) -> Result<()> {
    let host = &fleet.a;
    let tap = host.machine.start_guest(&facts::guest("guest-1", GUEST_MAC, "blue")).await?;
    facts::guest_port_is_managed(host, "blue", &tap, GUEST_MAC).await
}

pub(crate) async fn capabilities_report_it(fleet: &Fleet) -> Result<()> {
    let asked = fleet.a.caller()?.call("trestle.host.v1.HostAgent/GetCapabilities", &json!({})).await?;
    let inside = fleet.a.call_inside("trestle.host.v1.HostAgent/GetCapabilities").await?;
    for answer in [asked, inside] {
        let capabilities = &answer["capabilities"];
        for report in capabilities["networks"].as_array().context("no networks")? {
            ensure!(report["manageMacsWithLibvirt"] == true, "{report:#}");
        }
        let blue = network(capabilities, "blue").context("no blue")?;
        ensure!(blue["origin"] == "ORIGIN_ENGINE" && blue["drift"] == json!([]), "{blue:#}");
        ensure!(blue["bridge"]["vlanFiltering"] == true, "{blue:#}");
        ensure!(blue["macTable"]["manager"] == "libvirt" && blue["macTable"]["active"] == true, "{blue:#}");
        let entries = blue["macTable"]["entries"].as_array().context("no entries")?;
        let is_guests = |entry: &&Value| entry["mac"] == GUEST_MAC && entry["state"] == "FDB_STATE_STATIC";
        ensure!(entries.iter().any(|entry| is_guests(&entry)), "{blue:#}");
        let ports = blue["ports"].as_array().context("no ports")?;
        let guests = ports.iter().find(|port| port["guestMac"] == GUEST_MAC).context("no port of the guest's")?;
        ensure!(guests["guest"] == "guest-1" && guests["learning"] == false && guests["flood"] == false, "{guests:#}");

        ensure!(capabilities["dirty"] == false, "the engine commits what it sets");
        let libvirt = &capabilities["libvirt"];
        ensure!(libvirt["connected"] == true, "{libvirt}");
        let filters = libvirt["filters"].as_array().context("no filters")?;
        let stopping = filters.iter().filter(|filter| filter["stopsMacSpoofing"] == true).map(|filter| &filter["name"]);
        let stopping: Vec<_> = stopping.collect();
        let expected = ["clean-traffic", "clean-traffic-gateway", "no-mac-spoofing", "trestle-listed-macs"];
        ensure!(stopping == expected, "{libvirt:#}");
        let features = capabilities["features"].as_array().context("no features")?;
        for feature in ["bridge_vlan_filtering", "libvirt_mac_table_manager", "vlan_devices"] {
            let is_there = |report: &Value| report["name"] == feature && report["support"] == "SUPPORT_PRESENT";
            ensure!(features.iter().any(is_there), "{feature}: {features:?}");
        }
    }
    Ok(())
}

pub(crate) async fn a_second_apply_changes_nothing(fleet: &Fleet) -> Result<()> {
    let (revision, status, before) = (revision(fleet).await?, fleet.status("host-a").await?, fleet.a.picture().await?);
    let document = example()?;
    fleet.a.is_quiet_during(async || fleet.ctl.apply(&document).await.map(drop)).await?;
    ensure!(self::revision(fleet).await? == revision, "the store's revision has moved");
    let after = fleet.status("host-a").await?;
    ensure!(after["lastResult"]["transactionId"] == status["lastResult"]["transactionId"], "a command was sent");
    fleet.a.picture().await?.same_as(&before)
}

/// The store's revision, which grows with every change.
async fn revision(fleet: &Fleet) -> Result<String> {
    let caller = fleet.caller().await?;
    let output = caller.run(&["-max-time", "2", "-d", "{}"], &["trestle.engine.v1.HostService/WatchHosts"], "").await?;
    let events = serde_json::Deserializer::from_str(&output.stdout).into_iter::<Value>().map_while(Result::ok);
    let marks: Vec<Value> = events.filter(|event| !event["bookmark"].is_null()).collect();
    let mark = marks.first().with_context(|| format!("no bookmark: {output:?}"))?;
    Ok(mark["bookmark"]["generation"].to_string())
}

pub(crate) async fn an_edit_arrives(fleet: &Fleet) -> Result<()> {
    let before = fleet.ctl.run(&["get", "network", "blue", "--output", "yaml"]).await?;
    let carrier = carrier_changes(&fleet.a).await?;
    fleet
        .ctl
        .apply(
            "kind: Network\nname: networks/blue\nspec: {vlanId: 10, manageMacsWithLibvirt: true, mtu: 1400, stp: true}",
        )
        .await?;
    for host in hosts(fleet) {
        ensure!(host.link("blue").await?["mtu"] == 1400, "{}", host.link("blue").await?);
        ensure!(host.link("eth1.10").await?["mtu"] == 1400, "{}", host.link("eth1.10").await?);
        let bridge = facts::bridge(host, "blue").await?;
        ensure!(bridge["stp_state"] == 1 && bridge["vlan_filtering"] == 1, "{bridge}");
    }
    let ports = fleet.a.machine.run("ls /sys/class/net/blue/brif").await?;
    ensure!(ports.lines().count() == 2, "the guest has lost its port: {ports}");
    ensure!(carrier_changes(&fleet.a).await? == carrier, "the uplink has bounced");
    // Back to what it was, in the words that the engine itself gave.
    fleet.ctl.apply(&before).await?;
    for host in hosts(fleet) {
        ensure!(facts::bridge(host, "blue").await?["stp_state"] == 0);
        ensure!(host.link("blue").await?["mtu"] == 1500);
    }
    Ok(())
}

async fn carrier_changes(host: &Host) -> Result<String> {
    host.machine.run("cat /sys/class/net/eth1/carrier_changes").await
}

pub(crate) async fn a_vlan_carries_traffic(fleet: &Fleet) -> Result<()> {
    fleet.ctl.apply(RED).await?;
    for host in hosts(fleet) {
        let bridge = host.link("red").await?;
        ensure!(bridge["mtu"] == 1450, "{bridge}");
        ensure!(!facts::filters_vlans(host, "red").await?, "nobody asked for a managed MAC table");
        ensure!(facts::mac_table_manager(host, "red").await?.as_deref() != Some("libvirt"));
        let ports = host.machine.run("ls /sys/class/net/red/brif").await?;
        let device = host.link(ports.trim()).await?;
        ensure!(device["link"] == "eth2", "{device}");
        ensure!(device["linkinfo"]["info_kind"] == "vlan" && device["linkinfo"]["info_data"]["id"] == 100, "{device}");
    }
    fleet.a.machine.wait_until("ping -c1 -W2 -s 1400 -M do 198.51.100.2", SHORT).await?;
    let capabilities = &fleet.a.call_inside("trestle.host.v1.HostAgent/GetCapabilities").await?["capabilities"];
    let red = network(capabilities, "red").context("no red")?;
    ensure!(red["manageMacsWithLibvirt"] == false, "{red:#}");
    Ok(())
}

pub(crate) async fn mac_tables_are_switched(fleet: &Fleet) -> Result<()> {
    let red = |managed| {
        format!("kind: Network\nname: networks/red\nspec: {{vlanId: 100, mtu: 1450, manageMacsWithLibvirt: {managed}}}")
    };
    let uuid = "virsh -q -c qemu:///system net-uuid trestle-red";
    let before = fleet.a.machine.run(uuid).await?;
    fleet.ctl.apply(&red(true)).await?;
    for host in hosts(fleet) {
        ensure!(facts::filters_vlans(host, "red").await?);
        ensure!(facts::mac_table_manager(host, "red").await?.as_deref() == Some("libvirt"));
    }
    fleet.a.machine.wait_until("ping -c1 -W2 198.51.100.2", SHORT).await?;
    ensure!(fleet.a.machine.run(uuid).await? == before, "libvirt's network was made anew");
    fleet.ctl.apply(&red(false)).await?;
    for host in hosts(fleet) {
        ensure!(!facts::filters_vlans(host, "red").await?);
        ensure!(facts::mac_table_manager(host, "red").await?.as_deref() != Some("libvirt"));
    }
    fleet.a.machine.wait_until("ping -c1 -W2 198.51.100.2", SHORT).await
}

pub(crate) async fn a_removed_network_is_gone(fleet: &Fleet) -> Result<()> {
    fleet.ctl.run(&["delete", "hosts/host-b/networkAttachments/red"]).await?;
    fleet.until_in_sync("host-b", SETTLE).await?;
    ensure!(!fleet.b.has_link("red").await? && !fleet.b.has_link("eth2.100").await?);
    ensure!(!facts::libvirt_knows(&fleet.b, "red").await?);
    ensure!(fleet.a.has_link("red").await?, "the other host keeps it");
    ensure!(fleet.b.has_link("blue").await?, "its sibling stays");

    let names = ["hosts/host-a/networkAttachments/red", "clusters/lab/clusterNetworks/red", "networks/red"];
    fleet.ctl.run(&["delete", names[0], names[1], names[2]]).await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    ensure!(!fleet.a.has_link("red").await? && !facts::libvirt_knows(&fleet.a, "red").await?);
    let status = fleet.status("host-a").await?;
    ensure!(network(&status, "red").is_none(), "{status:#}");
    Ok(())
}

/// One guest, on the one host and then on the other: stopped there and started here, as after a migration the MAC is found
/// elsewhere from one moment to the next.
pub(crate) async fn a_guest_moves_between_hosts(fleet: &Fleet) -> Result<()> {
    let guest = AnsweringGuest {
        name: "mover".to_owned(),
        mac: "52:54:00:aa:00:07".to_owned(),
        wiring: Wiring::Network(facts::libvirt_name("blue")),
        address: MOVER.parse()?,
    };
    for (here, there) in [(&fleet.a, &fleet.b), (&fleet.b, &fleet.a)] {
        let tap = here.machine.start_answering_guest(&guest).await?;
        facts::guest_port_is_managed(here, "blue", &tap, &guest.mac).await?;
        // The first ping of each: nothing has had time to age, and the other host still knows the guest's address.
        for host in [there, here] {
            let said = host.machine.run(&format!("ping -c1 -W10 {MOVER}")).await;
            said.with_context(|| format!("on {}, from {}", here.name(), host.name()))?;
        }
        let answer = here.machine.tell_guest(&guest.name, &format!("ping {}", blue_address(there, fleet))).await?;
        ensure!(answer == "pong", "{answer}");
        here.machine.stop_guest(&guest.name).await?;
    }
    Ok(())
}

fn blue_address(host: &Host, fleet: &Fleet) -> &'static str {
    if host.name() == fleet.a.name() { "10.10.0.1" } else { "10.10.0.2" }
}

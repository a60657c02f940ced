//! vNICs: what the engine has is what guests on a real host have, plugged there by the agent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::{Fleet, facts};
use integration_tests::lab::libvirt::{AnsweringGuest, Wiring};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const GUEST: &str = "web";
const MAC: &str = "52:54:00:aa:00:21";
const SECOND: &str = "52:54:00:aa:00:22";
const FOREIGN: &str = "52:54:00:aa:00:2f";
/// A further MAC that the guest may send from.
const LISTED: &str = "52:54:00:aa:00:2a";
/// Where the guest answers, on whichever network its first card is.
const ADDRESS: &str = "10.10.0.60";

/// One address, so that it is known which one the guest gets.
const POOL: &str = "
kind: MacPool
name: macPools/one
spec: {ranges: [{first: '52:54:00:aa:00:21', last: '52:54:00:aa:00:21'}]}
---
kind: Cluster
name: clusters/lab
spec: {description: The lab, macPool: macPools/one}
";

/// What a profile can give, and a network that isolates its guests.
const FULL: &str = "
kind: Network
name: networks/blue
spec: {description: 'Guests, MAC tables managed by libvirt', vlanId: 10, manageMacsWithLibvirt: true, portIsolation: true}
---
kind: VnicProfile
name: networks/blue/vnicProfiles/full
spec:
  extraMacsAllowed: 1
  guestTagging: {mode: TAGGING_MODE_LIST, vlanIds: [7]}
  bandwidth: {inbound: {average: 100000}, outbound: {average: 50000}}
";

/// The guest was plugged behind the engine's back, without a filter: first it is nobody's, and then a vNIC's, and mended.
pub(crate) async fn the_engine_mends_a_guest(fleet: &Fleet, name: &str, mac: &str) -> Result<()> {
    let spoofs =
        |finding: &Value| finding["code"] == "MAC_SPOOF_CONFLICT" && finding["message"].to_string().contains(name);
    let breaks = |status: &Value| status["violations"].as_array().is_some_and(|all| all.iter().any(spoofs));
    let status = fleet.until("host-a", LIMIT, breaks).await?;
    ensure!(status["unmanagedInterfaceCount"] == 1, "{status:#}");
    let unmanaged = fleet.ctl.json(&["unmanaged", "host-a"]).await?;
    let seen = &unmanaged[0]["seen"];
    ensure!(seen["network"] == "networks/blue" && seen["interface"]["mac"] == mac, "{unmanaged:#}");

    let vm = vm_name(fleet, name).await?;
    let guest = format!(
        "kind: Vm\nname: {vm}\nspec: {{cluster: clusters/lab, host: hosts/host-a}}\n---\nkind: Vnic\nname: {vm}/vnics/eth0\n\
         spec: {{mac: '{mac}', profile: networks/blue/vnicProfiles/default}}\n"
    );
    fleet.ctl.apply(&guest).await?;
    let status = fleet.until("host-a", LIMIT, |status| !breaks(status) && is_plugged(status)).await?;
    ensure!(status["unmanagedInterfaceCount"].as_u64().unwrap_or_default() == 0, "{status:#}");
    let xml = fleet.a.machine.virsh(&format!("dumpxml {name}")).await?;
    ensure!(xml.contains("<filterref filter='no-mac-spoofing'"), "{xml}");
    let status = fleet.ctl.json(&["get", "vm", &vm]).await?["status"].take();
    ensure!(status["sync"] == "PLUG_SYNC_IN_SYNC" && status["seen"][0]["host"] == "hosts/host-a", "{status:#}");
    let vnic = format!("{vm}/vnics/eth0");
    let status = fleet.ctl.json(&["get", "vnic", &vnic]).await?["status"].take();
    ensure!(status["sync"] == "PLUG_SYNC_IN_SYNC" && status["seen"]["interface"]["tap"].is_string(), "{status:#}");

    // It does not let go of the interface unnoticed.
    let refused = fleet.ctl.exec(&["delete", &vnic]).await?;
    ensure!(refused.stderr.contains("VNIC_STILL_PLUGGED"), "{refused:?}");
    fleet.ctl.run(&["delete", &vnic, &vm, "--acknowledge", "VNIC_STILL_PLUGGED"]).await?;
    Ok(())
}

/// A vNIC comes to a guest that is off, and then to one that runs; its cable is pulled, and it goes.
pub(crate) async fn guests_are_plugged(fleet: &Fleet) -> Result<()> {
    let machine = &fleet.a.machine;
    let wiring = Wiring::Network(facts::libvirt_name("blue"));
    let interface = wiring.interface_xml(MAC);
    let guest = AnsweringGuest { name: GUEST.to_owned(), mac: MAC.to_owned(), wiring, address: ADDRESS.parse()? };
    let xml = machine.answering_guest_xml(&guest).replace(&interface, "");
    ensure!(!xml.contains("<interface"), "{xml}");
    machine.write("/run/lab/web.xml", &xml).await?;
    machine.virsh("define /run/lab/web.xml").await?;
    let vm = vm_name(fleet, GUEST).await?;
    fleet.ctl.apply(POOL).await?;
    fleet.ctl.apply(&format!("kind: Vm\nname: {vm}\nspec: {{cluster: clusters/lab}}")).await?;
    put(fleet, &vm, "eth0", &json!({"profile": "networks/blue/vnicProfiles/default"})).await?;
    // The host may not have told of the domain yet, so that nobody could be waited for.
    machine.wait_until(&format!("virsh -c qemu:///system dumpxml {GUEST} --inactive | grep -q {MAC}"), LIMIT).await?;
    let defined = machine.virsh(&format!("dumpxml {GUEST} --inactive")).await?;
    ensure!(defined.contains(MAC) && defined.contains("filter='no-mac-spoofing'"), "{defined}");

    machine.virsh(&format!("start {GUEST}")).await?;
    machine.await_guest(GUEST).await?;
    let runs = format!("kind: Vm\nname: {vm}\nspec: {{cluster: clusters/lab, host: hosts/host-a}}");
    fleet.ctl.apply(&runs).await?;
    answers_on(fleet, "blue").await?;
    let tap = machine.tap(GUEST).await?;
    facts::guest_port_is_managed(&fleet.a, "blue", &tap, MAC).await?;

    put(fleet, &vm, "eth1", &json!({"mac": SECOND, "profile": "networks/blue/vnicProfiles/default"})).await?;
    let has_entry = format!("bridge fdb show br blue | grep -q '^{SECOND}.*static'");
    machine.wait_until(&has_entry, LIMIT).await?;
    let down = json!({"mac": MAC, "profile": "networks/blue/vnicProfiles/default", "linked": false});
    put(fleet, &vm, "eth0", &down).await?;
    let link = async || machine.virsh(&format!("domif-getlink {GUEST} {tap}")).await;
    ensure!(link().await?.contains("down"));
    put(fleet, &vm, "eth0", &json!({"mac": MAC, "profile": "networks/blue/vnicProfiles/default"})).await?;
    ensure!(link().await?.contains("up"));
    answers_on(fleet, "blue").await?;

    // What a guest that runs cannot take is told, and nothing is done.
    let other = json!({"mac": MAC, "profile": "networks/blue/vnicProfiles/default", "model": "VNIC_MODEL_E1000"});
    let told = fleet.ctl.exec_with_input(&["apply", "-f", "-"], &vnic(&vm, "eth0", &other)).await?;
    let said = format!("{}{}", told.stdout, told.stderr);
    ensure!(said.contains("owed: REPLUG_NEEDED"), "{told:?}");
    let status = fleet.ctl.json(&["get", "vnic", &format!("{vm}/vnics/eth0")]).await?["status"].take();
    ensure!(status["plugging"]["findings"][0]["code"] == "REPLUG_NEEDED", "{status:#}");
    put(fleet, &vm, "eth0", &json!({"mac": MAC, "profile": "networks/blue/vnicProfiles/default"})).await?;

    let gone = json!({"mac": SECOND, "profile": "networks/blue/vnicProfiles/default", "plugged": false});
    let release = machine.line_command(GUEST, "release");
    let released = format!("timeout 5 {release} | grep -qv '^0$'");
    let (unplugged, released) = tokio::join!(put(fleet, &vm, "eth1", &gone), machine.wait_until(&released, LIMIT));
    released?;
    unplugged?;
    let taps = machine.virsh(&format!("domiflist {GUEST}")).await?;
    ensure!(!taps.contains(SECOND), "{taps}");
    fleet.ctl.run(&["delete", &format!("{vm}/vnics/eth1")]).await?;
    Ok(())
}

/// One vNIC with all that a vNIC can have, as the kernel and libvirt have it; and the guest is heard from its listed MAC, and from
/// no other.
pub(crate) async fn a_vnic_has_everything(fleet: &Fleet) -> Result<()> {
    let machine = &fleet.a.machine;
    let vm = vm_name(fleet, GUEST).await?;
    let blue = fleet.ctl.run(&["get", "network", "blue", "--output", "yaml"]).await?;
    fleet.ctl.apply(FULL).await?;
    let full = json!({
        "mac": MAC, "profile": "networks/blue/vnicProfiles/full", "extraMacs": [LISTED],
        "filterParameters": [{"name": "IP", "value": ADDRESS}],
    });
    put(fleet, &vm, "eth0", &full).await?;
    let xml = machine.virsh(&format!("dumpxml {GUEST}")).await?;
    for words in [
        "<filterref filter='trestle-listed-macs'>",
        &format!("<parameter name='EXTRA_MAC' value='{LISTED}'/>"),
        &format!("<parameter name='IP' value='{ADDRESS}'/>"),
        "<inbound average='100000'/>",
        "<outbound average='50000'/>",
        "<port isolated='yes'/>",
        &format!("<mac address='{MAC}'/>"),
    ] {
        ensure!(xml.contains(words), "no {words}: {xml}");
    }
    let tap = machine.tap(GUEST).await?;
    // The host's networks and its guest's interface are two wishes.
    for mac in [MAC, LISTED] {
        let tagged = format!("bridge fdb show br blue | grep '^{mac} dev {tap} vlan 7 ' | grep -q static");
        machine.wait_until(&tagged, LIMIT).await?;
        facts::guest_port_is_managed(&fleet.a, "blue", &tap, mac).await?;
    }
    machine.run(&format!("bridge vlan show dev {tap} | grep -qw 7")).await.context("its VLAN")?;
    machine.run(&format!("bridge -d link show dev {tap} | grep -q 'isolated on'")).await.context("its port")?;
    machine.run(&format!("tc qdisc show dev {tap} | grep -q htb")).await.context("its rates")?;

    answers_on(fleet, "blue").await.context("its own MAC")?;
    machine.tell_guest(GUEST, &format!("mac {LISTED}")).await?;
    answers_on(fleet, "blue").await.context("a listed MAC")?;
    machine.tell_guest(GUEST, &format!("mac {FOREIGN}")).await?;
    is_silent(fleet).await.context("a MAC that is not listed passes")?;
    machine.tell_guest(GUEST, &format!("mac {LISTED}")).await?;
    // The list shrinks to nothing while the guest runs.
    put(fleet, &vm, "eth0", &json!({"mac": MAC, "profile": "networks/blue/vnicProfiles/default"})).await?;
    is_silent(fleet).await.context("a MAC that is listed no more passes")?;
    machine.tell_guest(GUEST, &format!("mac {MAC}")).await?;
    answers_on(fleet, "blue").await.context("its own MAC again")?;
    fleet.ctl.run(&["delete", "networks/blue/vnicProfiles/full"]).await?;
    fleet.ctl.apply(&blue).await.map(drop)
}

/// The same guest on a network that nobody manages: without a filter it sends with a MAC that is not its own and is heard, with
/// the default it is not; and where libvirt is to manage the MACs, no filter is refused from both sides.
pub(crate) async fn a_filter_stops_a_real_spoofer(fleet: &Fleet) -> Result<()> {
    let machine = &fleet.a.machine;
    let vm = vm_name(fleet, GUEST).await?;
    let open = "kind: VnicProfile\nname: networks/red/vnicProfiles/open\nspec: {networkFilter: {none: true}}";
    fleet.ctl.apply(open).await?;
    put(fleet, &vm, "eth0", &json!({"mac": MAC, "profile": "networks/red/vnicProfiles/open"})).await?;
    answers_on(fleet, "red").await.context("rewired")?;
    ensure!(!machine.run("bridge fdb show br blue").await?.contains(MAC), "its entry stayed behind");
    machine.tell_guest(GUEST, &format!("mac {FOREIGN}")).await?;
    answers_on(fleet, "red").await.context("without a filter, a foreign MAC is answered")?;

    let managed = "kind: Network\nname: networks/red\nspec: {vlanId: 100, mtu: 1450, manageMacsWithLibvirt: true}";
    let said = fleet.ctl.refused(managed).await?;
    ensure!(said.contains("MAC_SPOOF_CONFLICT") && said.contains("networks/red/vnicProfiles/open"), "{said}");
    let blue = "kind: VnicProfile\nname: networks/blue/vnicProfiles/open\nspec: {networkFilter: {none: true}}";
    ensure!(fleet.ctl.refused(blue).await?.contains("MAC_SPOOF_CONFLICT"));

    fleet.ctl.apply("kind: VnicProfile\nname: networks/red/vnicProfiles/open\nspec: {}").await?;
    fleet.until("host-a", LIMIT, is_plugged).await?;
    is_silent(fleet).await.context("the filter stops it")?;
    machine.tell_guest(GUEST, &format!("mac {MAC}")).await?;
    answers_on(fleet, "red").await.context("its own MAC passes")?;

    machine.virsh(&format!("destroy {GUEST}")).await?;
    machine.virsh(&format!("undefine {GUEST}")).await?;
    machine.run(&format!("ip route del {ADDRESS}/32")).await?;
    // The host may not have told yet that the domain is gone.
    let words = ["delete", &format!("{vm}/vnics/eth0"), &vm, "networks/red/vnicProfiles/open"];
    fleet.ctl.run(&[&words[..], &["--acknowledge", "VNIC_STILL_PLUGGED"]].concat()).await?;
    Ok(())
}

/// Nothing of the host's guests is owed, failed or withheld.
fn is_plugged(status: &Value) -> bool {
    let counts = &status["plugCounts"];
    ["pending", "failed", "withheld"].iter().all(|count| counts[count].as_u64().unwrap_or_default() == 0)
}

async fn vm_name(fleet: &Fleet, domain: &str) -> Result<String> {
    Ok(format!("vms/{}", fleet.a.machine.virsh(&format!("domuuid {domain}")).await?.trim()))
}

fn vnic(vm: &str, name: &str, spec: &Value) -> String {
    format!("kind: Vnic\nname: {vm}/vnics/{name}\nspec: {spec}")
}

/// Applies a vNIC, and waits until it is plugged.
async fn put(fleet: &Fleet, vm: &str, vnic: &str, spec: &Value) -> Result<()> {
    fleet.ctl.apply(&self::vnic(vm, vnic, spec)).await.map(drop)
}

/// Nobody answers at the guest's address; not even ARP, for which no entry is needed where the guest is only deaf.
async fn is_silent(fleet: &Fleet) -> Result<()> {
    let silent = format!("ip neigh flush all; ! ping -c1 -W2 {ADDRESS} && ! ip neigh show {ADDRESS} | grep lladdr");
    fleet.a.machine.run(&silent).await.map(drop)
}

/// The guest answers over a network.
async fn answers_on(fleet: &Fleet, network: &str) -> Result<()> {
    let machine = &fleet.a.machine;
    machine.run(&format!("ip route replace {ADDRESS}/32 dev {network}; ip neigh flush all")).await?;
    machine.wait_until(&format!("ping -c1 -W2 {ADDRESS}"), LIMIT).await
}

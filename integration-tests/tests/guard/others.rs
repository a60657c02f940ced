//! What others do to the network of a managed bridge, to its table and to its ports' VLANs: repaired where it breaks a promise, and
//! else told and left to them.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::LIMIT;
use integration_tests::fleet::facts;
use integration_tests::lab::libvirt::Wiring;
use serde_json::{Value, json};

use super::{BRIDGE, MACS, STRANGER, Stage, wish};

/// By when a watcher has heard of an entry. A host that can be looked at in 150 ms tells within a second; under software
/// emulation a look takes longer, and a busy machine's takes several times as long.
const TOLD_S: f64 = 5.0;
/// A card that comes while its guest runs.
const PLUGGED: &str = "52:54:00:aa:00:06";

/// A static entry of somebody else's, and a second guest with a MAC that another has: watchers hear of both at once, and both stay.
pub(super) async fn what_others_add_is_told_and_left(stage: &Stage) -> Result<()> {
    let tap = &stage.taps[1];
    let entry = format!("{STRANGER} dev {tap} master");
    let foreign =
        format!("MAC {STRANGER} of {BRIDGE} entry: expected absent, is static on {tap} of guest g1, by somebody else");
    let watch = stage.host.ctl("watch --kinds mac-table,network -o json")?;
    let add = format!("bridge fdb add {entry} static vlan 1");
    let in_table = format!("\"macTable\".*{STRANGER}");
    let told = stage.watch("told", &[&super::GIVE_UP_S.to_string(), &watch, &add, &in_table, &foreign]).await?;
    let told: Value = serde_json::from_str(&told)?;
    for (what, words) in [("an entry's MAC table is told", &in_table), ("that it is left alone is told", &foreign)] {
        let took_s = told[words].as_f64().with_context(|| format!("{words}: {told}"))?;
        println!("{took_s:6.2} s  {what}");
        ensure!(took_s < TOLD_S, "{what}: took {took_s} s");
    }
    stage.host.machine.start_guest(&facts::guest("twin", MACS[0], BRIDGE)).await?;
    left_alone(stage, &["guests: expected one, is g0 on ", " and twin on ", STRANGER, "  left alone: MAC "]).await?;
    let macs = stage.host.machine.run(&stage.host.ctl("macs")?).await?;
    ensure!(macs.contains("LEFT ALONE") && macs.contains("somebody else"), "{macs}");
    stage.host.machine.run(&format!("bridge fdb show br {BRIDGE} | grep -q '^{STRANGER} .*static'")).await?;
    stage.host.machine.stop_guest("twin").await?;
    stage.host.machine.run(&format!("bridge fdb del {entry} vlan 1")).await?;
    nothing_is_left_alone(stage).await?;
    stage.all_are_reachable().await
}

/// Whoever defines a running network anew changes what it becomes at its next start: it is defined as it was, without a restart,
/// which would have libvirt forget its guests' ports.
pub(super) async fn a_network_that_is_defined_anew_is_defined_as_it_was(stage: &Stage) -> Result<()> {
    let (virsh, network) = ("virsh -c qemu:///system -q", facts::libvirt_name(BRIDGE));
    let before = stage.picture().await?;
    stage.forget_repairs().await?;
    let alter = format!(
        "{virsh} net-dumpxml --inactive {network} | sed \"s/ macTableManager='libvirt'//\" >/run/lab/altered.xml && \
         {virsh} net-define /run/lab/altered.xml"
    );
    let is_back = format!("{virsh} net-dumpxml --inactive {network} | grep -q \"macTableManager='libvirt'\"");
    stage.host.machine.run(&alter).await?;
    stage.host.machine.wait_until(&is_back, LIMIT).await?;
    let history = || async { stage.host.machine.run(&stage.host.ctl("history --limit 1 -o json")?).await };
    let told = history().await?;
    let found = format!("libvirt network {network} macTableManager at the next start: expected libvirt, is kernel");
    ensure!(told.contains(&found) && told.contains("define libvirt network"), "{told}");
    ensure!(!told.contains("stop libvirt network") && !told.contains("start libvirt network"), "{told}");
    let now = stage.picture().await?;
    ensure!(now == before, "before: {before}\nnow: {now}");
    stage.all_are_reachable().await
}

/// A guest gets a further card past libvirt's network while it runs, is saved, and comes back with both.
pub(super) async fn a_guest_gets_a_card_and_is_saved_and_restored(stage: &Stage) -> Result<()> {
    let virsh = "virsh -c qemu:///system -q";
    let card = Wiring::Bridge(BRIDGE.to_owned()).interface_xml(PLUGGED);
    stage.host.machine.write("/run/lab/card.xml", &card).await?;
    let plug = format!("{virsh} attach-device g0 /run/lab/card.xml --live");
    stage.become_managed("a running guest gets a card past libvirt's network", PLUGGED, &plug).await?;
    stage.host.machine.virsh("save g0 /run/lab/g0.saved").await?;
    let is_gone = format!("! bridge fdb show br {BRIDGE} | grep -e '^{}.*static' -e '^{PLUGGED}.*static'", MACS[0]);
    stage.host.machine.wait_until(&is_gone, LIMIT).await?;
    let restore = format!("{virsh} restore /run/lab/g0.saved");
    stage.become_managed("a saved guest comes back, its card on the network", MACS[0], &restore).await?;
    stage.become_managed("and the one past it", PLUGGED, "true").await
}

/// Who has put ports into VLANs counts on their being kept apart, also when the network is switched off.
pub(super) async fn the_filter_stays_for_vlans_of_others(stage: &Stage) -> Result<()> {
    let (before, tap) = (stage.picture().await?, &stage.taps[0]);
    let filters = |value: u8| format!("ip -d link show {BRIDGE} | grep -q 'vlan_filtering {value}'");
    stage.host.machine.run(&format!("bridge vlan add vid 10 dev {tap}")).await?;
    let mut off = wish();
    off["networks"][0]["manageMacsWithLibvirt"] = json!(false);
    off["networks"][0]["guestPorts"] = Value::Null;
    let told = stage.host.set_up(&off, "--check none 2>&1").await?;
    ensure!(told.contains("VLAN_FILTERING_KEPT") && told.contains(tap), "{told}");
    stage.host.machine.run(&filters(1)).await?;
    left_alone(stage, &[&format!("vlan_filtering: expected false, is true, for the VLANs of {tap}")]).await?;
    let ports = stage.picture().await?["ports"].clone();
    ensure!(ports[tap] == json!(["1", "1"]), "switched off, guests' ports learn and flood: {ports}");
    stage.host.machine.run(&format!("bridge vlan del vid 10 dev {tap}")).await?;
    stage.host.machine.wait_until(&filters(0), LIMIT).await?;
    nothing_is_left_alone(stage).await?;
    // Who newly asks for the network to be managed is refused for the guest that is wired past libvirt.
    let refused =
        stage.host.set_up(&wish(), "--check none").await.err().context("a guest past libvirt is no matter")?;
    ensure!(format!("{refused:#}").contains("GUEST_WIRED_PAST_LIBVIRT"), "{refused:#}");
    let mut converting = wish();
    converting["networks"][0]["guestPorts"] = Value::Null;
    stage.host.set_up(&converting, "--check none").await?;
    let now = stage.picture().await?;
    ensure!(now == before, "before: {before}\nnow: {now}");
    stage.all_are_reachable().await
}

/// Waits until the report says all these words of what is left alone; where that is all it tells, a column begins with it.
pub(super) async fn left_alone(stage: &Stage, words: &[&str]) -> Result<()> {
    let told = stage.host.ctl("capabilities --fields networks")?;
    let says: Vec<String> = words.iter().map(|words| format!("echo \"$told\" | grep -qF -e '{words}'")).collect();
    let condition = format!("{{ told=$({told}); echo \"$told\"; {}; }}", says.join(" && "));
    stage.host.machine.wait_until(&condition, LIMIT).await
}

async fn nothing_is_left_alone(stage: &Stage) -> Result<()> {
    let told = stage.host.ctl("capabilities --fields networks")?;
    stage.host.machine.wait_until(&format!("! {told} | grep 'left alone'"), LIMIT).await
}

//! The MAC table of a bridge that libvirt manages holds, whoever meddles: real guests on a real bridge, watched from beside.

mod others;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT};
use integration_tests::fleet::{facts, in_checkout, program};
use integration_tests::lab::Lab;
use integration_tests::lab::libvirt::{bridged_guest_xml, guest_xml};
use integration_tests::lab::nic::Nic;
use serde_json::{Value, json};

const BRIDGE: &str = "blue";
const MACS: [&str; 4] = ["52:54:00:aa:00:01", "52:54:00:aa:00:02", "52:54:00:aa:00:03", "52:54:00:aa:00:04"];
/// A guest that is heard, a further MAC of it, and one that is nobody's.
const SPEAKER: &str = "52:54:00:aa:00:05";
const EXTRA: &str = "02:00:00:aa:00:0a";
const STRANGER: &str = "02:00:00:aa:00:0f";
/// How long something may be lost. On an idle machine it is about a second under emulation; a busy one takes several times
/// as long, and what no event told would take the keeper's period of a minute.
const BOUND_S: f64 = 10.0;
/// How long the watcher waits before it says that something never came back.
const GIVE_UP_S: u32 = 30;

struct Stage {
    host: Alone,
    /// The watcher's command line.
    watcher: String,
    /// Guests' taps.
    taps: Vec<String>,
}

#[tokio::test]
async fn a_managed_bridge_holds_whoever_meddles() -> Result<()> {
    let Some(lab) = Lab::enter("guard").await? else { return Ok(()) };
    let machine = lab.vm("guard").nic(Nic::Wire).start().await?;
    machine.run("ip -n peer address add 192.0.2.1/24 dev wire0").await?;
    machine.start_libvirt().await?;
    let mut host = Alone::beside_libvirt(machine).await?;
    host.start_agent().await?;
    host.set_up(&wish(), "--check none --commit").await?;
    let watcher =
        format!("{} {}", program::python()?.display(), in_checkout("integration-tests/lab/mac-table.py").display());
    let mut stage = Stage { host, watcher, taps: Vec::new() };
    let told = Box::pin(tell(&mut stage)).await;
    if told.is_err() {
        println!("{}", stage.host.machine.run("tail -60 /var/log/agent.log").await?);
    }
    told
}

/// Plays the story.
async fn tell(stage: &mut Stage) -> Result<()> {
    begins_with_two_guests(stage).await.context("beginning")?;
    others::what_others_add_is_told_and_left(stage).await.context("left alone")?;
    others::a_network_that_is_defined_anew_is_defined_as_it_was(stage).await.context("defined anew")?;
    what_is_taken_away_comes_back(stage).await.context("losses")?;
    what_a_guest_was_learned_to_be_is_forgotten(stage).await.context("forgetting")?;
    a_guest_whose_mac_was_learned_on_the_wire_is_heard(stage).await.context("learned")?;
    a_guest_wired_past_libvirt_is_converted(stage).await.context("wired past libvirt")?;
    guests_pause_and_start_anew(stage).await.context("pausing")?;
    guests_have_what_they_may(stage).await.context("rules")?;
    daemons_start_anew(stage).await.context("daemons")?;
    nothing_is_written_at_rest(stage).await.context("rest")?;
    others::the_filter_stays_for_vlans_of_others(stage).await.context("VLANs of others")
}

/// Who is wired past libvirt is refused, and stays so from the beginning: whoever comes later is in no request's way.
fn wish() -> Value {
    let ipv4 = json!({"static": {"addresses": ["192.0.2.10/24"]}});
    let rules = json!({"bridgeWired": "BRIDGE_WIRED_REFUSE"});
    json!({"networks": [
        {"name": BRIDGE, "nic": "eth0", "manageMacsWithLibvirt": true, "ipv4": ipv4, "guestPorts": rules}
    ]})
}

/// Guests' ports are locked, and one guest may have a further MAC and a VLAN.
fn wish_with_rules() -> Value {
    let mut wish = wish();
    let nic = json!({"mac": SPEAKER, "extraMacs": [EXTRA], "vlanIds": [30]});
    wish["networks"][0]["guestPorts"]["lockSourceMacs"] = json!(true);
    wish["networks"][0]["guestPorts"]["nics"] = json!([nic]);
    wish
}

impl Stage {
    async fn watch(&self, verb: &str, words: &[&str]) -> Result<String> {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let output =
            self.host.machine.exec(&format!("{} {verb} {}", self.watcher, quoted.join(" ")), 3 * LIMIT).await?;
        output.success().with_context(|| format!("{verb} {words:?}"))
    }

    /// Takes something away, and says how long it was lost.
    async fn lose(&self, what: &str, command: &str) -> Result<()> {
        let lost_s: f64 = self.watch("lose", &[BRIDGE, &GIVE_UP_S.to_string(), command]).await?.trim().parse()?;
        println!("{lost_s:6.2} s  {what}");
        ensure!(lost_s < BOUND_S, "{what}: lost for {lost_s} s");
        Ok(())
    }

    /// Does something by which a MAC is to become a guest's, and says how long that took from there.
    async fn become_managed(&self, what: &str, mac: &str, command: &str) -> Result<()> {
        let took_s: f64 =
            self.watch("managed", &[BRIDGE, mac, &GIVE_UP_S.to_string(), command]).await?.trim().parse()?;
        println!("{took_s:6.2} s  {what}");
        ensure!(took_s < BOUND_S, "{what}: took {took_s} s");
        Ok(())
    }

    /// Whoever asks for something, and be it what there is, makes the agent forget how often it has repaired.
    async fn forget_repairs(&self) -> Result<()> {
        let told = self.host.set_up(&wish(), "--check none").await?;
        ensure!(told.contains("unchanged"), "{told}");
        Ok(())
    }

    /// A command after which the uplink learns a MAC, as from a frame that came back in a loop.
    fn learning_amid(&self, mac: &str) -> String {
        format!("{} amid {mac} \"bridge link set dev eth0 learning on\"", self.watcher)
    }

    /// Frames from the wire reach each guest, and no other.
    async fn guests_are_reachable(&self) -> Result<()> {
        let guests: Vec<String> = MACS.iter().zip(&self.taps).map(|(mac, tap)| format!("{tap}={mac}")).collect();
        let words: Vec<&str> = guests.iter().map(String::as_str).collect();
        self.watch("deliver", &words).await.map(drop)
    }

    async fn all_are_reachable(&self) -> Result<()> {
        self.guests_are_reachable().await?;
        self.host.machine.run("ip netns exec peer ping -c1 -W5 192.0.2.10").await.map(drop)
    }

    async fn picture(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.watch("picture", &[BRIDGE]).await?)?)
    }

    async fn repairs(&self) -> Result<Value> {
        self.host.report("repairs").await
    }
}

async fn begins_with_two_guests(stage: &mut Stage) -> Result<()> {
    for (number, mac) in MACS.iter().take(2).enumerate() {
        let guest = facts::guest(&format!("g{number}"), mac, BRIDGE);
        stage.taps.push(stage.host.machine.start_guest(&guest).await?);
    }
    let picture = stage.picture().await?;
    for (mac, tap) in MACS.iter().zip(&stage.taps) {
        for vlan in ["1", "None"] {
            let entry = json!(format!("{mac} {vlan} {tap}"));
            ensure!(picture["table"].as_array().is_some_and(|table| table.contains(&entry)), "no {entry}: {picture}");
        }
    }
    ensure!(picture["bridge"] == json!(["1", "1"]) && picture["ports"]["eth0"] == json!(["0", "1"]), "{picture}");
    // What libvirt does by itself is not done again.
    ensure!(stage.repairs().await? == json!({}), "{}", stage.repairs().await?);
    stage.all_are_reachable().await
}

async fn what_is_taken_away_comes_back(stage: &Stage) -> Result<()> {
    let (mac, tap) = (MACS[0], stage.taps[0].as_str());
    let (other_mac, other_tap) = (MACS[1], stage.taps[1].as_str());
    let virsh = "virsh -c qemu:///system -q";
    let losses = [
        ("VLAN filter off", format!("ip link set {BRIDGE} type bridge vlan_filtering 0")),
        ("no default VLAN", format!("ip link set {BRIDGE} type bridge vlan_default_pvid 0")),
        ("guest's port outside the default VLAN", format!("bridge vlan del vid 1 dev {tap}")),
        ("uplink outside the default VLAN", "bridge vlan del vid 1 dev eth0".to_owned()),
        ("guest's port learns", format!("bridge link set dev {tap} learning on")),
        ("guest's port floods", format!("ip link set {tap} type bridge_slave flood on")),
        ("uplink does not flood", "bridge link set dev eth0 flood off".to_owned()),
        ("entry removed", format!("bridge fdb del {other_mac} dev {other_tap} master")),
        ("entry moved to the uplink", stage.learning_amid(mac)),
        ("table flushed", format!("bridge fdb flush dev {BRIDGE}")),
        ("tap attached again", format!("ip link set {other_tap} nomaster; ip link set {other_tap} master {BRIDGE}")),
        ("cable of a guest pulled", format!("{virsh} domif-setlink g0 {mac} down")),
    ];
    for (number, (what, command)) in losses.iter().enumerate() {
        // Each repair of the same is followed by a longer rest.
        if number % 3 == 0 {
            stage.forget_repairs().await?;
        }
        stage.lose(what, command).await?;
        stage.guests_are_reachable().await.with_context(|| (*what).to_owned())?;
    }
    stage.host.machine.run(&format!("{virsh} domif-setlink g0 {mac} up")).await?;
    stage.all_are_reachable().await?;
    let told = stage.host.machine.run(&stage.host.ctl("history --limit 20 -o json")?).await?;
    for words in [
        "link vnet0 of guest g0 learning: expected false, is true",
        "expected static on vnet0 of guest g0, is static on eth0",
    ] {
        ensure!(told.contains(words), "{words}: {told}");
    }
    let repairs = stage.repairs().await?;
    println!("          {repairs}");
    ensure!(repairs["failed"].is_null() || repairs["failed"] == "0", "{repairs}");
    Ok(())
}

/// While a tap learns, its guest may have itself taken for somebody on the wire: what was learned goes as soon as the port is
/// shut again, since nobody else corrects it.
async fn what_a_guest_was_learned_to_be_is_forgotten(stage: &Stage) -> Result<()> {
    let (tap, learned) = (&stage.taps[0], format!("bridge fdb show br {BRIDGE} | grep -q '^{STRANGER} dev '"));
    stage.forget_repairs().await?;
    let learn = format!("bridge fdb replace {STRANGER} dev {tap} vlan 1 master dynamic");
    // In one go: between two commands the port might be shut already.
    stage.host.machine.run(&format!("bridge link set dev {tap} learning on && {learn} && {learned}")).await?;
    stage.host.machine.wait_until(&format!("! {learned}"), LIMIT).await?;
    stage.host.machine.wait_until(&format!("bridge -d link show dev {tap} | grep -q 'learning off'"), LIMIT).await?;
    let told = stage.host.machine.run(&stage.host.ctl("history --limit 3 -o json")?).await?;
    ensure!(told.contains("forget what was learned on port"), "{told}");
    stage.all_are_reachable().await
}

async fn a_guest_whose_mac_was_learned_on_the_wire_is_heard(stage: &mut Stage) -> Result<()> {
    let mac = MACS[2];
    stage.forget_repairs().await?;
    stage.lose("uplink learns a guest's MAC", &stage.learning_amid(mac)).await?;
    stage.host.machine.run(&format!("bridge fdb show br {BRIDGE} | grep '^{mac} dev eth0'")).await?;
    stage.host.machine.write("/run/lab/g2.xml", &guest_xml(&facts::guest("g2", mac, BRIDGE))).await?;
    let start = "virsh -c qemu:///system -q create /run/lab/g2.xml";
    stage.become_managed("guest comes whose MAC is learned on the uplink", mac, start).await?;
    stage.taps.push(stage.host.machine.tap("g2").await?);
    stage.guests_are_reachable().await
}

async fn a_guest_wired_past_libvirt_is_converted(stage: &mut Stage) -> Result<()> {
    let mac = MACS[3];
    stage.host.machine.write("/run/lab/g3.xml", &bridged_guest_xml("g3", mac, BRIDGE)).await?;
    let start = "virsh -c qemu:///system -q create /run/lab/g3.xml";
    stage.become_managed("guest comes that is wired past libvirt", mac, start).await?;
    stage.taps.push(stage.host.machine.tap("g3").await?);
    others::left_alone(stage, &["of guest g3 wiring: expected libvirt network trestle-blue, is past it"]).await?;
    // The policy that would refuse it was there before it came: it is in the way of no other request.
    stage.forget_repairs().await?;
    stage.all_are_reachable().await
}

async fn guests_pause_and_start_anew(stage: &mut Stage) -> Result<()> {
    let machine = &stage.host.machine;
    for (guest, mac) in [("g0", MACS[0]), ("g3", MACS[3])] {
        machine.virsh(&format!("suspend {guest}")).await?;
        machine.wait_until(&format!("! bridge fdb show br {BRIDGE} | grep -q '^{mac}.*static'"), LIMIT).await?;
        stage.forget_repairs().await?;
        let table = stage.picture().await?["table"].to_string();
        ensure!(!table.contains(mac), "{guest} does not run, and has an entry: {table}");
        let resume = format!("virsh -c qemu:///system -q resume {guest}");
        stage.become_managed(&format!("{guest} runs again"), mac, &resume).await?;
    }
    stage.all_are_reachable().await?;
    others::a_guest_gets_a_card_and_is_saved_and_restored(stage).await.context("card")?;
    stage.host.machine.stop_guest("g0").await?;
    let tap = stage.host.machine.start_guest(&facts::guest("g0", MACS[0], BRIDGE)).await?;
    stage.taps[0] = tap;
    stage.all_are_reachable().await
}

/// A guest has its further MAC and its VLAN, and no other; what of that is taken away comes back; it goes with the rules.
async fn guests_have_what_they_may(stage: &mut Stage) -> Result<()> {
    let machine = &stage.host.machine;
    // A port with several queues, so that the story can speak as the guest beside it.
    let queues = "<model type='virtio'/><driver name='qemu' queues='2'/>";
    let xml = guest_xml(&facts::guest("speaker", SPEAKER, BRIDGE)).replace("<model type='virtio'/>", queues);
    machine.write("/run/lab/speaker.xml", &xml).await?;
    let start = "virsh -c qemu:///system -q create /run/lab/speaker.xml";
    stage.become_managed("guest comes with several queues", SPEAKER, start).await?;
    let tap = &stage.host.machine.tap("speaker").await?;
    let case = |way: &str, mac: &str, vlan: u16, verdict: &str| format!("{way},{mac},{vlan},{verdict}");
    let cases = |own: &str, extra: &str, stranger: &str, vlan: &str| {
        let of = |mac, untagged: &str, tagged: &str, way| {
            [case(way, mac, 0, untagged), case(way, mac, 30, tagged), case(way, mac, 31, "no")]
        };
        let both = |verdict: &str| if verdict == "yes" && vlan == "yes" { "yes".to_owned() } else { "no".to_owned() };
        let mut cases = Vec::new();
        for (mac, verdict) in [(SPEAKER, own), (EXTRA, extra)] {
            cases.extend(of(mac, verdict, &both(verdict), "in"));
        }
        for (mac, verdict) in [(SPEAKER, own), (EXTRA, extra), (STRANGER, stranger)] {
            // Without the lock, whatever is in a VLAN of the port leaves, whoever it is from.
            cases.extend(of(mac, verdict, &both(verdict), "out"));
        }
        cases
    };
    let without: Vec<String> =
        cases("yes", "no", "yes", "no").into_iter().filter(|case| !case.starts_with(&format!("out,{EXTRA}"))).collect();
    let hear = async |cases: &[String]| {
        let words: Vec<&str> = std::iter::once(tap.as_str()).chain(cases.iter().map(String::as_str)).collect();
        stage.watch("passes", &words).await.map(drop)
    };
    hear(&without).await.context("without rules")?;
    let before = stage.picture().await?;
    stage.host.set_up(&wish_with_rules(), "--check none").await?;
    let ruled = cases("yes", "yes", "no", "yes");
    hear(&ruled).await.context("with rules")?;
    let losses = [
        ("guest's VLAN", format!("bridge vlan del vid 30 dev {tap}")),
        ("uplink's VLAN", "bridge vlan del vid 30 dev eth0".to_owned()),
        ("further MAC", format!("bridge fdb del {EXTRA} dev {tap} master")),
        ("tap taken out", format!("ip link set {tap} nomaster")),
    ];
    for (what, command) in &losses {
        stage.lose(what, command).await?;
    }
    hear(&ruled).await.context("with rules that came back")?;
    let macs = stage.host.machine.run(&stage.host.ctl("macs")?).await?;
    println!("{macs}");
    ensure!(macs.contains("the agent, a further MAC") && macs.contains("1u 30"), "{macs}");
    stage.host.set_up(&wish(), "--check none").await?;
    let now = stage.picture().await?;
    ensure!(now == before, "before: {before}\nnow: {now}");
    hear(&without).await.context("rules gone")?;
    stage.host.machine.stop_guest("speaker").await
}

async fn daemons_start_anew(stage: &mut Stage) -> Result<()> {
    let before = stage.picture().await?;
    stage.host.machine.stop_libvirtd().await?;
    stage.host.machine.start_libvirtd().await?;
    stage.host.stop_agent().await?;
    let (mac, tap) = (MACS[0], &stage.taps[0]);
    stage
        .host
        .machine
        .run(&format!("bridge fdb del {mac} dev {tap} master; bridge link set dev {tap} flood on"))
        .await?;
    ensure!(stage.picture().await? != before, "nothing was lost");
    stage.host.start_agent().await?;
    stage
        .host
        .machine
        .wait_until(&format!("bridge fdb show br {BRIDGE} | grep -q '^{mac} dev {tap} vlan 1 .*static'"), LIMIT)
        .await?;
    stage.forget_repairs().await?;
    ensure!(stage.picture().await? == before, "before: {before}\nnow: {}", stage.picture().await?);
    stage.all_are_reachable().await
}

async fn nothing_is_written_at_rest(stage: &Stage) -> Result<()> {
    let (before, repairs) = (stage.picture().await?, stage.repairs().await?);
    let log = "/run/lab/monitor";
    let monitor = stage.host.machine.start_daemon("bridge monitor link fdb", log).await?;
    stage.host.machine.run("timeout 5 tail -f /dev/null || true").await?;
    stage.host.machine.run(&format!("kill {}", monitor.pid)).await?;
    let told = stage.host.machine.read(log).await?;
    ensure!(told.is_empty(), "the kernel was written to:\n{told}");
    ensure!(stage.repairs().await? == repairs && stage.picture().await? == before);
    Ok(())
}

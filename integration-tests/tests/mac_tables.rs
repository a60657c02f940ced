//! What a managed MAC table does to frames, beside an unmanaged one: real guests that answer and send, on real bridges.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT};
use integration_tests::fleet::{facts, in_checkout, program};
use integration_tests::lab::Lab;
use integration_tests::lab::libvirt::{AnsweringGuest, Wiring, line_path};
use integration_tests::lab::nic::Nic;
use serde_json::{Value, json};

/// How many frames are sent of a kind.
const FRAMES: usize = 5;
const NEIGHBOUR: &str = "02:00:00:00:00:01";
const UNKNOWN: &str = "02:00:00:00:00:99";
const FORGED: &str = "02:00:00:00:00:66";
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";
/// How often a guest is pinged while its network is switched.
const PING_PERIOD_S: f64 = 0.03;

/// Who manages the MAC table of a side's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Libvirt,
    Kernel,
}

/// A network on a card of its own, with two guests, and a neighbour at the far end of the cable.
struct Side {
    network: &'static str,
    card: u8,
    /// The first three numbers of its addresses: the neighbour is 1, the host 10, guests are from 50 on.
    subnet: &'static str,
    macs: [&'static str; 2],
    taps: [String; 2],
}

struct Stage {
    host: Alone,
    frames: String,
    managed: Side,
    unmanaged: Side,
}

/// Where frames are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The far end of the cable.
    Wire,
    /// The card, as the host sees it.
    Uplink,
    /// The bridge, as the host's own interface.
    Host,
    /// The tap of the first guest.
    First,
    /// The tap of the second guest.
    Second,
}

/// Whose address a frame bears.
#[derive(Clone, Copy, Debug)]
enum Whose {
    First,
    Second,
    Mac(&'static str),
}

/// Frames that are sent, and where they come out on either side.
struct Case {
    what: &'static str,
    from: Place,
    to: Whose,
    source: Whose,
    vlan: Option<u16>,
    managed: &'static [Place],
    unmanaged: &'static [Place],
}

use Place::{First, Host, Second, Uplink, Wire};

const EVERYWHERE: &[Place] = &[Uplink, Host, First, Second];
/// In this order: what one case lets a bridge learn, the next may find.
const CASES: [Case; 15] = [
    from_wire("a guest's address", Whose::First, None, &[Uplink, First], &[Uplink, First]),
    // Also the card leaves it out: the bridge needs no promiscuity.
    from_wire("an unknown address", Whose::Mac(UNKNOWN), None, &[], &[Uplink, First, Second]),
    from_wire("everybody", Whose::Mac(BROADCAST), None, EVERYWHERE, EVERYWHERE),
    from_wire("IPv6 multicast", Whose::Mac("33:33:00:00:00:01"), None, EVERYWHERE, EVERYWHERE),
    from_wire("a guest's address in VLAN 10", Whose::First, Some(10), &[], &[Uplink, First]),
    from_wire("everybody in VLAN 10", Whose::Mac(BROADCAST), Some(10), &[], EVERYWHERE),
    from_wire("a guest's address in VLAN 1", Whose::First, Some(1), &[Uplink, First], &[Uplink, First]),
    from_wire("a guest's address with a priority alone", Whose::First, Some(0), &[Uplink, First], &[Uplink, First]),
    from_guest("another guest", Whose::Second, Whose::First, None, &[Second], &[Second]),
    from_guest("an unknown address", Whose::Mac(UNKNOWN), Whose::First, None, &[Uplink, Wire], &[Uplink, Wire, Second]),
    from_guest(
        "everybody in VLAN 10",
        Whose::Mac(BROADCAST),
        Whose::First,
        Some(10),
        &[],
        &[Uplink, Wire, Host, Second],
    ),
    // The sender is not stopped: that is a filter's work, or a locked port's.
    from_guest(
        "the neighbour, by a forged source",
        Whose::Mac(NEIGHBOUR),
        Whose::Mac(FORGED),
        None,
        &[Uplink, Wire],
        &[Uplink, Wire],
    ),
    from_wire("who has forged its source", Whose::Mac(FORGED), None, &[], &[Uplink, First]),
    from_guest(
        "the neighbour, in another guest's name",
        Whose::Mac(NEIGHBOUR),
        Whose::Second,
        None,
        &[Uplink, Wire],
        &[Uplink, Wire],
    ),
    from_wire("the guest whose name was taken", Whose::Second, None, &[Uplink, Second], &[Uplink, First]),
];

/// What a guest may have that is locked, and in VLAN 30: of the managed side alone.
const LOCKED: [Case; 8] = [
    from_guest("the neighbour", Whose::Mac(NEIGHBOUR), Whose::First, None, &[Uplink, Wire], &[]),
    from_guest("the neighbour, by a forged source", Whose::Mac(NEIGHBOUR), Whose::Mac(FORGED), None, &[], &[]),
    from_guest("the neighbour, in another guest's name", Whose::Mac(NEIGHBOUR), Whose::Second, None, &[], &[]),
    from_guest("the neighbour in its VLAN", Whose::Mac(NEIGHBOUR), Whose::First, Some(30), &[Uplink, Wire], &[]),
    from_guest("its VLAN, by a forged source", Whose::Mac(NEIGHBOUR), Whose::Mac(FORGED), Some(30), &[], &[]),
    from_guest("the neighbour in another VLAN", Whose::Mac(NEIGHBOUR), Whose::First, Some(31), &[], &[]),
    from_wire("a guest's address in its VLAN", Whose::First, Some(30), &[Uplink, First], &[]),
    from_wire("a guest's address in another VLAN", Whose::First, Some(31), &[], &[]),
];

const fn from_wire(
    what: &'static str,
    to: Whose,
    vlan: Option<u16>,
    managed: &'static [Place],
    unmanaged: &'static [Place],
) -> Case {
    Case { what, from: Wire, to, source: Whose::Mac(NEIGHBOUR), vlan, managed, unmanaged }
}

const fn from_guest(
    what: &'static str,
    to: Whose,
    source: Whose,
    vlan: Option<u16>,
    managed: &'static [Place],
    unmanaged: &'static [Place],
) -> Case {
    Case { what, from: First, to, source, vlan, managed, unmanaged }
}

#[tokio::test]
async fn guests_on_managed_bridges_are_reached_and_nobody_else() -> Result<()> {
    let Some(lab) = Lab::enter("mac-tables").await? else { return Ok(()) };
    let machine = lab.vm("tables").nic(Nic::Wire).nic(Nic::Wire).start().await?;
    machine.start_libvirt().await?;
    let mut host = Alone::beside_libvirt(machine).await?;
    host.start_agent().await?;
    let frames =
        format!("{} {}", program::python()?.display(), in_checkout("integration-tests/lab/frames.py").display());
    let managed = Side::on("blue", 0, "192.0.2", ["52:54:00:aa:00:01", "52:54:00:aa:00:02"]);
    let unmanaged = Side::on("green", 1, "198.51.100", ["52:54:00:bb:00:01", "52:54:00:bb:00:02"]);
    let mut stage = Stage { host, frames, managed, unmanaged };
    let told = Box::pin(tell(&mut stage)).await;
    if told.is_err() {
        println!("{}", stage.host.machine.run("tail -60 /var/log/agent.log").await?);
    }
    told
}

/// Plays the story: what fails does not keep the rest from being told.
async fn tell(stage: &mut Stage) -> Result<()> {
    begins_with_guests_that_answer(stage).await.context("beginning")?;
    let mut failed = Failed::default();
    failed.note("frames", frames_go_where_they_belong(stage).await);
    failed.note("forging", who_forged_is_told(stage).await);
    failed.note("promiscuity", the_card_knows_whom_to_hear(stage).await);
    failed.note("locked ports", a_locked_guest_sends_what_it_may(stage).await);
    failed.note("own MAC", a_guest_that_changes_its_own_mac_is_deaf(stage).await);
    failed.note("switching", switching_loses_nothing(stage).await);
    failed.note("meddling", who_meddles_is_outlived(stage).await);
    failed.note("a bridge made by hand", a_bridge_made_by_hand_is_told(stage).await);
    failed.note("daemons", daemons_start_anew(stage).await);
    failed.note("another MAC", a_guest_comes_back_with_another_mac(stage).await);
    failed.end()
}

/// What did not hold.
#[derive(Default)]
struct Failed(Vec<String>);

impl Failed {
    fn note(&mut self, what: &str, outcome: Result<()>) {
        println!("{}  {what}", if outcome.is_ok() { "holds" } else { "FAILS" });
        self.0.extend(outcome.err().map(|error| format!("{what}: {error:#}")));
    }

    fn end(self) -> Result<()> {
        ensure!(self.0.is_empty(), "{}", self.0.join("\n"));
        Ok(())
    }
}

impl Side {
    fn on(network: &'static str, card: u8, subnet: &'static str, macs: [&'static str; 2]) -> Self {
        Self { network, card, subnet, macs, taps: [String::new(), String::new()] }
    }

    fn guest(&self, place: usize) -> String {
        format!("{}{place}", self.network)
    }

    fn address(&self, number: usize) -> String {
        format!("{}.{number}", self.subnet)
    }

    fn answering(&self, place: usize, mac: &str) -> Result<AnsweringGuest> {
        Ok(AnsweringGuest {
            name: self.guest(place),
            mac: mac.to_owned(),
            wiring: Wiring::Network(facts::libvirt_name(self.network)),
            address: self.address(50 + place).parse()?,
        })
    }

    fn device(&self, place: Place) -> String {
        match place {
            Wire => format!("peer/wire{}", self.card),
            Uplink => format!("eth{}", self.card),
            Host => self.network.to_owned(),
            First => self.taps[0].clone(),
            Second => self.taps[1].clone(),
        }
    }

    const fn mac(&self, whose: Whose) -> &'static str {
        match whose {
            Whose::First => self.macs[0],
            Whose::Second => self.macs[1],
            Whose::Mac(mac) => mac,
        }
    }
}

impl Stage {
    const fn sides(&self) -> [&Side; 2] {
        [&self.managed, &self.unmanaged]
    }

    fn wish(&self, managers: [Manager; 2]) -> Value {
        let network = |side: &Side, manager| {
            let ipv4 = json!({"static": {"addresses": [format!("{}/24", side.address(10))]}});
            let nic = format!("eth{}", side.card);
            let managed = manager == Manager::Libvirt;
            json!({"name": side.network, "nic": nic, "manageMacsWithLibvirt": managed, "ipv4": ipv4})
        };
        json!({"networks": [network(&self.managed, managers[0]), network(&self.unmanaged, managers[1])]})
    }

    async fn set_up(&self, managers: [Manager; 2]) -> Result<String> {
        // What its guests forged may be learned still when a network is switched on.
        let flags = "--check none --commit --acknowledge GUEST_USES_FOREIGN_MAC";
        self.host.set_up(&self.wish(managers), flags).await
    }

    /// Whoever asks for something, and be it what there is, makes the agent forget how often it has repaired.
    async fn forget_repairs(&self) -> Result<()> {
        let told = self.set_up([Manager::Libvirt, Manager::Kernel]).await?;
        ensure!(told.contains("unchanged"), "{told}");
        Ok(())
    }

    /// Sends a case's frames on one side, and says where they came out.
    async fn spread(&self, side: &Side, case: &Case) -> Result<Vec<Place>> {
        let (from, own, places) = match case.from {
            Wire => (side.device(Wire), NEIGHBOUR, [Uplink, Host, First, Second]),
            _ => (line_path(&side.guest(0)), side.macs[0], [Uplink, Host, Wire, Second]),
        };
        let vlan = case.vlan.map_or("none".to_owned(), |vlan| vlan.to_string());
        let (to, source) = (side.mac(case.to), side.mac(case.source));
        let ports: Vec<String> = places.iter().map(|place| side.device(*place)).collect();
        let words = [from.as_str(), &FRAMES.to_string(), to, source, &vlan, own].join(" ");
        let said = self.host.machine.run(&format!("{} count {words} {}", self.frames, ports.join(" "))).await?;
        let seen: Value = serde_json::from_str(&said)?;
        let mut found = Vec::new();
        for (place, port) in places.into_iter().zip(&ports) {
            match seen[port.as_str()].as_u64() {
                Some(0) => {}
                Some(all) if all == FRAMES as u64 => found.push(place),
                other => anyhow::bail!("{}: {other:?} of {FRAMES} frames at {port}", case.what),
            }
        }
        Ok(found)
    }

    /// Sends a case's frames on one side, and tells what is wrong with where they came out.
    async fn strays(&self, side: &Side, case: &Case, expected: &[Place]) -> Result<Option<String>> {
        let found = self.spread(side, case).await.with_context(|| format!("{}: {}", side.network, case.what))?;
        println!("{:7} {:?} to {}: {found:?}", side.network, case.from, case.what);
        let is_right = found.iter().all(|place| expected.contains(place)) && found.len() == expected.len();
        Ok((!is_right)
            .then(|| format!("{}: {:?} to {}: {found:?}, not {expected:?}", side.network, case.from, case.what)))
    }

    /// The wire, the host and both guests reach one another.
    async fn everybody_answers(&self, side: &Side) -> Result<()> {
        for guest in [50, 51] {
            let address = side.address(guest);
            self.host.machine.wait_until(&format!("ip netns exec peer ping -c1 -W1 {address}"), LIMIT).await?;
            self.host.machine.wait_until(&format!("ping -c1 -W1 {address}"), LIMIT).await?;
        }
        let machine = &self.host.machine;
        machine.wait_until(&format!("ip netns exec peer ping -c1 -W1 {}", side.address(10)), LIMIT).await?;
        for number in [1, 10, 51] {
            let answer = machine.tell_guest(&side.guest(0), &format!("ping {}", side.address(number))).await?;
            ensure!(answer == "pong", "{answer}");
        }
        Ok(())
    }

    /// As [`Self::everybody_answers`], and all ports are as they have to be: only then the kernel takes the card out of
    /// promiscuous mode.
    async fn all_is_well(&self) -> Result<()> {
        self.everybody_answers(&self.managed).await?;
        let quiet = format!("ip -d link show eth{} | grep -q 'promiscuity 0'", self.managed.card);
        self.host.machine.wait_until(&quiet, LIMIT).await
    }
}

async fn begins_with_guests_that_answer(stage: &mut Stage) -> Result<()> {
    stage.set_up([Manager::Libvirt, Manager::Kernel]).await?;
    let machine = &stage.host.machine;
    for side in [&mut stage.managed, &mut stage.unmanaged] {
        // Else the far end's card would leave frames out, too.
        let setting = format!(
            "ip link set wire{0} promisc on address {NEIGHBOUR}; ip address add {1}/24 dev wire{0}",
            side.card,
            side.address(1)
        );
        machine.run(&format!("ip netns exec peer sh -c '{setting}'")).await?;
        for place in 0..2 {
            side.taps[place] = machine.start_answering_guest(&side.answering(place, side.macs[place])?).await?;
        }
    }
    for side in stage.sides() {
        stage.everybody_answers(side).await.context(side.network)?;
    }
    stage.all_is_well().await
}

async fn frames_go_where_they_belong(stage: &Stage) -> Result<()> {
    let mut wrong = Vec::new();
    for case in &CASES {
        for (side, expected) in stage.sides().into_iter().zip([case.managed, case.unmanaged]) {
            wrong.extend(stage.strays(side, case, expected).await?);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The bridge holds a guest's port to the guest's own MAC and to the VLANs that it may have.
async fn a_locked_guest_sends_what_it_may(stage: &Stage) -> Result<()> {
    let both = [Manager::Libvirt, Manager::Kernel];
    let mut wish = stage.wish(both);
    let nic = json!({"mac": stage.managed.macs[0], "vlanIds": [30]});
    wish["networks"][0]["guestPorts"] = json!({"lockSourceMacs": true, "nics": [nic]});
    stage.host.set_up(&wish, "--check none").await?;
    let mut wrong = Vec::new();
    for case in &LOCKED {
        wrong.extend(stage.strays(&stage.managed, case, case.managed).await?);
    }
    stage.set_up(both).await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.all_is_well().await
}

/// A forged source that a bridge has learned is told with its guest, and warned of before nobody finds it any more.
async fn who_forged_is_told(stage: &Stage) -> Result<()> {
    let (forger, ctl) = (stage.unmanaged.guest(0), stage.host.ctl("macs")?);
    // No event tells of what a bridge learns: it takes up to the keeper's period.
    stage.host.machine.wait_until(&format!("{ctl} | grep -q 'green *{FORGED}.* {forger} '"), LIMIT).await?;
    let networks = stage.host.report("networks").await?;
    let of =
        |name: &str| networks.as_array().into_iter().flatten().find(|network| network["configured"]["name"] == name);
    let (blue, green) = of("blue").zip(of("green")).context("networks")?;
    ensure!(blue["foreignMacs"].as_array().is_none_or(Vec::is_empty), "a managed bridge learns nothing: {blue}");
    let seen = green["foreignMacs"].as_array().into_iter().flatten().find(|seen| seen["mac"] == FORGED);
    let seen = seen.with_context(|| green.to_string())?;
    ensure!(seen["port"] == *stage.unmanaged.taps[0] && seen["guest"] == *forger, "{seen}");
    // Learned anew, since it ages.
    let forged = CASES.iter().find(|case| matches!(case.source, Whose::Mac(FORGED))).context("no case forges")?;
    stage.spread(&stage.unmanaged, forged).await?;
    let wish = stage.wish([Manager::Libvirt, Manager::Libvirt]);
    let refused = stage.host.set_up(&wish, "--check none --dry-run").await.err().context("nobody is warned")?;
    let refused = format!("{refused:#}");
    ensure!(refused.contains("GUEST_USES_FOREIGN_MAC") && refused.contains(FORGED), "{refused}");
    Ok(())
}

async fn the_card_knows_whom_to_hear(stage: &Stage) -> Result<()> {
    for (side, promiscuity) in stage.sides().into_iter().zip([0, 1]) {
        let uplink = side.device(Uplink);
        let link = stage.host.link(&uplink).await?;
        ensure!(link["promiscuity"] == promiscuity, "{link}");
        let filter = stage.host.machine.run(&format!("bridge fdb show dev {uplink}")).await?;
        for mac in side.macs {
            let is_filtered_for = filter.lines().any(|line| line.starts_with(mac) && line.contains("self"));
            ensure!(is_filtered_for == (promiscuity == 0), "{mac}: {filter}");
        }
    }
    Ok(())
}

/// libvirt does not follow a guest that gives itself another address; the kernel learns it.
async fn a_guest_that_changes_its_own_mac_is_deaf(stage: &Stage) -> Result<()> {
    for (side, answer) in stage.sides().into_iter().zip(["lost", "answered"]) {
        let machine = &stage.host.machine;
        let ping =
            format!("ip netns exec peer ping -c2 -W2 {} >/dev/null && echo answered || echo lost", side.address(50));
        machine.tell_guest(&side.guest(0), "mac 52:54:00:cc:00:01").await?;
        let asked = format!("ip -n peer neigh flush dev wire{}; {ping}", side.card);
        let said = machine.run(&asked).await?;
        ensure!(said.trim() == answer, "{}: {said}", side.network);
        machine.tell_guest(&side.guest(0), &format!("mac {}", side.macs[0])).await?;
        machine.run(&format!("ip -n peer neigh flush dev wire{}", side.card)).await?;
        stage.everybody_answers(side).await.context(side.network)?;
    }
    Ok(())
}

/// Guests of both networks are pinged all the time, while each network is switched on and off.
async fn switching_loses_nothing(stage: &Stage) -> Result<()> {
    let machine = &stage.host.machine;
    let mut pings = Vec::new();
    for side in stage.sides() {
        for (from, prefix) in [("wire", "ip netns exec peer "), ("host", "")] {
            let log = format!("/run/lab/pings-{from}-{}", side.network);
            let command = format!("{prefix}{} ping {} {PING_PERIOD_S}", stage.frames, side.address(50));
            pings.push((machine.start_daemon(&command, &log).await?, log));
        }
    }
    let switched = [[Manager::Kernel, Manager::Libvirt], [Manager::Libvirt, Manager::Kernel]];
    for managers in switched {
        let told = stage.set_up(managers).await?;
        ensure!(told.contains("applied"), "{told}");
        machine.run("timeout 2 tail -f /dev/null || true").await?;
    }
    let mut lost = Vec::new();
    for (daemon, log) in pings {
        machine.run(&format!("kill {}", daemon.pid)).await?;
        machine.wait_until(&format!("! kill -0 {} 2>/dev/null", daemon.pid), LIMIT).await?;
        let said: Value = serde_json::from_str(&machine.read(&log).await?)?;
        println!("{log}: {said}");
        ensure!(said["sent"].as_u64() > Some(100), "{log}: hardly anything was sent: {said}");
        if said["sent"] != said["answered"] {
            lost.push(format!("{log}: {said}"));
        }
    }
    ensure!(lost.is_empty(), "{}", lost.join("\n"));
    stage.all_is_well().await
}

/// What happens to a managed network, after which its guests have to be reached again, and no others.
async fn who_meddles_is_outlived(stage: &mut Stage) -> Result<()> {
    let virsh = "virsh -c qemu:///system -q";
    let (tap, mac) = (stage.managed.taps[0].clone(), stage.managed.macs[0]);
    let interface = |network: &str| Wiring::Network(facts::libvirt_name(network)).interface_xml(mac);
    stage.host.machine.write("/run/lab/green.xml", &interface("green")).await?;
    stage.host.machine.write("/run/lab/blue.xml", &interface("blue")).await?;
    let meddling = [
        ("the table is flushed", "bridge fdb flush dev blue".to_owned()),
        ("a tap is taken out and put back", format!("ip link set {tap} nomaster; ip link set {tap} master blue")),
        ("a tap is taken out", format!("ip link set {tap} nomaster")),
        ("the card is taken out and put back", "ip link set eth0 nomaster; ip link set eth0 master blue".to_owned()),
        (
            "a guest's cable is pulled",
            format!("{virsh} domif-setlink blue0 {mac} down; {virsh} domif-setlink blue0 {mac} up"),
        ),
        (
            "a guest is moved and moved back",
            format!(
                "{virsh} update-device blue0 /run/lab/green.xml --live; {virsh} update-device blue0 /run/lab/blue.xml --live"
            ),
        ),
        ("a guest stands still and goes on", format!("{virsh} suspend blue0; {virsh} resume blue0")),
        ("a guest begins anew", format!("{virsh} reset blue0")),
        ("the bridge is gone", "ip link delete blue".to_owned()),
    ];
    let mut failed = Failed::default();
    for (what, command) in &meddling {
        stage.forget_repairs().await?;
        stage.host.machine.run(command).await?;
        let outcome = async {
            stage.host.machine.await_guest("blue0").await?;
            stage.all_is_well().await
        };
        failed.note(what, outcome.await);
    }
    failed.end()
}

/// A bridge of ours that somebody has made is not ours: it is told, and when it is gone all comes back.
async fn a_bridge_made_by_hand_is_told(stage: &Stage) -> Result<()> {
    stage.forget_repairs().await?;
    // In one process: between two the agent would have made it anew.
    let made = "printf 'link delete blue\\nlink add blue up type bridge\\n' | ip -batch -";
    stage.host.machine.run(made).await?;
    let told = format!("{} | grep -q 'not repairable now'", stage.host.ctl("capabilities")?);
    stage.host.machine.wait_until(&told, LIMIT).await?;
    ensure!(stage.host.link("blue").await?["ifalias"].is_null(), "somebody else's bridge was taken");
    stage.host.machine.run("ip link delete blue").await?;
    stage.all_is_well().await
}

async fn daemons_start_anew(stage: &mut Stage) -> Result<()> {
    stage.host.machine.stop_libvirtd().await?;
    stage.host.machine.start_libvirtd().await?;
    stage.all_is_well().await.context("libvirtd")?;
    stage.host.stop_agent().await?;
    stage.host.start_agent().await?;
    stage.all_is_well().await.context("the agent")
}

async fn a_guest_comes_back_with_another_mac(stage: &mut Stage) -> Result<()> {
    let (old, new) = (stage.managed.macs[0], "52:54:00:aa:00:0c");
    stage.host.machine.stop_guest("blue0").await?;
    stage.managed.macs[0] = new;
    stage.managed.taps[0] = stage.host.machine.start_answering_guest(&stage.managed.answering(0, new)?).await?;
    stage.host.machine.run("ip -n peer neigh flush dev wire0").await?;
    stage.all_is_well().await?;
    let table = stage.host.machine.run("bridge fdb show br blue").await?;
    ensure!(!table.contains(old), "{table}");
    Ok(())
}

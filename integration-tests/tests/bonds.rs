//! Bonds on a real kernel, by the real agent and the real command line, with a partner that speaks LACP.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT};
use integration_tests::fleet::picture::Picture;
use integration_tests::fleet::program;
use integration_tests::lab::Lab;
use integration_tests::lab::nic::Nic;
use serde_json::{Value, json};

/// The other end of the cables: a bond of all three that speaks LACP, with an address beside a VLAN.
const PARTNER: &str = "ip netns exec peer sh -ec '
    ip link add far type bond mode 802.3ad lacp_rate fast miimon 100
    for wire in wire1 wire2 wire3; do ip link set $wire down; ip link set $wire master far; done
    ip link set far up; ip link add link far name far.10 type vlan id 10; ip link set far.10 up
    ip address add 192.0.2.2/24 dev far; ip address add 198.51.100.2/24 dev far.10'";

/// Tells virtual cards that they are full duplex, as LACP asks of a port; what ethtool does (`ETHTOOL_SSET`).
const FULL_DUPLEX: &str = "
import array, fcntl, socket, struct, sys
for name in sys.argv[1:]:
    link = struct.pack('=IIIHBBBBBBIIHBBIII', 2, 0, 0, 1000, 1, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    command = array.array('B', link)
    request = struct.pack('16sP', name.encode(), command.buffer_info()[0])
    fcntl.ioctl(socket.socket(), 0x8946, request)
";

/// What the agent reports of the bond.
async fn reported(host: &Alone) -> Result<Value> {
    host.report("bonds").await?.get(0).cloned().context("no bond is reported")
}

fn bond(nics: &[&str]) -> Value {
    json!({"name": "bond0", "nics": nics, "mode": "BOND_MODE_LACP", "options": {"lacpRate": "BOND_LACP_RATE_FAST"}})
}

fn static_ipv4(address: &str) -> Value {
    json!({"static": {"addresses": [address]}})
}

#[tokio::test]
async fn a_bond_with_a_partner_is_made_edited_undone_and_restored() -> Result<()> {
    let Some(lab) = Lab::enter("bonds").await? else { return Ok(()) };
    let machine = lab.vm("bonds").nic(Nic::Wire).nic(Nic::Wire).nic(Nic::Wire).nic(Nic::Wire).start().await?;
    let mut host = Alone::on(machine).await?;
    host.machine.run("for nic in eth1 eth2 eth3; do ip link set $nic up; done").await?;
    let python = program::python()?.display().to_string();
    host.machine.write("/run/full-duplex.py", FULL_DUPLEX).await?;
    host.machine.run(&format!("{python} /run/full-duplex.py eth1 eth2 eth3")).await?;
    host.machine.run(&format!("ip netns exec peer {python} /run/full-duplex.py wire1 wire2 wire3")).await?;
    host.machine.run(PARTNER).await?;
    host.start_agent().await?;

    aggregates_under_a_bridge_and_a_vlan(&host).await.context("making it")?;
    a_member_comes_without_loss(&host).await.context("editing members")?;
    an_unconfirmed_change_leaves_no_trace(&host).await.context("undoing")?;
    comes_back_with_the_nics_that_are_left(&mut host).await.context("restoring")?;
    takes_a_nic_that_comes_late(&host).await.context("keeping")?;
    adopts_a_bond_of_somebody_elses(&host).await.context("adopting")
}

async fn aggregates_under_a_bridge_and_a_vlan(host: &Alone) -> Result<()> {
    let wish = json!({
        "bonds": [bond(&["eth1", "eth2"])],
        "networks": [
            {"name": "blue", "bond": "bond0", "ipv4": static_ipv4("192.0.2.1/24")},
            {"name": "red", "bond": "bond0", "vlanId": 10, "bridged": false, "ipv4": static_ipv4("198.51.100.1/24")},
        ],
    });
    host.set_up(&wish, "--check none --commit").await?;
    for far in ["192.0.2.2", "198.51.100.2"] {
        host.machine.wait_until(&format!("ping -c1 -W1 {far}"), LIMIT).await?;
    }
    let agreed = format!("{} | tr -d ' \n' | grep -q '\"ports\":2'", host.ctl("capabilities --fields bonds -o json")?);
    host.machine.wait_until(&agreed, LIMIT).await?;
    let report = reported(host).await?;
    let state = &report["observed"];
    let far: Value = serde_json::from_str(&host.machine.run("ip netns exec peer ip -j link show dev far").await?)?;
    ensure!(report.get("drift").is_none_or(|drift| drift == &json!([])), "{report:#}");
    ensure!(state["lacp"]["partnerMac"] == far[0]["address"] && state["lacp"]["ports"] == 2, "{report:#}");
    ensure!(host.link("bond0").await?["master"] == "blue");
    ensure!(host.set_up(&wish, "--check none").await?.contains("unchanged"), "asking again changes something");
    Ok(())
}

async fn a_member_comes_without_loss(host: &Alone) -> Result<()> {
    let mac = host.link("bond0").await?["address"].clone();
    // The partner may take its time to use what was agreed upon.
    host.machine.wait_until("ping -i 0.05 -c 40 192.0.2.2 | grep -q ' 0% packet loss'", LIMIT).await?;
    host.machine.run("ip monitor link >/run/events & echo $! >/run/monitor").await?;
    host.machine.run("ping -i 0.05 -c 400 192.0.2.2 >/run/ping 2>&1 & echo $! >/run/pinging").await?;
    host.set_up(&json!({"bonds": [bond(&["eth3", "eth2", "eth1"])]}), "--check none").await?;
    host.machine.wait_until("! kill -0 $(cat /run/pinging) 2>/dev/null", LIMIT).await?;
    host.machine.run("kill $(cat /run/monitor)").await?;
    let pinged = host.machine.read("/run/ping").await?;
    ensure!(pinged.contains(" 0% packet loss"), "{pinged}");
    ensure!(host.link("bond0").await?["address"] == mac && host.link("eth3").await?["master"] == "bond0");
    let events = host.machine.read("/run/events").await?;
    let flapped = events.lines().filter(|line| line.contains("state DOWN") && !line.contains("eth3"));
    ensure!(flapped.count() == 0, "another link went down:\n{events}");
    Ok(())
}

async fn an_unconfirmed_change_leaves_no_trace(host: &Alone) -> Result<()> {
    let before = picture(host).await?;
    let other = json!({
        "bonds": [{"name": "bond0", "nics": ["eth2"], "mode": "BOND_MODE_ACTIVE_BACKUP", "hwaddr": "06:00:00:00:00:aa"}],
        "networks": [{"name": "green", "nic": "eth1", "vlanId": 5, "mtu": 1400}],
    });
    let told = host.set_up_unconfirmed(&other).await?;
    ensure!(told.contains("OUTCOME_ROLLED_BACK") && told.contains("\"verified\""), "{told}");
    picture(host).await?.same_as(&before)
}

async fn picture(host: &Alone) -> Result<Picture> {
    // LACP has to have come to an agreement again.
    host.machine.wait_until("ping -c1 -W1 192.0.2.2", LIMIT).await?;
    Picture::taken(&host.machine).await
}

async fn comes_back_with_the_nics_that_are_left(host: &mut Alone) -> Result<()> {
    let mac = host.link("bond0").await?["address"].clone();
    host.stop_agent().await?;
    host.machine.reboot().await?;
    // The NIC that gave the bond its MAC is gone.
    host.machine
        .run("basename $(readlink /sys/class/net/eth1/device) >/run/device; cat /run/device >/sys/bus/virtio/drivers/virtio_net/unbind")
        .await?;
    host.start_agent().await?;
    host.machine.wait_until("ip link show dev blue && ip link show dev bond0.10", LIMIT).await?;
    let bond0 = host.link("bond0").await?;
    ensure!(bond0["address"] == mac && bond0["master"] == "blue", "{bond0:#}");
    ensure!(host.link("eth2").await?["master"] == "bond0");
    ensure!(host.link("eth3").await?["master"].is_null(), "what was not committed was restored");
    let report = reported(host).await?;
    ensure!(report["drift"].to_string().contains("eth1"), "{report:#}");
    Ok(())
}

async fn takes_a_nic_that_comes_late(host: &Alone) -> Result<()> {
    let state = format!("{} | grep -q REPAIR_STATE_IMPOSSIBLE", host.ctl("capabilities --fields bonds -o json")?);
    host.machine.wait_until(&state, LIMIT).await?;
    host.machine.run("ip monitor link >/run/events & echo $! >/run/monitor").await?;
    host.machine.run("cat /run/device >/sys/bus/virtio/drivers/virtio_net/bind").await?;
    host.machine.wait_until("ip link show dev eth1 | grep -q 'master bond0'", LIMIT).await?;
    let in_order = format!("! {state} && ! {}", state.replace("REPAIR_STATE_IMPOSSIBLE", "REPAIR_STATE_DUE"));
    host.machine.wait_until(&in_order, LIMIT).await?;
    host.machine.run("kill $(cat /run/monitor)").await?;
    let events = host.machine.read("/run/events").await?;
    let flapped = events.lines().filter(|line| line.contains("state DOWN") && !line.contains("eth1"));
    ensure!(events.contains("eth1") && flapped.count() == 0, "another link went down:\n{events}");
    let report = reported(host).await?;
    ensure!(report.get("drift").is_none_or(|drift| drift == &json!([])), "{report:#}");
    let history = host.machine.run(&host.ctl("history")?).await?;
    ensure!(history.contains("keeper"), "{history}");
    Ok(())
}

async fn adopts_a_bond_of_somebody_elses(host: &Alone) -> Result<()> {
    let gone = |name: &str| json!({"name": name, "remove": true});
    host.set_up(&json!({"bonds": [gone("bond0")], "networks": [gone("blue"), gone("red")]}), "--check none --commit")
        .await?;
    host.machine
        .run(
            "ip link add old0 type bond mode active-backup miimon 150
             for nic in eth1 eth2; do ip link set $nic down; ip link set $nic master old0; done
             ip link set old0 up; ip address add 203.0.113.7/24 dev old0",
        )
        .await?;
    let settled = async || -> Result<Picture> {
        host.machine.wait_until("! ip -6 address show | grep -q tentative", LIMIT).await?;
        Picture::taken(&host.machine).await
    };
    let before = settled().await?;
    let mac = host.link("old0").await?["address"].clone();
    let wish = json!({"networks": [{"name": "green", "bond": "old0", "ipv4": static_ipv4("203.0.113.7/24")}]});
    let told = host.set_up_unconfirmed(&wish).await?;
    ensure!(told.contains("OUTCOME_ROLLED_BACK"), "{told}");
    settled().await?.same_as(&before)?;

    host.set_up(&wish, "--check none --commit").await?;
    let old0 = host.link("old0").await?;
    ensure!(old0["master"] == "green" && old0["address"] == mac, "{old0:#}");
    ensure!(old0["linkinfo"]["info_data"]["miimon"] == 150, "what was set on it is another: {old0:#}");
    for nic in ["eth1", "eth2"] {
        ensure!(host.link(nic).await?["master"] == "old0", "{nic} has left the bond");
    }
    let report = reported(host).await?;
    ensure!(report["configured"]["nics"] == json!(["eth1", "eth2"]), "{report:#}");
    ensure!(report.get("drift").is_none_or(|drift| drift == &json!([])), "{report:#}");
    ensure!(host.set_up(&wish, "--check none").await?.contains("unchanged"), "asking again changes something");

    // It is never removed as one too many, only by name.
    host.set_up(&json!({"networks": [gone("green")]}), "--check none").await?;
    ensure!(host.link("old0").await?["master"].is_null());
    host.set_up(&json!({"bonds": [gone("old0")]}), "--check none").await?;
    host.machine.run("! ip link show dev old0").await?;
    Ok(())
}

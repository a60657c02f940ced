//! What networks are given of a card.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT};
use integration_tests::fleet::program;
use serde_json::{Value, json};

/// The far end of the slow cable: an address in each VLAN.
const FAR_END: &str = "for id in 10 20; do
    ip -n peer link add link wire1 name wire1.$id type vlan id $id; ip -n peer link set wire1.$id up
    ip -n peer address add 198.51.$id.2/24 dev wire1.$id; done";

/// Sends more than the card takes to each address given, until it is ended: what waits does so in the card's queue.
const FLOOD: &str = "
import socket, sys
flows = []
for address in sys.argv[1:]:
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)
    flow.setblocking(False)
    flow.connect((address, 9))
    flows.append(flow)
while True:
    for flow in flows:
        try:
            for _ in range(64): flow.send(bytes(1400))
        except OSError:
            pass
";

/// Tells the rates in bit/s at which the far end hears each VLAN.
const LISTEN: &str = "
import json, subprocess, time
def heard():
    files = ['/sys/class/net/wire1.%d/statistics/rx_bytes' % id for id in (10, 20)]
    text = subprocess.check_output(['ip', 'netns', 'exec', 'peer', 'cat'] + files)
    return time.monotonic(), [int(line) for line in text.split()]
begun, before = heard()
time.sleep(6)
ended, after = heard()
print(json.dumps([8 * (after - before) / (ended - begun) for before, after in zip(before, after)]))
";

/// Goes through the cases; the last leaves rates on eth1 that a reboot keeps.
pub(crate) async fn are_kept_to(host: &Alone) -> Result<()> {
    host.machine.run(FAR_END).await?;
    host.machine.write("/run/flood.py", FLOOD).await?;
    host.machine.write("/run/listen.py", LISTEN).await?;
    shares_divide_a_full_card(host).await.context("shares")?;
    a_limit_holds(host).await.context("limit")?;
    an_unconfirmed_change_leaves_no_trace(host).await.context("undoing")?;
    somebody_elses_queueing_is_kept(host).await.context("foreign")
}

/// Waits after a boot until the last network has its class.
pub(crate) async fn until_restored(host: &Alone) -> Result<()> {
    host.machine.wait_until("tc filter show dev eth1 parent 7e57: | grep -q 7e57:15", LIMIT).await
}

fn networks(red: &Value, green: &Value) -> Value {
    let ipv4 = |address: &str| json!({"static": {"addresses": [address]}});
    json!({"networks": [
        {"name": "red", "nic": "eth1", "vlanId": 10, "ipv4": ipv4("198.51.10.1/24"), "hostQos": red},
        {"name": "green", "nic": "eth1", "vlanId": 20, "bridged": false, "ipv4": ipv4("198.51.20.1/24"), "hostQos": green},
    ]})
}

fn share(bits: u64) -> Value {
    json!({"linkShareBps": bits.to_string()})
}

fn limited() -> Value {
    json!({"linkShareBps": "30000000", "upperLimitBps": "1000000"})
}

async fn shares_divide_a_full_card(host: &Alone) -> Result<()> {
    let wish = networks(&share(30_000_000), &share(10_000_000));
    host.set_up(&wish, "--check none --commit").await?;
    for far in ["198.51.10.2", "198.51.20.2"] {
        host.machine.wait_until(&format!("ping -c1 -W1 {far}"), LIMIT).await?;
    }
    ensure!(host.set_up(&wish, "--check none").await?.contains("unchanged"), "asking again changes something");
    let [red, green] = rates(host).await?;
    println!("shares 3:1 of a full card: {red:.0} and {green:.0} bit/s");
    ensure!(green > 500_000.0 && (2.5..3.5).contains(&(red / green)), "{red} and {green} bit/s");
    Ok(())
}

async fn a_limit_holds(host: &Alone) -> Result<()> {
    host.set_up(&networks(&limited(), &share(10_000_000)), "--check none --commit").await?;
    let [red, green] = rates(host).await?;
    println!("a limit of 1 Mbit/s beside none: {red:.0} and {green:.0} bit/s");
    ensure!((850_000.0..1_150_000.0).contains(&red) && green > 2.0 * red, "{red} and {green} bit/s");
    Ok(())
}

async fn an_unconfirmed_change_leaves_no_trace(host: &Alone) -> Result<()> {
    let before = queueing(host).await?;
    let told = host.set_up_unconfirmed(&networks(&Value::Null, &share(2_000_000))).await?;
    ensure!(told.contains("OUTCOME_ROLLED_BACK") && told.contains("\"verified\""), "{told}");
    let after = queueing(host).await?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    let nothing = json!({"networks": [{"name": "red", "remove": true}, {"name": "green", "remove": true}]});
    let told = host.set_up_unconfirmed(&nothing).await?;
    ensure!(told.contains("OUTCOME_ROLLED_BACK") && told.contains("\"verified\""), "{told}");
    ensure!(queueing(host).await? == before, "after a removal that was undone");
    Ok(())
}

async fn somebody_elses_queueing_is_kept(host: &Alone) -> Result<()> {
    host.machine.run("ip link set eth2 up; tc qdisc add dev eth2 root handle 5: pfifo limit 7").await?;
    let wish = json!({"networks": [{"name": "blue", "nic": "eth2", "hostQos": share(1_000_000)}]});
    host.machine.write("/run/wish.yaml", &wish.to_string()).await?;
    let refused = host.machine.exec(&host.ctl("setup -f /run/wish.yaml --check none")?, LIMIT).await?;
    ensure!(refused.stderr.contains("FOREIGN_QDISC"), "{refused:?}");
    host.set_up(&json!({"networks": [{"name": "blue", "nic": "eth2"}]}), "--check none").await?;
    let kept = host.machine.run("tc qdisc show dev eth2").await?;
    ensure!(kept.contains("pfifo 5:") && kept.contains("limit 7p"), "{kept}");
    let nics = host.report("nics").await?;
    let foreign = nics.as_array().into_iter().flatten().find(|nic| nic["name"] == "eth2");
    ensure!(foreign.is_some_and(|nic| nic["egress"]["foreign"] == "pfifo"), "{nics:#}");
    Ok(())
}

/// What queues what leaves the slow card, but for the numbers that the kernel gives leaves.
pub(crate) async fn queueing(host: &Alone) -> Result<String> {
    let show = "tc qdisc show dev eth1 | sed 's/fq_codel [0-9a-f]*:/fq_codel/' | sort; \
                tc class show dev eth1 | grep hfsc | sed 's/leaf [0-9a-f]*:/leaf/' | sort; tc filter show dev eth1 parent 7e57: | sort";
    host.machine.run(show).await
}

/// Floods both networks and measures what the far end hears, in bit/s.
async fn rates(host: &Alone) -> Result<[f64; 2]> {
    let python = program::python()?.display().to_string();
    let flood = format!("{python} /run/flood.py 198.51.10.2 198.51.20.2");
    let flood = host.machine.start_daemon(&flood, "/run/flood.log").await?;
    // A full queue is the level to wait for.
    host.machine.wait_until("tc -s qdisc show dev eth1 | grep -qE 'backlog [0-9]+b [1-9][0-9]{2,}p'", LIMIT).await?;
    let heard = host.machine.run(&format!("{python} /run/listen.py")).await;
    host.machine.run(&format!("kill {}", flood.pid)).await?;
    // What waits is sent before the next measurement.
    host.machine.wait_until("! tc -s qdisc show dev eth1 | grep -qE 'backlog [1-9]'", LIMIT).await?;
    Ok(serde_json::from_str(&heard?)?)
}

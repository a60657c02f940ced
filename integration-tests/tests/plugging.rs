//! Guests' interfaces are plugged, rewired, changed and unplugged while real guests run on real bridges, and while they do not.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT, SOCKET};
use integration_tests::fleet::{facts, program};
use integration_tests::lab::Lab;
use integration_tests::lab::libvirt::{AnsweringGuest, Wiring};
use integration_tests::lab::nic::Nic;
use serde_json::{Value, json};

const GUEST: &str = "web";
const ADDRESS: &str = "192.0.2.20";
const OWN: &str = "52:54:00:cc:00:01";
const SECOND: &str = "52:54:00:cc:00:02";
const THIRD: &str = "52:54:00:cc:00:03";
const STRANGE: &str = "52:54:00:cc:00:0f";

#[tokio::test]
async fn guests_are_plugged_and_rewired_while_they_run() -> Result<()> {
    let Some(lab) = Lab::enter("plugging").await? else { return Ok(()) };
    let machine = lab.vm("plugging").nic(Nic::Wire).start().await?;
    machine.start_libvirt().await?;
    let mut host = Alone::beside_libvirt(machine).await?;
    host.start_agent().await?;
    host.set_up(&wish(), "--check none").await?;
    let told = Box::pin(tell(&host)).await;
    if told.is_err() {
        println!("{}", host.machine.run("tail -40 /var/log/agent.log").await?);
    }
    told
}

/// A network whose MAC table libvirt manages, and one on no NIC. A route leads to the guest's address over either.
fn wish() -> Value {
    let ipv4 = |address: &str| json!({"static": {"addresses": [address]}});
    json!({"networks": [
        {"name": "blue", "nic": "eth0", "manageMacsWithLibvirt": true, "ipv4": ipv4("192.0.2.10/24")},
        {"name": "green", "ipv4": ipv4("198.51.100.10/24")},
    ]})
}

async fn tell(host: &Alone) -> Result<()> {
    a_stopped_domain_changes_in_its_definition(host).await.context("stopped")?;
    host.machine.virsh(&format!("start {GUEST}")).await?;
    host.machine.await_guest(GUEST).await?;
    a_running_guest_gets_an_interface(host).await.context("hot-plug")?;
    what_libvirt_refuses_is_put_back(host).await.context("put back")?;
    a_running_guest_is_rewired_and_its_cable_pulled(host).await.context("rewiring")?;
    a_running_guest_s_filter_changes(host).await.context("filter")?;
    a_running_guest_s_device_is_made_anew(host).await.context("replug")?;
    a_guest_keeps_what_it_does_not_release(host).await.context("unplug")
}

/// Asks by the command line, and returns what was done to each interface.
async fn ctl(host: &Alone, arguments: &str) -> Result<Vec<String>> {
    let text = host.machine.exec(&host.ctl(&format!("{arguments} -o json"))?, 3 * LIMIT).await?.success()?;
    let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let outcomes = answer["interfaces"].as_array().with_context(|| text.clone())?.iter();
    let action = |outcome: &Value| outcome["action"].as_str().unwrap_or_default().replace("INTERFACE_ACTION_", "");
    Ok(outcomes.map(action).collect())
}

async fn plug(host: &Alone, arguments: &str, expected: &str) -> Result<()> {
    let done = ctl(host, &format!("plug {GUEST} {arguments}")).await?;
    ensure!(done == [expected], "plug {arguments}: {done:?}");
    Ok(())
}

/// What is there is asked for again, and nothing is written.
async fn plug_twice(host: &Alone, arguments: &str, expected: &str) -> Result<()> {
    plug(host, arguments, expected).await?;
    let before = host.machine.virsh(&format!("dumpxml {GUEST}")).await?;
    let again = ctl(host, &format!("plug {GUEST} {arguments}")).await?;
    ensure!(again == ["UNCHANGED"], "plug {arguments} again: {again:?}\n{before}");
    let now = host.machine.virsh(&format!("dumpxml {GUEST}")).await?;
    ensure!(now == before, "before: {before}\nnow: {now}");
    Ok(())
}

async fn refused(host: &Alone, command: &str) -> Result<String> {
    host.machine.run(&format!("! {command} 2>&1")).await
}

/// What the domain is and will start with. Names that libvirt gives anew each time are left out.
async fn picture(host: &Alone) -> Result<String> {
    let both = host.machine.virsh(&format!("\"dumpxml {GUEST}; dumpxml {GUEST} --inactive\"")).await?;
    let fleeting = ["<target dev", "<alias", "portid="];
    let lasting: Vec<&str> = both.lines().filter(|line| !fleeting.iter().any(|word| line.contains(word))).collect();
    Ok(lasting.join("\n"))
}

async fn entries(host: &Alone, mac: &str) -> Result<Vec<String>> {
    let table = host.machine.run("bridge fdb show br blue").await?;
    // Beside the bridge's own, the uplink has the MACs that it is to receive.
    Ok(table.lines().filter(|line| line.starts_with(mac) && line.contains("master")).map(str::to_owned).collect())
}

/// The guest answers over a network, and not over the other.
async fn answers_on(host: &Alone, network: &str) -> Result<()> {
    host.machine.run(&format!("ip route replace {ADDRESS}/32 dev {network}; ip neigh flush all")).await?;
    host.machine.wait_until(&format!("ping -c1 -W2 {ADDRESS}"), LIMIT).await
}

async fn is_silent(host: &Alone) -> Result<()> {
    host.machine.run(&format!("ip neigh flush all; ! ping -c1 -W2 {ADDRESS}")).await.map(drop)
}

async fn a_stopped_domain_changes_in_its_definition(host: &Alone) -> Result<()> {
    let guest = AnsweringGuest {
        name: GUEST.to_owned(),
        mac: OWN.to_owned(),
        wiring: Wiring::Network(facts::libvirt_name("blue")),
        address: ADDRESS.parse()?,
    };
    host.machine.write("/run/lab/web.xml", &host.machine.answering_guest_xml(&guest)).await?;
    host.machine.virsh("define /run/lab/web.xml").await?;
    let before = picture(host).await?;
    let rules = "--mtu 1400 --model e1000 --link down --isolated --filter clean-traffic --parameter IP=192.0.2.21";
    plug_twice(host, &format!("{SECOND} green {rules}"), "PLUGGED").await?;
    let xml = picture(host).await?;
    for words in ["<mtu size='1400'/>", "type='e1000'", "<link state='down'/>", "isolated='yes'", "value='192.0.2.21'"]
    {
        ensure!(xml.contains(words), "no {words}: {xml}");
    }
    ensure!(ctl(host, &format!("unplug {GUEST} {SECOND} {STRANGE}")).await? == ["UNPLUGGED", "UNCHANGED"]);
    ensure!(picture(host).await? == before, "before: {before}\nnow: {}", picture(host).await?);
    Ok(())
}

async fn a_running_guest_gets_an_interface(host: &Alone) -> Result<()> {
    answers_on(host, "blue").await?;
    plug_twice(host, &format!("{SECOND} blue"), "PLUGGED").await?;
    let disciplines = async || host.machine.run("tc qdisc show").await;
    plug_twice(host, &format!("{SECOND} blue --inbound 1000,2000,512 --outbound 500"), "UPDATED").await?;
    let limited = disciplines().await?;
    ensure!(limited.contains("htb") && limited.contains("ingress"), "{limited}");
    plug_twice(host, &format!("{SECOND} blue"), "UPDATED").await?;
    let free = disciplines().await?;
    ensure!(!free.contains("htb") && !free.contains("ingress"), "{free}");
    let taps = host.machine.virsh(&format!("domiflist {GUEST}")).await?;
    let line = taps.lines().find(|line| line.contains(SECOND)).context("no second interface")?;
    let tap = line.split_whitespace().next().context("no tap")?;
    // One outside VLANs, and one in the default VLAN.
    let both = format!("test $(bridge fdb show br blue | grep -c '^{SECOND} dev {tap} .*static') = 2");
    host.machine.wait_until(&both, LIMIT).await?;
    let xml = host.machine.virsh(&format!("dumpxml {GUEST} --inactive")).await?;
    ensure!(xml.contains(SECOND) && xml.contains("<source network='trestle-blue'/>"), "{xml}");
    answers_on(host, "blue").await
}

/// libvirt takes the first interface of three and not the second: nothing is left of the first.
async fn what_libvirt_refuses_is_put_back(host: &Alone) -> Result<()> {
    let before = picture(host).await?;
    let set = json!([
        {"mac": OWN, "network": "green"},
        {"mac": STRANGE, "network": "blue", "model": "nonsense"},
        {"mac": THIRD, "network": "blue"},
    ]);
    host.machine.write("/run/lab/set.json", &json!({"domain": GUEST, "set": set}).to_string()).await?;
    let grpcurl = program::grpcurl()?.display().to_string();
    let call = format!(
        "{grpcurl} -plaintext -unix -authority localhost -d @ {SOCKET} trestle.host.v1.HostAgent/SetDomainInterfaces </run/lab/set.json"
    );
    let told = refused(host, &call).await?;
    ensure!(told.contains("STEP_FAILED") && told.contains("set[1]") && !told.contains("NOT_PUT_BACK"), "{told}");
    ensure!(picture(host).await? == before, "before: {before}\nnow: {}", picture(host).await?);
    // The keeper brings the entry of the tap back that went and came.
    host.machine.wait_until(&format!("bridge fdb show br blue | grep -q '^{OWN}.*static'"), LIMIT).await?;
    answers_on(host, "blue").await
}

async fn a_running_guest_is_rewired_and_its_cable_pulled(host: &Alone) -> Result<()> {
    plug(host, &format!("{OWN} green"), "REWIRED").await?;
    is_silent(host).await?;
    answers_on(host, "green").await?;
    ensure!(entries(host, OWN).await?.is_empty(), "{:?}", entries(host, OWN).await?);
    plug(host, &format!("{OWN} green --link down --isolated"), "UPDATED").await?;
    host.machine.run("bridge -d link show | grep -A1 'master green' | grep -q 'isolated on'").await?;
    is_silent(host).await
}

/// The guard of MACs is defined where somebody has removed it, and does what its name says.
async fn a_running_guest_s_filter_changes(host: &Alone) -> Result<()> {
    let undefine = |filter| format!("nwfilter-undefine {filter}");
    // They refer to it.
    let commands = ["clean-traffic", "clean-traffic-gateway", "no-mac-spoofing"].map(undefine).join("; ");
    host.machine.virsh(&format!("\"{commands}\"")).await?;
    plug(host, &format!("{OWN} green --filter no-mac-spoofing"), "UPDATED").await?;
    answers_on(host, "green").await?;
    host.machine.tell_guest(GUEST, &format!("mac {STRANGE}")).await?;
    is_silent(host).await.context("a foreign MAC passes the filter")?;
    host.machine.tell_guest(GUEST, &format!("mac {OWN}")).await?;
    plug(host, &format!("{OWN} blue"), "REWIRED").await?;
    host.machine.wait_until(&format!("bridge fdb show br blue | grep -q '^{OWN}.*static'"), LIMIT).await?;
    answers_on(host, "blue").await
}

/// The guest releases its second card at once, and gets another one with the same MAC.
async fn a_running_guest_s_device_is_made_anew(host: &Alone) -> Result<()> {
    let wish = format!("plug {GUEST} {SECOND} blue --model e1000");
    let replug = host.machine.start_daemon(&host.ctl(&format!("{wish} --replug"))?, "/run/lab/replug").await?;
    release(host).await?;
    host.machine.wait_until(&format!("! kill -0 {} 2>/dev/null", replug.pid), LIMIT).await?;
    let told = host.machine.read("/run/lab/replug").await?;
    ensure!(told.contains("replugged"), "{told}");
    let xml = picture(host).await?;
    ensure!(xml.matches("type='e1000'").count() == 2, "{xml}");
    answers_on(host, "blue").await
}

/// The guest answers with the bit of a slot when it has released a device that it was asked for.
async fn release(host: &Alone) -> Result<()> {
    let command = host.machine.line_command(GUEST, "release");
    host.machine.wait_until(&format!("timeout 5 {command} | grep -qv '^0$'"), LIMIT).await
}

async fn a_guest_keeps_what_it_does_not_release(host: &Alone) -> Result<()> {
    let before = picture(host).await?;
    let unplug = host.ctl(&format!("unplug {GUEST} {SECOND}"))?;
    let told = refused(host, &unplug).await?;
    ensure!(told.contains("UNPLUG_PENDING") && told.contains("did not release"), "{told}");
    ensure!(picture(host).await? == before, "before: {before}\nnow: {}", picture(host).await?);
    // It releases it late; whoever asks again finds the definition alone to change.
    release(host).await?;
    host.machine.wait_until(&format!("! virsh -c qemu:///system domiflist {GUEST} | grep -q {SECOND}"), LIMIT).await?;
    ensure!(ctl(host, &format!("unplug {GUEST} {SECOND}")).await? == ["UNPLUGGED"]);
    ensure!(!picture(host).await?.contains(SECOND), "{}", picture(host).await?);
    ensure!(entries(host, SECOND).await?.is_empty(), "{:?}", entries(host, SECOND).await?);
    answers_on(host, "blue").await
}

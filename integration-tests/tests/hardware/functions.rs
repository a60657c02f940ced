//! Virtual functions of a card that has SR-IOV, as the kernel makes them.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT};
use integration_tests::lab::Lab;
use integration_tests::lab::nic::Nic;
use serde_json::{Value, json};

/// The card, and how it gets its name.
const CARD: &str = "eth1";
const DRIVERS: &str = "modprobe igbvf && modprobe igb && test -e /sys/class/net/eth1";

#[tokio::test]
async fn virtual_functions_are_as_many_as_they_are_told_to_be() -> Result<()> {
    let Some(lab) = Lab::enter("virtual functions").await? else { return Ok(()) };
    let Some(qemu) = lab.newer_qemu("virtual functions").await? else { return Ok(()) };
    let machine = lab.vm("functions").qemu(qemu).nic(Nic::user()).nic(Nic::Sriov).start().await?;
    machine.run(DRIVERS).await?;
    let mut host = Alone::on(machine).await?;
    host.start_agent().await?;
    they_are_made_and_told(&host).await.context("making")?;
    what_was_set_for_them_is_told(&host).await.context("telling")?;
    an_unconfirmed_change_is_undone(&host).await.context("undoing")?;
    too_many_and_used_ones_are_refused(&host).await.context("refusing")
}

fn wish(count: u32) -> Value {
    json!({"nics": [{"name": CARD, "sriovVfs": count}]})
}

async fn count(host: &Alone) -> Result<u32> {
    Ok(host.machine.read(&format!("/sys/class/net/{CARD}/device/sriov_numvfs")).await?.trim().parse()?)
}

async fn they_are_made_and_told(host: &Alone) -> Result<()> {
    host.set_up(&wish(2), "--check none").await?;
    ensure!(count(host).await? == 2, "not two");
    host.set_up(&wish(3), "--check none --commit").await?;
    ensure!(host.set_up(&wish(3), "--check none").await?.contains("unchanged"), "asking again changes something");
    let nics = host.report("nics").await?;
    let card = nics.as_array().into_iter().flatten().find(|nic| nic["name"] == CARD).context("no card")?;
    let sriov = &card["settings"]["sriov"];
    let functions = sriov["vfs"].as_array().context("no functions")?;
    ensure!(sriov["vfsMax"] == 7 && functions.len() == 3, "{sriov:#}");
    for function in functions {
        let device = function["device"].as_str().context("no device")?;
        let address = host.machine.run(&format!("basename $(readlink -f /sys/class/net/{device}/device)")).await?;
        ensure!(function["busAddress"] == address.trim() && function["driver"] == "igbvf", "{function} at {address}");
    }
    Ok(())
}

/// Others set it, by `ip`; the card's driver tells it.
async fn what_was_set_for_them_is_told(host: &Alone) -> Result<()> {
    let mac = "52:54:00:00:01:23";
    for set in [&format!("mac {mac}"), "vlan 100 qos 5", "spoofchk off", "trust on"] {
        host.machine.run(&format!("ip link set {CARD} vf 1 {set}")).await?;
    }
    let nics = host.report("nics").await?;
    let card = nics.as_array().into_iter().flatten().find(|nic| nic["name"] == CARD).context("no card")?;
    let functions = &card["settings"]["sriov"]["vfs"];
    let set = &functions[1]["set"];
    let vlan = json!({"id": 100, "priority": 5});
    ensure!(set["mac"] == mac && set["vlan"] == vlan, "{functions:#}");
    ensure!(set["spoofCheck"] == false && set["trusted"] == true, "{functions:#}");
    ensure!(set["link"] == "VIRTUAL_FUNCTION_LINK_AUTO", "{functions:#}");
    let other = &functions[0]["set"];
    ensure!(other["vlan"].is_null() && other["spoofCheck"] == true && other["trusted"] == false, "{functions:#}");
    Ok(())
}

async fn an_unconfirmed_change_is_undone(host: &Alone) -> Result<()> {
    let told = host.set_up_unconfirmed(&wish(5)).await?;
    ensure!(told.contains("OUTCOME_ROLLED_BACK") && told.contains("\"verified\""), "{told}");
    ensure!(count(host).await? == 3, "not as many as before");
    Ok(())
}

async fn too_many_and_used_ones_are_refused(host: &Alone) -> Result<()> {
    let refused = async |wish: Value, code: &str| -> Result<()> {
        host.machine.write("/run/wish.yaml", &wish.to_string()).await?;
        let said = host.machine.exec(&host.ctl("setup -f /run/wish.yaml --check none")?, LIMIT).await?;
        ensure!(said.stderr.contains(code) && said.stderr.contains("nics[0].sriov_vfs"), "{said:?}");
        Ok(())
    };
    refused(wish(8), "NIC_OPTION_UNSUPPORTED").await?;
    refused(json!({"nics": [{"name": "eth0", "sriovVfs": 1}]}), "NIC_OPTION_UNSUPPORTED").await?;
    let device = host.machine.run(&format!("ls /sys/class/net/{CARD}/device/virtfn0/net")).await?;
    let device = device.trim();
    host.set_up(&json!({"networks": [{"name": "blue", "nic": device, "bridged": false}]}), "--check none").await?;
    refused(wish(2), "VFS_IN_USE").await?;
    host.set_up(&json!({"networks": [{"name": "blue", "remove": true}]}), "--check none").await?;
    Ok(())
}

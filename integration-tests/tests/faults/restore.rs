//! Only what was committed survives the machine.

use anyhow::{Result, ensure};
use integration_tests::fleet::host::Host;
use integration_tests::fleet::{Fleet, facts};
use serde_json::json;

use crate::SETTLE;
use crate::local::{ask, capabilities, network_local, reports, until_told};

const GUEST_MAC: &str = "52:54:00:aa:00:02";

pub(crate) async fn after_a_reboot(fleet: &mut Fleet) -> Result<()> {
    let host = &mut fleet.a;
    host.machine.write("/run/lab/local.yaml", &json!({"networks": [network_local()]}).to_string()).await?;
    host.run("trestlectl host setup -f /run/lab/local.yaml --check none").await?;
    ensure!(reports(host, "local").await? && capabilities(host).await?["dirty"] == true);
    host.reboot().await?;
    ensure!(!host.has_link("blue").await?, "links outlive the machine: this proves nothing");
    host.start().await?;
    is_as_committed(host).await?;
    // Guests find their network at once.
    let tap = host.machine.start_guest(&facts::guest("guest-2", GUEST_MAC, "blue")).await?;
    facts::guest_port_is_managed(host, "blue", &tap, GUEST_MAC).await?;
    host.machine.stop_guest("guest-2").await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    Ok(())
}

pub(crate) async fn after_a_power_cut(fleet: &mut Fleet) -> Result<()> {
    let host = &mut fleet.a;
    ask(host, &json!({"networks": [network_local(), {"name": "blue", "remove": true}], "connectivityTimeout": "300s"}))
        .await?;
    until_told(host, "awaitingConfirmation").await?;
    ensure!(host.has_link("local").await? && !host.has_link("blue").await?, "nothing was applied");
    host.power_cycle().await?;
    // The agent is there before libvirt this time, as it may be on a host that boots.
    host.launch_agent().await?;
    host.machine.start_libvirt().await?;
    host.await_agent().await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    is_as_committed(&fleet.a).await
}

async fn is_as_committed(host: &Host) -> Result<()> {
    ensure!(facts::filters_vlans(host, "blue").await?);
    ensure!(facts::mac_table_manager(host, "blue").await?.as_deref() == Some("libvirt"));
    ensure!(host.link("eth1.10").await?["master"] == "blue");
    ensure!(!reports(host, "local").await?, "what was not committed is reported");
    ensure!(!host.has_link("local").await?, "what was not committed is there");
    ensure!(host.link("eth2").await?["master"].is_null());
    ensure!(!facts::libvirt_knows(host, "local").await?, "libvirt keeps what was not committed");
    let reported = capabilities(host).await?;
    ensure!(reported["dirty"] == false, "{reported:#}");
    Ok(())
}

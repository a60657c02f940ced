//! A change holds only when it is confirmed.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::fleet::{Fleet, facts, is_in_sync};
use serde_json::json;

use crate::local::{ask, capabilities, network_local, reports, until_told};
use crate::{CONNECTIVITY_TIMEOUT, SETTLE};

/// A management network whose addresses lead nowhere.
const WRONG: &str = "
kind: Network
name: networks/management
spec: {}
---
kind: ClusterNetwork
name: clusters/lab/clusterNetworks/management
---
kind: NetworkAttachment
name: hosts/host-b/networkAttachments/management
spec: {nic: eth0, ipv4: {static: {addresses: [192.0.2.77/24]}}}
";
/// The same with the address that the host has.
const RIGHT: &str = "
kind: NetworkAttachment
name: hosts/host-b/networkAttachments/management
spec: {nic: eth0, defaultRoute: true, ipv4: {static: {addresses: [10.0.2.15/24], gateway: 10.0.2.2}}}
";

/// The result's sign in the answers of a request.
const RESULT: &str = "outcome";

pub(crate) async fn a_local_change_is_confirmed(fleet: &Fleet) -> Result<()> {
    let host = &fleet.a;
    host.machine.write("/run/lab/local.yaml", &json!({"networks": [network_local()]}).to_string()).await?;
    host.run("trestlectl host setup -f /run/lab/local.yaml").await?;
    ensure!(reports(host, "local").await? && host.has_link("local").await?);
    ensure!(capabilities(host).await?["dirty"] == true, "nobody asked to make it persistent");
    // The engine sees it and lets it be.
    let status = fleet.until("host-a", SETTLE, |status| status.to_string().contains("networks/local")).await?;
    ensure!(is_in_sync(&status), "{status:#}");
    Ok(())
}

pub(crate) async fn a_repeated_request_changes_nothing(fleet: &Fleet) -> Result<()> {
    let host = &fleet.a;
    let before = host.picture().await?;
    let request = json!({"networks": [network_local()]});
    let repeat = async || {
        ask(host, &request).await?;
        let answers = until_told(host, RESULT).await?;
        ensure!(answers.contains("OUTCOME_UNCHANGED"), "{answers}");
        Ok(())
    };
    host.is_quiet_during(repeat).await?;
    host.picture().await?.same_as(&before)?;

    ask(
        host,
        &json!({"networks": [{"name": "local", "remove": true}], "connectivityCheck": "CONNECTIVITY_CHECK_NONE"}),
    )
    .await?;
    let answers = until_told(host, RESULT).await?;
    ensure!(answers.contains("OUTCOME_APPLIED"), "{answers}");
    ensure!(!host.has_link("local").await? && !facts::libvirt_knows(host, "local").await?);
    ensure!(capabilities(host).await?["dirty"] == false, "running and persistent are the same again");
    Ok(())
}

pub(crate) async fn an_unconfirmed_change_is_undone(fleet: &Fleet) -> Result<()> {
    let host = &fleet.a;
    // Somebody's own address on the card: nobody asked Trestle for it, and still it has to come back.
    host.machine.run("ip address add 203.0.113.9/24 dev eth2; ip link set eth2 mtu 1420 up").await?;
    host.machine.run("ip route add 198.18.0.0/24 via 203.0.113.1 dev eth2 metric 77").await?;
    host.machine.wait_until("ip -6 address show dev eth2 | grep -q inet6", SETTLE).await?;
    let before = host.picture().await?;
    ask(host, &json!({"networks": [network_local()], "connectivityTimeout": "10s"})).await?;
    until_told(host, "awaitingConfirmation").await?;
    ensure!(host.has_link("local").await?, "nothing was applied");
    ensure!(host.picture().await?.same_as(&before).is_err(), "nothing was changed");
    let answers = until_told(host, RESULT).await?;
    ensure!(answers.contains("OUTCOME_ROLLED_BACK") && answers.contains("CONNECTIVITY_LOST"), "{answers}");
    host.picture().await?.same_as(&before)?;
    ensure!(!reports(host, "local").await?);
    host.machine.run("ip address flush dev eth2; ip link set eth2 mtu 1500 down").await?;
    Ok(())
}

pub(crate) async fn a_cut_off_host_returns(fleet: &Fleet) -> Result<()> {
    let (before, neighbour) = (fleet.b.picture().await?, fleet.a.picture().await?);
    fleet.ctl.apply_with(WRONG, &["--no-wait"]).await?;
    let limit = CONNECTIVITY_TIMEOUT + Duration::from_secs(30);
    let undone = |status: &serde_json::Value| {
        status["connection"] == "CONNECTION_CONNECTED" && status["lastResult"]["outcome"] == "OUTCOME_ROLLED_BACK"
    };
    let status = fleet.until("host-b", limit, undone).await?;
    ensure!(status["lastResult"]["cause"]["code"] == "CONNECTIVITY_LOST", "{}", status["lastResult"]);
    ensure!(status["sync"] == "SYNC_FAILED", "{}", status["sync"]);
    fleet.b.picture().await?.same_as(&before)?;
    fleet.a.picture().await?.same_as(&neighbour)?;
    fleet.ctl.run(&["delete", "hosts/host-b/networkAttachments/management"]).await?;
    fleet.until_in_sync("host-b", SETTLE).await?;
    fleet.b.picture().await?.same_as(&before)
}

pub(crate) async fn a_right_management_network_holds(fleet: &Fleet) -> Result<()> {
    fleet.ctl.apply(RIGHT).await?;
    let status = fleet.until_in_sync("host-b", SETTLE).await?;
    ensure!(status["lastResult"]["outcome"] == "OUTCOME_APPLIED", "{}", status["lastResult"]);
    let addresses = fleet.b.machine.run("ip -j address show dev management").await?;
    ensure!(addresses.contains("10.0.2.15"), "{addresses}");
    let route = fleet.b.machine.run("ip -j route show default").await?;
    ensure!(route.contains("management") && route.contains("10.0.2.2"), "{route}");
    ensure!(fleet.b.link("eth0").await?["master"] == "management");
    Ok(())
}

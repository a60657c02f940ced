//! Clients that have never seen Trestle's files: reflection tells them everything.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::foreign::call_all;
use integration_tests::fleet::{Fleet, network};
use serde_json::json;

pub(crate) async fn grpcurl_needs_no_files(fleet: &Fleet) -> Result<()> {
    let (engine, agent) = (fleet.caller().await?, fleet.a.caller()?);
    let services = engine.list(None).await?;
    for service in ["engine.v1.NetworkService", "engine.v1.HostService", "session.v1.AgentSession"] {
        ensure!(services.contains(&format!("trestle.{service}")), "{services}");
    }
    ensure!(services.contains("grpc.health.v1.Health"), "{services}");
    ensure!(engine.list(Some("trestle.engine.v1.NetworkService")).await?.contains("CreateNetwork"));
    let described = engine.describe("trestle.engine.v1.NetworkSpec").await?;
    ensure!(described.contains("manage_macs_with_libvirt") && described.contains("//"), "{described}");
    ensure!(agent.list(None).await?.contains("trestle.host.v1.HostAgent"));
    ensure!(agent.describe("trestle.host.v1.HostAgent").await?.contains("SetupNetworks"));
    for server in [&engine, &agent] {
        let health = server.call("grpc.health.v1.Health/Check", &json!({})).await?;
        ensure!(health["status"] == "SERVING", "{health}");
    }

    // Refusals are readable, details and all.
    let refusal =
        engine.refused("trestle.engine.v1.NetworkService/GetNetwork", &json!({"name": "networks/none"})).await?;
    ensure!(refusal.code == 5 && refusal.detail("ErrorInfo").is_some(), "{refusal:?}");
    let mtu = json!({"networkId": "x", "network": {"spec": {"mtu": 7}}});
    let refusal = engine.refused("trestle.engine.v1.NetworkService/CreateNetwork", &mtu).await?;
    let violations = refusal.detail("BadRequest").context("no BadRequest")?;
    ensure!(refusal.code == 3 && violations.to_string().contains("network.spec.mtu"), "{violations}");
    let setup = json!({"networks": [{"name": "x", "nic": "eth9"}], "validateOnly": true});
    let refusal = agent.refused("trestle.host.v1.HostAgent/SetupNetworks", &setup).await?;
    let failure = refusal.detail("PreconditionFailure").context("no PreconditionFailure")?;
    ensure!(refusal.code == 9 && failure.to_string().contains("NIC_NOT_FOUND"), "{failure}");
    Ok(())
}

pub(crate) async fn python_needs_no_files(fleet: &Fleet) -> Result<()> {
    let service = |method: &str| format!("trestle.engine.v1.NetworkService/{method}");
    let calls = json!([
        {"method": service("CreateNetwork"), "request": {"networkId": "yellow", "network": {"spec": {"vlanId": 7}}}},
        {"method": service("ListNetworks"), "request": {}},
        {"method": service("UpdateNetwork"), "request": {
            "network": {"name": "networks/yellow", "spec": {"mtu": 1400}}, "updateMask": "spec.mtu"}},
        {"method": service("GetNetwork"), "request": {"name": "networks/yellow"}},
        {"method": "trestle.engine.v1.HostService/ListHosts", "request": {"pageSize": 1}},
        {"method": service("DeleteNetwork"), "request": {"name": "networks/yellow"}},
        {"method": service("GetNetwork"), "request": {"name": "networks/yellow"}},
    ]);
    let answers = call_all(&fleet.caller().await?, &calls).await?;
    let [created, listed, updated, read, hosts, deleted, gone] = answers.as_slice() else {
        unreachable!("seven calls")
    };
    ensure!(created.accepted()?["network"]["name"] == "networks/yellow", "{created:?}");
    ensure!(listed.accepted()?.to_string().contains("networks/blue"), "{listed:?}");
    ensure!(updated.accepted()?["network"]["spec"]["vlanId"] == 7, "the mask did not spare the VLAN: {updated:?}");
    ensure!(read.accepted()?["network"]["spec"]["mtu"] == 1400, "{read:?}");
    ensure!(hosts.accepted()?["nextPageToken"].is_string(), "{hosts:?}");
    deleted.accepted()?;
    ensure!(gone.code == "NOT_FOUND", "{gone:?}");

    let calls = json!([{"method": "trestle.host.v1.HostAgent/GetCapabilities", "request": {"readMask": "networks"}}]);
    let answers = call_all(&fleet.b.caller()?, &calls).await?;
    let capabilities = &answers[0].accepted()?["capabilities"];
    let blue = network(capabilities, "blue").context("no blue")?;
    ensure!(blue["manageMacsWithLibvirt"] == true, "{blue:#}");
    ensure!(capabilities["nics"].is_null(), "the mask did not narrow the answer");
    Ok(())
}

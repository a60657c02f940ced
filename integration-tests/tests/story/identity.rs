//! Who may call whom: by certificate only.

use anyhow::{Result, ensure};
use integration_tests::fleet::Fleet;
use integration_tests::fleet::call::Caller;
use integration_tests::fleet::certificates::{Certificates, Party};
use integration_tests::lab::script::Status;
use serde_json::json;

const SESSION: &str = "trestle.session.v1.AgentSession/Connect";
const LIST: &str = "trestle.engine.v1.NetworkService/ListNetworks";
const CAPABILITIES: &str = "trestle.host.v1.HostAgent/GetCapabilities";
const PERMISSION_DENIED: i32 = 7;

fn engine_as(fleet: &Fleet, party: Party) -> Caller {
    Caller::with_certificates(fleet.engine.address(), party.ca, party.cert, party.key)
}

pub(crate) async fn an_agent_speaks_for_itself(fleet: &Fleet) -> Result<()> {
    let hello = json!({"hello": {"host": "host-b", "agentVersion": "0", "protocol": 1, "bootId": "x"}});
    let as_a = engine_as(fleet, fleet.certificates.host("host-a").await?);
    ensure!(as_a.refused(SESSION, &hello).await?.code == PERMISSION_DENIED);
    ensure!(fleet.caller().await?.refused(SESSION, &hello).await?.code == PERMISSION_DENIED, "a user is no agent");
    // Nor is it a user.
    ensure!(as_a.refused(LIST, &json!({})).await?.code == PERMISSION_DENIED);
    let other = fleet.a.caller_as(&fleet.certificates.host("host-b").await?)?;
    ensure!(other.refused(CAPABILITIES, &json!({})).await?.code == PERMISSION_DENIED);
    // The real one has not been fenced by all that.
    let status = fleet.status("host-b").await?;
    ensure!(status["connection"] == "CONNECTION_CONNECTED", "{status:#}");
    Ok(())
}

pub(crate) async fn strangers_are_refused(fleet: &Fleet) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rogue = Certificates::make(folder.path()).await?.user().await?;
    let ours = fleet.certificates.user().await?;
    for (server, method) in [(fleet.caller().await?, LIST), (fleet.a.caller()?, CAPABILITIES)] {
        let address = &server.address;
        // Without a certificate; with one of another authority; and plaintext.
        let bare =
            Caller { address: address.clone(), flags: vec!["-cacert".to_owned(), ours.ca.display().to_string()] };
        let forged = Caller::with_certificates(address, ours.ca.clone(), rogue.cert.clone(), rogue.key.clone());
        let plain = Caller { address: address.clone(), flags: vec!["-plaintext".to_owned()] };
        for stranger in [bare, forged, plain] {
            let output = stranger.run(&["-d", "{}", "-connect-timeout", "2", "-max-time", "10"], &[method], "").await?;
            ensure!(output.status != Status::Exited(0), "{stranger:?} was let in: {output:?}");
            ensure!(output.stdout.is_empty(), "{stranger:?} was told {output:?}");
        }
        // And a client takes no server of another authority for its own.
        let misled = Caller::with_certificates(address, rogue.ca.clone(), ours.cert.clone(), ours.key.clone());
        ensure!(misled.run(&["-d", "{}", "-connect-timeout", "2"], &[method], "").await?.status != Status::Exited(0));
    }
    Ok(())
}

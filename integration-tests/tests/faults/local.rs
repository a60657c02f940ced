//! Changes that a client on the host asks for.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::fleet::host::{Host, SOCKET};
use integration_tests::fleet::{network, program};
use integration_tests::lab::vm::{Daemon, quote};
use serde_json::{Value, json};

/// Where a local request's answers are written in the machine.
const ANSWERS: &str = "/run/lab/answers";
const SIGN_LIMIT: Duration = Duration::from_secs(60);

/// A local network on `eth2`, with an address and a bridge.
pub(crate) fn network_local() -> Value {
    json!({"name": "local", "nic": "eth2", "mtu": 1400, "ipv4": {"static": {"addresses": ["192.0.2.1/24"]}}})
}

/// Asks for a change with grpcurl, which never confirms it, and leaves the call running.
pub(crate) async fn ask(host: &Host, request: &Value) -> Result<Daemon> {
    host.machine.run(&format!("rm -f {ANSWERS}")).await?;
    let grpcurl = quote(&program::grpcurl()?.display().to_string());
    let request = quote(&request.to_string());
    let command = format!(
        "{grpcurl} -plaintext -unix -authority localhost -d {request} {SOCKET} trestle.host.v1.HostAgent/SetupNetworks"
    );
    host.machine.start_daemon(&command, ANSWERS).await
}

/// Waits until the answers of the last request have a sign in them.
pub(crate) async fn until_told(host: &Host, sign: &str) -> Result<String> {
    host.machine.wait_until(&format!("grep -q '{sign}' {ANSWERS} || {{ cat {ANSWERS}; false; }}"), SIGN_LIMIT).await?;
    host.machine.read(ANSWERS).await
}

/// What the agent reports.
pub(crate) async fn capabilities(host: &Host) -> Result<Value> {
    let mut answer = host.call_inside("trestle.host.v1.HostAgent/GetCapabilities").await?;
    Ok(answer["capabilities"].take())
}

/// Whether the agent reports a network.
pub(crate) async fn reports(host: &Host, name: &str) -> Result<bool> {
    let capabilities = capabilities(host).await?;
    capabilities["networks"].as_array().context("no networks")?;
    Ok(network(&capabilities, name).is_some())
}

//! A kernel or a libvirt that cannot do what is asked: told before anything is touched.
//!
//! The agent runs in a network namespace of this machine, whose kernel often has no VLAN filtering on bridges.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::call::{Caller, Refusal};
use integration_tests::fleet::program;
use integration_tests::lab::namespace::Namespace;
use integration_tests::lab::probe;
use serde_json::{Value, json};
use tokio::process::Child;

const SETUP: &str = "trestle.host.v1.HostAgent/SetupNetworks";
const CAPABILITIES: &str = "trestle.host.v1.HostAgent/GetCapabilities";
const READY_LIMIT: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_millis(100);

/// An agent in a namespace, with one card to build on.
struct Agent {
    namespace: Namespace,
    caller: Caller,
    folder: tempfile::TempDir,
    _process: Child,
}

impl Agent {
    async fn start(namespace: Namespace, libvirt: &str) -> Result<Self> {
        namespace.run("ip link add eth1 type veth peer name wire1; ip link set eth1 up; ip link set wire1 up").await?;
        let folder = tempfile::Builder::new().prefix("trestle-").tempdir()?;
        let (config, socket) = (folder.path().join("agent.toml"), folder.path().join("agent.sock"));
        let text = format!(
            "host = \"host-a\"\ndata_dir = {:?}\n[listen]\nsocket = \"unix:{}\"\n[libvirt]\nuri = {libvirt:?}\n",
            folder.path().join("data"),
            socket.display(),
        );
        std::fs::write(&config, text)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = namespace.command(program::built("host-agent")?);
        command.arg("run").arg("--config").arg(&config);
        let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let flags = ["-plaintext", "-unix", "-authority", "localhost"].map(str::to_owned).to_vec();
        let caller = Caller { address: socket.display().to_string(), flags };
        let agent = Self { namespace, caller, folder, _process: process };
        agent.until_it_answers().await?;
        Ok(agent)
    }

    async fn until_it_answers(&self) -> Result<()> {
        let mut tick = tokio::time::interval(PERIOD);
        let answers = async {
            while self.caller.call("grpc.health.v1.Health/Check", &json!({})).await.is_err() {
                tick.tick().await;
            }
        };
        tokio::time::timeout(READY_LIMIT, answers).await.with_context(|| log_in(self.folder.path()))
    }

    /// Asks for a bridged network whose MAC table libvirt is to manage.
    async fn refuses_a_managed_network(&self) -> Result<Refusal> {
        let networks = "ip -d -j link; ip -d -j address; ip -d -j route show table all";
        let before = self.namespace.run(networks).await?;
        let request = json!({"networks": [{"name": "blue", "nic": "eth1", "manageMacsWithLibvirt": true}]});
        let refusal = self.caller.refused(SETUP, &request).await?;
        ensure!(refusal.code == 9, "{refusal:?}");
        ensure!(self.namespace.run(networks).await? == before, "something was touched");
        Ok(refusal)
    }

    async fn support(&self, feature: &str) -> Result<Value> {
        let answer = self.caller.call(CAPABILITIES, &json!({})).await?;
        let features = answer["capabilities"]["features"].as_array().context("no features")?;
        let report = features.iter().find(|report| report["name"] == feature);
        report.cloned().with_context(|| format!("{feature} is not reported: {answer:#}"))
    }
}

fn log_in(folder: &Path) -> String {
    let path: PathBuf = folder.join("log");
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_kernel_without_vlan_filtering_refuses_a_managed_network() -> Result<()> {
    for unmet in [probe::namespaces().await, probe::libvirt()] {
        if let Err(reason) = unmet {
            return probe::skip("kernel lacks VLAN filtering", &reason);
        }
    }
    if probe::bridge_vlan_filtering().await.is_ok() {
        eprintln!("skipped: kernel lacks VLAN filtering: this machine's kernel has it");
        return Ok(());
    }
    let namespace = Namespace::start().await?;
    let libvirtd = namespace.start_libvirtd().await?;
    let agent = Agent::start(namespace, &libvirtd.uri()).await?;
    let feature = agent.support("bridge_vlan_filtering").await?;
    ensure!(feature["support"] == "SUPPORT_ABSENT" && feature["reason"] != "", "{feature}");
    let refusal = agent.refuses_a_managed_network().await?;
    ensure!(refusal.names("KERNEL_LACKS_FEATURE"), "{refusal:?}");
    ensure!(refusal.details.iter().any(|detail| detail.to_string().contains("bridge_vlan_filtering")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn a_host_without_libvirt_refuses_a_managed_network_and_still_answers() -> Result<()> {
    if let Err(reason) = probe::namespaces().await {
        return probe::skip("no libvirt", &reason);
    }
    for libvirt in ["none", "qemu+unix:///system?socket=/nowhere/libvirt-sock"] {
        let agent = Agent::start(Namespace::start().await?, libvirt).await?;
        let feature = agent.support("libvirt_mac_table_manager").await?;
        ensure!(feature["support"] != "SUPPORT_PRESENT" && feature["reason"] != "", "{libvirt}: {feature}");
        let answer = agent.caller.call(CAPABILITIES, &json!({"readMask": {"paths": ["libvirt", "nics"]}})).await?;
        ensure!(answer["capabilities"]["libvirt"]["connected"] == false, "{answer:#}");
        ensure!(answer["capabilities"]["nics"].to_string().contains("eth1"), "{answer:#}");
        if libvirt == "none" {
            let refusal = agent.refuses_a_managed_network().await?;
            ensure!(refusal.names("LIBVIRT_LACKS_FEATURE"), "{refusal:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_host_without_libvirt_still_builds_plain_bridges() -> Result<()> {
    if let Err(reason) = probe::namespaces().await {
        return probe::skip("plain bridges", &reason);
    }
    let agent = Agent::start(Namespace::start().await?, "none").await?;
    let request = json!({
        "networks": [{"name": "plain", "nic": "eth1", "ipv4": {"static": {"addresses": ["192.0.2.1/24"]}}}],
        "connectivityCheck": "CONNECTIVITY_CHECK_NONE",
    });
    let events = agent.caller.stream(SETUP, &request).await?;
    let last = &events.last().context("no answer")?["result"];
    ensure!(last["outcome"] == "OUTCOME_APPLIED", "{last:#}");
    let address = agent.namespace.run("ip -j address show dev plain").await?;
    ensure!(address.contains("192.0.2.1"), "{address}");
    let again = agent.caller.stream(SETUP, &request).await?;
    ensure!(again.last().context("no answer")?["result"]["outcome"] == "OUTCOME_UNCHANGED", "{again:#?}");
    Ok(())
}

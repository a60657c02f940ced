//! libvirt's edge: one observation of many networks, against the least that libvirt has to be asked for it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::lab::namespace::Namespace;
use nix::unistd::Pid;
use trestle_libvirt::{Libvirt, Options};
use trestle_model::{IfName, MacTableManager};
use trestle_plan::{LibvirtStep, NetworkDefinition};
use virt::connect::Connect;
use virt::network::Network;

use crate::measure::{Measured, Start, Whose};
use crate::scene::Scene;

/// How often each is measured.
const REPEATS: usize = 5;
/// How long libvirt may take for one call on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

/// Tells whether libvirt's daemon is installed.
pub(crate) fn is_installed() -> bool {
    let asked = Command::new("virtlogd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success()) && Path::new("/usr/sbin/libvirtd").exists()
}

/// Measures observations of a private libvirtd with as many running networks as the scene has.
///
/// The processor time is that of this process and of libvirtd.
pub(crate) async fn measure(scene: &Scene) -> Result<Measured> {
    let namespace = Namespace::start().await?;
    let libvirtd = namespace.start_libvirtd().await?;
    let both = Whose::With(daemon(&namespace)?);
    let options = Options { uri: libvirtd.uri(), call_timeout: BOUND, poll_period: BOUND };
    let libvirt = Libvirt::start(options)?;
    for number in 0..scene.count {
        let name = format!("trestle-net{number}");
        let definition = NetworkDefinition {
            name: name.clone(),
            uuid: None,
            bridge: IfName::parse(&format!("net{number}"))?,
            mac_table_manager: MacTableManager::Kernel,
            owner: format!("net{number}"),
        };
        libvirt.perform(&LibvirtStep::Define(definition)).await?;
        libvirt.perform(&LibvirtStep::Start { name: name.clone() }).await?;
        libvirt.perform(&LibvirtStep::SetAutostart { name, autostart: true }).await?;
    }
    let connect = Connect::open(Some(&libvirtd.uri()))?;
    let mut measured = Measured::new();
    for repeat in 0..REPEATS {
        let start = Start::now(both)?;
        let bytes = ask(&connect)?;
        measured.insert(format!("libvirt, asked {repeat}"), start.stop()?);
        ensure!(bytes > scene.count * 400, "libvirt told too little: {bytes} bytes");
        let start = Start::now(both)?;
        let networks = libvirt.observe().await?.networks;
        measured.insert(format!("libvirt, observe {repeat}"), start.stop()?);
        let good = networks.values().filter(|network| network.active && network.autostart && network.persistent);
        ensure!(good.count() == scene.count, "{} networks", networks.len());
    }
    // What somebody else does is seen at once: nothing is remembered.
    Network::lookup_by_name(&connect, "trestle-net0")?.destroy()?;
    let stopped = libvirt.observe().await?.networks.remove("trestle-net0").context("the network is gone")?;
    ensure!(!stopped.active, "that another client stopped a network was not seen");
    libvirt.shutdown().await;
    namespace.stop().await?;
    Ok(measured)
}

/// Asks for the list of networks and for both forms of each, in force and to come: what no observation can do without.
fn ask(connect: &Connect) -> Result<usize> {
    let mut bytes = 0;
    for network in connect.list_all_networks(0)? {
        bytes += network.get_xml_desc(virt_sys::VIR_NETWORK_XML_INACTIVE)?.len();
        bytes += network.get_xml_desc(0)?.len();
    }
    Ok(bytes)
}

/// Finds the daemon in the namespace, by its process id here.
fn daemon(namespace: &Namespace) -> Result<Pid> {
    let here = std::fs::read_link(format!("/proc/{}/ns/net", namespace.pid()))?;
    for process in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if name.trim() == "libvirtd" && std::fs::read_link(process.path().join("ns/net")).is_ok_and(|net| net == here) {
            return Ok(Pid::from_raw(pid));
        }
    }
    anyhow::bail!("libvirtd is not to be found")
}

//! libvirt inside a machine: its daemons, and guests without an operating system, which are enough for a tap on a bridge.

use std::time::Duration;

use anyhow::{Context, Result};

use super::vm::Vm;

/// libvirtd answers about 10 s after its start; the first guest's start probes QEMU, which takes about as long.
const DAEMON_LIMIT: Duration = Duration::from_secs(120);
const GUEST_LIMIT: Duration = Duration::from_secs(180);

/// A guest to start: no disk, no boot ROM, one virtio card on a libvirt network.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The domain's name.
    pub name: String,
    /// The card's MAC.
    pub mac: String,
    /// The libvirt network.
    pub network: String,
}

/// The XML of a guest: one processor, 32 MiB, QEMU's emulation.
pub fn guest_xml(guest: &Guest) -> String {
    let source = format!("<source network='{}'/>", guest.network);
    domain_xml(&guest.name, &guest.mac, "network", &source)
}

/// The XML of a guest that is wired to a bridge past libvirt's networks.
pub fn bridged_guest_xml(name: &str, mac: &str, bridge: &str) -> String {
    domain_xml(name, mac, "bridge", &format!("<source bridge='{bridge}'/>"))
}

fn domain_xml(name: &str, mac: &str, kind: &str, source: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
         <interface type='{kind}'><mac address='{mac}'/>{source}\
         <model type='virtio'/><rom enabled='no'/></interface>\
         <memballoon model='none'/></devices></domain>"
    )
}

impl Vm {
    /// Starts virtlogd and then libvirtd, and waits until libvirtd answers.
    pub async fn start_libvirt(&self) -> Result<()> {
        self.run("/usr/sbin/virtlogd -d -p /run/virtlogd.pid").await?;
        self.start_libvirtd().await
    }

    /// Starts libvirtd alone, as after [`Vm::stop_libvirtd`], and waits until it answers.
    pub async fn start_libvirtd(&self) -> Result<()> {
        self.run("/usr/sbin/libvirtd -d -p /run/libvirtd.pid").await?;
        self.wait_until("virsh -c qemu:///system -q version", DAEMON_LIMIT).await
    }

    /// Ends libvirtd; guests go on, as they do on a real host.
    pub async fn stop_libvirtd(&self) -> Result<()> {
        self.run("kill $(cat /run/libvirtd.pid)").await?;
        self.wait_until("test ! -e /run/libvirtd.pid", DAEMON_LIMIT).await
    }

    /// Runs one virsh command that must succeed, and yields its output.
    pub async fn virsh(&self, command: &str) -> Result<String> {
        let script = format!("virsh -c qemu:///system -q {command}");
        let output = self.exec(&script, GUEST_LIMIT).await?;
        output.success().with_context(|| format!("{}: {script}", self.name()))
    }

    /// Starts a transient guest and yields the name of its tap.
    pub async fn start_guest(&self, guest: &Guest) -> Result<String> {
        self.start_domain(&guest.name, &guest_xml(guest)).await
    }

    /// Starts a transient domain with one card, and yields the name of its tap.
    pub async fn start_domain(&self, name: &str, xml: &str) -> Result<String> {
        let path = format!("/run/lab/{name}.xml");
        self.write(&path, xml).await?;
        self.virsh(&format!("create {path}")).await?;
        self.tap(name).await
    }

    /// Yields the name of a domain's first tap.
    pub async fn tap(&self, name: &str) -> Result<String> {
        let cards = self.virsh(&format!("domiflist {name}")).await?;
        let tap = cards.split_whitespace().next().context("the guest has no tap")?;
        Ok(tap.to_owned())
    }

    /// Ends a guest by force.
    pub async fn stop_guest(&self, name: &str) -> Result<()> {
        self.virsh(&format!("destroy {name}")).await?;
        Ok(())
    }
}

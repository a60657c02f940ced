//! libvirt inside a machine: its daemons, guests that do nothing, which are enough for a tap on a bridge, and guests that
//! answer pings and send frames.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::vm::Vm;

/// libvirtd answers about 10 s after its start; the first guest's start probes QEMU, which takes about as long.
const DAEMON_LIMIT: Duration = Duration::from_secs(120);
const GUEST_LIMIT: Duration = Duration::from_secs(180);
/// How long a guest may take to answer a line; a busy machine's guests are slow.
const LINE_LIMIT: Duration = Duration::from_secs(40);

/// What guests boot, in the machine: `lab/guest.c`.
const KERNEL: &str = "/run/lab/guest";

/// A guest to start: no disk, no boot ROM, one virtio card on a libvirt network, and nothing that it does.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The domain's name.
    pub name: String,
    /// The card's MAC.
    pub mac: String,
    /// The libvirt network.
    pub network: String,
}

/// How a guest's card is plugged in.
#[derive(Clone, Debug)]
pub enum Wiring {
    /// Into a libvirt network.
    Network(String),
    /// Into a bridge, past libvirt's networks.
    Bridge(String),
}

/// A guest that boots `lab/guest.c`: it answers pings at its address, and sends what it is told.
#[derive(Clone, Debug)]
pub struct AnsweringGuest {
    /// The domain's name.
    pub name: String,
    /// The card's MAC.
    pub mac: String,
    /// What the card is plugged into.
    pub wiring: Wiring,
    /// Where it answers.
    pub address: Ipv4Addr,
}

/// The XML of a guest: one processor, 32 MiB, QEMU's emulation.
pub fn guest_xml(guest: &Guest) -> String {
    domain_xml(&guest.name, &guest.mac, &Wiring::Network(guest.network.clone()), "idle", "")
}

/// The XML of a guest that is wired to a bridge past libvirt's networks.
pub fn bridged_guest_xml(name: &str, mac: &str, bridge: &str) -> String {
    domain_xml(name, mac, &Wiring::Bridge(bridge.to_owned()), "idle", "")
}

impl Wiring {
    /// The `interface` element of a domain's XML.
    pub fn interface_xml(&self, mac: &str) -> String {
        let (kind, name) = match self {
            Self::Network(name) => ("network", name),
            Self::Bridge(name) => ("bridge", name),
        };
        format!(
            "<interface type='{kind}'><mac address='{mac}'/><source {kind}='{name}'/><model type='virtio'/>\
             <rom enabled='no'/></interface>"
        )
    }
}

fn domain_xml(name: &str, mac: &str, wiring: &Wiring, words: &str, devices: &str) -> String {
    let interface = wiring.interface_xml(mac);
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{KERNEL}</kernel><cmdline>{words}</cmdline></os>\
         <features><acpi/></features>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{interface}{devices}\
         <memballoon model='none'/></devices></domain>"
    )
}

/// The socket in the machine that is a guest's serial line.
pub fn line_path(guest: &str) -> String {
    format!("/run/lab/{guest}.line")
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

    /// The XML of a guest that answers.
    pub fn answering_guest_xml(&self, guest: &AnsweringGuest) -> String {
        let path = line_path(&guest.name);
        let line = format!("<serial type='unix'><source mode='bind' path='{path}'/><target port='0'/></serial>");
        domain_xml(&guest.name, &guest.mac, &guest.wiring, &guest.address.to_string(), &line)
    }

    /// Starts a transient guest that answers, waits until it does, and yields the name of its tap.
    pub async fn start_answering_guest(&self, guest: &AnsweringGuest) -> Result<String> {
        let tap = self.start_domain(&guest.name, &self.answering_guest_xml(guest)).await?;
        self.await_guest(&guest.name).await?;
        Ok(tap)
    }

    /// Waits until a guest that answers has booted.
    pub async fn await_guest(&self, name: &str) -> Result<()> {
        // What comes on the line before it has booted may be lost.
        self.wait_until(&format!("timeout 2 {}", self.line_command(name, "heard")), GUEST_LIMIT).await
    }

    /// Gives a guest that answers one line, see `lab/guest.c`, and yields its answer.
    ///
    /// *Errors*: it does not answer within 20 s, as a `ping` that nobody answers.
    pub async fn tell_guest(&self, name: &str, line: &str) -> Result<String> {
        let output = self.exec(&self.line_command(name, line), LINE_LIMIT).await?;
        Ok(output.success().with_context(|| format!("{name}: {line}"))?.trim().to_owned())
    }

    /// The command that gives a guest a line, for a script in the machine.
    pub fn line_command(&self, name: &str, line: &str) -> String {
        format!("'{}' say '{}' '{line}'", self.responder().display(), line_path(name))
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

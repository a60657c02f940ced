//! What stands for guests: a veth pair is a guest's tap, whose far end nobody reads, and a running domain of libvirt's test
//! driver is the guest, wired to the bridge by the name of its tap.
//!
//! A machine of the lab starts no hundreds of real guests. What a frame costs up to and with a guest's port does not depend on
//! what is behind it: the far end drops what it gets.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

/// The network and its bridge.
pub(crate) const BRIDGE: &str = "blue";
/// How long guests may be out of order.
const BOUND: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// So many guests; their ports go with the value.
pub(crate) struct Guests(usize);

impl Guests {
    pub(crate) const fn new(count: usize) -> Self {
        Self(count)
    }

    /// Makes their ports, and puts them into the bridge.
    pub(crate) fn plug_in(&self) -> Result<()> {
        let mut links = Vec::new();
        for guest in 0..self.0 {
            links.push(format!("link add port{guest} type veth peer name guest{guest}"));
            links.push(format!("link set guest{guest} up"));
            links.push(format!("link set port{guest} master {BRIDGE} up"));
        }
        batch("ip", &links)
    }

    /// Returns how many frames have gone to their ports.
    pub(crate) fn delivered(&self) -> Result<u64> {
        (0..self.0).map(|guest| counter(&format!("port{guest}"), "tx_packets")).sum()
    }

    /// The lines for `bridge` that remove each guest's entries, outside VLANs and in the default VLAN.
    pub(crate) fn losses(&self) -> Vec<String> {
        (0..self.0).map(|guest| format!("fdb del {} dev port{guest} master", mac(guest))).collect()
    }

    /// Waits until each has both entries at its port, and all ports neither learn nor flood.
    pub(crate) async fn in_order(&self) -> Result<()> {
        let until = Instant::now() + BOUND;
        loop {
            let (entries, quiet) = (self.entries()?, self.quiet()?);
            if entries == 2 * self.0 && quiet == self.0 {
                return Ok(());
            }
            ensure!(Instant::now() < until, "of {} guests there are {entries} entries, {quiet} quiet ports", self.0);
            tokio::time::sleep(LOOK).await;
        }
    }

    fn entries(&self) -> Result<usize> {
        let output = Command::new("bridge").args(["fdb", "show", "br", BRIDGE]).output()?;
        let table = String::from_utf8(output.stdout)?;
        let is_guests = |line: &&str| line.starts_with("52:54:00:be:") && line.ends_with("static");
        Ok(table.lines().filter(is_guests).count())
    }

    fn quiet(&self) -> Result<usize> {
        let is_quiet = |guest: &usize| {
            ["learning", "unicast_flood"].iter().all(|flag| {
                let path = format!("/sys/class/net/port{guest}/brport/{flag}");
                std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "0")
            })
        };
        Ok((0..self.0).filter(is_quiet).count())
    }

    /// The test driver's node: no network, and so many running domains.
    pub(crate) fn node_xml(&self) -> Result<String> {
        let mut xml = "<node>".to_owned();
        for guest in 0..self.0 {
            write!(
                xml,
                "<domain type='test'><name>g{guest}</name><memory unit='MiB'>8</memory><os><type>hvm</type></os><devices>\
                 <interface type='bridge'><mac address='{}'/><source bridge='{BRIDGE}'/><target dev='port{guest}'/>\
                 </interface></devices></domain>",
                mac(guest)
            )?;
        }
        Ok(xml + "</node>")
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        let mut links = vec![format!("link delete {BRIDGE}")];
        links.extend((0..self.0).map(|guest| format!("link delete port{guest}")));
        if let Err(error) = batch("ip", &links) {
            eprintln!("ports stay: {error:#}");
        }
    }
}

/// The MAC of a guest.
pub(crate) fn mac(guest: usize) -> String {
    format!("52:54:00:be:{:02x}:{:02x}", guest / 256, guest % 256)
}

/// Returns a counter of a device.
pub(crate) fn counter(device: &str, name: &str) -> Result<u64> {
    let path = format!("/sys/class/net/{device}/statistics/{name}");
    let text = std::fs::read_to_string(&path).context(path)?;
    Ok(text.trim().parse()?)
}

/// Lets `ip` or `bridge` carry out the lines in one process, and stop at the first that fails.
pub(crate) fn batch(program: &str, lines: &[String]) -> Result<()> {
    let mut process = Command::new(program).args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let text = lines.join("\n") + "\n";
    process.stdin.take().context("was asked for")?.write_all(text.as_bytes())?;
    let status = process.wait()?;
    ensure!(status.success(), "{program} -batch: {status}");
    Ok(())
}

//! The networks that are asked for, and what has to be there before.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use trestle_proto::host::v1 as wire;

/// What the networks stand on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Bridges without a NIC: every kernel has them.
    Bridges,
    /// Bridges, each on a virtual cable of its own.
    Cables,
    /// Bridges, each on a VLAN of one virtual cable.
    Vlans,
}

/// Networks of one shape.
pub(crate) struct Scene {
    /// What they stand on.
    pub(crate) shape: Shape,
    /// How many there are.
    pub(crate) count: usize,
}

impl Shape {
    /// Reads a shape's name.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match [Self::Bridges, Self::Cables, Self::Vlans].into_iter().find(|shape| shape.name() == name) {
            Some(shape) => Ok(shape),
            None => bail!("{name} is no shape: bridges, cables or vlans"),
        }
    }

    /// Returns the shape's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bridges => "bridges",
            Self::Cables => "cables",
            Self::Vlans => "vlans",
        }
    }
}

impl Scene {
    /// Makes what is there before Trestle comes.
    pub(crate) fn prepare(&self) -> Result<()> {
        let mut lines = vec!["link set lo up".to_owned()];
        let cables = match self.shape {
            Shape::Bridges => 0,
            Shape::Cables => self.count,
            Shape::Vlans => 1,
        };
        for cable in 0..cables {
            lines.push(format!("link add nic{cable} type veth peer name far{cable}"));
            lines.push(format!("link set far{cable} up"));
        }
        batch(&lines)
    }

    /// Returns the request for all networks.
    pub(crate) fn request(&self) -> wire::SetupNetworksRequest {
        wire::SetupNetworksRequest {
            networks: (0..self.count).map(|number| self.network(number)).collect(),
            connectivity_check: wire::ConnectivityCheck::None.into(),
            commit_on_success: true,
            ..wire::SetupNetworksRequest::default()
        }
    }

    /// Returns what brings the kernel back to what [`Self::prepare`] made.
    pub(crate) fn removal(&self) -> Vec<String> {
        let bridges = (0..self.count).map(|number| format!("link delete net{number}"));
        let vlans = (0..self.count).map(|number| format!("link delete nic0.{}", number + 2));
        bridges.chain(vlans.filter(|_| self.shape == Shape::Vlans)).collect()
    }

    fn network(&self, number: usize) -> wire::Network {
        let nic = |name: String| Some(wire::network::Southbound::Nic(name));
        let (southbound, vlan_id) = match self.shape {
            Shape::Bridges => (None, None),
            Shape::Cables => (nic(format!("nic{number}")), None),
            Shape::Vlans => (nic("nic0".to_owned()), u32::try_from(number + 2).ok()),
        };
        wire::Network { name: format!("net{number}"), southbound, vlan_id, ..wire::Network::default() }
    }
}

/// Lets `ip` carry out the lines in one process, and stop at the first that fails.
pub(crate) fn batch(lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let mut text = lines.join("\n");
    text.push('\n');
    ip.stdin.take().expect("was asked for").write_all(text.as_bytes())?;
    let status = ip.wait()?;
    ensure!(status.success(), "ip -batch: {status}");
    Ok(())
}

//! The network cards of a machine: what they are plugged into, and the QEMU arguments that say so.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::segment::Segment;

/// What a card is plugged into. Cards are virtio-net and named `eth0`, `eth1`, … in the order given.
#[derive(Clone, Debug)]
pub enum Nic {
    /// QEMU's user-mode network, at most one a machine: the machine is 10.0.2.15/24 and reaches this machine's loopback
    /// at 10.0.2.2. Each of the guest's ports listed is reachable from here, see [`Vm::forwarded`](super::vm::Vm::forwarded).
    User {
        /// TCP ports in the guest.
        guest_ports: Vec<u16>,
    },
    /// A layer-2 segment shared with other machines and with the test.
    Segment(PathBuf),
    /// A cable whose other end lies in the same machine: interface `wireN` in network namespace `peer`, for card `ethN`.
    Wire,
    /// As [`Nic::Wire`], but the card sends at most 500 frames a second: what comes faster waits in the machine.
    SlowWire,
    /// A card (igb) that can have seven virtual functions, on a cable of its own. It gets its name when the machine loads
    /// its driver. Takes [`Builder::qemu`](super::vm::Builder::qemu).
    Sriov,
}

impl Nic {
    /// The user-mode network with no port forwarded.
    pub fn user() -> Self {
        Self::User { guest_ports: Vec::new() }
    }

    /// A card on `segment`.
    pub fn segment(segment: &Segment) -> Self {
        Self::Segment(segment.path().to_owned())
    }
}

/// Lets a card send 10 frames every 20 ms, and take them from the machine no faster.
const SLOW: &str = ",tx=timer,x-txtimer=20000000,x-txburst=10";

/// A TCP port of a machine, reachable at a loopback address here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward {
    pub(super) guest_port: u16,
    pub(super) address: SocketAddr,
}

/// Everything QEMU and the guest's init script must be told about the cards of one machine.
#[derive(Debug, Default)]
pub(super) struct Cards {
    pub(super) qemu: Vec<String>,
    pub(super) kernel: Vec<String>,
    pub(super) forwards: Vec<Forward>,
}

impl Cards {
    /// Lays out the cards; far ends of wires come last so that they do not shift the numbering.
    pub(super) fn lay_out(machine: &str, nics: &[Nic]) -> Result<Self> {
        let mut cards = Self::default();
        let mut far_ends = Vec::new();
        for (index, nic) in nics.iter().enumerate() {
            let net = match nic {
                Nic::User { guest_ports } => {
                    cards.kernel.push(format!("lab.user=eth{index}"));
                    cards.user_net(guest_ports)?
                }
                Nic::Segment(path) => stream_net(path),
                Nic::Sriov => {
                    cards.plug_sriov(index, &mac(machine, index));
                    continue;
                }
                Nic::Wire | Nic::SlowWire => {
                    far_ends.push(index);
                    format!("hubport,hubid={index}")
                }
            };
            let extra = match nic {
                Nic::User { .. } | Nic::Segment(_) | Nic::Wire | Nic::Sriov => "",
                Nic::SlowWire => SLOW,
            };
            cards.plug(&net, index, &mac(machine, index), extra);
        }
        for (place, near) in far_ends.into_iter().enumerate() {
            let index = nics.len() + place;
            cards.kernel.push(format!("lab.wire=eth{index}:eth{near}"));
            cards.plug(&format!("hubport,hubid={near}"), index, &mac(machine, index), "");
        }
        Ok(cards)
    }

    fn plug(&mut self, net: &str, index: usize, mac: &str, extra: &str) {
        self.qemu.extend([
            "-netdev".to_owned(),
            format!("{net},id=net{index}"),
            "-device".to_owned(),
            format!("virtio-net-pci,id=eth{index},netdev=net{index},mac={mac},romfile={extra}"),
        ]);
    }

    /// Virtual functions take a port of PCI Express.
    fn plug_sriov(&mut self, index: usize, mac: &str) {
        self.qemu.extend([
            "-netdev".to_owned(),
            format!("hubport,hubid={index},id=net{index}"),
            "-device".to_owned(),
            format!("pcie-root-port,id=port{index},slot={index},chassis={index}"),
            "-device".to_owned(),
            format!("igb,id=eth{index},bus=port{index},netdev=net{index},mac={mac},romfile="),
        ]);
    }

    fn user_net(&mut self, guest_ports: &[u16]) -> Result<String> {
        let mut net = "user,ipv6=off".to_owned();
        // All are held until all are chosen, so that no port is chosen twice.
        let mut held = Vec::new();
        for &guest_port in guest_ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            held.push(listener);
            net += &format!(",hostfwd=tcp:{address}-:{guest_port}");
            self.forwards.push(Forward { guest_port, address });
        }
        Ok(net)
    }
}

/// The netdev of a card on the segment whose socket is at `path`.
fn stream_net(path: &Path) -> String {
    format!("stream,server=off,addr.type=unix,addr.path={}", path.display())
}

/// The MAC of a machine's card: fixed by the machine's name and the card's number.
pub fn mac(machine: &str, card: usize) -> String {
    // FNV-1a: stable over runs and Rust versions, unlike the standard library's hasher.
    let hash = machine.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, ..] = hash.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{card:02x}")
}

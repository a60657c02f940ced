//! Tells that something changed, coarsely: the one who listens compares everything anyway.
//!
//! The messages are read here only as far as their kind goes; a kind that the packet library does not know is no loss.

use std::collections::BTreeSet;
use std::io;

use futures_util::FutureExt;
use netlink_packet_core::NetlinkBuffer;
use nix::errno::Errno;
use rtnetlink::sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// A kind of thing that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Links came, went, or have other attributes; bridge ports included.
    Links,
    /// Addresses came, went, or have other attributes.
    Addresses,
    /// Routes came or went.
    Routes,
    /// Routing rules came or went.
    Rules,
    /// Forwarding entries that do not age were set, moved or removed.
    Forwarding,
    /// Bridges learned addresses from traffic, or forgot them.
    Learning,
    /// Queueing disciplines, classes or filters came, went, or have other attributes.
    Egress,
    /// VLANs of bridges or bridge ports changed.
    Vlans,
    /// Rings, features or other settings of NICs changed; told only by [`Kernel::watch_with_nics`].
    ///
    /// [`Kernel::watch_with_nics`]: crate::Kernel::watch_with_nics
    Nics,
    /// More changed than the socket could hold: anything may be different.
    Resync,
}

/// A stream of changes.
///
/// It keeps nothing itself: while nobody asks, notices wait in the kernel's socket buffer, which is bounded; when that
/// is full, the kernel drops notices and the watch tells [`Change::Resync`].
pub struct Watch {
    routing: Ear,
    nics: Option<Ear>,
}

/// A socket that hears of changes, and room for one datagram.
struct Ear {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

/// What an ear has heard.
enum Heard<'a> {
    /// A datagram.
    Datagram(&'a [u8]),
    /// More than the socket could hold.
    TooMuch,
}

/// Room for one datagram; the kernel's notices are of a page or two.
const DATAGRAM: usize = 64 * 1024;

/// `RTNLGRP_LINK`, `_NEIGH`, `_TC`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV4_RULE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`, `_IPV6_RULE`
/// and `_BRVLAN` of
/// `uapi/linux/rtnetlink.h`.
const GROUPS: [u32; 10] = [1, 3, 4, 5, 7, 8, 9, 11, 19, 33];

/// What the messages end at (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;
/// `AF_BRIDGE`: the family of forwarding entries, beside which ARP and NDP entries come too.
const BRIDGE_FAMILY: u8 = 7;
/// `NUD_NOARP` and `NUD_PERMANENT`: an entry with one of them does not age.
const LASTING: u16 = 0x40 | 0x80;

impl Watch {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { routing: Ear::open(NETLINK_ROUTE, &GROUPS)?, nics: None })
    }

    /// The same, which also hears the ethtool family's group of this number.
    pub(crate) fn with_nics(self, group: u32) -> io::Result<Self> {
        Ok(Self { nics: Some(Ear::open(NETLINK_GENERIC, &[group])?), ..self })
    }

    /// Waits until something changed, and returns every kind of change since the last call, each once.
    ///
    /// *Shape*: never empty; `None` after the socket broke.
    /// *Cancel safety*: safe; what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<BTreeSet<Change>> {
        let mut changes = BTreeSet::new();
        while changes.is_empty() {
            self.receive(&mut changes).await?;
            while let Some(received) = self.receive(&mut changes).now_or_never() {
                received?;
            }
        }
        Some(changes)
    }

    /// Waits for one datagram and adds what it tells; none if a socket is broken.
    async fn receive(&mut self, changes: &mut BTreeSet<Change>) -> Option<()> {
        let nics = async {
            match &mut self.nics {
                Some(nics) => nics.hear().await.map(drop),
                None => std::future::pending().await,
            }
        };
        // Cancel safety: both arms are.
        tokio::select! {
            biased;
            heard = self.routing.hear() => match heard? {
                Heard::Datagram(datagram) => changes.extend(messages(datagram).filter_map(change)),
                Heard::TooMuch => drop(changes.insert(Change::Resync)),
            },
            // Whatever is told, and be it that more is lost, is of NICs.
            heard = nics => {
                heard?;
                changes.insert(Change::Nics);
            }
        }
        Some(())
    }
}

impl Ear {
    fn open(protocol: isize, groups: &[u32]) -> io::Result<Self> {
        let mut socket = TokioSocket::new(protocol)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            socket.socket_mut().add_membership(*group)?;
        }
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Waits for one datagram; none if the socket is broken.
    ///
    /// *Cancel safety*: safe.
    async fn hear(&mut self) -> Option<Heard<'_>> {
        self.buffer.clear();
        match self.socket.recv(&mut self.buffer).await {
            Ok(()) => Some(Heard::Datagram(&self.buffer)),
            Err(error) if error.raw_os_error().map(Errno::from_raw) == Some(Errno::ENOBUFS) => Some(Heard::TooMuch),
            Err(_) => None,
        }
    }
}

/// Splits a datagram into messages: each one's type and what follows its header.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let (kind, payload) = (message.message_type(), message.payload());
        let length = usize::try_from(message.length()).ok()?.next_multiple_of(ALIGNMENT);
        rest = rest.get(length..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// Tells what a message of `uapi/linux/rtnetlink.h` is about; none for what the model does not hold.
fn change((kind, payload): (u16, &[u8])) -> Option<Change> {
    match kind {
        // RTM_NEWLINK, RTM_DELLINK
        16 | 17 => Some(Change::Links),
        // RTM_NEWADDR, RTM_DELADDR
        20 | 21 => Some(Change::Addresses),
        // RTM_NEWROUTE, RTM_DELROUTE
        24 | 25 => Some(Change::Routes),
        // RTM_NEWRULE, RTM_DELRULE
        32 | 33 => Some(Change::Rules),
        // RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTCLASS, RTM_DELTCLASS, RTM_NEWTFILTER, RTM_DELTFILTER
        36 | 37 | 40 | 41 | 44 | 45 => Some(Change::Egress),
        // RTM_NEWNEIGH, RTM_DELNEIGH with struct ndmsg: the family at 0, the state at 8.
        28 | 29 if payload.first() == Some(&BRIDGE_FAMILY) => {
            let state = payload.get(8..10)?.try_into().map(u16::from_ne_bytes).ok()?;
            Some(if state & LASTING == 0 { Change::Learning } else { Change::Forwarding })
        }
        // RTM_NEWVLAN, RTM_DELVLAN
        112 | 113 => Some(Change::Vlans),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    fn neighbour(family: u8, state: u16) -> Vec<u8> {
        let mut payload = vec![family, 0, 0, 0, 1, 0, 0, 0];
        payload.extend(state.to_ne_bytes());
        payload.extend([0, 0]);
        payload
    }

    #[test]
    fn reads_every_message_of_a_datagram() {
        let mut datagram = message(16, &[0; 17]);
        datagram.extend(message(20, &[0; 8]));
        datagram.extend(message(112, &[7; 8]));
        let changes: Vec<_> = messages(&datagram).filter_map(change).collect();
        assert_eq!(changes, [Change::Links, Change::Addresses, Change::Vlans]);
        datagram.truncate(datagram.len() - 1);
        assert_eq!(messages(&datagram).count(), 2, "a cut message is not read");
    }

    #[test]
    fn tells_lasting_entries_from_learned_ones_and_from_neighbours() {
        let cases = [
            (neighbour(BRIDGE_FAMILY, 0x02), Some(Change::Learning)),
            (neighbour(BRIDGE_FAMILY, 0x40), Some(Change::Forwarding)),
            (neighbour(BRIDGE_FAMILY, 0x80), Some(Change::Forwarding)),
            (neighbour(2, 0x02), None),
            (vec![BRIDGE_FAMILY], None),
        ];
        for (payload, expected) in cases {
            assert_eq!(change((28, &payload)), expected, "{payload:?}");
        }
    }
}

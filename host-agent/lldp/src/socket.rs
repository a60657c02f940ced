//! The socket on which LLDP frames of all NICs arrive.
//!
//! *Source*: packet(7). A bridge and a bond leave frames to the LLDP group to the port that they came in on.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{LinkAddr, SetSockOpt, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// The Ethernet type of LLDP.
const ETHERTYPE: u16 = 0x88cc;
/// The group that LLDP is sent to, "nearest bridge", which no bridge forwards.
const GROUP: [u8; 8] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e, 0, 0];
const GROUP_LENGTH: u16 = 6;

/// How long to rest after an error.
const REST: Duration = Duration::from_secs(1);

/// Frames of LLDP from every device of the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Frames(AsyncFd<Socket>);

#[derive(Debug, Clone, Copy)]
struct AddMembership;
#[derive(Debug, Clone, Copy)]
struct DropMembership;

nix::setsockopt_impl!(
    AddMembership,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq,
    nix::sys::socket::sockopt::SetStruct<'_, libc::packet_mreq>
);
nix::setsockopt_impl!(
    DropMembership,
    libc::SOL_PACKET,
    libc::PACKET_DROP_MEMBERSHIP,
    libc::packet_mreq,
    nix::sys::socket::sockopt::SetStruct<'_, libc::packet_mreq>
);

impl Frames {
    /// Opens the socket. *Errors*: the kernel's; it takes `CAP_NET_RAW`.
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETHERTYPE.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol))?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe to call, for values that do not own their descriptor; this socket does"
        )]
        let readable = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self(readable))
    }

    /// Lets the group through at a NIC. *Errors*: the kernel's, as for a NIC that is gone.
    pub(crate) fn join(&self, index: u32) -> io::Result<()> {
        Ok(AddMembership.set(self.0.get_ref(), &membership(index)?)?)
    }

    /// Ends what [`Self::join`] began. *Errors*: the kernel's, as for a NIC that is gone.
    pub(crate) fn leave(&self, index: u32) -> io::Result<()> {
        Ok(DropMembership.set(self.0.get_ref(), &membership(index)?)?)
    }

    /// Waits for a frame, and returns the index of its device and how many octets of `payload` it fills, behind the header.
    ///
    /// *Errors*: the kernel's, told after a rest. *Cancel safety*: safe.
    pub(crate) async fn next(&self, payload: &mut [u8]) -> io::Result<(u32, usize)> {
        let received =
            self.0.async_io(Interest::READABLE, |socket| Ok(recvfrom::<LinkAddr>(socket.as_raw_fd(), payload)?));
        match received.await {
            Ok((length, from)) => {
                Ok((from.and_then(|from| u32::try_from(from.ifindex()).ok()).unwrap_or_default(), length))
            }
            Err(error) => {
                sleep(REST).await;
                Err(error)
            }
        }
    }
}

fn membership(index: u32) -> io::Result<libc::packet_mreq> {
    Ok(libc::packet_mreq {
        mr_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        mr_type: u16::try_from(libc::PACKET_MR_MULTICAST).map_err(io::Error::other)?,
        mr_alen: GROUP_LENGTH,
        mr_address: GROUP,
    })
}

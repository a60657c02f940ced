//! What a device makes of what IPv6 routers advertise, and the question that makes them advertise at once.

use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendmsg, setsockopt,
    socket, sockopt,
};
use trestle_model::IfName;
use trestle_plan::AutoconfChange;

use super::links::wake_ipv6;
use crate::device::Devices;
use crate::failure::Failure;

/// All routers of a link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// A router solicitation without options; the kernel computes its checksum.
///
/// *Source*: RFC 4861, 4.1.
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
/// A router answers only what no other router has passed on.
const HOPS: i32 = 255;

/// Sets the settings by the one way there is, files; they are those of the network namespace of this process.
pub(super) async fn set(devices: &mut Devices<'_>, link: &IfName, change: &AutoconfChange) -> Result<(), Failure> {
    let index = devices.require(link).await?.index;
    let mut written = write(link, change).await;
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // IPv6 is off where there are no settings, and stays so.
        wake_ipv6(devices, link, index).await?;
        written = write(link, change).await;
        if written.is_ok() {
            written = tokio::fs::write(file(link, "disable_ipv6"), "1").await;
        }
    }
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::Mismatch(format!(
                "{link} has no IPv6: the kernel lacks it, or the MTU is below 1280"
            )));
        }
        Err(error) => return Err(Failure::of_io(&error)),
    }
    if change.opens() {
        // A device that is down, or has no address yet, asks by itself when it is up and has one.
        let _asks_later = solicit(index);
    }
    Ok(())
}

async fn write(link: &IfName, change: &AutoconfChange) -> io::Result<()> {
    let flag = |on: bool| u8::from(on);
    let settings = [
        ("accept_ra", change.accept_ra.map(trestle_model::AcceptRa::number)),
        ("accept_ra_defrtr", change.accept_ra_defrtr.map(flag)),
        ("autoconf", change.autoconf.map(flag)),
        ("addr_gen_mode", change.addr_gen_mode.map(trestle_model::AddrGenMode::number)),
    ];
    for (name, value) in settings {
        if let Some(value) = value {
            tokio::fs::write(file(link, name), value.to_string()).await?;
        }
    }
    Ok(())
}

fn file(link: &IfName, setting: &str) -> String {
    format!("/proc/sys/net/ipv6/conf/{link}/{setting}")
}

/// Asks the routers on a device's link to advertise.
fn solicit(index: u32) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6)?;
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &HOPS)?;
    let routers = SockaddrIn6::from(SocketAddrV6::new(ALL_ROUTERS, 0, 0, index));
    let none: [ControlMessage<'_>; 0] = [];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(&SOLICITATION)], &none, MsgFlags::empty(), Some(&routers)).map(drop)
}

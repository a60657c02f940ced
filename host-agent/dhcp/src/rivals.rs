//! DHCP clients of other programs, as far as they show.
//!
//! They show by their sockets: a UDP socket of a client's port that is bound to the address of a device, or a packet socket
//! on a device beside such a UDP socket, or of a program that is known by its name; and by the leases of systemd-networkd.
//! One that holds no socket while it rests, or does not say for which device it is, is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_indextoname;
use trestle_model::{ForeignDhcp, IfName};

/// The ports of DHCP clients.
const PORT_IPV4: u16 = 68;
const PORT_IPV6: u16 = 546;
/// Frames of IPv4, which is what a client without an address sends and hears by a packet socket.
const FRAMES_IPV4: &str = "0800";
/// Programs that are nothing but DHCP clients.
const CLIENTS: [&str; 3] = ["dhclient", "dhcpcd", "udhcpc"];
/// Where systemd-networkd keeps its leases, each by the number of its device.
const NETWORKD: &str = "/run/systemd/netif/leases";

/// What a socket says of the device that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    /// It is bound to an address.
    Address(IpAddr),
    /// It is a client's, on whatever device.
    Anywhere,
    /// It hears the frames of a device.
    Frames(u32),
}

/// Looks for other programs' DHCP clients in the network namespace of the calling thread; it blocks for some system calls.
///
/// *Shape*: ordered by device and program, each once; what cannot be read shows nobody.
pub fn rivals() -> Vec<ForeignDhcp> {
    let mut traces = BTreeMap::new();
    let read = |table: &str| fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
    traces.extend(read("udp").lines().filter_map(|line| bound(line, PORT_IPV4)));
    traces.extend(read("udp6").lines().filter_map(|line| bound(line, PORT_IPV6)));
    traces.extend(read("packet").lines().filter_map(frames));
    let own = sockets(Path::new("/proc/self/fd"));
    traces.retain(|inode, _| !own.contains(inode));
    let mut found: BTreeSet<ForeignDhcp> = networkd().into_iter().collect();
    if !traces.is_empty() {
        found.extend(of_processes(&traces));
    }
    found.into_iter().collect()
}

/// Finds who holds the sockets.
fn of_processes(traces: &BTreeMap<u64, Trace>) -> Vec<ForeignDhcp> {
    let addresses = addresses();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !is_process {
            continue;
        }
        let held: Vec<Trace> =
            sockets(&process.path().join("fd")).iter().filter_map(|inode| traces.get(inode)).copied().collect();
        if held.is_empty() {
            continue;
        }
        let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim().to_owned();
        let links = devices(&program, &held, &addresses);
        found.extend(links.into_iter().map(|link| ForeignDhcp { link, program: program.clone() }));
    }
    found
}

/// Returns the devices on which a program is a client, by what its sockets say.
fn devices(program: &str, held: &[Trace], addresses: &BTreeMap<IpAddr, IfName>) -> BTreeSet<IfName> {
    let has_port = held.iter().any(|trace| !matches!(trace, Trace::Frames(_)));
    let is_client = has_port || CLIENTS.contains(&program);
    let device = |trace: &Trace| match trace {
        Trace::Address(address) => addresses.get(address).cloned(),
        Trace::Anywhere => None,
        Trace::Frames(index) => name(*index),
    };
    held.iter().filter(|_| is_client).filter_map(device).collect()
}

/// Reads a line of a table of UDP sockets; `None` for another port than `port`.
fn bound(line: &str, port: u16) -> Option<(u64, Trace)> {
    let mut fields = line.split_whitespace();
    let (address, local_port) = fields.nth(1)?.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    let inode = fields.nth(7)?.parse().ok()?;
    let address = address_of(address)?;
    Some((inode, if address.is_unspecified() { Trace::Anywhere } else { Trace::Address(address) }))
}

/// Reads an address as the kernel prints it there: words of 32 bits, each in this machine's order of bytes.
fn address_of(digits: &str) -> Option<IpAddr> {
    let words = digits.as_bytes().chunks(8);
    let word = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(u32::to_ne_bytes);
    let bytes: Vec<u8> = words.map(word).collect::<Option<Vec<_>>>()?.concat();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(ipv4) => Some(Ipv4Addr::from(ipv4).into()),
        Err(_) => <[u8; 16]>::try_from(bytes).ok().map(|ipv6| Ipv6Addr::from(ipv6).into()),
    }
}

/// Reads a line of the table of packet sockets; `None` for one of other frames, or of no device.
fn frames(line: &str) -> Option<(u64, Trace)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, kind, index, .., inode] = fields.as_slice() else { return None };
    let index: u32 = index.parse().ok().filter(|index| *index > 0)?;
    (*kind == FRAMES_IPV4).then_some((inode.parse().ok()?, Trace::Frames(index)))
}

/// Returns the numbers of the sockets in a folder of descriptors.
fn sockets(folder: &Path) -> BTreeSet<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let number = |target: &OsStr| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    targets.filter_map(|target| number(target.as_os_str())).collect()
}

fn addresses() -> BTreeMap<IpAddr, IfName> {
    let mut addresses = BTreeMap::new();
    for interface in getifaddrs().into_iter().flatten() {
        let address = interface.address.as_ref();
        let ipv4 = address.and_then(|address| address.as_sockaddr_in()).map(|address| IpAddr::V4(address.ip()));
        let ipv6 = address.and_then(|address| address.as_sockaddr_in6()).map(|address| IpAddr::V6(address.ip()));
        if let (Some(address), Ok(name)) = (ipv4.or(ipv6), IfName::parse(&interface.interface_name)) {
            addresses.insert(address, name);
        }
    }
    addresses
}

/// Finds the devices for which systemd-networkd has a lease. It knows the devices of the first network namespace only.
fn networkd() -> Vec<ForeignDhcp> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    if namespace("thread-self").is_none() || namespace("thread-self") != namespace("1") {
        return Vec::new();
    }
    let leases = fs::read_dir(NETWORKD).into_iter().flatten().flatten();
    let index = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let links = leases.filter_map(index).filter_map(name);
    links.map(|link| ForeignDhcp { link, program: "systemd-networkd".to_owned() }).collect()
}

fn name(index: u32) -> Option<IfName> {
    IfName::parse(if_indextoname(index).ok()?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_tables_of_sockets() {
        let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let line = |address: &str, port| {
            format!("  12: {address}:{port} 00000000:0000 07 00000000:00000000 00:00000000 00000000   0   0 4711 2 0 0")
        };
        let own: IpAddr = "192.0.2.50".parse().unwrap();
        assert_eq!(bound(&line(&word([192, 0, 2, 50]), "0044"), PORT_IPV4), Some((4711, Trace::Address(own))));
        assert_eq!(bound(&line("00000000", "0044"), PORT_IPV4), Some((4711, Trace::Anywhere)));
        assert_eq!(bound(&line("00000000", "0035"), PORT_IPV4), None);
        let six = [[0xfe, 0x80, 0, 0], [0; 4], [0; 4], [0, 0, 0, 7]].map(word).concat();
        assert_eq!(bound(&line(&six, "0222"), PORT_IPV6), Some((4711, Trace::Address("fe80::7".parse().unwrap()))));
        let packet = |kind, index| format!("0000000000000000 3      3    {kind}   {index}     1 0      0      4712  ");
        assert_eq!(frames(&packet("0800", "3")), Some((4712, Trace::Frames(3))));
        assert_eq!((frames(&packet("88cc", "3")), frames(&packet("0800", "0"))), (None, None));
        for nonsense in ["", "sl local_address", "a b c d e f", "0: 00000000:zz"] {
            assert_eq!((bound(nonsense, PORT_IPV4), frames(nonsense)), (None, None), "{nonsense}");
        }
    }

    #[test]
    fn a_packet_socket_alone_is_a_client_only_by_its_programs_name() {
        let link = IfName::parse("lo").unwrap();
        let address: IpAddr = "192.0.2.50".parse().unwrap();
        let addresses = BTreeMap::from([(address, link.clone())]);
        let cases = [
            ("udhcpc", vec![Trace::Frames(1)], true),
            ("tcpdump", vec![Trace::Frames(1)], false),
            ("any", vec![Trace::Anywhere, Trace::Frames(1)], true),
            ("any", vec![Trace::Address(address)], true),
            ("any", vec![Trace::Anywhere], false),
        ];
        for (program, held, shows) in cases {
            let expected = if shows { BTreeSet::from([link.clone()]) } else { BTreeSet::new() };
            assert_eq!(devices(program, &held, &addresses), expected, "{program} {held:?}");
        }
    }
}

//! Marks: how Trestle tells its own objects from everybody else's.
//!
//! A device carries its mark as alias, a libvirt network as name and metadata, a route as its protocol number. What has no mark is foreign: it is
//! observed, and never planned over.

use trestle_model::{IfName, LibvirtNetwork, Link, NetworkName, Route, Rule};

/// Longest alias that the kernel keeps, in bytes.
///
/// *Source*: `IFALIASZ` (256, with the closing zero) in the kernel's `include/uapi/linux/if.h`.
const ALIAS_LIMIT: usize = 255;

/// The protocol number of the routes and rules that Trestle makes, by which it knows them again.
///
/// *Source*: numbers from 5 on are anybody's (`RTPROT_STATIC` is 4, in the kernel's `include/uapi/linux/rtnetlink.h`);
/// iproute2's `rt_protos` gives this one to nobody.
pub const ROUTE_PROTOCOL: u8 = 116;

const PLAIN: &str = "trestle:";
const HASHED: &str = "trestle#";

/// Returns the alias that marks a device as made for `network`.
///
/// *Shape*: `trestle:` and the name, or `trestle#` and sixteen hexadecimal digits where that would be too long.
pub fn mark(network: &NetworkName) -> String {
    let plain = format!("{PLAIN}{network}");
    if plain.len() <= ALIAS_LIMIT {
        return plain;
    }
    format!("{HASHED}{:016x}", fnv1a(network.as_str().as_bytes()))
}

/// Returns the number of the routing table that `network` has for its own addresses.
///
/// It follows from the name alone, so that it is the same after a restart, a reboot and a restore (D-0020).
pub fn source_table(network: &NetworkName) -> u32 {
    let tables = Route::SOURCE_TABLES;
    let size = u64::from(tables.end - tables.start);
    let offset = fnv1a(network.as_str().as_bytes()) % size;
    tables.start + u32::try_from(offset).unwrap_or_default()
}

/// Tells whether a rule is a plan's; one with another protocol number is a lease's, and comes and goes with it.
pub(crate) const fn is_planned(rule: &Rule) -> bool {
    rule.protocol == ROUTE_PROTOCOL
}

/// Returns the alias that marks a bond as Trestle's.
///
/// *Shape*: `trestle:bond:` and the name; a network's name has no colon, so no network has the same mark.
pub fn bond_mark(bond: &IfName) -> String {
    format!("{PLAIN}bond:{bond}")
}

/// Returns the name of the libvirt network that serves `network`.
pub fn libvirt_name(network: &NetworkName) -> String {
    network.libvirt_network()
}

/// Tells whether Trestle made the device, for whichever network.
pub fn is_ours(link: &Link) -> bool {
    link.alias.as_deref().is_some_and(|alias| alias.starts_with(PLAIN) || alias.starts_with(HASHED))
}

/// Tells whether Trestle defined the libvirt network, for whichever network.
pub const fn is_our_network(network: &LibvirtNetwork) -> bool {
    network.owner.is_some()
}

/// FNV-1a, 64 bits: a stable hash, so that a mark means the same in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_stable_and_far_from_what_people_number() {
        let table = source_table(&NetworkName::parse("blue").unwrap());
        assert_eq!(table, 1_121_822_285);
        assert!(Route::SOURCE_TABLES.contains(&table));
        assert_ne!(table, source_table(&NetworkName::parse("green").unwrap()));
    }

    #[test]
    fn a_mark_always_fits_an_alias() {
        let short = NetworkName::parse("blue").unwrap();
        assert_eq!(mark(&short), "trestle:blue");
        let long = NetworkName::parse(&"n".repeat(256)).unwrap();
        assert_eq!(mark(&long).len(), HASHED.len() + 16);
        assert_ne!(mark(&long), mark(&NetworkName::parse(&"m".repeat(256)).unwrap()));
    }
}

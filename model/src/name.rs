//! Names: of networks, devices, hosts, resources and transactions.
//!
//! A host of a thousand networks is told in some ten thousand names, and most are copied on the way: copying one allocates
//! nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};
use uuid::Uuid;

/// Says why a text is not a legal name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text has more characters than the kind of name allows.
    #[error("has {length} characters, at most {limit} are allowed")]
    TooLong {
        /// Number of characters in the text.
        length: usize,
        /// Largest number allowed.
        limit: usize,
    },
    /// The text has a character that the kind of name does not allow.
    #[error("has the character {0:?}, which is not allowed")]
    Character(char),
    /// The text is a word that the kernel or Trestle keeps for itself.
    #[error("is the reserved word {0:?}")]
    Reserved(String),
    /// The text is not a UUID.
    #[error("is not a UUID")]
    NotUuid,
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks `text` and makes it a name.
            ///
            /// *Errors*: [`BadName`], the first rule that `text` breaks.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::parse(text)
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = BadName;

            fn try_from(text: SmolStr) -> Result<Self, BadName> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for SmolStr {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_name!(
    /// A logical network's name, unique on a host and in the fleet: 1 to 256 letters, digits, `_`, `-` and `.`.
    NetworkName,
    check_network_name
);

text_name!(
    /// A network device's name: 1 to 15 bytes, without `/`, `:`, `.`-only names, spaces, or a leading `-`.
    ///
    /// *Source*: `dev_valid_name` in the kernel's `net/core/dev.c`; `IFNAMSIZ` is 16 with the closing zero.
    /// The dot is allowed here, since VLAN devices are named `eth0.10`; a bridge's name may not have one.
    IfName,
    check_if_name
);

text_name!(
    /// A host's name in the fleet: 1 to 253 letters, digits, `-` and `.`, as in a SPIFFE path and a DNS name.
    HostName,
    check_host_name
);

text_name!(
    /// A label that networks and NICs have in common: 1 to 64 letters, digits, `_` and `-`.
    NicLabel,
    check_label
);

text_name!(
    /// The last segment of a resource's name (`clusters/{id}`): 1 to 256 letters, digits, `_`, `-` and `.`.
    ResourceId,
    check_network_name
);

impl NetworkName {
    /// Returns the name of the libvirt network that serves it on every host (D-0006).
    pub fn libvirt_network(&self) -> String {
        format!("trestle-{self}")
    }
}

impl IfName {
    /// Longest legal device name, in bytes.
    pub const LIMIT: usize = 15;

    /// Derives the bridge name of `network`: the network's own name where it is a legal bridge name, else `tr` and
    /// thirteen hexadecimal digits of a stable hash of it.
    ///
    /// The same network name gives the same device name on every host and in every version.
    pub fn for_bridge(network: &NetworkName) -> Self {
        if check_bridge_name(network.as_str()).is_ok() {
            return Self(network.0.clone());
        }
        Self(format_smolstr!("tr{:013x}", fnv1a(network.as_str().as_bytes()) >> 12))
    }

    /// Checks `text` as a bridge's name: a device name without a dot that is no word of the kernel's own.
    ///
    /// *Errors*: [`BadName`].
    pub fn parse_bridge(text: &str) -> Result<Self, BadName> {
        check_bridge_name(text)?;
        Ok(Self(text.into()))
    }

    /// Checks `text` as a bond's name: as a bridge's, since the kernel keeps both beside its own words.
    ///
    /// *Errors*: [`BadName`].
    pub fn parse_bond(text: &str) -> Result<Self, BadName> {
        Self::parse_bridge(text)
    }

    /// Returns the name of the VLAN device `id` on `base`: `eth0.10`, or `tv` and a hash where that is too long.
    pub fn for_vlan(base: &IfName, id: crate::VlanId) -> Self {
        let plain = format_smolstr!("{base}.{id}");
        if plain.len() <= Self::LIMIT {
            return Self(plain);
        }
        Self(format_smolstr!("tv{:013x}", fnv1a(plain.as_bytes()) >> 12))
    }
}

/// A transaction's id, a UUID: made by whoever asks for the transaction, or by the agent where none was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransactionId(pub Uuid);

impl TransactionId {
    /// Reads a transaction id from its hyphenated text.
    ///
    /// *Errors*: [`BadName::Empty`], [`BadName::NotUuid`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        Uuid::parse_str(text).map(Self).map_err(|_| BadName::NotUuid)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A virtual machine's id: the UUID of its libvirt domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VmId(pub Uuid);

impl VmId {
    /// Reads a VM's id from its text, which has one spelling only: lower case, with hyphens, as libvirt prints it.
    ///
    /// *Errors*: [`BadName::Empty`], [`BadName::NotUuid`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        let id = Uuid::parse_str(text).map(Self).map_err(|_| BadName::NotUuid)?;
        if id.to_string() == text { Ok(id) } else { Err(BadName::NotUuid) }
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check_network_name(text: &str) -> Result<(), BadName> {
    check_length(text, 256)?;
    check_characters(text, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))?;
    if matches!(text, "." | "..") {
        return Err(BadName::Reserved(text.to_owned()));
    }
    Ok(())
}

fn check_label(text: &str) -> Result<(), BadName> {
    check_length(text, 64)?;
    check_characters(text, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn check_host_name(text: &str) -> Result<(), BadName> {
    check_length(text, 253)?;
    check_characters(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))?;
    if matches!(text, "." | "..") {
        return Err(BadName::Reserved(text.to_owned()));
    }
    Ok(())
}

fn check_if_name(text: &str) -> Result<(), BadName> {
    check_length(text, IfName::LIMIT)?;
    check_characters(text, |c| c.is_ascii_graphic() && !matches!(c, '/' | ':'))?;
    if matches!(text, "." | "..") {
        return Err(BadName::Reserved(text.to_owned()));
    }
    if text.starts_with('-') {
        return Err(BadName::Character('-'));
    }
    Ok(())
}

fn check_bridge_name(text: &str) -> Result<(), BadName> {
    check_if_name(text)?;
    if matches!(text, "default" | "all" | "bonding_masters" | "lo") {
        return Err(BadName::Reserved(text.to_owned()));
    }
    check_characters(text, |c| c != '.')
}

fn check_length(text: &str, limit: usize) -> Result<(), BadName> {
    match text.len() {
        0 => Err(BadName::Empty),
        length if length > limit => Err(BadName::TooLong { length, limit }),
        _ => Ok(()),
    }
}

fn check_characters(text: &str, legal: impl Fn(char) -> bool) -> Result<(), BadName> {
    match text.chars().find(|c| !legal(*c)) {
        Some(bad) => Err(BadName::Character(bad)),
        None => Ok(()),
    }
}

/// FNV-1a, 64 bits: a stable hash for derived device names (not for anything that an attacker may choose freely).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_legal_network_name_as_bridge_name() {
        let name = NetworkName::parse("blue").unwrap();
        assert_eq!(IfName::for_bridge(&name).as_str(), "blue");
    }

    #[test]
    fn derives_a_stable_bridge_name_for_a_long_network_name() {
        let name = NetworkName::parse("a-network-with-a-long-name").unwrap();
        let bridge = IfName::for_bridge(&name);
        assert_eq!(bridge, IfName::for_bridge(&name));
        assert_eq!(bridge.as_str().len(), IfName::LIMIT);
        assert!(bridge.as_str().starts_with("tr"));
    }

    #[test]
    fn refuses_names_the_kernel_refuses() {
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "-a", "sixteen-chars-xx", "tab\t"] {
            assert!(IfName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for bad in ["default", "all", "bonding_masters", "eth0.10"] {
            assert!(IfName::parse_bridge(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn names_a_vlan_device_after_its_base() {
        let id = crate::VlanId::try_from(10).unwrap();
        assert_eq!(IfName::for_vlan(&IfName::parse("eth0").unwrap(), id).as_str(), "eth0.10");
        let long = IfName::for_vlan(&IfName::parse("enp129s0f0np0").unwrap(), VlanIdOf(4000));
        assert_eq!(long.as_str().len(), IfName::LIMIT);
    }

    #[expect(non_snake_case, reason = "reads as the type it makes")]
    fn VlanIdOf(id: u32) -> crate::VlanId {
        crate::VlanId::try_from(id).unwrap()
    }
}

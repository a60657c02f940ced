//! The kernel's ethtool family of generic netlink: messages about one device's rings and features.
//!
//! Attributes are read and written as bytes by `netlink-packet-core`: the ethtool crate of the same family can read
//! features and rings and cannot set them (D-0039).
//!
//! *Source*: `uapi/linux/genetlink.h`, `uapi/linux/ethtool_netlink.h`; the kernel's
//! `Documentation/networking/ethtool-netlink.rst`.

use std::convert::Infallible;

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLA_TYPE_MASK, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
    NlasIterator,
};

/// The id of the family that knows the others: `GENL_ID_CTRL`.
pub(crate) const CONTROLLER: u16 = 16;
/// `CTRL_CMD_GETFAMILY`, with the name of a family and its answer's number.
pub(crate) const GET_FAMILY: u8 = 3;
pub(crate) const FAMILY_ID: u16 = 1;
pub(crate) const FAMILY_NAME: u16 = 2;
/// `CTRL_ATTR_MCAST_GROUPS`: the groups to which a family tells of changes; of each, `CTRL_ATTR_MCAST_GRP_NAME` and `_ID`.
const GROUPS: u16 = 7;
const GROUP_NAME: u16 = 1;
const GROUP_ID: u16 = 2;
/// `ETHTOOL_GENL_NAME`.
pub(crate) const FAMILY: &str = "ethtool";
/// `ETHTOOL_MCGRP_MONITOR_NAME`.
const MONITOR: &str = "monitor";

/// `ETHTOOL_MSG_FEATURES_GET`, `_FEATURES_SET`, `_RINGS_GET` and `_RINGS_SET`.
pub(crate) const FEATURES_GET: u8 = 11;
pub(crate) const FEATURES_SET: u8 = 12;
pub(crate) const RINGS_GET: u8 = 15;
pub(crate) const RINGS_SET: u8 = 16;

/// `ETHTOOL_A_RINGS_RX_MAX`, `_TX_MAX`, `_RX` and `_TX`.
pub(crate) const RX_MAX: u16 = 2;
pub(crate) const TX_MAX: u16 = 5;
pub(crate) const RX: u16 = 6;
pub(crate) const TX: u16 = 9;

/// `ETHTOOL_A_FEATURES_HW`, `_WANTED` and `_ACTIVE`.
pub(crate) const SWITCHABLE: u16 = 2;
pub(crate) const WANTED: u16 = 3;
pub(crate) const ACTIVE: u16 = 4;

/// The header attribute of every message, and what is in it: `ETHTOOL_A_HEADER_DEV_INDEX`, `_FLAGS`.
const HEADER: u16 = 1;
const DEVICE: u16 = 1;
const FLAGS: u16 = 3;
/// `ETHTOOL_FLAG_OMIT_REPLY`: a change is acknowledged, and nothing more.
const OMIT_REPLY: u32 = 2;
/// `ETHTOOL_A_BITSET_NOMASK`, `_BITS`; `ETHTOOL_A_BITSET_BITS_BIT`; `ETHTOOL_A_BITSET_BIT_NAME`, `_VALUE`.
const NO_MASK: u16 = 1;
const BITS: u16 = 3;
const BIT: u16 = 1;
const NAME: u16 = 2;
const VALUE: u16 = 3;

/// Length of `struct genlmsghdr`.
const GENERIC_HEADER: usize = 4;

/// A message of generic netlink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GenericMessage {
    /// The family.
    pub(crate) family: u16,
    pub(crate) command: u8,
    pub(crate) attributes: Vec<DefaultNla>,
}

/// Begins a request about a device.
pub(crate) fn about(family: u16, command: u8, index: u32) -> GenericMessage {
    let header = [number(DEVICE, index), number(FLAGS, OMIT_REPLY)];
    // What only reads has nothing to omit.
    let reads = matches!(command, FEATURES_GET | RINGS_GET);
    let header = nested(HEADER, header.get(..if reads { 1 } else { 2 }).unwrap_or(&header));
    GenericMessage { family, command, attributes: vec![header] }
}

/// Makes an attribute of a number.
pub(crate) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_ne_bytes().to_vec())
}

/// Makes an attribute of a text.
pub(crate) fn text(kind: u16, text: &str) -> DefaultNla {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

/// Makes the attribute that switches features: a set of bits by name, of which only those are meant.
pub(crate) fn switches<'a>(features: impl Iterator<Item = (&'a str, bool)>) -> DefaultNla {
    let bits: Vec<DefaultNla> = features
        .map(|(name, on)| {
            let mut bit = vec![text(NAME, name)];
            if on {
                bit.push(DefaultNla::new(VALUE, Vec::new()));
            }
            nested(BIT, &bit)
        })
        .collect();
    nested(WANTED, &[nested(BITS, &bits)])
}

/// Reads the names of the bits that are set.
pub(crate) fn names(set: &[u8]) -> Vec<String> {
    let is_list = attribute(set, NO_MASK).is_some();
    let bits = attribute(set, BITS).unwrap_or_default();
    let bits = NlasIterator::new(bits.as_slice()).filter_map(Result::ok);
    bits.filter(|bit| bit.kind() & NLA_TYPE_MASK == BIT)
        .filter_map(|bit| {
            let is_set = is_list || attribute(bit.value(), VALUE).is_some();
            let name = attribute(bit.value(), NAME).filter(|_| is_set)?;
            String::from_utf8(name.strip_suffix(&[0]).unwrap_or(&name).to_vec()).ok()
        })
        .collect()
}

/// Returns an attribute's bytes.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut attributes = NlasIterator::new(bytes).filter_map(Result::ok);
    attributes.find(|nla| nla.kind() & NLA_TYPE_MASK == kind).map(|nla| nla.value().to_vec())
}

/// Returns the number of the group that hears of changes of NICs, from the controller's answer about the family.
pub(crate) fn monitor_group(answer: &GenericMessage) -> Option<u32> {
    let groups = answer.attribute(GROUPS)?;
    let mut groups = NlasIterator::new(groups.as_slice()).filter_map(Result::ok);
    let group = groups.find(|group| {
        attribute(group.value(), GROUP_NAME).is_some_and(|name| name.strip_suffix(&[0]) == Some(MONITOR.as_bytes()))
    })?;
    Some(u32::from_ne_bytes(attribute(group.value(), GROUP_ID)?.try_into().ok()?))
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

impl GenericMessage {
    /// Returns the bytes of one of its attributes.
    pub(crate) fn attribute(&self, kind: u16) -> Option<Vec<u8>> {
        use netlink_packet_core::Nla;
        let nla = self.attributes.iter().find(|nla| nla.kind() & NLA_TYPE_MASK == kind)?;
        let mut bytes = vec![0; nla.value_len()];
        nla.emit_value(&mut bytes);
        Some(bytes)
    }

    /// Returns one of its numbers.
    pub(crate) fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.attribute(kind)?.try_into().ok()?))
    }
}

impl NetlinkSerializable for GenericMessage {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        GENERIC_HEADER + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        if let Some((header, rest)) = buffer.split_at_mut_checked(GENERIC_HEADER) {
            // Command, version, and two bytes that are reserved.
            header.copy_from_slice(&[self.command, 1, 0, 0]);
            self.attributes.as_slice().emit(rest);
        }
    }
}

impl NetlinkDeserializable for GenericMessage {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        let command = payload.first().copied().unwrap_or_default();
        let attributes = NlasIterator::new(payload.get(GENERIC_HEADER..).unwrap_or_default()).filter_map(Result::ok);
        let attributes = attributes.map(|nla| DefaultNla::new(nla.kind(), nla.value().to_vec())).collect();
        Ok(Self { family: header.message_type, command, attributes })
    }
}

impl From<GenericMessage> for netlink_packet_core::NetlinkPayload<GenericMessage> {
    fn from(message: GenericMessage) -> Self {
        Self::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_the_bits_that_it_names() {
        use netlink_packet_core::Nla;
        let set = switches([("rx-gro", true), ("rx-lro", false)].into_iter());
        let mut bytes = vec![0; set.value_len()];
        set.emit_value(&mut bytes);
        assert_eq!(names(&bytes), ["rx-gro"]);
        assert!(names(&[1, 2, 3]).is_empty());
    }

    #[test]
    fn finds_the_group_that_hears_of_changes() {
        let group = |name, id| nested(1, &[number(GROUP_ID, id), text(GROUP_NAME, name)]);
        let answer = |groups: &[DefaultNla]| {
            let attributes = vec![text(FAMILY_NAME, FAMILY), nested(GROUPS, groups)];
            GenericMessage { family: CONTROLLER, command: GET_FAMILY, attributes }
        };
        assert_eq!(monitor_group(&answer(&[group("other", 5), group("monitor", 6)])), Some(6));
        assert_eq!(monitor_group(&answer(&[group("other", 5)])), None);
        assert_eq!(monitor_group(&answer(&[text(GROUP_NAME, "monitor")])), None, "a group without a number");
    }
}

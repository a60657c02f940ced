//! What was set for virtual functions on their NIC, as the NIC's driver tells it; only NICs that have some are asked.
//!
//! *Source*: `rtnl_fill_vfinfo` in the kernel's `net/core/rtnetlink.c`, `struct ifla_vf_mac` and those behind it in
//! `uapi/linux/if_link.h`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use netlink_packet_core::{
    NLA_HEADER_SIZE, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use nix::libc::RTM_GETLINK;
use trestle_model::{FunctionLink, FunctionSettings, FunctionTag, FunctionVlan, VlanId};

use super::links::mac;
use crate::socket::Socket;

/// Length of `struct ifinfomsg`, which stands before the attributes, and where the index is in it.
const HEADER: usize = 16;
const INDEX: std::ops::Range<usize> = 4..8;
/// `IFLA_EXT_MASK`, an attribute of eight bytes, with `RTEXT_FILTER_VF` and `RTEXT_FILTER_SKIP_STATS`.
const EXT_MASK: u16 = 29;
const EXT_MASK_LENGTH: u16 = 8;
const VFS_WITHOUT_STATISTICS: u32 = 1 | 8;
/// Numbers in `uapi/linux/if_link.h`: `IFLA_VFINFO_LIST`, in it `IFLA_VF_INFO`, in that the others.
const VF_INFO_LIST: u16 = 22;
const VF_INFO: u16 = 1;
const VF_MAC: u16 = 1;
const VF_VLAN: u16 = 2;
const VF_SPOOF_CHECK: u16 = 4;
const VF_LINK_STATE: u16 = 5;
const VF_TRUST: u16 = 9;
const VF_VLAN_LIST: u16 = 12;
/// `IFLA_VF_VLAN_INFO`.
const VLAN_INFO: u16 = 1;
/// `ETH_P_8021AD`, in network byte order.
const SERVICE_TAG: [u8; 2] = [0x88, 0xa8];
/// Length of an Ethernet address; the kernel has room for longer ones.
const MAC_LENGTH: usize = 6;
/// A link's message as it is: the library does not tell what a driver has not from what is off.
#[derive(Debug, Clone)]
struct RawLink(Vec<u8>);

/// Reads what was set for the functions of the NIC of an index, by their numbers; empty where its driver does not tell, or
/// the NIC has gone.
pub(super) async fn settings(socket: &Socket, index: u32) -> BTreeMap<u32, FunctionSettings> {
    let told = socket.read(RawLink::asking_for(index)).await;
    told.unwrap_or_default().first().map(functions).unwrap_or_default()
}

fn functions(link: &RawLink) -> BTreeMap<u32, FunctionSettings> {
    let attributes = link.0.get(HEADER..).unwrap_or_default();
    let lists = within(attributes, VF_INFO_LIST);
    lists.flat_map(|list| within(list, VF_INFO)).filter_map(function).collect()
}

impl RawLink {
    fn asking_for(index: u32) -> Self {
        let mut bytes = vec![0; HEADER];
        if let Some(place) = bytes.get_mut(INDEX) {
            place.copy_from_slice(&index.to_ne_bytes());
        }
        bytes.extend(EXT_MASK_LENGTH.to_ne_bytes());
        bytes.extend(EXT_MASK.to_ne_bytes());
        bytes.extend(VFS_WITHOUT_STATISTICS.to_ne_bytes());
        Self(bytes)
    }
}

impl NetlinkSerializable for RawLink {
    fn message_type(&self) -> u16 {
        RTM_GETLINK
    }

    fn buffer_len(&self) -> usize {
        self.0.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        if let Some(room) = buffer.get_mut(..self.0.len()) {
            room.copy_from_slice(&self.0);
        }
    }
}

impl NetlinkDeserializable for RawLink {
    type Error = Infallible;

    fn deserialize(_header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(payload.to_vec()))
    }
}

impl From<RawLink> for NetlinkPayload<RawLink> {
    fn from(message: RawLink) -> Self {
        Self::InnerMessage(message)
    }
}

/// Returns the values of those attributes that have a number.
fn within(attributes: &[u8], number: u16) -> impl Iterator<Item = &[u8]> {
    let attributes = NlasIterator::new(attributes).filter_map(Result::ok);
    attributes.filter(move |attribute| attribute.kind() == number).filter_map(|attribute| {
        let length = usize::from(attribute.length());
        attribute.into_inner().get(NLA_HEADER_SIZE..length)
    })
}

/// Reads one function's settings, and its number.
fn function(info: &[u8]) -> Option<(u32, FunctionSettings)> {
    let first = |number| within(info, number).next();
    // The kernel writes -1 for what a driver does not have.
    let switch = |number| match field(first(number)?, 1)? {
        u32::MAX => None,
        setting => Some(setting != 0),
    };
    let address = first(VF_MAC)?;
    let settings = FunctionSettings {
        mac: address.get(4..4 + MAC_LENGTH).and_then(mac),
        vlan: first(VF_VLAN).and_then(|told| vlan(told, first(VF_VLAN_LIST))),
        link: match first(VF_LINK_STATE).and_then(|told| field(told, 1)) {
            Some(1) => FunctionLink::Enabled,
            Some(2) => FunctionLink::Disabled,
            Some(_) | None => FunctionLink::Auto,
        },
        spoof_check: switch(VF_SPOOF_CHECK),
        trusted: switch(VF_TRUST),
    };
    Some((field(address, 0)?, settings))
}

/// Reads a function's VLAN; none for 0, which stands for none. The list tells the tag, since kernel 4.9.
fn vlan(told: &[u8], list: Option<&[u8]>) -> Option<FunctionVlan> {
    let id = VlanId::try_from(field(told, 1).filter(|id| *id != 0)?).ok()?;
    let tag = list.and_then(|list| within(list, VLAN_INFO).next()).and_then(|info| info.get(12..14));
    Some(FunctionVlan {
        id,
        priority: field(told, 2)?,
        tag: if tag == Some(&SERVICE_TAG) { FunctionTag::Service } else { FunctionTag::Customer },
    })
}

/// Returns the number at a place among numbers of 32 bits.
fn field(numbers: &[u8], place: usize) -> Option<u32> {
    let (numbers, _) = numbers.as_chunks::<4>();
    numbers.get(place).map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend(number.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
    }

    /// A function as `rtnl_fill_vfinfo` writes it, with all of its attributes; -1 is what a driver does not have.
    fn info(vf: u32, address: [u8; 6], vlan: [u32; 2], tag: u16, [state, spoof_check, trust]: [u32; 3]) -> Vec<u8> {
        let mut room = [0; 32];
        room[..6].copy_from_slice(&address);
        let tag_bytes = [tag.to_be_bytes(), [0; 2]].concat();
        let vlan_info = [numbers(&[vf, vlan[0], vlan[1]]), tag_bytes].concat();
        let attributes = [
            attribute(VF_MAC, &[numbers(&[vf]), room.to_vec()].concat()),
            // `IFLA_VF_BROADCAST`.
            attribute(13, &[0xff; 32]),
            attribute(VF_VLAN, &numbers(&[vf, vlan[0], vlan[1]])),
            // `IFLA_VF_RATE` and `IFLA_VF_TX_RATE`.
            attribute(6, &numbers(&[vf, 0, 100])),
            attribute(3, &numbers(&[vf, 100])),
            attribute(VF_SPOOF_CHECK, &numbers(&[vf, spoof_check])),
            attribute(VF_LINK_STATE, &numbers(&[vf, state])),
            // `IFLA_VF_RSS_QUERY_EN`.
            attribute(7, &numbers(&[vf, u32::MAX])),
            attribute(VF_TRUST, &numbers(&[vf, trust])),
            attribute(VF_VLAN_LIST, &attribute(VLAN_INFO, &vlan_info)),
        ];
        attribute(VF_INFO, &attributes.concat())
    }

    fn read(attributes: &[Vec<u8>]) -> BTreeMap<u32, FunctionSettings> {
        functions(&RawLink([vec![0; HEADER], attributes.concat()].concat()))
    }

    #[test]
    fn reads_functions_as_the_kernel_writes_them() {
        let none = u32::MAX;
        let list = [
            info(0, [0; 6], [0, 0], 0x8100, [0, none, none]),
            info(1, [0x52, 0x54, 0, 0, 0, 1], [100, 5], 0x8100, [1, 1, 0]),
            info(2, [0x52, 0x54, 0, 0, 0, 2], [4094, 0], 0x88a8, [2, 0, 1]),
        ];
        // `IFLA_IFNAME` before it, `IFLA_NUM_VF` behind.
        let told = read(&[attribute(3, b"eth0\0"), attribute(VF_INFO_LIST, &list.concat()), attribute(21, &[3; 4])]);
        let vlan = |id: u32, priority, tag| Some(FunctionVlan { id: VlanId::try_from(id).unwrap(), priority, tag });
        let expected = [
            FunctionSettings::default(),
            FunctionSettings {
                mac: Some("52:54:00:00:00:01".parse().unwrap()),
                vlan: vlan(100, 5, FunctionTag::Customer),
                link: FunctionLink::Enabled,
                spoof_check: Some(true),
                trusted: Some(false),
            },
            FunctionSettings {
                mac: Some("52:54:00:00:00:02".parse().unwrap()),
                vlan: vlan(4094, 0, FunctionTag::Service),
                link: FunctionLink::Disabled,
                spoof_check: Some(false),
                trusted: Some(true),
            },
        ];
        assert_eq!(told, (0..).zip(expected).collect());
    }

    #[test]
    fn what_is_not_told_or_cut_short_is_left_out() {
        assert!(read(&[]).is_empty());
        assert!(read(&[attribute(VF_INFO_LIST, &[])]).is_empty());
        let whole = info(7, [2, 0, 0, 0, 0, 1], [1, 0], 0x8100, [0, 1, 1]);
        for length in 0..whole.len() {
            let told = read(&[attribute(VF_INFO_LIST, &whole[..length])]);
            assert!(told.keys().all(|number| *number == 7), "{length}: {told:?}");
        }
        // An old kernel has neither trust nor a list of VLANs.
        let old = attribute(VF_INFO, &[attribute(VF_MAC, &[0; 36]), attribute(VF_VLAN, &numbers(&[0, 9, 0]))].concat());
        let told = read(&[attribute(VF_INFO_LIST, &old)])[&0];
        assert_eq!((told.vlan.unwrap().tag, told.spoof_check, told.trusted), (FunctionTag::Customer, None, None));
    }
}

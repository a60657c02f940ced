//! Carriers: what one dump of the links tells of cables.

use std::collections::BTreeMap;

use nix::libc::{IFLA_CARRIER_UP_COUNT, IFLA_IFNAME};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use trestle_model::IfName;
use trestle_plan::ObserveError;

use super::{links, pick, reason};
use crate::socket::Socket;

/// What the kernel tells of a device's carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrier {
    /// Index of the device: a later device of the same name has another one.
    pub index: u32,
    /// Whether it has a carrier now (`IFF_LOWER_UP`).
    pub present: bool,
    /// How often it has got one since it was made (`IFLA_CARRIER_UP_COUNT`); it tells of those that came and went between
    /// two looks, too.
    pub times: u32,
}

/// Reads the carriers of all devices whose names Trestle can express.
pub(crate) async fn read(socket: &Socket) -> Result<BTreeMap<IfName, Carrier>, ObserveError> {
    let named = |message: LinkMessage| {
        let name = IfName::parse(pick!(message.attributes, LinkAttribute::IfName)?).ok()?;
        Some((name, carrier(&message)))
    };
    let carriers =
        links::dump_of(socket, &[IFLA_IFNAME, IFLA_CARRIER_UP_COUNT], named).await.map_err(reason("carriers"))?;
    Ok(carriers.into_iter().collect())
}

fn carrier(message: &LinkMessage) -> Carrier {
    Carrier {
        index: message.header.index,
        present: message.header.flags.contains(LinkFlags::LowerUp),
        times: pick!(message.attributes, LinkAttribute::CarrierUpCount).copied().unwrap_or_default(),
    }
}

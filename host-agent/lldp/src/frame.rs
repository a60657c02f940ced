//! Reads one LLDP frame.
//!
//! *Source*: IEEE 802.1AB-2016, 8.2 to 8.6 and 9.2.7. A frame that breaks the rules for its first three parts, or that ends
//! within a part, is no frame; a later part that makes no sense is left out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use trestle_model::{LldpCapability, LldpId, LldpIdKind, LldpNeighbor, MacAddr, VlanId};

/// Types of parts.
mod part {
    pub(super) const END: u8 = 0;
    pub(super) const CHASSIS_ID: u8 = 1;
    pub(super) const PORT_ID: u8 = 2;
    pub(super) const TIME_TO_LIVE: u8 = 3;
    pub(super) const PORT_DESCRIPTION: u8 = 4;
    pub(super) const SYSTEM_NAME: u8 = 5;
    pub(super) const SYSTEM_DESCRIPTION: u8 = 6;
    pub(super) const SYSTEM_CAPABILITIES: u8 = 7;
    pub(super) const MANAGEMENT_ADDRESS: u8 = 8;
    pub(super) const ORGANIZATION: u8 = 127;
}

/// Who defined a part of their own: IEEE 802.1 and IEEE 802.3.
const IEEE_802_1: [u8; 3] = [0x00, 0x80, 0xc2];
const IEEE_802_3: [u8; 3] = [0x00, 0x12, 0x0f];

/// Families of addresses (IANA address family numbers).
const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A neighbour is there, and may be believed for so long.
    Here(Box<LldpNeighbor>, Duration),
    /// The neighbour with this chassis and port goes.
    Gone(LldpId, LldpId),
}

/// Says why a frame is not one. The neighbour's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It does not begin with chassis, port and time to live.
    #[error("does not begin with chassis, port and time to live")]
    Beginning,
    /// One of its first three parts makes no sense.
    #[error("its {0} makes no sense")]
    Mandatory(&'static str),
    /// A part is longer than what is left.
    #[error("ends within a part")]
    Cut,
    /// One of its first three parts comes again.
    #[error("says again who it is of")]
    Again,
}

/// Reads what follows the frame's header.
pub(crate) fn parse(payload: &[u8]) -> Result<Frame, Malformed> {
    let mut rest = payload;
    let mut mandatory = |kind| match next(&mut rest)? {
        Some((found, value)) if found == kind => Ok(value),
        Some(_) | None => Err(Malformed::Beginning),
    };
    let chassis = mandatory(part::CHASSIS_ID)?;
    let port = mandatory(part::PORT_ID)?;
    let time = mandatory(part::TIME_TO_LIVE)?;
    let chassis = identity(chassis, chassis_kind).ok_or(Malformed::Mandatory("chassis"))?;
    let port = identity(port, port_kind).ok_or(Malformed::Mandatory("port"))?;
    let seconds = u16::from_be_bytes(*time.first_chunk().ok_or(Malformed::Mandatory("time to live"))?);
    if seconds == 0 {
        return Ok(Frame::Gone(chassis, port));
    }
    let mut neighbor = LldpNeighbor::new(chassis, port);
    while let Some((kind, value)) = next(&mut rest)? {
        match kind {
            part::CHASSIS_ID | part::PORT_ID | part::TIME_TO_LIVE => return Err(Malformed::Again),
            part::PORT_DESCRIPTION => neighbor.port_description = text(value),
            part::SYSTEM_NAME => neighbor.system_name = text(value),
            part::SYSTEM_DESCRIPTION => neighbor.system_description = text(value),
            part::SYSTEM_CAPABILITIES => {
                if let Some(([can, is], _)) = words(value) {
                    neighbor.capabilities = capabilities(can);
                    neighbor.enabled_capabilities = capabilities(is);
                }
            }
            part::MANAGEMENT_ADDRESS => neighbor.management_addresses.extend(management_address(value)),
            part::ORGANIZATION => organization(value, &mut neighbor),
            _ => {}
        }
    }
    Ok(Frame::Here(Box::new(neighbor), Duration::from_secs(seconds.into())))
}

/// Takes the next part: its type in seven bits, its length in nine, its value. Nothing follows the end, which may be left out.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, Malformed> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (header, behind) = rest.split_first_chunk::<2>().ok_or(Malformed::Cut)?;
    let [first, second] = *header;
    let (kind, length) = (first >> 1, usize::from(first & 1) << 8 | usize::from(second));
    if kind == part::END {
        return Ok(None);
    }
    let (value, behind) = behind.split_at_checked(length).ok_or(Malformed::Cut)?;
    *rest = behind;
    Ok(Some((kind, value)))
}

/// Reads what a chassis or a port is called; none without a value.
fn identity(value: &[u8], kind: fn(u8) -> Option<LldpIdKind>) -> Option<LldpId> {
    let (subtype, value) = value.split_first().filter(|(_, value)| !value.is_empty())?;
    let kind = kind(*subtype)?;
    let named = match kind {
        LldpIdKind::MacAddress => MacAddr::from_bytes(value).ok().map(|mac| mac.to_string()),
        LldpIdKind::NetworkAddress => address(value).map(|address| address.to_string()),
        LldpIdKind::ChassisComponent
        | LldpIdKind::InterfaceAlias
        | LldpIdKind::PortComponent
        | LldpIdKind::InterfaceName
        | LldpIdKind::AgentCircuitId
        | LldpIdKind::Local => text(value),
    };
    Some(LldpId { kind, value: named.unwrap_or_else(|| hexadecimal(value)) })
}

const fn chassis_kind(subtype: u8) -> Option<LldpIdKind> {
    Some(match subtype {
        1 => LldpIdKind::ChassisComponent,
        2 => LldpIdKind::InterfaceAlias,
        3 => LldpIdKind::PortComponent,
        4 => LldpIdKind::MacAddress,
        5 => LldpIdKind::NetworkAddress,
        6 => LldpIdKind::InterfaceName,
        7 => LldpIdKind::Local,
        _ => return None,
    })
}

const fn port_kind(subtype: u8) -> Option<LldpIdKind> {
    Some(match subtype {
        1 => LldpIdKind::InterfaceAlias,
        2 => LldpIdKind::PortComponent,
        3 => LldpIdKind::MacAddress,
        4 => LldpIdKind::NetworkAddress,
        5 => LldpIdKind::InterfaceName,
        6 => LldpIdKind::AgentCircuitId,
        7 => LldpIdKind::Local,
        _ => return None,
    })
}

/// Reads an address behind its family.
fn address(value: &[u8]) -> Option<IpAddr> {
    let (family, bytes) = value.split_first()?;
    match *family {
        FAMILY_IPV4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        FAMILY_IPV6 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// Reads a management address: its length with the family, then both; the interface behind it is of no use here.
fn management_address(value: &[u8]) -> Option<IpAddr> {
    let (length, behind) = value.split_first()?;
    address(behind.get(..usize::from(*length))?)
}

fn organization(value: &[u8], neighbor: &mut LldpNeighbor) {
    let Some((by, [subtype, value @ ..])) = value.split_first_chunk::<3>() else { return };
    match (*by, *subtype) {
        // 802.1Q-2018 D.2.1: the port's VLAN, 0 where it has none.
        (IEEE_802_1, 1) => neighbor.port_vlan = words::<1>(value).and_then(|([id], _)| vlan(id)),
        // 802.1Q-2018 D.2.3: a VLAN, the length of its name, the name.
        (IEEE_802_1, 3) => {
            let Some(([id], [length, name @ ..])) = words::<1>(value) else { return };
            let (Some(id), Some(name)) = (vlan(id), name.get(..usize::from(*length))) else { return };
            neighbor.vlans.insert(id, text(name).unwrap_or_default());
        }
        // 802.3-2018 79.3.4: the largest frame.
        (IEEE_802_3, 4) => neighbor.max_frame_size = words::<1>(value).map(|([size], _)| size),
        _ => {}
    }
}

fn vlan(id: u16) -> Option<VlanId> {
    VlanId::try_from(u32::from(id)).ok().filter(|id| id.get() != 0)
}

fn capabilities(bits: u16) -> BTreeSet<LldpCapability> {
    let named = LldpCapability::ALL.into_iter().enumerate();
    named.filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, capability)| capability).collect()
}

/// Takes `N` numbers of two octets.
fn words<const N: usize>(value: &[u8]) -> Option<([u16; N], &[u8])> {
    let (mut found, mut rest) = ([0; N], value);
    for word in &mut found {
        let (octets, behind) = rest.split_first_chunk()?;
        (*word, rest) = (u16::from_be_bytes(*octets), behind);
    }
    Some((found, rest))
}

/// Reads text that a person's terminal may show as it is; none where the bytes are no text, or empty.
fn text(value: &[u8]) -> Option<String> {
    // Some devices close their text as C does.
    let text = std::str::from_utf8(value).ok()?.trim_end_matches('\0');
    let shown: String = text.chars().map(|each| if each.is_control() { ' ' } else { each }).collect();
    Some(shown).filter(|shown| !shown.trim().is_empty())
}

fn hexadecimal(value: &[u8]) -> String {
    value.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests;

//! How Trestle's classes look to the kernel: handles, and the attributes that `netlink-packet-route` leaves as bytes.
//!
//! A device is shaped by an HFSC queueing discipline as root, whose handle is Trestle's mark. Each class has a leaf of
//! fair queues and, but for that of the rest, a filter on the VLAN of what leaves; what no filter takes is the rest's.
//!
//! *Source*: `uapi/linux/pkt_sched.h` and `uapi/linux/pkt_cls.h`; `tc-hfsc(7)`.

use std::collections::BTreeMap;

use netlink_packet_core::{DefaultNla, NLA_TYPE_MASK, Nla, NlasIterator};
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterFlowerOption, TcHandle, TcMessage, TcOption};
use trestle_model::{BitRate, HostQos, TrafficClass, VlanId};

use crate::observation::pick;

/// The kinds that the kernel knows them by.
pub(crate) const HFSC: &str = "hfsc";
pub(crate) const FQ_CODEL: &str = "fq_codel";
pub(crate) const FLOWER: &str = "flower";

/// The handle of Trestle's root discipline: what the kernel makes by itself has the handle 0, and what others make
/// without one of their choice has 8001 and above.
pub(crate) const ROOT: TcHandle = TcHandle { major: 0x7e57, minor: 0 };
/// The rest's class; VLANs have the numbers from 1 on.
const REST: u16 = 0x1000;
/// The one priority of Trestle's filters, and the protocol that they look at: 802.1Q, in network byte order.
const PRIORITY: u32 = 1;
const PROTOCOL_8021Q: u16 = 0x8100;

/// `TCA_OPTIONS`.
const OPTIONS: u16 = 2;
/// `TCA_HFSC_RSC`, `_FSC` and `_USC`: what is committed, shared, and the most.
const COMMITTED: u16 = 1;
const SHARED: u16 = 2;
const MOST: u16 = 3;
/// `TCA_FLOWER_CLASSID`.
const CLASS_ID: u16 = 1;

/// Returns the handle of a class.
pub(crate) fn handle(class: TrafficClass) -> TcHandle {
    let minor = match class {
        TrafficClass::Rest => REST,
        TrafficClass::Vlan(id) => id.get().saturating_add(1),
    };
    TcHandle { minor, ..ROOT }
}

/// Returns the class that a handle is of; none of one that Trestle does not use.
pub(crate) fn class(handle: TcHandle) -> Option<TrafficClass> {
    match (handle.major == ROOT.major, handle.minor) {
        (true, REST) => Some(TrafficClass::Rest),
        (true, minor) => {
            let id = VlanId::try_from(u32::from(minor.checked_sub(1)?)).ok()?;
            Some(TrafficClass::Vlan(id))
        }
        (false, _) => None,
    }
}

/// Begins a message about a device.
pub(crate) fn about(index: u32) -> TcMessage {
    // The kernel's indices are positive numbers of 31 bits.
    TcMessage::with_index(i32::try_from(index).unwrap_or(i32::MAX))
}

/// Returns the root discipline's attributes.
pub(crate) fn root() -> Vec<TcAttribute> {
    // `struct tc_hfsc_qopt`, not nested.
    let default = REST.to_ne_bytes().to_vec();
    vec![TcAttribute::Kind(HFSC.to_owned()), TcAttribute::Other(DefaultNla::new(OPTIONS, default))]
}

/// Returns a class's attributes.
pub(crate) fn rates(qos: &HostQos) -> Vec<TcAttribute> {
    let curve = |kind, rate: BitRate| TcOption::Other(DefaultNla::new(kind, curve(rate).to_vec()));
    let mut options = vec![curve(SHARED, qos.link_share)];
    options.extend(qos.upper_limit.map(|rate| curve(MOST, rate)));
    options.extend(qos.committed_rate.map(|rate| curve(COMMITTED, rate)));
    vec![TcAttribute::Kind(HFSC.to_owned()), TcAttribute::Options(options)]
}

/// Reads a class's rates; `None` where they are none that can be asked for.
pub(crate) fn read_rates(message: &TcMessage) -> Option<HostQos> {
    let bytes = options(message)?;
    let curves: BTreeMap<u16, Option<BitRate>> = NlasIterator::new(bytes.as_slice())
        .filter_map(Result::ok)
        .map(|nla| (nla.kind() & NLA_TYPE_MASK, read_curve(nla.value())))
        .collect();
    let rate = |kind| match curves.get(&kind) {
        None => Some(None),
        Some(Some(rate)) => Some(Some(*rate)),
        Some(None) => None,
    };
    Some(HostQos { link_share: rate(SHARED)??, upper_limit: rate(MOST)?, committed_rate: rate(COMMITTED)? })
}

/// Returns where Trestle's filter for a VLAN lies: in the header's last field, priority and protocol.
pub(crate) fn filter_info() -> u32 {
    PRIORITY << 16 | u32::from(PROTOCOL_8021Q.to_be())
}

/// Returns the attributes of the filter that leads what has a VLAN's tag to the VLAN's class.
pub(crate) fn filter(id: VlanId) -> Vec<TcAttribute> {
    let options = [
        TcFilterFlowerOption::ClassId(handle(TrafficClass::Vlan(id)).into()),
        TcFilterFlowerOption::EthType(PROTOCOL_8021Q),
        TcFilterFlowerOption::VlanId(id.get()),
    ];
    let options = options.into_iter().map(TcOption::Flower).collect();
    vec![TcAttribute::Kind(FLOWER.to_owned()), TcAttribute::Options(options)]
}

/// Returns the VLAN that a filter leads to its class; `None` where it is none of Trestle's, or leads elsewhere.
pub(crate) fn read_filter(message: &TcMessage) -> Option<VlanId> {
    let options = pick!(message.attributes, TcAttribute::Options)?;
    let (mut vlan, mut leads_to) = (None, None);
    for option in options {
        if let TcOption::Flower(TcFilterFlowerOption::VlanId(id)) = option {
            vlan = Some(*id);
        } else if let TcOption::Flower(TcFilterFlowerOption::Other(nla)) = option
            && nla.kind() == CLASS_ID
        {
            leads_to = Some(bytes(nla));
        }
    }
    let id = VlanId::try_from(u32::from(vlan?)).ok()?;
    let class = handle(TrafficClass::Vlan(id));
    let is_its_own = leads_to? == u32::from(class).to_ne_bytes() && message.header.handle == filter_handle(id);
    (is_its_own && message.header.info == filter_info()).then_some(id)
}

/// Returns the number of a VLAN's filter, which is that of its class.
pub(crate) fn filter_handle(id: VlanId) -> TcHandle {
    TcHandle { major: 0, ..handle(TrafficClass::Vlan(id)) }
}

/// Returns a class's options.
fn options(message: &TcMessage) -> Option<Vec<u8>> {
    pick!(pick!(message.attributes, TcAttribute::Options)?, TcOption::Other).map(bytes)
}

fn bytes(nla: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; nla.value_len()];
    nla.emit_value(&mut bytes);
    bytes
}

/// `struct tc_service_curve`: the first slope, for how long, and the second one; Trestle's are straight lines.
fn curve(rate: BitRate) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (_, second) = bytes.split_at_mut(8);
    second.copy_from_slice(&rate.bytes_per_second().to_ne_bytes());
    bytes
}

/// Reads a straight line's rate.
fn read_curve(bytes: &[u8]) -> Option<BitRate> {
    let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let (first, second) = (number(0)?, number(8)?);
    if first == 0 { BitRate::of_bytes(second) } else { None }
}

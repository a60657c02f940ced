//! The rarer options of bridges as attributes of netlink.
//!
//! *Source*: `br_fill_info` and `br_policy` in the kernel's `net/bridge/br_netlink.c`.

use rtnetlink::packet_route::link::{BridgeMulticastRouterType, InfoBridge};
use trestle_model::{BridgeNumber, BridgeNumbers};

/// Reads what is not as the kernel makes it.
pub(crate) fn read(data: &[InfoBridge]) -> BridgeNumbers {
    let unusual = |(number, value): &(BridgeNumber, u32)| !number.same(*value, number.default_value());
    data.iter().filter_map(value).filter(unusual).collect()
}

/// Returns the attribute that sets an option; of a value that is out of its range, the nearest.
pub(crate) fn attribute(number: BridgeNumber, value: u32) -> InfoBridge {
    let byte = u8::try_from(value).unwrap_or(u8::MAX);
    let on = value != 0;
    match number {
        BridgeNumber::MulticastRouter => InfoBridge::MulticastRouter(BridgeMulticastRouterType::from(byte)),
        BridgeNumber::MulticastQueryUseIfaddr => InfoBridge::MulticastQueryUseIfaddr(on),
        BridgeNumber::MulticastHashMax => InfoBridge::MulticastHashMax(value),
        BridgeNumber::MulticastLastMemberCount => InfoBridge::MulticastLastMemberCount(value),
        BridgeNumber::MulticastStartupQueryCount => InfoBridge::MulticastStartupQueryCount(value),
        BridgeNumber::MulticastLastMemberInterval => InfoBridge::MulticastLastMemberInterval(value.into()),
        BridgeNumber::MulticastMembershipInterval => InfoBridge::MulticastMembershipInterval(value.into()),
        BridgeNumber::MulticastQuerierInterval => InfoBridge::MulticastQuerierInterval(value.into()),
        BridgeNumber::MulticastQueryInterval => InfoBridge::MulticastQueryInterval(value.into()),
        BridgeNumber::MulticastQueryResponseInterval => InfoBridge::MulticastQueryResponseInterval(value.into()),
        BridgeNumber::MulticastStartupQueryInterval => InfoBridge::MulticastStartupQueryInterval(value.into()),
        BridgeNumber::MulticastStatistics => InfoBridge::MulticastStatsEnabled(on),
        BridgeNumber::MulticastIgmpVersion => InfoBridge::MulticastIgmpVersion(byte),
        BridgeNumber::MulticastMldVersion => InfoBridge::MulticastMldVersion(byte),
        BridgeNumber::VlanStatistics => InfoBridge::VlanStatsEnabled(on),
        BridgeNumber::NfCallIptables => InfoBridge::NfCallIpTables(on),
        BridgeNumber::NfCallIp6tables => InfoBridge::NfCallIp6Tables(on),
        BridgeNumber::NfCallArptables => InfoBridge::NfCallArpTables(on),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has attributes that are no options")]
fn value(attribute: &InfoBridge) -> Option<(BridgeNumber, u32)> {
    let time = |time: u64| u32::try_from(time).unwrap_or(u32::MAX);
    let (number, value) = match attribute {
        InfoBridge::MulticastRouter(kind) => (BridgeNumber::MulticastRouter, u8::from(*kind).into()),
        InfoBridge::MulticastQueryUseIfaddr(on) => (BridgeNumber::MulticastQueryUseIfaddr, (*on).into()),
        InfoBridge::MulticastHashMax(most) => (BridgeNumber::MulticastHashMax, *most),
        InfoBridge::MulticastLastMemberCount(count) => (BridgeNumber::MulticastLastMemberCount, *count),
        InfoBridge::MulticastStartupQueryCount(count) => (BridgeNumber::MulticastStartupQueryCount, *count),
        InfoBridge::MulticastLastMemberInterval(cs) => (BridgeNumber::MulticastLastMemberInterval, time(*cs)),
        InfoBridge::MulticastMembershipInterval(cs) => (BridgeNumber::MulticastMembershipInterval, time(*cs)),
        InfoBridge::MulticastQuerierInterval(cs) => (BridgeNumber::MulticastQuerierInterval, time(*cs)),
        InfoBridge::MulticastQueryInterval(cs) => (BridgeNumber::MulticastQueryInterval, time(*cs)),
        InfoBridge::MulticastQueryResponseInterval(cs) => (BridgeNumber::MulticastQueryResponseInterval, time(*cs)),
        InfoBridge::MulticastStartupQueryInterval(cs) => (BridgeNumber::MulticastStartupQueryInterval, time(*cs)),
        InfoBridge::MulticastStatsEnabled(on) => (BridgeNumber::MulticastStatistics, (*on).into()),
        InfoBridge::MulticastIgmpVersion(version) => (BridgeNumber::MulticastIgmpVersion, (*version).into()),
        InfoBridge::MulticastMldVersion(version) => (BridgeNumber::MulticastMldVersion, (*version).into()),
        InfoBridge::VlanStatsEnabled(on) => (BridgeNumber::VlanStatistics, (*on).into()),
        InfoBridge::NfCallIpTables(on) => (BridgeNumber::NfCallIptables, (*on).into()),
        InfoBridge::NfCallIp6Tables(on) => (BridgeNumber::NfCallIp6tables, (*on).into()),
        InfoBridge::NfCallArpTables(on) => (BridgeNumber::NfCallArptables, (*on).into()),
        _ => return None,
    };
    Some((number, value))
}

//! Bridge options.

mod number;

use trestle_model::{BridgeOption, BridgeOptions, Code, Finding};

pub(super) use self::number::{build_numbers, read_numbers};
use crate::form::Form;
use crate::host::v1 as wire;

/// Link-local groups that a bridge can never forward: spanning tree, pause frames and LACP.
///
/// *Source*: `BR_GROUPFWD_RESTRICTED` in the kernel's `net/bridge/br_private.h`.
const GROUPS_NEVER_FORWARDED: u16 = 0b111;

/// Reads bridge options; what is absent keeps the kernel's default.
pub(crate) fn read_options(form: &mut Form, path: &str, options: Option<&wire::BridgeOptions>) -> BridgeOptions {
    let Some(given) = options else { return BridgeOptions::default() };
    let mut wide = |name: &str, option: BridgeOption, value: Option<u32>| {
        option
            .check(value?)
            .map_err(|bad| {
                let (low, high) = option.range();
                let finding =
                    Finding::error(Code::BridgeOptionOutOfRange, format!("{path}.{name}"), format!("{name} {bad}"));
                form.note(finding.remedy(format!("give {low} to {high}, or leave it out for the kernel's default")));
            })
            .ok()
    };
    let ageing_time_cs = wide("ageing_time_cs", BridgeOption::AgeingTime, given.ageing_time_cs);
    let forward_delay_cs = wide("forward_delay_cs", BridgeOption::ForwardDelay, given.forward_delay_cs);
    let hello_time_cs = wide("hello_time_cs", BridgeOption::HelloTime, given.hello_time_cs);
    let max_age_cs = wide("max_age_cs", BridgeOption::MaxAge, given.max_age_cs);
    let mut narrow = |name, option, value| wide(name, option, value).and_then(|value| u16::try_from(value).ok());
    let priority = narrow("priority", BridgeOption::Priority, given.priority);
    let group_fwd_mask = narrow("group_fwd_mask", BridgeOption::GroupFwdMask, given.group_fwd_mask);
    let default_pvid = narrow("default_pvid", BridgeOption::DefaultPvid, given.default_pvid);
    if group_fwd_mask.is_some_and(|mask| mask & GROUPS_NEVER_FORWARDED != 0) {
        let finding = Finding::error(
            Code::BridgeOptionOutOfRange,
            format!("{path}.group_fwd_mask"),
            "group_fwd_mask names a group that the kernel never forwards",
        );
        form.note(finding.remedy("clear the mask's three lowest bits"));
    }
    let numbers = read_numbers(form, path, given);
    number::check_ranges(form, path, &numbers);
    BridgeOptions {
        ageing_time_cs,
        forward_delay_cs,
        hello_time_cs,
        max_age_cs,
        priority,
        multicast_snooping: given.multicast_snooping,
        multicast_querier: given.multicast_querier,
        group_fwd_mask,
        vlan_filtering: given.vlan_filtering,
        default_pvid,
        numbers,
    }
}

/// Builds bridge options; they are absent where nothing is set.
pub(crate) fn build_options(options: &BridgeOptions) -> Option<wire::BridgeOptions> {
    let built = wire::BridgeOptions {
        ageing_time_cs: options.ageing_time_cs,
        forward_delay_cs: options.forward_delay_cs,
        hello_time_cs: options.hello_time_cs,
        max_age_cs: options.max_age_cs,
        priority: options.priority.map(u32::from),
        multicast_snooping: options.multicast_snooping,
        multicast_querier: options.multicast_querier,
        group_fwd_mask: options.group_fwd_mask.map(u32::from),
        vlan_filtering: options.vlan_filtering,
        default_pvid: options.default_pvid.map(u32::from),
        ..build_numbers(&options.numbers)
    };
    (built != wire::BridgeOptions::default()).then_some(built)
}

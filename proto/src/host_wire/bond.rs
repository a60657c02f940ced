//! Bonds.
//!
//! An enum's number on the wire is the kernel's number and one, since the wire keeps 0 for what is not said.

use std::net::Ipv4Addr;

use trestle_model::{BondMode, BondOption, BondOptions, BondSpec, Code, Finding, IfName, MacAddr};

use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// Reads the name of a bond that is to go.
pub(super) fn read_bond_removal(form: &mut Form, path: &str, bond: &wire::Bond) -> Option<IfName> {
    let bare = wire::Bond { name: bond.name.clone(), remove: true, ..wire::Bond::default() };
    if *bond != bare {
        let message = "a removal carries attributes beside the name";
        let finding = Finding::error(Code::RemoveWithAttributes, format!("{path}.remove"), message);
        form.note(finding.remedy("give only name and remove, or leave remove out"));
    }
    form.name(&format!("{path}.name"), &bond.name, Code::BondNameInvalid, IfName::parse)
}

/// Reads a bond that is to be there, and notes every violation.
pub(crate) fn read_bond(form: &mut Form, path: &str, bond: &wire::Bond) -> Option<BondSpec> {
    let spec = read_configured_bond(form, path, bond)?;
    form.name(&format!("{path}.name"), &bond.name, Code::BondNameInvalid, IfName::parse_bond)?;
    for fault in spec.options.faults() {
        let field = format!("{path}.options.{}", fault.option);
        let finding = Finding::error(Code::BondOptionInvalid, field, fault.reason);
        form.note(finding.remedy("change the option, or leave it out"));
    }
    Some(spec)
}

/// Reads a bond as a host has it, which may be one that was adopted with whatever its maker gave it.
pub(super) fn read_configured_bond(form: &mut Form, path: &str, bond: &wire::Bond) -> Option<BondSpec> {
    let name = form.name(&format!("{path}.name"), &bond.name, Code::BondNameInvalid, IfName::parse);
    let nics: Vec<Option<IfName>> = bond
        .nics
        .iter()
        .enumerate()
        .map(|(position, nic)| form.name(&format!("{path}.nics[{position}]"), nic, Code::NameInvalid, IfName::parse))
        .collect();
    let given = bond.options.clone().unwrap_or_default();
    let mode = read_mode(form, path, bond.mode);
    let options = mode.map(|mode| read_bond_options(form, &format!("{path}.options"), mode, &given));
    let hwaddr = read_mac(form, &format!("{path}.hwaddr"), &bond.hwaddr);
    Some(BondSpec { name: name?, nics: nics.into_iter().collect::<Option<_>>()?, options: options?, hwaddr })
}

/// Builds the wire's form of a bond; what is not given stays so.
pub(crate) fn build_bond(spec: &BondSpec) -> wire::Bond {
    wire::Bond {
        name: spec.name.to_string(),
        nics: spec.nics.iter().map(ToString::to_string).collect(),
        mode: build_mode(spec.options.mode),
        options: build_bond_options(&spec.options),
        hwaddr: spec.hwaddr.map(|mac| mac.to_string()).unwrap_or_default(),
        remove: false,
    }
}

pub(super) fn read_mode(form: &mut Form, path: &str, number: i32) -> Option<BondMode> {
    match form.known(&format!("{path}.mode"), number)? {
        wire::BondMode::Unspecified => {
            form.missing(format!("{path}.mode"), "give a mode");
            None
        }
        wire::BondMode::BalanceRr => Some(BondMode::BalanceRr),
        wire::BondMode::ActiveBackup => Some(BondMode::ActiveBackup),
        wire::BondMode::BalanceXor => Some(BondMode::BalanceXor),
        wire::BondMode::Broadcast => Some(BondMode::Broadcast),
        wire::BondMode::Lacp => Some(BondMode::Lacp),
        wire::BondMode::BalanceTlb => Some(BondMode::BalanceTlb),
        wire::BondMode::BalanceAlb => Some(BondMode::BalanceAlb),
    }
}

pub(super) fn build_mode(mode: BondMode) -> i32 {
    match mode {
        BondMode::BalanceRr => wire::BondMode::BalanceRr,
        BondMode::ActiveBackup => wire::BondMode::ActiveBackup,
        BondMode::BalanceXor => wire::BondMode::BalanceXor,
        BondMode::Broadcast => wire::BondMode::Broadcast,
        BondMode::Lacp => wire::BondMode::Lacp,
        BondMode::BalanceTlb => wire::BondMode::BalanceTlb,
        BondMode::BalanceAlb => wire::BondMode::BalanceAlb,
    }
    .into()
}

/// Reads options as they are given; whether they fit the mode is not asked here.
pub(super) fn read_bond_options(form: &mut Form, path: &str, mode: BondMode, given: &wire::BondOptions) -> BondOptions {
    let mut options = BondOptions::of(mode);
    for option in BondOption::ALL {
        let value = match field(option, given) {
            Field::Number(number) => number,
            Field::Flag(flag) => flag.map(u32::from),
            Field::Word(number, is_known) => read_word(form, &format!("{path}.{}", option.name()), number, is_known),
        };
        options.numbers.extend(value.map(|value| (option, value)));
    }
    if !given.primary.is_empty() {
        options.primary = form.name(&format!("{path}.primary"), &given.primary, Code::NameInvalid, IfName::parse);
    }
    for (position, target) in given.arp_ip_targets.iter().enumerate() {
        match target.parse::<Ipv4Addr>() {
            Ok(target) => options.arp_ip_targets.push(target),
            Err(bad) => {
                let field = format!("{path}.arp_ip_targets[{position}]");
                let finding = Finding::error(Code::BadAddress, field, format!("{}: {bad}", quoted(target)));
                form.note(finding.remedy("give IPv4 addresses, such as 192.0.2.1"));
            }
        }
    }
    options.ad_actor_system = read_mac(form, &format!("{path}.ad_actor_system"), &given.ad_actor_system);
    options
}

/// Builds options; they are absent where nothing is given.
pub(super) fn build_bond_options(options: &BondOptions) -> Option<wire::BondOptions> {
    let number = |option| options.numbers.get(&option).copied();
    let flag = |option| number(option).map(|value| value != 0);
    // A word that a newer kernel has and this version does not is not told.
    let is_word = |option: BondOption, value: &u32| *value <= option.range().1;
    let word = |option| {
        let value = number(option).filter(|value| is_word(option, value)).and_then(|value| value.checked_add(1));
        value.and_then(|value| i32::try_from(value).ok()).unwrap_or_default()
    };
    let built = wire::BondOptions {
        miimon_ms: number(BondOption::Miimon),
        updelay_ms: number(BondOption::Updelay),
        downdelay_ms: number(BondOption::Downdelay),
        peer_notif_delay_ms: number(BondOption::PeerNotifDelay),
        arp_interval_ms: number(BondOption::ArpInterval),
        arp_ip_targets: options.arp_ip_targets.iter().map(ToString::to_string).collect(),
        arp_validate: word(BondOption::ArpValidate),
        arp_all_targets: word(BondOption::ArpAllTargets),
        missed_max: number(BondOption::MissedMax),
        primary: options.primary.as_ref().map(ToString::to_string).unwrap_or_default(),
        primary_reselect: word(BondOption::PrimaryReselect),
        fail_over_mac: word(BondOption::FailOverMac),
        xmit_hash_policy: word(BondOption::XmitHashPolicy),
        resend_igmp: number(BondOption::ResendIgmp),
        num_peer_notif: number(BondOption::NumPeerNotif),
        all_slaves_active: flag(BondOption::AllPortsActive),
        min_links: number(BondOption::MinLinks),
        lp_interval_s: number(BondOption::LpInterval),
        packets_per_slave: number(BondOption::PacketsPerPort),
        lacp_active: flag(BondOption::LacpActive),
        lacp_rate: word(BondOption::LacpRate),
        ad_select: word(BondOption::AdSelect),
        ad_actor_sys_prio: number(BondOption::AdActorSysPrio),
        ad_user_port_key: number(BondOption::AdUserPortKey),
        ad_actor_system: options.ad_actor_system.map(|mac| mac.to_string()).unwrap_or_default(),
        tlb_dynamic_lb: flag(BondOption::TlbDynamicLb),
    };
    (built != wire::BondOptions::default()).then_some(built)
}

/// An option's field on the wire.
enum Field {
    Number(Option<u32>),
    Flag(Option<bool>),
    /// An enum's number, and what tells whether it has a meaning.
    Word(i32, fn(i32) -> bool),
}

const fn field(option: BondOption, given: &wire::BondOptions) -> Field {
    match option {
        BondOption::Miimon => Field::Number(given.miimon_ms),
        BondOption::Updelay => Field::Number(given.updelay_ms),
        BondOption::Downdelay => Field::Number(given.downdelay_ms),
        BondOption::PeerNotifDelay => Field::Number(given.peer_notif_delay_ms),
        BondOption::ArpInterval => Field::Number(given.arp_interval_ms),
        BondOption::ArpValidate => Field::Word(given.arp_validate, wire::BondArpValidate::is_valid),
        BondOption::ArpAllTargets => Field::Word(given.arp_all_targets, wire::BondArpAllTargets::is_valid),
        BondOption::MissedMax => Field::Number(given.missed_max),
        BondOption::PrimaryReselect => Field::Word(given.primary_reselect, wire::BondPrimaryReselect::is_valid),
        BondOption::FailOverMac => Field::Word(given.fail_over_mac, wire::BondFailOverMac::is_valid),
        BondOption::XmitHashPolicy => Field::Word(given.xmit_hash_policy, wire::BondXmitHashPolicy::is_valid),
        BondOption::ResendIgmp => Field::Number(given.resend_igmp),
        BondOption::NumPeerNotif => Field::Number(given.num_peer_notif),
        BondOption::AllPortsActive => Field::Flag(given.all_slaves_active),
        BondOption::MinLinks => Field::Number(given.min_links),
        BondOption::LpInterval => Field::Number(given.lp_interval_s),
        BondOption::PacketsPerPort => Field::Number(given.packets_per_slave),
        BondOption::LacpActive => Field::Flag(given.lacp_active),
        BondOption::LacpRate => Field::Word(given.lacp_rate, wire::BondLacpRate::is_valid),
        BondOption::AdSelect => Field::Word(given.ad_select, wire::BondAdSelect::is_valid),
        BondOption::AdActorSysPrio => Field::Number(given.ad_actor_sys_prio),
        BondOption::AdUserPortKey => Field::Number(given.ad_user_port_key),
        BondOption::TlbDynamicLb => Field::Flag(given.tlb_dynamic_lb),
    }
}

fn read_word(form: &mut Form, path: &str, number: i32, is_known: fn(i32) -> bool) -> Option<u32> {
    if !is_known(number) {
        let finding = Finding::error(Code::EnumUnknown, path, format!("{number} is no known value"));
        form.note(finding.remedy("give one of the values in the API reference"));
        return None;
    }
    u32::try_from(number).ok()?.checked_sub(1)
}

fn read_mac(form: &mut Form, path: &str, text: &str) -> Option<MacAddr> {
    if text.is_empty() {
        return None;
    }
    let read = text.parse::<MacAddr>().map_err(|bad| bad.to_string());
    let read = read.and_then(|mac| match mac.is_multicast() || mac.is_zero() {
        true => Err(format!("{mac} is no station's address")),
        false => Ok(mac),
    });
    read.map_err(|bad| {
        let finding = Finding::error(Code::BondOptionInvalid, path, bad);
        form.note(finding.remedy("give a MAC such as 52:54:00:12:34:56, or leave it out"));
    })
    .ok()
}

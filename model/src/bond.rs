//! What an operator can say about a bond, and what the kernel tells of one.

mod option;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use self::option::{BondOption, Settable};
use crate::{IfName, MacAddr};

/// A bond on a host, described whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondSpec {
    /// The bond's device name.
    pub name: IfName,
    /// The NICs in it; the first gives the bond its MAC where none is given.
    pub nics: Vec<IfName>,
    /// Mode and options; what is not given takes its default.
    pub options: BondOptions,
    /// The bond's MAC; none takes that of the first NIC, and keeps it whatever becomes of the NIC.
    pub hwaddr: Option<MacAddr>,
}

/// How a bond uses its ports.
///
/// *Source*: kernel documentation, `networking/bonding.rst`, "mode".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BondMode {
    /// One after the other (mode 0).
    BalanceRr,
    /// One at a time (mode 1).
    ActiveBackup,
    /// By a hash of addresses (mode 2).
    BalanceXor,
    /// All at once (mode 3).
    Broadcast,
    /// Link aggregation with a partner, LACP (mode 4).
    Lacp,
    /// By load, sending (mode 5).
    BalanceTlb,
    /// By load, sending and receiving (mode 6).
    BalanceAlb,
}

/// A bond's mode and options.
///
/// *Shape*: in a specification those that are given; observed or [`BondOptions::complete`], every option of the mode
/// that the kernel knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondOptions {
    /// Mode.
    pub mode: BondMode,
    /// Options that are numbers, or words with a number.
    pub numbers: BTreeMap<BondOption, u32>,
    /// The port that is preferred while it works.
    pub primary: Option<IfName>,
    /// Addresses that ARP monitoring asks for, in order.
    pub arp_ip_targets: Vec<Ipv4Addr>,
    /// LACP system address; none is the bond's MAC.
    pub ad_actor_system: Option<MacAddr>,
}

/// An option that cannot be as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBondOption {
    /// The option's name on the wire.
    pub option: &'static str,
    /// Why, for people.
    pub reason: String,
}

/// A bond as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// Mode and options.
    pub options: BondOptions,
    /// The port in use, in the modes that use one at a time or prefer one.
    pub active_port: Option<IfName>,
    /// What LACP has come to; none in other modes, and while no aggregator is active.
    pub lacp: Option<Lacp>,
}

/// The active aggregator of a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacp {
    /// Its number.
    pub aggregator: u16,
    /// Number of its ports.
    pub ports: u16,
    /// The host's key.
    pub actor_key: u16,
    /// The partner's key.
    pub partner_key: u16,
    /// The partner's system address; zero where no partner answers.
    pub partner_mac: MacAddr,
}

/// A device as a port of a bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondPort {
    /// Whether the port carries traffic, or is a spare.
    pub active: bool,
    /// What monitoring says of its link.
    pub link: BondPortLink,
    /// How often its link failed.
    pub failures: u32,
    /// The hardware address that it had before, and returns to.
    pub permanent_mac: Option<MacAddr>,
    /// LACP: number of its aggregator.
    pub aggregator: Option<u16>,
    /// LACP: the host's state of the port, as in IEEE 802.1AX.
    pub actor_state: Option<u32>,
    /// LACP: the partner's state of the port.
    pub partner_state: Option<u32>,
}

/// A bond port's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BondPortLink {
    /// It works.
    Up,
    /// It has failed, and is given time.
    Failing,
    /// It has failed.
    Down,
    /// It has come back, and is given time.
    Returning,
}

/// The number of addresses that ARP monitoring can ask for (`BOND_MAX_ARP_TARGETS`).
const MOST_ARP_TARGETS: usize = 16;
/// How often the links are looked at where nothing else is said, in milliseconds.
const MIIMON_MS: u32 = 100;

impl BondMode {
    /// Every mode, in the order of the kernel's numbers.
    pub const ALL: [Self; 7] = [
        Self::BalanceRr,
        Self::ActiveBackup,
        Self::BalanceXor,
        Self::Broadcast,
        Self::Lacp,
        Self::BalanceTlb,
        Self::BalanceAlb,
    ];

    /// Returns the kernel's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::BalanceRr => 0,
            Self::ActiveBackup => 1,
            Self::BalanceXor => 2,
            Self::Broadcast => 3,
            Self::Lacp => 4,
            Self::BalanceTlb => 5,
            Self::BalanceAlb => 6,
        }
    }

    /// Returns the kernel's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BalanceRr => "balance-rr",
            Self::ActiveBackup => "active-backup",
            Self::BalanceXor => "balance-xor",
            Self::Broadcast => "broadcast",
            Self::Lacp => "802.3ad",
            Self::BalanceTlb => "balance-tlb",
            Self::BalanceAlb => "balance-alb",
        }
    }

    /// Tells whether guests may be bridged to a bond in this mode.
    ///
    /// Balance-rr reorders guests' frames and shows their MACs at two ports of a switch; the adaptive modes rewrite
    /// source addresses, or answer ARP for the host alone.
    pub const fn is_safe_under_bridges(self) -> bool {
        match self {
            Self::ActiveBackup | Self::BalanceXor | Self::Broadcast | Self::Lacp => true,
            Self::BalanceRr | Self::BalanceTlb | Self::BalanceAlb => false,
        }
    }

    /// Tells whether one port of the mode can be preferred.
    pub const fn has_primary(self) -> bool {
        matches!(self, Self::ActiveBackup | Self::BalanceTlb | Self::BalanceAlb)
    }

    /// Tells whether ARP can watch the links in this mode.
    pub const fn has_arp_monitor(self) -> bool {
        match self {
            Self::BalanceRr | Self::ActiveBackup | Self::BalanceXor | Self::Broadcast => true,
            Self::Lacp | Self::BalanceTlb | Self::BalanceAlb => false,
        }
    }
}

impl BondOptions {
    /// Makes the options of a mode with nothing else said.
    pub const fn of(mode: BondMode) -> Self {
        let numbers = BTreeMap::new();
        Self { mode, numbers, primary: None, arp_ip_targets: Vec::new(), ad_actor_system: None }
    }

    /// Returns a number as it is given, or as it is by default.
    pub fn number(&self, option: BondOption) -> u32 {
        let watches_by_arp = || self.numbers.get(&BondOption::ArpInterval).is_some_and(|interval| *interval > 0);
        match (self.numbers.get(&option), option) {
            (Some(number), _) => *number,
            (None, BondOption::Miimon) if !watches_by_arp() => MIIMON_MS,
            (None, option) => option.default_value(),
        }
    }

    /// Returns every option of the mode: what is not given has its default.
    ///
    /// The default is the kernel's but for `miimon`: links are looked at every 100 ms unless ARP watches them.
    #[must_use]
    pub fn complete(&self) -> Self {
        let of_mode = BondOption::ALL.into_iter().filter(|option| option.applies_to(self.mode));
        Self { numbers: of_mode.map(|option| (option, self.number(option))).collect(), ..self.clone() }
    }

    /// Tells whether the bond's MAC is that of whichever port is in use.
    pub fn follows_active_mac(&self) -> bool {
        self.mode == BondMode::ActiveBackup && self.number(BondOption::FailOverMac) == FOLLOWS_ACTIVE
    }

    /// Finds everything that cannot be as it is given, in the order of the options.
    pub fn faults(&self) -> Vec<BadBondOption> {
        let mut faults = Vec::new();
        let mut note = |option: &'static str, reason: String| faults.push(BadBondOption { option, reason });
        let mode = self.mode.name();
        for (option, number) in &self.numbers {
            let (low, high) = option.range();
            if !option.applies_to(self.mode) {
                note(option.name(), format!("mode {mode} has no {}", option.name()));
            } else if *number < low || *number > high {
                note(option.name(), format!("{number} is out of range {low}..{high}"));
            }
        }
        let miimon = self.number(BondOption::Miimon);
        let arp_interval = self.number(BondOption::ArpInterval);
        if miimon > 0 && arp_interval > 0 {
            note("arp_interval_ms", "links are watched either by miimon_ms or by arp_interval_ms".to_owned());
        }
        if miimon == 0 && !self.mode.has_arp_monitor() {
            note("miimon_ms", format!("mode {mode} has to watch its links"));
        }
        for delay in [BondOption::Updelay, BondOption::Downdelay, BondOption::PeerNotifDelay] {
            let Some(given) = self.numbers.get(&delay).copied().filter(|delay| *delay > 0) else { continue };
            if given.checked_rem(miimon).is_none_or(|rest| rest > 0) {
                note(delay.name(), format!("{given} is no multiple of miimon_ms, which is {miimon}"));
            }
        }
        self.note_arp_faults(arp_interval, &mut note);
        if self.primary.is_some() && !self.mode.has_primary() {
            note("primary", format!("mode {mode} has no primary"));
        }
        match self.ad_actor_system {
            Some(_) if self.mode != BondMode::Lacp => note("ad_actor_system", format!("mode {mode} has no LACP")),
            Some(mac) if mac.is_multicast() || mac.is_zero() => {
                note("ad_actor_system", format!("{mac} is no address of a system"));
            }
            Some(_) | None => {}
        }
        faults
    }

    fn note_arp_faults(&self, arp_interval: u32, note: &mut impl FnMut(&'static str, String)) {
        let targets = &self.arp_ip_targets;
        if arp_interval > 0 && targets.is_empty() {
            note("arp_ip_targets", "ARP monitoring needs an address to ask for".to_owned());
        }
        if arp_interval == 0 && !targets.is_empty() {
            note("arp_ip_targets", "there is no ARP monitoring without arp_interval_ms".to_owned());
        }
        if targets.len() > MOST_ARP_TARGETS {
            note("arp_ip_targets", format!("at most {MOST_ARP_TARGETS} addresses are asked for"));
        }
        if targets.iter().collect::<BTreeSet<_>>().len() < targets.len() {
            note("arp_ip_targets", "an address is there twice".to_owned());
        }
        if targets.iter().any(|target| target.is_unspecified() || target.is_broadcast() || target.is_multicast()) {
            note("arp_ip_targets", "an address is none of a neighbour".to_owned());
        }
        if arp_interval == 0 && self.numbers.get(&BondOption::ArpValidate).is_some_and(|validate| *validate > 0) {
            note("arp_validate", "there is no ARP monitoring without arp_interval_ms".to_owned());
        }
    }
}

/// The value of `fail_over_mac` by which the bond's MAC is that of the active port.
const FOLLOWS_ACTIVE: u32 = 1;

impl fmt::Display for BondMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mode: BondMode, numbers: &[(BondOption, u32)]) -> BondOptions {
        BondOptions { numbers: numbers.iter().copied().collect(), ..BondOptions::of(mode) }
    }

    fn names(options: &BondOptions) -> Vec<&'static str> {
        options.faults().into_iter().map(|fault| fault.option).collect()
    }

    #[test]
    fn every_mode_is_whole_by_default_and_without_fault() {
        for mode in BondMode::ALL {
            let whole = BondOptions::of(mode).complete();
            assert_eq!(names(&whole), [""; 0], "{mode}");
            assert_eq!(whole.number(BondOption::Miimon), 100, "{mode}");
        }
    }

    #[test]
    fn an_option_belongs_to_its_modes_and_lies_in_its_range() {
        use BondOption::{LacpRate, Miimon, MinLinks, PacketsPerPort, Updelay, XmitHashPolicy};
        type Given = (BondMode, &'static [(BondOption, u32)], &'static [&'static str]);
        let cases: [Given; 7] = [
            (BondMode::Lacp, &[(LacpRate, 1), (MinLinks, 2), (XmitHashPolicy, 1)], &[]),
            (BondMode::Lacp, &[(LacpRate, 2)], &["lacp_rate"]),
            (BondMode::ActiveBackup, &[(LacpRate, 1)], &["lacp_rate"]),
            (
                BondMode::BalanceXor,
                &[(PacketsPerPort, 1), (XmitHashPolicy, 6)],
                &["xmit_hash_policy", "packets_per_slave"],
            ),
            (BondMode::ActiveBackup, &[(Miimon, 100), (Updelay, 200)], &[]),
            (BondMode::ActiveBackup, &[(Miimon, 100), (Updelay, 250)], &["updelay_ms"]),
            (BondMode::Lacp, &[(Miimon, 0)], &["miimon_ms"]),
        ];
        for (mode, numbers, expected) in cases {
            assert_eq!(names(&options(mode, numbers)), expected, "{mode} {numbers:?}");
        }
    }

    #[test]
    fn links_are_watched_by_one_of_two_ways() {
        let mut watched = options(BondMode::ActiveBackup, &[(BondOption::ArpInterval, 1000)]);
        assert_eq!(names(&watched), ["arp_ip_targets"]);
        watched.arp_ip_targets = vec![Ipv4Addr::new(192, 0, 2, 1)];
        assert_eq!(names(&watched), [""; 0]);
        assert_eq!(watched.complete().number(BondOption::Miimon), 0);
        watched.numbers.insert(BondOption::Miimon, 100);
        assert_eq!(names(&watched), ["arp_interval_ms"]);
        let by_lacp = options(BondMode::Lacp, &[(BondOption::ArpInterval, 1000)]);
        assert!(names(&by_lacp).contains(&"arp_interval_ms"));
    }

    #[test]
    fn primary_and_system_address_need_their_modes() {
        let mut given = BondOptions::of(BondMode::Broadcast);
        given.primary = Some(IfName::parse("eth0").unwrap());
        given.ad_actor_system = Some(MacAddr::new([2, 0, 0, 0, 0, 1]));
        assert_eq!(names(&given), ["primary", "ad_actor_system"]);
    }
}

//! The options of bonds that are numbers: one table says all there is to know of each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BondMode;

/// A bond option that is a number, or a word with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BondOption {
    /// How often a port's link is looked at, milliseconds; 0 is never.
    Miimon,
    /// How long a link has to be back before it is used, milliseconds.
    Updelay,
    /// How long a link has to be away before it is given up, milliseconds.
    Downdelay,
    /// How long there is between notifications of peers, milliseconds.
    PeerNotifDelay,
    /// How often ARP asks for its targets, milliseconds; 0 is never.
    ArpInterval,
    /// Whether ARP answers have to be valid ones: 0 none, 1 active, 2 backup, 3 all, 4 to 6 with filters.
    ArpValidate,
    /// Whether one target (0) or all (1) have to answer.
    ArpAllTargets,
    /// How many answers may be missed.
    MissedMax,
    /// When the primary is chosen again: 0 always, 1 better, 2 failure.
    PrimaryReselect,
    /// Which MAC the ports have: 0 the bond's, 1 their own and the bond that of the active one, 2 the bond's when active.
    FailOverMac,
    /// What frames are spread by: 0 layer2, 1 layer3+4, 2 layer2+3, 3 encap2+3, 4 encap3+4, 5 vlan+srcmac.
    XmitHashPolicy,
    /// How many IGMP reports a failover sends.
    ResendIgmp,
    /// How many notifications of peers a failover sends.
    NumPeerNotif,
    /// Whether spare ports pass on what they receive.
    AllPortsActive,
    /// How many ports have to work for a carrier.
    MinLinks,
    /// How long there is between learning packets, seconds.
    LpInterval,
    /// How many packets a port gets before the next one's turn; 0 is by chance.
    PacketsPerPort,
    /// Whether LACP frames are sent unasked.
    LacpActive,
    /// How often the partner is to send LACP frames: 0 every 30 s, 1 every second.
    LacpRate,
    /// How the aggregator is chosen: 0 stable, 1 bandwidth, 2 count.
    AdSelect,
    /// LACP system priority.
    AdActorSysPrio,
    /// Upper ten bits of the LACP port key.
    AdUserPortKey,
    /// Whether load decides anew all the time.
    TlbDynamicLb,
}

/// When the kernel lets an option be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Settable {
    /// At any time.
    Always,
    /// While the bond is down.
    Down,
    /// While the bond has no ports.
    Portless,
}

/// What there is to know of an option.
struct Facts {
    name: &'static str,
    range: (u32, u32),
    default: u32,
    modes: &'static [BondMode],
    settable: Settable,
}

const ANY: &[BondMode] = &BondMode::ALL;
const ARP: &[BondMode] = &[BondMode::BalanceRr, BondMode::ActiveBackup, BondMode::BalanceXor, BondMode::Broadcast];
const ONE_AT_A_TIME: &[BondMode] = &[BondMode::ActiveBackup];
const PREFERRING: &[BondMode] = &[BondMode::ActiveBackup, BondMode::BalanceTlb, BondMode::BalanceAlb];
const HASHING: &[BondMode] = &[BondMode::BalanceXor, BondMode::Lacp, BondMode::BalanceTlb];
const MOVING: &[BondMode] = &[BondMode::BalanceRr, BondMode::ActiveBackup, BondMode::BalanceTlb, BondMode::BalanceAlb];
const ADAPTIVE: &[BondMode] = &[BondMode::BalanceTlb, BondMode::BalanceAlb];
const LACP: &[BondMode] = &[BondMode::Lacp];
const ROUND_ROBIN: &[BondMode] = &[BondMode::BalanceRr];

/// Ten minutes: longer than anybody waits for a link, and within the kernel's range.
const LONGEST_MS: u32 = 600_000;

impl BondOption {
    /// Every option, in order.
    pub const ALL: [Self; 23] = [
        Self::Miimon,
        Self::Updelay,
        Self::Downdelay,
        Self::PeerNotifDelay,
        Self::ArpInterval,
        Self::ArpValidate,
        Self::ArpAllTargets,
        Self::MissedMax,
        Self::PrimaryReselect,
        Self::FailOverMac,
        Self::XmitHashPolicy,
        Self::ResendIgmp,
        Self::NumPeerNotif,
        Self::AllPortsActive,
        Self::MinLinks,
        Self::LpInterval,
        Self::PacketsPerPort,
        Self::LacpActive,
        Self::LacpRate,
        Self::AdSelect,
        Self::AdActorSysPrio,
        Self::AdUserPortKey,
        Self::TlbDynamicLb,
    ];

    /// Returns the option's name on the wire.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns the smallest and the largest legal value.
    pub const fn range(self) -> (u32, u32) {
        self.facts().range
    }

    /// Returns the kernel's default.
    pub const fn default_value(self) -> u32 {
        self.facts().default
    }

    /// Tells whether the option means something in a mode.
    pub fn applies_to(self, mode: BondMode) -> bool {
        self.facts().modes.contains(&mode)
    }

    /// Returns when the kernel lets the option be set.
    pub const fn settable(self) -> Settable {
        self.facts().settable
    }

    /// *Source*: `bond_opts` in the kernel's `drivers/net/bonding/bond_options.c`, and `networking/bonding.rst` for
    /// options that the kernel takes in every mode and uses in some.
    const fn facts(self) -> Facts {
        use Settable::{Always, Down, Portless};
        match self {
            Self::Miimon => facts("miimon_ms", (0, LONGEST_MS), 0, ANY, Always),
            Self::Updelay => facts("updelay_ms", (0, LONGEST_MS), 0, ANY, Always),
            Self::Downdelay => facts("downdelay_ms", (0, LONGEST_MS), 0, ANY, Always),
            Self::PeerNotifDelay => facts("peer_notif_delay_ms", (0, 300_000), 0, ONE_AT_A_TIME, Always),
            Self::ArpInterval => facts("arp_interval_ms", (0, LONGEST_MS), 0, ARP, Always),
            Self::ArpValidate => facts("arp_validate", (0, 6), 0, ARP, Always),
            Self::ArpAllTargets => facts("arp_all_targets", (0, 1), 0, ARP, Always),
            Self::MissedMax => facts("missed_max", (1, 255), 2, ARP, Always),
            Self::PrimaryReselect => facts("primary_reselect", (0, 2), 0, PREFERRING, Always),
            Self::FailOverMac => facts("fail_over_mac", (0, 2), 0, ONE_AT_A_TIME, Portless),
            Self::XmitHashPolicy => facts("xmit_hash_policy", (0, 5), 0, HASHING, Always),
            Self::ResendIgmp => facts("resend_igmp", (0, 255), 1, MOVING, Always),
            Self::NumPeerNotif => facts("num_peer_notif", (0, 255), 1, ONE_AT_A_TIME, Always),
            Self::AllPortsActive => facts("all_slaves_active", (0, 1), 0, ANY, Always),
            Self::MinLinks => facts("min_links", (0, 65_535), 0, LACP, Always),
            Self::LpInterval => facts("lp_interval_s", (1, 65_535), 1, ADAPTIVE, Always),
            Self::PacketsPerPort => facts("packets_per_slave", (0, 65_535), 1, ROUND_ROBIN, Always),
            Self::LacpActive => facts("lacp_active", (0, 1), 1, LACP, Down),
            Self::LacpRate => facts("lacp_rate", (0, 1), 0, LACP, Down),
            Self::AdSelect => facts("ad_select", (0, 2), 0, LACP, Down),
            Self::AdActorSysPrio => facts("ad_actor_sys_prio", (1, 65_535), 65_535, LACP, Always),
            Self::AdUserPortKey => facts("ad_user_port_key", (0, 1023), 0, LACP, Down),
            Self::TlbDynamicLb => facts("tlb_dynamic_lb", (0, 1), 1, ADAPTIVE, Down),
        }
    }
}

const fn facts(
    name: &'static str,
    range: (u32, u32),
    default: u32,
    modes: &'static [BondMode],
    settable: Settable,
) -> Facts {
    Facts { name, range, default, modes, settable }
}

impl fmt::Display for BondOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

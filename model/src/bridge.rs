//! What an operator can say about a bridge.

mod number;
mod vlans;

use serde::{Deserialize, Serialize};

pub use self::number::{BridgeNumber, BridgeNumbers, same_time};
pub use self::vlans::{PortVlans, VlanRange};
use crate::{IfName, OutOfRange};

/// The bridge of a bridged network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeSpec {
    /// The bridge's device name.
    pub name: IfName,
    /// Whether the bridge takes part in the spanning tree protocol.
    pub stp: bool,
    /// Options; what is not set keeps the kernel's default.
    pub options: BridgeOptions,
}

/// Bridge options that an operator can set; `None` means the kernel's default.
///
/// *Source*: `ip-link(8)`, "BRIDGE Type Support"; kernel `net/bridge/br_netlink.c`. Times are in centiseconds
/// (`USER_HZ`), as the kernel's attributes carry them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BridgeOptions {
    /// Ageing time of learned entries, centiseconds; kernel's default 30000.
    pub ageing_time_cs: Option<u32>,
    /// Forward delay, centiseconds, 200..3000; kernel's default 1500.
    pub forward_delay_cs: Option<u32>,
    /// Hello time, centiseconds, 100..1000; kernel's default 200.
    pub hello_time_cs: Option<u32>,
    /// Maximum message age, centiseconds, 600..4000; kernel's default 2000.
    pub max_age_cs: Option<u32>,
    /// Bridge priority, 0..65535; kernel's default 32768.
    pub priority: Option<u16>,
    /// Multicast snooping; kernel's default on.
    pub multicast_snooping: Option<bool>,
    /// Multicast querier; kernel's default off.
    pub multicast_querier: Option<bool>,
    /// Mask of link-local groups to forward, 16 bits; kernel's default 0.
    pub group_fwd_mask: Option<u16>,
    /// VLAN filtering; kernel's default off, on where libvirt manages the MAC table.
    pub vlan_filtering: Option<bool>,
    /// VLAN that untagged frames belong to when filtering, 0..4094; kernel's default 1; 0 is none.
    pub default_pvid: Option<u16>,
    /// The rarer ones that are given.
    #[serde(default, skip_serializing_if = "BridgeNumbers::is_empty")]
    pub numbers: BridgeNumbers,
}

/// An option that contradicts a MAC table managed by libvirt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction {
    /// The option's name on the wire.
    pub option: &'static str,
    /// Why, for people.
    pub reason: &'static str,
}

/// The kernel's ageing time of learned entries, in centiseconds.
const KERNELS_AGEING_CS: u32 = 30_000;

impl BridgeOptions {
    /// Tells whether frames to multicast groups go only to ports that have reported members, and are not flooded: there is a
    /// querier, the bridge's own, and nobody switched snooping off.
    ///
    /// *Source*: `br_multicast_querier_exists` and its use in `br_handle_frame_finish` of the kernel's `net/bridge`.
    pub fn stops_multicast_flooding(&self) -> bool {
        self.multicast_querier == Some(true) && self.multicast_snooping != Some(false)
    }

    /// Finds the options that contradict a MAC table managed by libvirt, in the order of the fields.
    pub fn contradictions(&self) -> impl Iterator<Item = Contradiction> {
        let ageing = self.ageing_time_cs.is_some_and(|time| time != KERNELS_AGEING_CS);
        [
            (ageing, "ageing_time_cs", "a managed MAC table learns nothing that could age"),
            (
                self.vlan_filtering == Some(false),
                "vlan_filtering",
                "libvirt filters by VLAN where it manages the table",
            ),
            (
                self.default_pvid == Some(0),
                "default_pvid",
                "without a default VLAN a filtering bridge passes no untagged frame",
            ),
        ]
        .into_iter()
        .filter_map(|(contradicts, option, reason)| contradicts.then_some(Contradiction { option, reason }))
    }
}

/// A bridge option with a bounded range, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BridgeOption {
    /// [`BridgeOptions::ageing_time_cs`].
    AgeingTime,
    /// [`BridgeOptions::forward_delay_cs`].
    ForwardDelay,
    /// [`BridgeOptions::hello_time_cs`].
    HelloTime,
    /// [`BridgeOptions::max_age_cs`].
    MaxAge,
    /// [`BridgeOptions::priority`].
    Priority,
    /// [`BridgeOptions::group_fwd_mask`].
    GroupFwdMask,
    /// [`BridgeOptions::default_pvid`].
    DefaultPvid,
}

impl BridgeOption {
    /// Returns the smallest and the largest legal value.
    ///
    /// *Source*: `BR_MIN_*`, `BR_MAX_*` in the kernel's `net/bridge/br_private_stp.h`; link-local groups 0, 1 and 2
    /// (`BR_GROUPFWD_RESTRICTED`) can never be forwarded.
    pub const fn range(self) -> (u32, u32) {
        match self {
            Self::AgeingTime => (0, 100_000_000),
            Self::ForwardDelay => (200, 3000),
            Self::HelloTime => (100, 1000),
            Self::MaxAge => (600, 4000),
            Self::Priority | Self::GroupFwdMask => (0, 65_535),
            Self::DefaultPvid => (0, 4094),
        }
    }

    /// Checks that `value` is legal for this option.
    ///
    /// *Errors*: [`OutOfRange`].
    pub fn check(self, value: u32) -> Result<u32, OutOfRange> {
        OutOfRange::check(value, self.range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_option_that_contradicts_a_managed_table_and_no_other() {
        let options = |ageing, filtering, pvid| BridgeOptions {
            ageing_time_cs: ageing,
            vlan_filtering: filtering,
            default_pvid: pvid,
            ..BridgeOptions::default()
        };
        let names = |options: BridgeOptions| options.contradictions().map(|c| c.option).collect::<Vec<_>>();
        assert_eq!(
            names(options(Some(100), Some(false), Some(0))),
            ["ageing_time_cs", "vlan_filtering", "default_pvid"]
        );
        assert_eq!(names(options(Some(30_000), Some(true), Some(7))), Vec::<&str>::new());
        assert_eq!(names(BridgeOptions::default()), Vec::<&str>::new());
    }
}

//! The filters that agents define where libvirt has none of their name.

use serde::{Deserialize, Serialize};

use super::{FilterAction, FilterDirection, FilterEntry, FilterRule, NwFilter, Polarity};

/// A filter that agents define where libvirt has none of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnFilter {
    /// Trestle's default filter: lets a guest send from its own MAC alone. libvirt's stock filter of that name does the same.
    NoMacSpoofing,
    /// Lets a guest send from its own MAC and from those that the parameter [`OwnFilter::EXTRA_MAC`] lists.
    ListedMacs,
}

impl OwnFilter {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::NoMacSpoofing, Self::ListedMacs];
    /// The parameter that lists further MACs of a guest; a value for each.
    pub const EXTRA_MAC: &'static str = "EXTRA_MAC";

    /// Returns its name in libvirt.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMacSpoofing => "no-mac-spoofing",
            Self::ListedMacs => "trestle-listed-macs",
        }
    }

    /// Finds the one with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }

    /// Returns it as agents define it.
    pub fn definition(self) -> NwFilter {
        let out = |action| FilterRule::new(action, FilterDirection::Out);
        let from = |value| out(FilterAction::Return).when("mac", &[("srcmacaddr", value)]);
        let rules = match self {
            Self::NoMacSpoofing => {
                let foreign = out(FilterAction::Drop).when("mac", &[("srcmacaddr", "$MAC")]);
                vec![FilterRule { polarity: Polarity::Lacks, ..foreign }]
            }
            // libvirt makes a rule of one with a list for each value. A drop of what is not the one would drop the others.
            Self::ListedMacs => {
                vec![from("$MAC"), from("$EXTRA_MAC"), out(FilterAction::Drop).at(1000).when("mac", &[])]
            }
        };
        let entries: Vec<FilterEntry> = rules.into_iter().map(FilterEntry::Rule).collect();
        NwFilter::new(self.name(), "mac", &entries).ordered(-800)
    }
}

//! What is set on a NIC itself: how long its queues are, what it does for the kernel, and how often it is there.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{IfName, MacAddr, VlanId};

/// What a NIC is to be set to, described whole: what is not said is as it was before Trestle first set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicSpec {
    /// The NIC.
    pub name: IfName,
    /// Lengths of its rings.
    pub rings: RingSizes,
    /// How many virtual functions it has; `None` says nothing.
    #[serde(default)]
    pub vfs: Option<u32>,
    /// What it does for the kernel, and what not.
    #[serde(with = "crate::pairs")]
    pub offloads: BTreeMap<Offload, bool>,
}

/// Lengths of a NIC's rings in descriptors; `None` says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RingSizes {
    /// Of what it receives.
    pub rx: Option<u32>,
    /// Of what it sends.
    pub tx: Option<u32>,
}

/// Something that a NIC can do for the kernel, by the names of `ethtool -k`.
///
/// *Source*: `ethtool(8)`, `--offload`; `netdev_features_strings` in the kernel's `net/ethtool/common.c`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offload {
    /// `rx-checksumming`.
    RxChecksum,
    /// `tx-checksumming`: all of the kernel's kinds that the NIC has.
    TxChecksum,
    /// `scatter-gather`.
    ScatterGather,
    /// `tcp-segmentation-offload`: all of the kernel's kinds that the NIC has.
    TcpSegmentation,
    /// `generic-segmentation-offload`.
    GenericSegmentation,
    /// `generic-receive-offload`.
    GenericReceive,
    /// `large-receive-offload`.
    LargeReceive,
    /// `rx-vlan-offload`.
    RxVlan,
    /// `tx-vlan-offload`.
    TxVlan,
    /// `receive-hashing`.
    RxHash,
    /// `ntuple-filters`.
    Ntuple,
    /// One of the kernel's features by its own name.
    Feature(FeatureName),
}

/// The kernel's name of a NIC's feature: 1 to 31 lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureName(String);

/// Says that a text is no feature's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a feature's name has 1 to 31 lower-case letters, digits and hyphens")]
pub struct BadFeatureName;

/// What can be set on a NIC, and what is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NicState {
    /// Its rings; `None` where the driver has none that can be told.
    pub rings: Option<Rings>,
    /// The features that can be switched.
    pub features: BTreeMap<FeatureName, FeatureState>,
    /// Its virtual functions; `None` of what is no physical function of SR-IOV.
    #[serde(default)]
    pub vfs: Option<VirtualFunctions>,
}

/// The virtual functions of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VirtualFunctions {
    /// The most that it can have.
    pub most: u32,
    /// Those that it has, by number from 0.
    pub functions: Vec<VirtualFunction>,
}

/// A virtual function; each is none where it is not told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VirtualFunction {
    /// Where it is on its bus, e.g. `0000:02:10.0`.
    pub bus_address: Option<String>,
    /// The driver that has it.
    pub driver: Option<String>,
    /// Its device in the host's network namespace.
    pub device: Option<IfName>,
    /// Devices that stand on that, in whichever namespace, ordered: a guest's macvtap, a VLAN, a bridge that it is a port of.
    #[serde(default)]
    pub uppers: Vec<String>,
    /// What was set for it on its NIC; none where the NIC's driver does not tell.
    #[serde(default)]
    pub set: Option<FunctionSettings>,
}

/// What was set for a virtual function on its NIC, by whomever, as the NIC's driver tells it.
///
/// *Source*: `ip-link(8)`, "vf".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FunctionSettings {
    /// The MAC that it was given; none where its own driver draws one.
    pub mac: Option<MacAddr>,
    /// The VLAN that its frames are put into, which it does not see itself; none for none.
    pub vlan: Option<FunctionVlan>,
    /// What its carrier follows.
    pub link: FunctionLink,
    /// Whether frames of its with another source MAC than its own are dropped; none where the driver has no such thing.
    pub spoof_check: Option<bool>,
    /// Whether it may do what takes trust, like choosing its MAC or hearing everything; none where the driver has no such
    /// thing.
    pub trusted: Option<bool>,
}

/// The VLAN that a virtual function's frames are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionVlan {
    /// The VLAN.
    pub id: VlanId,
    /// The priority in the tag, 0 to 7.
    pub priority: u32,
    /// The kind of tag.
    pub tag: FunctionTag,
}

/// The tag of a virtual function's VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionTag {
    /// 802.1Q.
    Customer,
    /// 802.1ad.
    Service,
}

/// What the carrier of a virtual function follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionLink {
    /// The NIC's carrier.
    #[default]
    Auto,
    /// Nothing: it is always there.
    Enabled,
    /// Nothing: it is never there.
    Disabled,
}

/// A NIC's rings, in descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rings {
    /// Of what it receives.
    pub rx: u32,
    /// The most of that.
    pub rx_max: u32,
    /// Of what it sends.
    pub tx: u32,
    /// The most of that.
    pub tx_max: u32,
}

/// Whether a feature is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureState {
    /// Whether it was asked for.
    pub requested: bool,
    /// Whether it is in force: one that needs another is not without that.
    pub active: bool,
}

/// Values of a NIC's settings, in the kernel's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NicValues {
    /// Lengths of rings.
    pub rings: RingSizes,
    /// How many virtual functions.
    #[serde(default)]
    pub vfs: Option<u32>,
    /// Features.
    pub features: BTreeMap<FeatureName, bool>,
}

impl NicSpec {
    /// Returns what it means for a NIC that has these settings.
    ///
    /// *Shape*: features that the NIC cannot switch are left out; one that is named itself goes before the group that has it.
    pub fn values(&self, state: &NicState) -> NicValues {
        let (named, groups): (Vec<_>, Vec<_>) =
            self.offloads.iter().partition(|(offload, _)| matches!(offload, Offload::Feature(_)));
        let mut features = BTreeMap::new();
        for (offload, on) in groups.into_iter().chain(named) {
            features.extend(offload.features(state).map(|name| (name.clone(), *on)));
        }
        NicValues { rings: self.rings, vfs: self.vfs, features }
    }
}

impl Offload {
    /// The offloads that have a name of their own.
    pub const KNOWN: [Self; 11] = [
        Self::RxChecksum,
        Self::TxChecksum,
        Self::ScatterGather,
        Self::TcpSegmentation,
        Self::GenericSegmentation,
        Self::GenericReceive,
        Self::LargeReceive,
        Self::RxVlan,
        Self::TxVlan,
        Self::RxHash,
        Self::Ntuple,
    ];

    /// Returns the features of a NIC that it stands for: those that can be switched.
    pub fn features<'a>(&self, state: &'a NicState) -> impl Iterator<Item = &'a FeatureName> {
        state.features.keys().filter(|name| self.means(name))
    }

    fn means(&self, name: &FeatureName) -> bool {
        let name = name.0.as_str();
        match self {
            Self::RxChecksum => name == "rx-checksum",
            Self::TxChecksum => name.starts_with("tx-checksum-"),
            Self::ScatterGather => matches!(name, "tx-scatter-gather" | "tx-scatter-gather-fraglist"),
            Self::TcpSegmentation => name.starts_with("tx-tcp") && name.ends_with("-segmentation"),
            Self::GenericSegmentation => name == "tx-generic-segmentation",
            Self::GenericReceive => name == "rx-gro",
            Self::LargeReceive => name == "rx-lro",
            Self::RxVlan => name == "rx-vlan-hw-parse",
            Self::TxVlan => name == "tx-vlan-hw-insert",
            Self::RxHash => name == "rx-hashing",
            Self::Ntuple => name == "rx-ntuple-filter",
            Self::Feature(own) => own.0 == name,
        }
    }

    /// Returns the name that `ethtool -k` has for it.
    pub fn name(&self) -> &str {
        match self {
            Self::RxChecksum => "rx-checksumming",
            Self::TxChecksum => "tx-checksumming",
            Self::ScatterGather => "scatter-gather",
            Self::TcpSegmentation => "tcp-segmentation-offload",
            Self::GenericSegmentation => "generic-segmentation-offload",
            Self::GenericReceive => "generic-receive-offload",
            Self::LargeReceive => "large-receive-offload",
            Self::RxVlan => "rx-vlan-offload",
            Self::TxVlan => "tx-vlan-offload",
            Self::RxHash => "receive-hashing",
            Self::Ntuple => "ntuple-filters",
            Self::Feature(name) => &name.0,
        }
    }
}

impl NicState {
    /// Returns the values that are asked for now of those that `wanted` speaks of.
    pub fn requested(&self, wanted: &NicValues) -> NicValues {
        let feature = |name: &FeatureName| Some((name.clone(), self.features.get(name)?.requested));
        let (rx, tx) = (self.rings.map(|rings| rings.rx), self.rings.map(|rings| rings.tx));
        let vfs = self.vfs.as_ref().map(VirtualFunctions::count);
        NicValues {
            rings: RingSizes { rx: wanted.rings.rx.and(rx), tx: wanted.rings.tx.and(tx) },
            vfs: wanted.vfs.and(vfs),
            features: wanted.features.keys().filter_map(feature).collect(),
        }
    }
}

impl VirtualFunctions {
    /// Returns how many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.functions.len()).unwrap_or(u32::MAX)
    }
}

impl VirtualFunction {
    /// The driver by which guests have a function as a rule.
    pub const GUESTS_DRIVER: &str = "vfio-pci";

    /// Tells whether somebody else has it: a driver, and no device of the host's. It is a guest's, a program's beside the
    /// kernel, or its device is in another network namespace.
    pub const fn is_passed_on(&self) -> bool {
        self.driver.is_some() && self.device.is_none()
    }

    /// Tells whether nobody is seen to use it: it can be given to a guest.
    pub const fn is_free(&self) -> bool {
        !self.is_passed_on() && self.uppers.is_empty()
    }
}

impl NicValues {
    /// Returns the values of `self`, and those of `other` where `self` has none.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.rings.rx = self.rings.rx.or(other.rings.rx);
        self.rings.tx = self.rings.tx.or(other.rings.tx);
        self.vfs = self.vfs.or(other.vfs);
        for (name, on) in &other.features {
            self.features.entry(name.clone()).or_insert(*on);
        }
        self
    }

    /// Returns the values that `other` speaks of, too.
    #[must_use]
    pub fn of_those_in(mut self, other: &Self) -> Self {
        self.rings.rx = other.rings.rx.and(self.rings.rx);
        self.rings.tx = other.rings.tx.and(self.rings.tx);
        self.vfs = other.vfs.and(self.vfs);
        self.features.retain(|name, _| other.features.contains_key(name));
        self
    }
}

impl FeatureName {
    /// Reads a name.
    ///
    /// *Errors*: [`BadFeatureName`].
    pub fn parse(text: &str) -> Result<Self, BadFeatureName> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..32).contains(&text.len()) && text.bytes().all(legal);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadFeatureName) }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FeatureName {
    type Error = BadFeatureName;

    fn try_from(text: String) -> Result<Self, BadFeatureName> {
        Self::parse(&text)
    }
}

impl From<FeatureName> for String {
    fn from(name: FeatureName) -> Self {
        name.0
    }
}

impl fmt::Display for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(features: &[&str]) -> NicState {
        let off = FeatureState { requested: false, active: false };
        let features = features.iter().map(|name| (FeatureName::parse(name).unwrap(), off)).collect();
        NicState { rings: None, features, vfs: None }
    }

    #[test]
    fn a_group_means_what_the_nic_can_switch_and_a_name_goes_before_it() {
        let state = state(&["tx-tcp-segmentation", "tx-tcp6-segmentation", "rx-gro", "tx-checksum-ip-generic"]);
        let named = Offload::Feature(FeatureName::parse("tx-tcp6-segmentation").unwrap());
        let offloads =
            BTreeMap::from([(Offload::TcpSegmentation, true), (named, false), (Offload::LargeReceive, true)]);
        let name = IfName::parse("eth0").unwrap();
        let values = NicSpec { name, rings: RingSizes::default(), vfs: None, offloads }.values(&state);
        let told: Vec<_> = values.features.iter().map(|(name, on)| (name.as_str(), *on)).collect();
        assert_eq!(told, [("tx-tcp-segmentation", true), ("tx-tcp6-segmentation", false)]);
    }

    #[test]
    fn takes_the_kernels_names_alone() {
        assert!(FeatureName::parse("tx-gso-robust").is_ok());
        for bad in ["", "TSO", "a b", "a-name-of-thirty-two-characters-x"] {
            assert!(FeatureName::parse(bad).is_err(), "{bad}");
        }
    }
}

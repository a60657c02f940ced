//! In what an interface differs from another, and from what is wanted.

use std::collections::BTreeSet;

use trestle_model::{DomainInterface, WantedInterface, same_filter};

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    /// The kind of thing that it is wired to.
    Attachment,
    Network,
    Model,
    Mtu,
    Link,
    Isolation,
    Bandwidth,
    Filter,
}

impl Aspect {
    /// Tells whether libvirt changes it while the guest runs.
    ///
    /// *Source*: `qemuDomainChangeNet` in libvirt's `src/qemu/qemu_hotplug.c`.
    pub(super) const fn is_live(&self) -> bool {
        match self {
            Self::Network | Self::Link | Self::Isolation | Self::Bandwidth | Self::Filter => true,
            Self::Attachment | Self::Model | Self::Mtu => false,
        }
    }

    /// Returns the field of a wanted interface.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Attachment | Self::Network => "network",
            Self::Model => "model",
            Self::Mtu => "mtu",
            Self::Link => "linked",
            Self::Isolation => "isolated",
            Self::Bandwidth => "bandwidth",
            Self::Filter => "filter",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Attachment => "the kind of attachment",
            Self::Network => "the network",
            Self::Model => "the model",
            Self::Mtu => "the MTU",
            Self::Link => "the link",
            Self::Isolation => "the isolation",
            Self::Bandwidth => "the bandwidth",
            Self::Filter => "the filter",
        }
    }
}

/// Returns in what an interface differs from what is wanted, with libvirt's name of the network.
pub(super) fn differences(has: &DomainInterface, wanted: &WantedInterface, network: &str) -> BTreeSet<Aspect> {
    let mut aspects = BTreeSet::new();
    let mut note = |differs: bool, aspect| {
        if differs {
            aspects.insert(aspect);
        }
    };
    let is_elsewhere = has.network.as_deref() != Some(network);
    note(is_elsewhere && is_bridged(has), Aspect::Network);
    note(is_elsewhere && !is_bridged(has), Aspect::Attachment);
    note(has.model.as_deref() != Some(wanted.model.as_str()), Aspect::Model);
    note(has.mtu != wanted.mtu.map(u32::from), Aspect::Mtu);
    note(has.linked != wanted.linked, Aspect::Link);
    note(has.isolated != wanted.isolated, Aspect::Isolation);
    note(has.bandwidth != wanted.bandwidth, Aspect::Bandwidth);
    note(!same_filter(has.filter.as_ref(), wanted.filter.as_ref()), Aspect::Filter);
    aspects
}

/// Returns in what two states of an interface differ; not in what libvirt gives it anew each time.
pub(super) fn differs(was: &DomainInterface, is: &DomainInterface) -> BTreeSet<Aspect> {
    let mut aspects = BTreeSet::new();
    let mut note = |differs: bool, aspect| {
        if differs {
            aspects.insert(aspect);
        }
    };
    let is_elsewhere = match (&was.network, &is.network) {
        (None, None) => was.bridge != is.bridge || was.attachment != is.attachment,
        (was, is) => was != is,
    };
    let bridged = is_bridged(was) && is_bridged(is);
    note(is_elsewhere && bridged, Aspect::Network);
    note(is_elsewhere && !bridged, Aspect::Attachment);
    note(was.model != is.model, Aspect::Model);
    note(was.mtu != is.mtu, Aspect::Mtu);
    note(was.linked != is.linked, Aspect::Link);
    note(was.isolated != is.isolated, Aspect::Isolation);
    note(was.bandwidth != is.bandwidth, Aspect::Bandwidth);
    note(!same_filter(was.filter.as_ref(), is.filter.as_ref()), Aspect::Filter);
    aspects
}

/// Tells whether it is a tap in a bridge, which libvirt puts into another one while the guest runs.
fn is_bridged(interface: &DomainInterface) -> bool {
    matches!(interface.attachment.as_str(), "network" | "bridge")
}

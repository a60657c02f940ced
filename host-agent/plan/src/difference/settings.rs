//! The comparison of what is set on a NIC.

use std::collections::BTreeMap;

use trestle_model::{FeatureName, NicState, RingSizes, VirtualFunctions};

use crate::target::SettingsTarget;

/// What has to be set; nothing where all is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SettingsChange {
    pub(crate) rings: RingSizes,
    pub(crate) vfs: Option<u32>,
    pub(crate) features: BTreeMap<FeatureName, bool>,
}

/// Returns what differs. What the NIC does not have, and cannot switch, never does.
pub(crate) fn settings_change(target: &SettingsTarget, is: &NicState) -> SettingsChange {
    let wrong = |wanted: Option<u32>, is: Option<u32>| wanted.filter(|wanted| is.is_some_and(|is| is != *wanted));
    let rings = RingSizes {
        rx: wrong(target.values.rings.rx, is.rings.map(|rings| rings.rx)),
        tx: wrong(target.values.rings.tx, is.rings.map(|rings| rings.tx)),
    };
    let vfs = wrong(target.values.vfs, is.vfs.as_ref().map(VirtualFunctions::count));
    let differs = |(name, on): &(&FeatureName, &bool)| is.features.get(*name).is_some_and(|is| is.requested != **on);
    let features = target.values.features.iter().filter(differs).map(|(name, on)| (name.clone(), *on)).collect();
    SettingsChange { rings, vfs, features }
}

/// Returns the features that are asked for as wanted and have to be in force, but are not: they need another.
pub(crate) fn without_effect<'a>(target: &'a SettingsTarget, is: &NicState) -> Vec<(&'a FeatureName, bool)> {
    let lacks =
        |name: &FeatureName, on: bool| is.features.get(name).is_some_and(|is| is.requested == on && is.active != on);
    let values = target.values.features.iter().map(|(name, on)| (name, *on));
    values.filter(|(name, on)| target.in_force.contains(*name) && lacks(name, *on)).collect()
}

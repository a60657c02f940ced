//! What is set on NICs.

use std::collections::BTreeMap;

use trestle_model::{
    FeatureName, FeatureState, IfName, LinkKind, NicState, RingSizes, Rings, VirtualFunction, VirtualFunctions,
};

use super::{Answer, Kernel};

/// What a new NIC has.
const FEATURES: [(&str, bool); 7] = [
    ("rx-checksum", true),
    ("rx-gro", true),
    ("rx-vlan-hw-parse", true),
    ("tx-checksum-ip-generic", true),
    ("tx-generic-segmentation", true),
    ("tx-tcp-segmentation", true),
    ("tx-udp-segmentation", false),
];
/// How many virtual functions a NIC can have.
const MOST_FUNCTIONS: u32 = 7;
/// The feature without which the segmentations are not in force.
const CHECKSUM: &str = "tx-checksum-ip-generic";

/// Returns the settings of a new NIC, or of a device that is used as one and has no virtual functions.
pub(crate) fn of_new_nic(kind: &LinkKind) -> NicState {
    let name = |text: &str| FeatureName::parse(text).expect("the kernel's names are legal");
    let state = |on| FeatureState { requested: on, active: on };
    NicState {
        rings: Some(Rings { rx: 256, rx_max: 1024, tx: 256, tx_max: 1024 }),
        features: FEATURES.into_iter().map(|(text, on)| (name(text), state(on))).collect(),
        vfs: (*kind == LinkKind::Nic).then(|| VirtualFunctions { most: MOST_FUNCTIONS, functions: Vec::new() }),
    }
}

impl Kernel {
    pub(super) fn set_rings(&mut self, name: &IfName, sizes: RingSizes) -> Answer {
        let rings = self.link_mut(name)?.settings.rings.as_mut();
        let rings = rings.ok_or_else(|| format!("{name}: Operation not supported"))?;
        let (rx, tx) = (sizes.rx.unwrap_or(rings.rx), sizes.tx.unwrap_or(rings.tx));
        if rx == 0 || tx == 0 || rx > rings.rx_max || tx > rings.tx_max {
            return Err(format!("{name}: Invalid argument"));
        }
        (rings.rx, rings.tx) = (rx, tx);
        Ok(())
    }

    pub(super) fn set_virtual_functions(&mut self, name: &IfName, count: u32) -> Answer {
        let vfs = self.link_mut(name)?.settings.vfs.as_mut();
        let vfs = vfs.ok_or_else(|| format!("{name}: No such file or directory"))?;
        if count > vfs.most {
            return Err(format!("{name}: Numerical result out of range"));
        }
        if count > 0 && !vfs.functions.is_empty() && vfs.count() != count {
            return Err(format!("{name}: Device or resource busy"));
        }
        if vfs.count() != count {
            let functions = (0..count).map(|_| VirtualFunction::default()).collect();
            let gone = std::mem::replace(&mut vfs.functions, functions);
            for device in gone.into_iter().filter_map(|function| function.device) {
                self.remove(&device);
            }
        }
        Ok(())
    }

    pub(super) fn set_features(&mut self, name: &IfName, wanted: &BTreeMap<FeatureName, bool>) -> Answer {
        let features = &mut self.link_mut(name)?.settings.features;
        for (feature, on) in wanted {
            let state = features.get_mut(feature).ok_or_else(|| format!("{name}: {feature}: Invalid argument"))?;
            state.requested = *on;
        }
        let sums = features.iter().any(|(name, state)| name.as_str() == CHECKSUM && state.requested);
        for (name, state) in features {
            let needs_sums = name.as_str().starts_with("tx-") && name.as_str().ends_with("p-segmentation");
            state.active = state.requested && (sums || !needs_sums);
        }
        Ok(())
    }
}

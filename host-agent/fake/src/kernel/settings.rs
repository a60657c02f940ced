//! What is set on NICs.

use std::collections::BTreeMap;

use trestle_model::{FeatureName, FeatureState, IfName, NicState, RingSizes, Rings};

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
/// The feature without which the segmentations are not in force.
const CHECKSUM: &str = "tx-checksum-ip-generic";

/// Returns the settings of a new NIC.
pub(crate) fn of_new_nic() -> NicState {
    let name = |text: &str| FeatureName::parse(text).expect("the kernel's names are legal");
    let state = |on| FeatureState { requested: on, active: on };
    NicState {
        rings: Some(Rings { rx: 256, rx_max: 1024, tx: 256, tx_max: 1024 }),
        features: FEATURES.into_iter().map(|(text, on)| (name(text), state(on))).collect(),
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

//! What is set on NICs: what is asked for, and what they return to.

use trestle_model::{HostConfig, HostState, IfName, NicValues};

use super::Composition;
use crate::target::{KindTarget, LinkTarget, LinkWanted, SettingsTarget};

/// Completes a configuration's NICs by what they return to: what `running` remembers, else what they are now.
pub(crate) fn resolve(mut config: HostConfig, running: &HostConfig, observed: &HostState) -> HostConfig {
    for (name, entry) in &mut config.nics {
        let remembered = running.nics.get(name).map(|entry| entry.before.clone()).unwrap_or_default();
        entry.before = match observed.kernel.links.get(name) {
            Some(link) => {
                let values = entry.spec.values(&link.settings);
                remembered.of_those_in(&values).or(&link.settings.requested(&values))
            }
            None => remembered,
        };
    }
    config
}

impl Composition<'_> {
    /// Wants of the touched NICs what is asked for, and what is asked for no more as it was.
    pub(super) fn settings(&mut self) {
        for name in self.touched.nics.clone() {
            let Some(state) = self.observed().kernel.links.get(name).map(|link| link.settings.clone()) else {
                if self.desired.nics.contains_key(name) {
                    self.settled(name, SettingsTarget::default());
                }
                continue;
            };
            let asked = self.desired.nics.get(name).map(|entry| entry.spec.values(&state)).unwrap_or_default();
            let before = self.running.nics.get(name).map(|entry| entry.before.clone());
            let in_force = asked.features.keys().cloned().collect();
            let values: NicValues = asked.or(&before.unwrap_or_default());
            self.settled(name, SettingsTarget { values, in_force });
        }
    }

    fn settled(&mut self, name: &IfName, settings: SettingsTarget) {
        let why = format!("NIC {name}");
        let fresh = || LinkTarget::Present(LinkWanted::leaving_alone(KindTarget::Found, why));
        let target = self.target.links.entry(name.clone()).or_insert_with(fresh);
        if let LinkTarget::Present(wanted) = target {
            wanted.settings = settings;
        }
    }
}

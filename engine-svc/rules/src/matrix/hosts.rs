//! Row 16: hosts whose kernel or libvirt cannot manage MAC tables, as they themselves report. And what else they lack.

use trestle_model::fleet::{EntityId, Fleet};
use trestle_model::{Code, Feature, Finding, HostName, Severity, Support};

use crate::spot::{Spot, enumerate};

/// What a host needs for a managed MAC table.
const NEEDED: [Feature; 2] = [Feature::BridgeVlanFiltering, Feature::LibvirtMacTableManager];

/// Hosts that have reported, and not that they can do what is needed.
///
/// A host that has never reported is not among them: it is not known, and its agent refuses what it cannot do. A host
/// whose report says nothing of a feature is: an agent that does not know the feature cannot use it.
pub(crate) struct Incapable {
    /// Their names on the wire.
    pub(super) names: Vec<String>,
    reasons: Vec<String>,
}

impl Incapable {
    /// Finds those of `hosts` that cannot manage MAC tables.
    pub(crate) fn among<'a>(fleet: &Fleet, hosts: impl IntoIterator<Item = &'a HostName>) -> Self {
        Self::of(fleet, hosts, &NEEDED)
    }

    /// Finds those of `hosts` that lack some of `features`.
    pub(super) fn of<'a>(fleet: &Fleet, hosts: impl IntoIterator<Item = &'a HostName>, features: &[Feature]) -> Self {
        let mut incapable = Self { names: Vec::new(), reasons: Vec::new() };
        for host in hosts {
            if let Some(reason) = lacks(fleet, host, features) {
                let name = EntityId::Host(host.clone()).to_string();
                incapable.reasons.push(format!("{name} ({reason})"));
                incapable.names.push(name);
            }
        }
        incapable
    }

    /// Names them with what they lack, for people.
    pub(super) fn told(&self) -> String {
        enumerate(&self.reasons)
    }

    /// Makes the finding that names them, and `networks` where the change names none; `None` where every host can.
    pub(crate) fn finding(self, severity: Severity, spot: &Spot, field: &str, networks: &[String]) -> Option<Finding> {
        if self.names.is_empty() {
            return None;
        }
        let message = format!("MAC tables cannot be managed by libvirt on {}", self.told());
        let finding = match severity {
            Severity::Error => spot.error(Code::HostUnsupported, field, message),
            Severity::Warning => spot.warning(Code::HostUnsupported, field, message),
            Severity::Info => spot.info(Code::HostUnsupported, field, message),
        };
        let remedy = "update the host's kernel or libvirt, put it into maintenance, or leave MAC table management off";
        Some(finding.related(self.names.into_iter().chain(networks.iter().cloned())).remedy(remedy))
    }
}

/// Says which of `needed` are not on `host`, by its last report; `None` where it has them all or has never reported.
fn lacks(fleet: &Fleet, host: &HostName, needed: &[Feature]) -> Option<String> {
    let features = &fleet.observed(host)?.capabilities.as_ref()?.features;
    let lack = |feature: Feature| match features.support(feature) {
        Support::Present => None,
        Support::Absent(why) => Some(format!("no {feature}: {why}")),
        Support::Unknown(why) => Some(format!("{feature} unknown: {why}")),
    };
    let lacks: Vec<String> = needed.iter().copied().filter_map(lack).collect();
    (!lacks.is_empty()).then(|| lacks.join(", "))
}

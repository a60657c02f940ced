//! What the keeper remembers of MACs that guests sent from and were not given.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;
use trestle_model::{ForeignMac, NetworkName};
use trestle_plan::Sighting;

/// When something was seen; times in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    first_seen_ms: u64,
    gone_ms: Option<u64>,
}

/// What was seen since the agent's start, no more than [`ForeignMac::MOST`] of each network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sightings(BTreeMap<NetworkName, BTreeMap<Sighting, Times>>);

impl Sightings {
    /// Notes all that is to be seen now, and logs what is new.
    pub(super) fn note(&mut self, seen: BTreeSet<Sighting>, now_ms: u64) {
        for (sighting, times) in self.0.values_mut().flatten() {
            if !seen.contains(sighting) {
                times.gone_ms.get_or_insert(now_ms);
            }
        }
        for sighting in seen {
            let kept = self.0.entry(sighting.network.clone()).or_default();
            if let Some(times) = kept.get_mut(&sighting) {
                times.gone_ms = None;
            } else if make_room(kept) {
                let Sighting { network, port, mac, guest, .. } = &sighting;
                warn!(%network, %port, guest, %mac, "guest sends from a MAC that it was not given");
                kept.insert(sighting, Times { first_seen_ms: now_ms, gone_ms: None });
            }
        }
    }

    /// Returns what was seen on a network, ordered by port, MAC and VLAN.
    pub(super) fn of(&self, network: &NetworkName) -> Vec<ForeignMac> {
        let told = |(sighting, times): (&Sighting, &Times)| ForeignMac {
            port: sighting.port.clone(),
            guest: sighting.guest.clone(),
            mac: sighting.mac,
            vlan: sighting.vlan,
            first_seen_ms: times.first_seen_ms,
            gone_ms: times.gone_ms,
        };
        self.0.get(network).into_iter().flatten().map(told).collect()
    }
}

/// Makes room for one more, in the place of what has been gone for the longest where need be; tells whether there is some.
fn make_room(kept: &mut BTreeMap<Sighting, Times>) -> bool {
    if kept.len() < ForeignMac::MOST {
        return true;
    }
    let longest_gone = kept.iter().filter_map(|(sighting, times)| Some((times.gone_ms?, sighting))).min();
    let Some((_, sighting)) = longest_gone else { return false };
    let sighting = sighting.clone();
    kept.remove(&sighting).is_some()
}

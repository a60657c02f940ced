//! Who was heard on which NIC, and until when each may be believed.

use std::collections::BTreeMap;

use tokio::time::Instant;
use trestle_model::{IfName, LldpId, LldpNeighbor};

use crate::frame::Frame;

/// How many neighbours of one NIC are remembered. A cable has one; more are heard behind a device that passes LLDP on.
pub(crate) const NEIGHBORS: usize = 16;

/// What was heard, by NIC.
#[derive(Debug, Default)]
pub(crate) struct Neighbors {
    nics: BTreeMap<u32, Nic>,
}

#[derive(Debug)]
struct Nic {
    name: IfName,
    heard: BTreeMap<(LldpId, LldpId), Heard>,
}

#[derive(Debug)]
struct Heard {
    neighbor: LldpNeighbor,
    until: Instant,
}

/// Whether what is told of neighbours differs from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It does.
    Differs,
    /// It does not.
    None,
}

impl Neighbors {
    /// Takes these to be the NICs from now on, by index; what was heard on those that stay is kept.
    pub(crate) fn set_nics(&mut self, nics: &BTreeMap<u32, IfName>) -> Change {
        let before = self.told();
        self.nics.retain(|index, _| nics.contains_key(index));
        for (index, name) in nics {
            let nic = self.nics.entry(*index).or_insert_with(|| Nic { name: name.clone(), heard: BTreeMap::new() });
            nic.name = name.clone();
        }
        Change::between(&before, &self.told())
    }

    /// Takes in what a frame on a NIC says; of one that is not listened on, nothing.
    pub(crate) fn hear(&mut self, index: u32, frame: Frame, now: Instant) -> Change {
        let Some(nic) = self.nics.get_mut(&index) else { return Change::None };
        match frame {
            Frame::Gone(chassis, port) => match nic.heard.remove(&(chassis, port)) {
                Some(_) => Change::Differs,
                None => Change::None,
            },
            Frame::Here(neighbor, time) => {
                let key = (neighbor.chassis.clone(), neighbor.port.clone());
                let is_full = nic.heard.len() >= NEIGHBORS && !nic.heard.contains_key(&key);
                if is_full {
                    return Change::None;
                }
                let heard = Heard { neighbor: *neighbor, until: now + time };
                let is_new = nic.heard.get(&key).is_none_or(|known| known.neighbor != heard.neighbor);
                nic.heard.insert(key, heard);
                if is_new { Change::Differs } else { Change::None }
            }
        }
    }

    /// Forgets whom nobody may believe any more.
    pub(crate) fn forget(&mut self, now: Instant) -> Change {
        let mut change = Change::None;
        for nic in self.nics.values_mut() {
            let before = nic.heard.len();
            nic.heard.retain(|_, heard| heard.until > now);
            if nic.heard.len() != before {
                change = Change::Differs;
            }
        }
        change
    }

    /// Returns when the first of them is to be forgotten.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.nics.values().flat_map(|nic| nic.heard.values()).map(|heard| heard.until).min()
    }

    /// Returns the neighbours by NIC; those without any are left out.
    pub(crate) fn told(&self) -> BTreeMap<IfName, Vec<LldpNeighbor>> {
        let told = self.nics.values().filter(|nic| !nic.heard.is_empty());
        told.map(|nic| (nic.name.clone(), nic.heard.values().map(|heard| heard.neighbor.clone()).collect())).collect()
    }
}

impl Change {
    fn between<T: PartialEq>(before: &T, after: &T) -> Self {
        if before == after { Self::None } else { Self::Differs }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trestle_model::LldpIdKind;

    use super::*;

    /// The longest time for which a frame can ask.
    const LONG: Duration = Duration::from_secs(65_535);

    fn id(value: &str) -> LldpId {
        LldpId { kind: LldpIdKind::Local, value: value.to_owned() }
    }

    fn here(port: &str, name: &str, time: Duration) -> Frame {
        let system_name = Some(name.to_owned());
        let neighbor = LldpNeighbor { system_name, ..LldpNeighbor::new(id("switch"), id(port)) };
        Frame::Here(Box::new(neighbor), time)
    }

    fn nics(names: &[(u32, &str)]) -> BTreeMap<u32, IfName> {
        names.iter().map(|(index, name)| (*index, IfName::parse(name).unwrap())).collect()
    }

    fn told(neighbors: &Neighbors) -> Vec<(String, Vec<String>)> {
        let names = |heard: Vec<LldpNeighbor>| heard.into_iter().filter_map(|each| each.system_name).collect();
        neighbors.told().into_iter().map(|(nic, heard)| (nic.to_string(), names(heard))).collect()
    }

    #[test]
    fn tells_of_a_change_only_where_something_differs() {
        let (mut neighbors, now) = (Neighbors::default(), Instant::now());
        neighbors.set_nics(&nics(&[(2, "eth0")]));
        assert_eq!(neighbors.hear(2, here("1", "leaf", LONG), now), Change::Differs);
        assert_eq!(neighbors.hear(2, here("1", "leaf", LONG), now), Change::None, "it says so every half a minute");
        assert_eq!(neighbors.hear(2, here("1", "spine", LONG), now), Change::Differs);
        assert_eq!(neighbors.hear(9, here("1", "leaf", LONG), now), Change::None, "nobody listens there");
        assert_eq!(told(&neighbors), [("eth0".to_owned(), vec!["spine".to_owned()])]);
        assert_eq!(neighbors.hear(2, Frame::Gone(id("switch"), id("2")), now), Change::None);
        assert_eq!(neighbors.hear(2, Frame::Gone(id("switch"), id("1")), now), Change::Differs);
        assert_eq!(told(&neighbors), []);
    }

    #[test]
    fn forgets_each_when_its_time_is_over() {
        let (mut neighbors, now) = (Neighbors::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        neighbors.set_nics(&nics(&[(2, "eth0"), (3, "eth1")]));
        neighbors.hear(2, here("1", "leaf", Duration::from_secs(120)), now);
        neighbors.hear(3, here("2", "leaf", Duration::from_secs(60)), now);
        assert_eq!(neighbors.next_end(), Some(after(60)));
        assert_eq!(neighbors.forget(after(59)), Change::None);
        assert_eq!(neighbors.forget(after(60)), Change::Differs);
        assert_eq!(neighbors.next_end(), Some(after(120)));
        neighbors.hear(2, here("1", "leaf", Duration::from_secs(120)), after(100));
        assert_eq!(neighbors.forget(after(120)), Change::None, "it was heard again");
    }

    #[test]
    fn follows_nics_that_come_go_and_are_renamed() {
        let (mut neighbors, now) = (Neighbors::default(), Instant::now());
        neighbors.set_nics(&nics(&[(2, "eth0"), (3, "eth1")]));
        neighbors.hear(2, here("1", "leaf", LONG), now);
        neighbors.hear(3, here("2", "leaf", LONG), now);
        assert_eq!(neighbors.set_nics(&nics(&[(2, "uplink"), (4, "eth2")])), Change::Differs);
        assert_eq!(told(&neighbors), [("uplink".to_owned(), vec!["leaf".to_owned()])]);
        assert_eq!(neighbors.set_nics(&nics(&[(2, "uplink")])), Change::None);
    }

    #[test]
    fn a_flood_of_neighbours_takes_no_more_memory_than_some() {
        let (mut neighbors, now) = (Neighbors::default(), Instant::now());
        neighbors.set_nics(&nics(&[(2, "eth0")]));
        for port in 0..1000 {
            neighbors.hear(2, here(&port.to_string(), "flood", LONG), now);
        }
        assert_eq!(told(&neighbors)[0].1.len(), NEIGHBORS);
        assert_eq!(neighbors.hear(2, here("0", "known", LONG), now), Change::Differs, "who is known is still heard");
    }
}

//! Pools of MAC addresses, and which of their addresses are free.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::{MacAddr, MacRange, ResourceId};

/// Addresses for the virtual NICs of clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacPool {
    /// Name.
    pub id: ResourceId,
    /// Common part.
    pub meta: Meta,
    /// Description, for people.
    pub description: String,
    /// The addresses that it hands out; ranges do not overlap.
    pub ranges: Vec<MacRange>,
    /// Whether an address may be given to several vNICs by hand. The pool itself hands each out once.
    pub allow_duplicates: bool,
}

/// The free addresses of all pools, as intervals between the taken ones: those of vNICs, and those that hosts report.
///
/// Taking and returning an address, and finding a free one, cost the logarithm of how many intervals there are.
#[derive(Debug, Clone, Default)]
pub(super) struct FreeMacs {
    /// Every pool's ranges by their first address: the last one, and the pool.
    ranges: BTreeMap<u64, (u64, ResourceId)>,
    pools: BTreeMap<ResourceId, Free>,
}

/// The free addresses of a pool.
#[derive(Debug, Clone, Default)]
struct Free {
    /// First and last address of each free interval.
    intervals: BTreeMap<u64, u64>,
    /// How many there are.
    number: u64,
}

impl FreeMacs {
    /// Takes up a pool with all of its addresses free but those that `is_taken` finds among the fleet's.
    pub(super) fn add(&mut self, pool: &MacPool, taken: impl Fn(MacRange) -> Vec<MacAddr>) {
        let mut free = Free::default();
        for range in &pool.ranges {
            let (first, last) = (range.first().number(), range.last().number());
            self.ranges.insert(first, (last, pool.id.clone()));
            free.intervals.insert(first, last);
            free.number += range.size();
        }
        for mac in pool.ranges.iter().flat_map(|range| taken(*range)) {
            free.take(mac.number());
        }
        self.pools.insert(pool.id.clone(), free);
    }

    /// Forgets a pool.
    pub(super) fn remove(&mut self, pool: &MacPool) {
        for range in &pool.ranges {
            self.ranges.remove(&range.first().number());
        }
        self.pools.remove(&pool.id);
    }

    /// Takes an address out of the pool that has it, if any does.
    pub(super) fn take(&mut self, mac: MacAddr) {
        if let Some((free, _)) = self.pool_of(mac) {
            free.take(mac.number());
        }
    }

    /// Gives an address back to the pool that has it, if any does.
    pub(super) fn give_back(&mut self, mac: MacAddr) {
        if let Some((free, range)) = self.pool_of(mac) {
            free.give_back(mac.number(), range);
        }
    }

    /// Returns the free addresses of `pool`, from the lowest on.
    pub(super) fn of(&self, pool: &ResourceId) -> impl Iterator<Item = MacAddr> {
        let intervals = self.pools.get(pool).into_iter().flat_map(|free| &free.intervals);
        intervals.flat_map(|(first, last)| *first..=*last).filter_map(MacAddr::from_number)
    }

    /// Returns how many addresses of `pool` are free.
    pub(super) fn number(&self, pool: &ResourceId) -> u64 {
        self.pools.get(pool).map_or(0, |free| free.number)
    }

    /// Returns the pool that has an address in a range.
    pub(super) fn pool_with(&self, mac: MacAddr) -> Option<&ResourceId> {
        let (_, (last, pool)) = self.ranges.range(..=mac.number()).next_back()?;
        (*last >= mac.number()).then_some(pool)
    }

    fn pool_of(&mut self, mac: MacAddr) -> Option<(&mut Free, (u64, u64))> {
        let number = mac.number();
        let (first, (last, pool)) = self.ranges.range(..=number).next_back()?;
        if *last < number {
            return None;
        }
        Some((self.pools.get_mut(pool)?, (*first, *last)))
    }
}

impl Free {
    fn take(&mut self, number: u64) {
        let Some((&first, &last)) = self.intervals.range(..=number).next_back() else { return };
        if last < number {
            return;
        }
        self.number -= 1;
        if first < number {
            self.intervals.insert(first, number - 1);
        } else {
            self.intervals.remove(&first);
        }
        if number < last {
            self.intervals.insert(number + 1, last);
        }
    }

    /// Joins the address with the free intervals at its sides, within its range.
    fn give_back(&mut self, number: u64, (lowest, highest): (u64, u64)) {
        let below = self.intervals.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| last >= number) {
            return;
        }
        let first = match below {
            Some((first, last)) if last + 1 == number && number > lowest => first,
            Some(_) | None => number,
        };
        let above = if number < highest { self.intervals.remove(&(number + 1)) } else { None };
        self.intervals.insert(first, above.unwrap_or(number));
        self.number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LOW: u64 = 0x5254_0000_0000;

    fn mac(offset: u64) -> MacAddr {
        MacAddr::from_number(LOW + offset).unwrap()
    }

    /// Two ranges that touch, and one apart.
    fn pool() -> MacPool {
        let range = |first, last| MacRange::new(mac(first), mac(last)).unwrap();
        MacPool {
            id: ResourceId::parse("p").unwrap(),
            meta: Meta::default(),
            description: String::new(),
            ranges: vec![range(0, 7), range(8, 15), range(32, 40)],
            allow_duplicates: false,
        }
    }

    #[test]
    fn hands_out_the_lowest_and_takes_back_whatever_the_order() {
        let (mut free, pool) = (FreeMacs::default(), pool());
        free.add(&pool, |_| Vec::new());
        let mut naive: BTreeSet<u64> = (0..16).chain(32..41).collect();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let offset = (state >> 33) % 48;
            if state >> 63 == 0 {
                free.take(mac(offset));
                naive.remove(&offset);
            } else {
                free.give_back(mac(offset));
                if offset < 16 || (32..41).contains(&offset) {
                    naive.insert(offset);
                }
            }
            assert_eq!(free.of(&pool.id).next(), naive.first().map(|offset| mac(*offset)));
            assert_eq!(free.number(&pool.id), u64::try_from(naive.len()).unwrap());
        }
    }

    #[test]
    fn a_pool_begins_without_what_is_taken_already_and_is_forgotten_whole() {
        let (mut free, pool) = (FreeMacs::default(), pool());
        free.add(&pool, |range| [mac(0), mac(1), mac(33)].into_iter().filter(|mac| range.contains(*mac)).collect());
        assert_eq!((free.of(&pool.id).next(), free.number(&pool.id)), (Some(mac(2)), 22));
        assert_eq!(free.of(&pool.id).take(3).collect::<Vec<_>>(), [mac(2), mac(3), mac(4)]);
        free.remove(&pool);
        assert_eq!((free.of(&pool.id).next(), free.number(&pool.id)), (None, 0));
        free.give_back(mac(0));
        assert_eq!(free.of(&pool.id).next(), None);
    }
}

//! The VLANs that a bridge's port is a member of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Neighbouring VLANs whose frames pass a port in the same way.
///
/// *Source*: `bridge(8)`, "bridge vlan".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VlanRange {
    /// The first VLAN, 1..4094.
    pub first: u16,
    /// The last VLAN, not below the first.
    pub last: u16,
    /// Whether frames that come untagged belong to it; only of a single VLAN.
    pub pvid: bool,
    /// Whether its frames leave untagged.
    pub untagged: bool,
}

/// The VLANs of a port.
///
/// *Shape*: ranges by number, disjoint, each as long as can be; at most one VLAN has untagged frames come in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortVlans(Vec<VlanRange>);

impl VlanRange {
    /// Makes one VLAN, tagged.
    pub const fn tagged(id: u16) -> Self {
        Self { first: id, last: id, pvid: false, untagged: false }
    }

    /// Makes the VLAN of untagged frames, in and out.
    pub const fn untagged(id: u16) -> Self {
        Self { first: id, last: id, pvid: true, untagged: true }
    }

    /// Returns the VLANs' numbers as text, e.g. `10-12`.
    pub fn numbers(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }

    /// Says how frames of the VLANs pass the port.
    pub const fn way(&self) -> &'static str {
        match (self.pvid, self.untagged) {
            (true, true) => "untagged",
            (true, false) => "untagged in, tagged out",
            (false, true) => "tagged in, untagged out",
            (false, false) => "tagged",
        }
    }

    const fn is_like(&self, other: &Self) -> bool {
        self.pvid == other.pvid && self.untagged == other.untagged
    }
}

impl PortVlans {
    /// None.
    pub const NONE: Self = Self(Vec::new());

    /// Returns the ranges, by number.
    pub fn ranges(&self) -> impl Iterator<Item = &VlanRange> {
        self.0.iter()
    }

    /// Returns the VLANs, by number.
    pub fn ids(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|range| range.first..=range.last)
    }

    /// Tells whether it is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the range with a VLAN.
    pub fn membership(&self, id: u16) -> Option<&VlanRange> {
        self.0.iter().find(|range| (range.first..=range.last).contains(&id))
    }

    /// Makes the port a member of these VLANs, in this way alone; a new VLAN of untagged frames takes the place of another.
    pub fn add(&mut self, added: VlanRange) {
        self.remove(added.first, added.last);
        for range in &mut self.0 {
            range.pvid &= !added.pvid;
        }
        self.0.push(added);
        self.0.sort_unstable();
        let mut ranges = Vec::<VlanRange>::with_capacity(self.0.len());
        for range in self.0.drain(..) {
            match ranges.last_mut() {
                Some(last) if last.is_like(&range) && last.last.checked_add(1) == Some(range.first) => {
                    last.last = range.last;
                }
                Some(_) | None => ranges.push(range),
            }
        }
        self.0 = ranges;
    }

    /// Ends the port's membership of the VLANs from `first` to `last`.
    pub fn remove(&mut self, first: u16, last: u16) {
        self.0 = without(&self.0, first, last, |_| true);
    }

    /// Returns those that `is` does not have, or has in another way.
    pub fn missing_from(&self, is: &Self) -> Vec<VlanRange> {
        is.0.iter().fold(self.0.clone(), |left, has| without(&left, has.first, has.last, |wanted| wanted.is_like(has)))
    }

    /// Returns those that `wanted` does not have, whichever way.
    pub fn surplus_over(&self, wanted: &Self) -> Vec<VlanRange> {
        wanted.0.iter().fold(self.0.clone(), |left, has| without(&left, has.first, has.last, |_| true))
    }

    /// Follows the kernel where a bridge's default VLAN becomes another; 0 is none.
    ///
    /// *Source*: `__br_vlan_set_default_pvid` in the kernel's `net/bridge/br_vlan.c`: a port whose untagged frames somebody
    /// has put elsewhere is left alone, and so is one that has the new VLAN already.
    pub fn follow_default(&mut self, old: u16, new: u16) {
        let had = self.membership(old) == Some(&VlanRange::untagged(old));
        if (old != 0 && !had) || (new != 0 && self.membership(new).is_some()) {
            return;
        }
        if new != 0 {
            self.add(VlanRange::untagged(new));
        }
        if old != 0 {
            self.remove(old, old);
        }
    }
}

/// Returns ranges without the VLANs from `first` to `last`, as far as it applies to them.
fn without(ranges: &[VlanRange], first: u16, last: u16, applies: impl Fn(&VlanRange) -> bool) -> Vec<VlanRange> {
    let rest = |range: &VlanRange| {
        if !applies(range) || range.last < first || last < range.first {
            return [Some(*range), None];
        }
        let below = (range.first < first).then(|| VlanRange { last: first.saturating_sub(1), ..*range });
        let above = (last < range.last).then(|| VlanRange { first: last.saturating_add(1), ..*range });
        [below, above]
    };
    ranges.iter().flat_map(rest).flatten().collect()
}

impl FromIterator<VlanRange> for PortVlans {
    fn from_iter<T: IntoIterator<Item = VlanRange>>(ranges: T) -> Self {
        let mut vlans = Self::default();
        ranges.into_iter().for_each(|range| vlans.add(range));
        vlans
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.numbers(), self.way())
    }
}

impl fmt::Display for PortVlans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (position, range) in self.0.iter().enumerate() {
            let gap = if position == 0 { "" } else { ", " };
            write!(f, "{gap}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(first: u16, last: u16) -> VlanRange {
        VlanRange { first, last, pvid: false, untagged: false }
    }

    fn vlans(ranges: &[VlanRange]) -> PortVlans {
        ranges.iter().copied().collect()
    }

    #[test]
    fn ranges_are_as_long_as_can_be_and_split_where_one_differs() {
        let mut port = vlans(&[VlanRange::untagged(1), tagged(12, 14), VlanRange::tagged(10), VlanRange::tagged(11)]);
        assert_eq!(port.to_string(), "1 untagged, 10-14 tagged");
        port.add(VlanRange::untagged(12));
        assert_eq!(port.to_string(), "1 tagged in, untagged out, 10-11 tagged, 12 untagged, 13-14 tagged");
        port.remove(11, 13);
        assert_eq!(port.to_string(), "1 tagged in, untagged out, 10 tagged, 14 tagged");
        port.remove(0, u16::MAX);
        assert_eq!((port.to_string().as_str(), port.is_empty()), ("none", true));
    }

    #[test]
    fn what_differs_in_tagging_is_missing_and_no_surplus() {
        let wanted = vlans(&[VlanRange::untagged(1), tagged(10, 20)]);
        let is = vlans(&[VlanRange::tagged(1), tagged(15, 30)]);
        assert_eq!(wanted.missing_from(&is), [VlanRange::untagged(1), tagged(10, 14)]);
        assert_eq!(is.surplus_over(&wanted), [tagged(21, 30)]);
        assert_eq!(wanted.missing_from(&wanted), []);
    }

    #[test]
    fn the_default_vlan_follows_only_where_nobody_has_set_another() {
        let cases = [
            (vlans(&[VlanRange::untagged(1), tagged(10, 11)]), (1, 5), "5 untagged, 10-11 tagged"),
            (vlans(&[VlanRange::untagged(1)]), (1, 0), "none"),
            (vlans(&[tagged(10, 11)]), (0, 1), "1 untagged, 10-11 tagged"),
            (vlans(&[VlanRange::untagged(7)]), (1, 5), "7 untagged"),
            (vlans(&[VlanRange::untagged(1), VlanRange::tagged(5)]), (1, 5), "1 untagged, 5 tagged"),
        ];
        for (mut port, (old, new), expected) in cases {
            port.follow_default(old, new);
            assert_eq!(port.to_string(), expected, "{old} to {new}");
        }
    }
}

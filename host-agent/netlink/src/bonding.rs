//! The bonding driver's options as attributes: their numbers and widths.

use trestle_model::BondOption;

/// How wide an option's attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    One,
    Two,
    Four,
}

/// Returns the number of an option's attribute, and how wide it is.
///
/// *Source*: `IFLA_BOND_*` in `uapi/linux/if_link.h`, `bond_policy` in `drivers/net/bonding/bond_netlink.c`.
pub(crate) const fn attribute(option: BondOption) -> (u16, Width) {
    match option {
        BondOption::Miimon => (3, Width::Four),
        BondOption::Updelay => (4, Width::Four),
        BondOption::Downdelay => (5, Width::Four),
        BondOption::ArpInterval => (7, Width::Four),
        BondOption::ArpValidate => (9, Width::Four),
        BondOption::ArpAllTargets => (10, Width::Four),
        BondOption::PrimaryReselect => (12, Width::One),
        BondOption::FailOverMac => (13, Width::One),
        BondOption::XmitHashPolicy => (14, Width::One),
        BondOption::ResendIgmp => (15, Width::Four),
        BondOption::NumPeerNotif => (16, Width::One),
        BondOption::AllPortsActive => (17, Width::One),
        BondOption::MinLinks => (18, Width::Four),
        BondOption::LpInterval => (19, Width::Four),
        BondOption::PacketsPerPort => (20, Width::Four),
        BondOption::LacpRate => (21, Width::One),
        BondOption::AdSelect => (22, Width::One),
        BondOption::AdActorSysPrio => (24, Width::Two),
        BondOption::AdUserPortKey => (25, Width::Two),
        BondOption::TlbDynamicLb => (27, Width::One),
        BondOption::PeerNotifDelay => (28, Width::Four),
        BondOption::LacpActive => (29, Width::One),
        BondOption::MissedMax => (30, Width::One),
    }
}

/// Returns an option's value as the bytes of its attribute; one that is too large for it is cut to the largest.
pub(crate) fn bytes(option: BondOption, value: u32) -> Vec<u8> {
    match attribute(option).1 {
        Width::One => vec![u8::try_from(value).unwrap_or(u8::MAX)],
        Width::Two => u16::try_from(value).unwrap_or(u16::MAX).to_ne_bytes().to_vec(),
        Width::Four => value.to_ne_bytes().to_vec(),
    }
}

/// Returns the value that an attribute's bytes say; none where there are as many bytes as no number has.
pub(crate) fn value(bytes: &[u8]) -> Option<u32> {
    match *bytes {
        [one] => Some(u32::from(one)),
        [a, b] => Some(u32::from(u16::from_ne_bytes([a, b]))),
        [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_each_option_has_an_attribute_of_its_own() {
        let mut numbers: Vec<u16> = BondOption::ALL.into_iter().map(|option| attribute(option).0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), BondOption::ALL.len());
        for option in BondOption::ALL {
            let (low, high) = option.range();
            for given in [low, high, option.default_value()] {
                assert_eq!(value(&bytes(option, given)), Some(given), "{option}");
            }
        }
        assert_eq!(value(&[1, 2, 3]), None);
    }
}

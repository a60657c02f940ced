//! The comparison of a bond's options.

use trestle_model::{BondMode, BondOption, BondOptions, BondPort, BondPortLink, IfName, Link, MacAddr};

use crate::step::{BondTuning, Primary};

/// Returns the options that differ. `ports` are the bond's; one that is no port cannot be the primary.
///
/// *Shape*: everything that is wanted where the mode differs, since another mode forgets the options; and with a new
/// `miimon` the delays, which the kernel counts in it. An option that the kernel does not know never differs.
pub(crate) fn bond_change(wanted: &BondOptions, is: &BondOptions, ports: &[&IfName]) -> BondTuning {
    let mode = (wanted.mode != is.mode).then_some(wanted.mode);
    let counts_anew = mode.is_some() || differs(BondOption::Miimon, wanted, is);
    let is_due = |option: BondOption| {
        mode.is_some() || differs(option, wanted, is) || (counts_anew && is_delay(option) && watches_links(wanted))
    };
    let numbers = wanted.numbers.iter().filter(|(option, _)| is_due(**option));
    // The kernel refuses delays, also of 0, where it does not look at the links.
    let numbers = numbers.filter(|(option, _)| !is_delay(**option) || watches_links(wanted));
    let primary = match (&wanted.primary, &is.primary) {
        _ if !wanted.mode.has_primary() => None,
        (None, None) if mode.is_some() => Some(Primary::Nobody),
        (Some(wanted), is) if ports.contains(&wanted) && Some(wanted) != is.as_ref() => {
            Some(Primary::Port(wanted.clone()))
        }
        (None, Some(_)) => Some(Primary::Nobody),
        (Some(_), _) | (None, None) => None,
    };
    let system = |options: &BondOptions| options.ad_actor_system.unwrap_or(MacAddr::new([0; 6]));
    BondTuning {
        mode,
        numbers: numbers.map(|(option, number)| (*option, *number)).collect(),
        primary,
        arp_ip_targets: (mode.is_some() || wanted.arp_ip_targets != is.arp_ip_targets)
            .then(|| wanted.arp_ip_targets.clone()),
        ad_actor_system: (mode.is_some() || system(wanted) != system(is))
            .then(|| system(wanted))
            .filter(|_| wanted.mode == BondMode::Lacp),
        active_port: None,
    }
}

/// Returns the port that a bond has to use instead of the one that it uses; none where that port is not in the bond, or
/// its link is known not to be up, which leaves the kernel no choice.
pub(crate) fn active_change<'a>(wanted: Option<&'a IfName>, bond: &Link, port: Option<&Link>) -> Option<&'a IfName> {
    let is_up = |port: &BondPort| port.link == BondPortLink::Up;
    let is_usable = |port: &Link| port.master.as_ref() == Some(&bond.name) && port.bond_port.as_ref().is_none_or(is_up);
    let active = bond.bond().and_then(|bond| bond.active_port.as_ref());
    wanted.filter(|wanted| active != Some(wanted) && port.is_some_and(is_usable))
}

fn differs(option: BondOption, wanted: &BondOptions, is: &BondOptions) -> bool {
    match (wanted.numbers.get(&option), is.numbers.get(&option)) {
        (Some(wanted), Some(is)) => wanted != is,
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

fn is_delay(option: BondOption) -> bool {
    matches!(option, BondOption::Updelay | BondOption::Downdelay | BondOption::PeerNotifDelay)
}

fn watches_links(options: &BondOptions) -> bool {
    options.number(BondOption::Miimon) > 0
}

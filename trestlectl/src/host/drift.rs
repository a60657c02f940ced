//! Drift, and what the agent does about it, in words.

use trestle_proto::host::v1::{DriftKind, Repair, RepairState};

/// Says what differs and what others do that is left to them; empty where there is neither.
///
/// `differing` is what differs, in words.
pub(crate) fn beside(differing: String, left_alone: &[String]) -> String {
    match (differing.as_str(), left_alone) {
        (_, []) => differing,
        ("", left_alone) => format!("left alone: {}", left_alone.join("; ")),
        (_, left_alone) => format!("{differing}; left alone: {}", left_alone.join("; ")),
    }
}

/// Says what differs and what is done about it; empty where nothing differs.
pub(super) fn described(drift: &[String], repairs: &[Repair]) -> String {
    if repairs.is_empty() {
        return drift.join("; ");
    }
    let repairs: Vec<String> = repairs.iter().map(repair).collect();
    format!("{} ({})", drift.join("; "), repairs.join("; "))
}

/// Says whether something is in order, and whether it is going to be.
pub(super) fn in_order(drift: &[String], repairs: &[Repair]) -> &'static str {
    let is_suspended = |repair: &Repair| repair.state() == RepairState::Suspended;
    match (drift, repairs) {
        ([], _) => "yes",
        (_, repairs) if repairs.iter().any(is_suspended) => "no, repair suspended",
        _ => "no",
    }
}

fn repair(repair: &Repair) -> String {
    let kind = match repair.kind() {
        DriftKind::Unspecified => "something",
        DriftKind::Devices => "devices",
        DriftKind::Addresses => "addresses",
        DriftKind::Routing => "routing",
        DriftKind::NameServers => "name servers",
        DriftKind::LibvirtNetworks => "libvirt networks",
        DriftKind::MacTables => "MAC tables",
    };
    let state = match repair.state() {
        RepairState::Unspecified => "repair unknown",
        RepairState::Due => "repair due",
        RepairState::Suspended => "repair suspended",
        RepairState::LeftAlone => "left alone",
        RepairState::Impossible => "not repairable now",
    };
    match repair.reason.as_str() {
        "" => format!("{kind}: {state}"),
        reason => format!("{kind}: {state}, {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_repair_is_told_with_its_reason() {
        let drift = ["link blue mtu: expected 1500, is 1400".to_owned()];
        let mut repair = Repair { attempts: 6, reason: "lost again after 6 repairs".to_owned(), ..Repair::default() };
        repair.set_kind(DriftKind::Devices);
        repair.set_state(RepairState::Suspended);
        let expected = "link blue mtu: expected 1500, is 1400 (devices: repair suspended, lost again after 6 repairs)";
        assert_eq!(described(&drift, std::slice::from_ref(&repair)), expected);
        assert_eq!(in_order(&drift, &[repair]), "no, repair suspended");
        let left = ["two guests share a MAC".to_owned(), "a capture".to_owned()];
        assert_eq!(beside("mtu".to_owned(), &left), "mtu; left alone: two guests share a MAC; a capture");
        assert_eq!(beside(String::new(), &left[1..]), "left alone: a capture");
        assert_eq!((beside(String::new(), &[]), beside("mtu".to_owned(), &[])), (String::new(), "mtu".to_owned()));
        assert_eq!((described(&[], &[]), in_order(&[], &[]), in_order(&drift, &[])), (String::new(), "yes", "no"));
    }
}

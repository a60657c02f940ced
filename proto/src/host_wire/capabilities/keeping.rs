//! What an agent does about drift.

use trestle_model::{DriftKind, Repair, RepairState, RepairTally};

use crate::host::v1 as wire;

pub(super) fn build(repair: &Repair) -> wire::Repair {
    let kind = match repair.kind {
        DriftKind::Devices => wire::DriftKind::Devices,
        DriftKind::Addresses => wire::DriftKind::Addresses,
        DriftKind::Routing => wire::DriftKind::Routing,
        DriftKind::NameServers => wire::DriftKind::NameServers,
        DriftKind::LibvirtNetworks => wire::DriftKind::LibvirtNetworks,
        DriftKind::MacTables => wire::DriftKind::MacTables,
    };
    let state = match repair.state {
        RepairState::Due => wire::RepairState::Due,
        RepairState::Suspended => wire::RepairState::Suspended,
        RepairState::LeftAlone => wire::RepairState::LeftAlone,
        RepairState::Impossible => wire::RepairState::Impossible,
    };
    wire::Repair { kind: kind.into(), state: state.into(), attempts: repair.attempts, reason: repair.reason.clone() }
}

pub(super) const fn build_tally(tally: RepairTally) -> wire::RepairTally {
    let RepairTally { repaired, failed } = tally;
    wire::RepairTally { repaired, failed }
}

/// Reads repairs; one of a kind or state that only a newer agent knows is left out.
pub(super) fn read_all(repairs: &[wire::Repair]) -> Vec<Repair> {
    repairs.iter().filter_map(read).collect()
}

fn read(repair: &wire::Repair) -> Option<Repair> {
    let kind = match wire::DriftKind::try_from(repair.kind).ok()? {
        wire::DriftKind::Unspecified => return None,
        wire::DriftKind::Devices => DriftKind::Devices,
        wire::DriftKind::Addresses => DriftKind::Addresses,
        wire::DriftKind::Routing => DriftKind::Routing,
        wire::DriftKind::NameServers => DriftKind::NameServers,
        wire::DriftKind::LibvirtNetworks => DriftKind::LibvirtNetworks,
        wire::DriftKind::MacTables => DriftKind::MacTables,
    };
    let state = match wire::RepairState::try_from(repair.state).ok()? {
        wire::RepairState::Unspecified => return None,
        wire::RepairState::Due => RepairState::Due,
        wire::RepairState::Suspended => RepairState::Suspended,
        wire::RepairState::LeftAlone => RepairState::LeftAlone,
        wire::RepairState::Impossible => RepairState::Impossible,
    };
    Some(Repair { kind, state, attempts: repair.attempts, reason: repair.reason.clone() })
}

pub(super) fn read_tally(tally: Option<wire::RepairTally>) -> RepairTally {
    let wire::RepairTally { repaired, failed } = tally.unwrap_or_default();
    RepairTally { repaired, failed }
}

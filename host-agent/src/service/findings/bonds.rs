//! What is said of bonds.

use super::*;

/// A bond that is legal.
pub(super) fn bond(name: &str, nics: &[&str]) -> wire::Bond {
    wire::Bond {
        name: name.to_owned(),
        nics: nics.iter().map(ToString::to_string).collect(),
        mode: wire::BondMode::ActiveBackup.into(),
        ..wire::Bond::default()
    }
}

pub(super) fn on_bond(name: &str, bond: &str) -> wire::Network {
    wire::Network { southbound: Some(wire::network::Southbound::Bond(bond.to_owned())), ..bare(name) }
}

fn of(bonds: impl Into<Vec<wire::Bond>>, networks: impl Into<Vec<wire::Network>>) -> wire::SetupNetworksRequest {
    wire::SetupNetworksRequest { bonds: bonds.into(), ..request(networks) }
}

fn alone(bond: wire::Bond) -> wire::SetupNetworksRequest {
    of([bond], [])
}

fn removal(name: &str) -> wire::Bond {
    wire::Bond { name: name.to_owned(), remove: true, ..wire::Bond::default() }
}

fn in_mode(mode: wire::BondMode, bond: wire::Bond) -> wire::Bond {
    wire::Bond { mode: mode.into(), ..bond }
}

fn with(options: wire::BondOptions) -> wire::SetupNetworksRequest {
    alone(wire::Bond { options: Some(options), ..bond("bond0", &["eth0", "eth1"]) })
}

/// Every row of the reference that takes a bond.
pub(super) fn rows() -> Vec<Row> {
    use wire::BondMode::{BalanceRr, Lacp};
    let options = wire::BondOptions::default;
    let free = || bond("bond0", &["eth0", "eth1"]);
    vec![
        // 21: parameters that contradict each other, or that are malformed.
        asked(Code::BondTooFewNics, 21, "bonds[0].nics", alone(bond("bond0", &["eth0"]))),
        asked(Code::BondTooFewNics, 21, "bonds[0].nics", alone(bond("bond0", &[]))),
        asked(Code::Duplicate, 21, "bonds[1].name", of([free(), bond("bond0", &["eth0"])], [])),
        asked(
            Code::RemoveWithAttributes,
            21,
            "bonds[0].remove",
            alone(wire::Bond { remove: true, ..bond("bond1", &["eth4"]) }),
        ),
        asked(Code::FieldMissing, 21, "bonds[0].mode", alone(wire::Bond { mode: 0, ..free() })),
        asked(Code::EnumUnknown, 21, "bonds[0].mode", alone(wire::Bond { mode: 77, ..free() })),
        // 23: NICs that are not there.
        asked(Code::NicNotFound, 23, "bonds[0].nics[1]", alone(bond("bond0", &["eth0", "eth9"]))),
        // 24: port of a bond and base of a network, in either order, also within one request; and in two bonds.
        row(Code::NicInUse, 24, "networks[0].nic", [on("eth4")]),
        asked(Code::NicInUse, 24, "bonds[0].nics[1]", alone(bond("bond0", &["eth0", "eth2"]))),
        asked(Code::NicInUse, 24, "bonds[0].nics[1]", of([free()], [on("eth1")])),
        asked(Code::NicInUse, 24, "bonds[0].nics[0]", of([free(), bond("bond3", &["eth1", "eth0"])], [])),
        asked(Code::NicInUse, 24, "bonds[0].nics[0]", alone(bond("bond0", &["eth4", "eth0"]))),
        asked(Code::NicInUse, 24, "bonds[0].nics[1]", alone(bond("bond0", &["eth0", "eth3"]))),
        // 25: names, options and values, and bonds that are not there.
        asked(Code::BondNameInvalid, 25, "bonds[0].name", alone(bond("bond.0", &["eth0", "eth1"]))),
        asked(Code::BondNameInvalid, 25, "bonds[0].name", alone(bond("a-name-too-long-for-a-device", &["eth0"]))),
        row(Code::BondNameInvalid, 25, "networks[0].bond", [on_bond("blue", "not/a/bond")]),
        row(Code::BondNotFound, 25, "networks[0].bond", [on_bond("blue", "bond9")]),
        asked(Code::BondNotFound, 25, "bonds[0].name", alone(removal("bond9"))),
        asked(Code::BondNotFound, 25, "bonds[0].name", alone(removal("bond2"))),
        asked(
            Code::BondOptionInvalid,
            25,
            "bonds[0].options.miimon_ms",
            with(wire::BondOptions { miimon_ms: Some(600_001), ..options() }),
        ),
        asked(
            Code::BondOptionInvalid,
            25,
            "bonds[0].options.lacp_rate",
            with(wire::BondOptions { lacp_rate: wire::BondLacpRate::Fast.into(), ..options() }),
        ),
        asked(Code::BondModeUnsafe, 25, "bonds[0].mode", of([in_mode(BalanceRr, free())], [on_bond("blue", "bond0")])),
        // 31: bonds that are still used, by a network and by somebody else's device.
        asked(Code::BondInUse, 31, "bonds[0].name", alone(removal("bond1"))),
        asked(Code::BondInUse, 31, "bonds[0].options", alone(in_mode(Lacp, bond("bond2", &["eth6", "eth7"])))),
    ]
}

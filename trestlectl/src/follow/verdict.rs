//! Where a host stands: has it become what is wanted, will it, or not.

use trestle_proto::engine::v1::{Connection, Host, HostStatus, PlugState, PlugSync, Sync, Vnic};
use trestle_proto::finding::v1::Finding;

use crate::progress::result_text;

/// Where a host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is what is wanted.
    InSync,
    /// It is not in the fleet any more.
    Gone,
    /// It will be told when its agent connects, or its maintenance ends; says which.
    Owed(String),
    /// It is not, and waiting does not help; says why.
    Failed(String),
    /// It is not yet; says what differs.
    Waiting(String),
}

impl Verdict {
    pub(super) fn of(host: &Host) -> Self {
        let status = host.status.clone().unwrap_or_default();
        let maintained = host.spec.as_ref().is_some_and(|spec| spec.maintenance);
        match status.sync() {
            Sync::InSync => Self::InSync,
            Sync::Failed => Self::Failed(failure(&status)),
            Sync::Drifted => Self::Failed(format!("changed from outside: {}", differences(&status))),
            Sync::Pending | Sync::Unknown | Sync::Unmanaged | Sync::Unspecified if maintained => {
                Self::Owed("in maintenance".to_owned())
            }
            Sync::Pending | Sync::Unknown | Sync::Unmanaged | Sync::Unspecified => match status.connection() {
                Connection::Disconnected | Connection::Unspecified => Self::Owed("not connected".to_owned()),
                Connection::Connected => Self::Waiting(differences(&status)),
            },
        }
    }

    pub(super) fn of_vnic(vnic: &Vnic) -> Self {
        let status = vnic.status.clone().unwrap_or_default();
        let plugging = status.plugging.clone().unwrap_or_default();
        let why = || findings(&plugging.findings);
        match plugging.state() {
            PlugState::Pending | PlugState::UnderWay => Self::Waiting("not yet plugged as wanted".to_owned()),
            PlugState::Failed => Self::Failed(why()),
            PlugState::Withheld => Self::Owed(why()),
            PlugState::None | PlugState::Unspecified => match status.sync() {
                PlugSync::InSync => Self::InSync,
                PlugSync::Absent => Self::Owed("its VM is not seen where it is to be".to_owned()),
                PlugSync::Different => Self::Owed("its VM is not where it is to be".to_owned()),
                PlugSync::Unknown | PlugSync::Unspecified => Self::Owed("its host is silent".to_owned()),
            },
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::InSync => "in sync".to_owned(),
            Self::Gone => "is not in the fleet".to_owned(),
            Self::Owed(why) => format!("owed: {why}"),
            Self::Failed(why) => format!("failed: {why}"),
            Self::Waiting(what) => format!("not yet in sync: {what}"),
        }
    }
}

/// Tells why the last command failed.
pub(crate) fn failure(status: &HostStatus) -> String {
    match &status.last_result {
        _ if !status.refusal.is_empty() => format!("refused: {}", findings(&status.refusal)),
        Some(result) => result_text(result),
        None => differences(status),
    }
}

fn findings(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings.iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect();
    lines.join("; ")
}

fn differences(status: &HostStatus) -> String {
    let bonds = status.bonds.iter().map(|bond| (&bond.bond, bond.sync(), &bond.differences));
    let networks = status.networks.iter().map(|network| (&network.network, network.sync(), &network.differences));
    let differs = |(_, sync, _): &(_, Sync, _)| !matches!(sync, Sync::InSync | Sync::Unmanaged);
    let line = |(name, _, differences): (&String, Sync, &Vec<String>)| match differences.as_slice() {
        [] => name.clone(),
        differences => format!("{name}: {}", differences.join(", ")),
    };
    let lines: Vec<_> = bonds.chain(networks).filter(differs).map(line).collect();
    if lines.is_empty() { "no report yet".to_owned() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use trestle_proto::engine::v1::{HostSpec, NetworkSync, Plugging, VnicStatus};

    use super::*;

    fn host(connection: Connection, sync: Sync) -> Host {
        let networks = vec![NetworkSync {
            network: "networks/blue".to_owned(),
            sync: sync.into(),
            differences: vec!["mtu differs".to_owned()],
            left_alone: vec!["static entries of others".to_owned()],
        }];
        let status = HostStatus { connection: connection.into(), sync: sync.into(), networks, ..HostStatus::default() };
        Host { name: "hosts/a".to_owned(), status: Some(status), ..Host::default() }
    }

    #[test]
    fn a_host_stands_where_its_status_says() {
        let check = |connection, sync, expected: &str| {
            assert_eq!(Verdict::of(&host(connection, sync)).text(), expected, "{connection:?} {sync:?}");
        };
        check(Connection::Connected, Sync::InSync, "in sync");
        check(Connection::Connected, Sync::Pending, "not yet in sync: networks/blue: mtu differs");
        check(Connection::Connected, Sync::Unknown, "not yet in sync: networks/blue: mtu differs");
        check(Connection::Connected, Sync::Failed, "failed: networks/blue: mtu differs");
        check(Connection::Connected, Sync::Drifted, "failed: changed from outside: networks/blue: mtu differs");
        check(Connection::Disconnected, Sync::Pending, "owed: not connected");
        check(Connection::Disconnected, Sync::Unknown, "owed: not connected");
        check(Connection::Disconnected, Sync::InSync, "in sync");
    }

    #[test]
    fn a_vnic_stands_where_its_plugging_says() {
        let check = |state: PlugState, sync: PlugSync, expected: Verdict| {
            let finding = Finding { code: "CODE".to_owned(), message: "why".to_owned(), ..Finding::default() };
            let plugging = Plugging { state: state.into(), findings: vec![finding], ..Plugging::default() };
            let status = VnicStatus { sync: sync.into(), plugging: Some(plugging), ..VnicStatus::default() };
            let vnic = Vnic { status: Some(status), ..Vnic::default() };
            assert_eq!(Verdict::of_vnic(&vnic), expected, "{state:?} {sync:?}");
        };
        let owed = |why: &str| Verdict::Owed(why.to_owned());
        let waits = || Verdict::Waiting("not yet plugged as wanted".to_owned());
        check(PlugState::None, PlugSync::InSync, Verdict::InSync);
        check(PlugState::Pending, PlugSync::Absent, waits());
        check(PlugState::UnderWay, PlugSync::Different, waits());
        check(PlugState::Failed, PlugSync::Different, Verdict::Failed("CODE: why".to_owned()));
        check(PlugState::Withheld, PlugSync::Absent, owed("CODE: why"));
        check(PlugState::None, PlugSync::Absent, owed("its VM is not seen where it is to be"));
        check(PlugState::None, PlugSync::Unknown, owed("its host is silent"));
    }

    #[test]
    fn a_host_in_maintenance_is_owed_its_change() {
        let mut host = host(Connection::Connected, Sync::Pending);
        host.spec = Some(HostSpec { maintenance: true, ..HostSpec::default() });
        assert_eq!(Verdict::of(&host), Verdict::Owed("in maintenance".to_owned()));
    }
}

//! A watch over a host.

use std::collections::BTreeSet;

use trestle_model::{Code, Finding, Findings, HostObject, ObjectKey, ObjectKind, Outcome, Standing, TransactionStage};

use super::capabilities::{
    build_bond_report, build_bridge_device, build_domain, build_kernel, build_libvirt, build_mac_table, build_nic,
    build_port, build_report, build_vlan_device,
};
use crate::finding_wire;
use crate::form::Form;
use crate::host::v1 as wire;
use crate::host::v1::host_object::Value;
use crate::host::v1::watch_host_response::Event;

/// What a watcher asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Where an earlier watch stood; none begins with a snapshot.
    pub resume: Option<String>,
    /// Kinds that are wanted; none means all.
    pub kinds: Option<BTreeSet<ObjectKind>>,
}

/// Reads what a watcher asks for.
///
/// *Errors*: `ENUM_UNKNOWN` for each kind that is none.
pub fn parse_watch(request: &wire::WatchHostRequest) -> Result<WatchRequest, Findings> {
    let mut form = Form::default();
    let mut kinds = BTreeSet::new();
    for (position, kind) in request.kinds.iter().enumerate() {
        let path = format!("kinds[{position}]");
        match form.known::<wire::ObjectKind>(&path, *kind) {
            Some(wire::ObjectKind::Unspecified) => {
                form.note(Finding::error(Code::EnumUnknown, path, "the field says nothing"));
            }
            Some(wire::ObjectKind::Host) => drop(kinds.insert(ObjectKind::Host)),
            Some(wire::ObjectKind::Network) => drop(kinds.insert(ObjectKind::Network)),
            Some(wire::ObjectKind::Nic) => drop(kinds.insert(ObjectKind::Nic)),
            Some(wire::ObjectKind::Bridge) => drop(kinds.insert(ObjectKind::Bridge)),
            Some(wire::ObjectKind::Bond) => drop(kinds.insert(ObjectKind::Bond)),
            Some(wire::ObjectKind::Vlan) => drop(kinds.insert(ObjectKind::Vlan)),
            Some(wire::ObjectKind::Port) => drop(kinds.insert(ObjectKind::Port)),
            Some(wire::ObjectKind::MacTable) => drop(kinds.insert(ObjectKind::MacTable)),
            Some(wire::ObjectKind::Domain) => drop(kinds.insert(ObjectKind::Domain)),
            Some(wire::ObjectKind::Transaction) => drop(kinds.insert(ObjectKind::Transaction)),
            None => {}
        }
    }
    let resume = Some(request.resume_token.clone()).filter(|token| !token.is_empty());
    form.finish(Some(WatchRequest { resume, kinds: Some(kinds).filter(|_| !request.kinds.is_empty()) }))
}

/// Builds the event of an object that is there.
pub fn build_object(object: &HostObject) -> Event {
    let value = match object {
        HostObject::Host(standing) => Value::Host(build_standing(standing)),
        HostObject::Network(report) => Value::Network(build_report(report)),
        HostObject::Nic(report) => Value::Nic(build_nic(report)),
        HostObject::Bridge(report) => Value::Bridge(build_bridge_device(report)),
        HostObject::Bond(report) => Value::Bond(build_bond_report(report)),
        HostObject::Vlan(report) => Value::Vlan(build_vlan_device(report)),
        HostObject::Port { bridge, report } => {
            Value::Port(wire::BridgePort { bridge: bridge.to_string(), port: Some(build_port(report)) })
        }
        HostObject::MacTable { network, table } => {
            Value::MacTable(wire::NetworkMacTable { network: network.to_string(), table: Some(build_mac_table(table)) })
        }
        HostObject::Domain(domain) => Value::Domain(build_domain(domain)),
        HostObject::Transaction(state) => {
            let (stage, cause) = build_stage(&state.stage);
            Value::Transaction(wire::HostTransaction {
                transaction_id: state.transaction.to_string(),
                actor: state.actor.clone(),
                stage: stage.into(),
                cause: cause.map(finding_wire::build),
            })
        }
    };
    Event::Object(wire::HostObject { value: Some(value) })
}

/// Builds the event of an object that is gone.
pub fn build_removed(key: &ObjectKey) -> Event {
    let kind = match key.kind {
        ObjectKind::Host => wire::ObjectKind::Host,
        ObjectKind::Network => wire::ObjectKind::Network,
        ObjectKind::Nic => wire::ObjectKind::Nic,
        ObjectKind::Bridge => wire::ObjectKind::Bridge,
        ObjectKind::Bond => wire::ObjectKind::Bond,
        ObjectKind::Vlan => wire::ObjectKind::Vlan,
        ObjectKind::Port => wire::ObjectKind::Port,
        ObjectKind::MacTable => wire::ObjectKind::MacTable,
        ObjectKind::Domain => wire::ObjectKind::Domain,
        ObjectKind::Transaction => wire::ObjectKind::Transaction,
    };
    Event::Removed(wire::ObjectRemoved { kind: kind.into(), name: key.name.clone() })
}

fn build_standing(standing: &Standing) -> wire::HostStanding {
    wire::HostStanding {
        agent_version: standing.agent_version.clone(),
        boot_id: standing.boot_id.clone(),
        kernel: Some(build_kernel(&standing.kernel)),
        libvirt: Some(build_libvirt(&standing.libvirt)),
        generation: standing.generation,
        dirty: standing.dirty,
        running_hash: standing.running_hash.clone(),
        persistent_hash: standing.persistent_hash.clone(),
    }
}

const fn build_stage(stage: &TransactionStage) -> (wire::TransactionStage, Option<&Finding>) {
    match stage {
        TransactionStage::Applying => (wire::TransactionStage::Applying, None),
        TransactionStage::AwaitingConfirmation => (wire::TransactionStage::AwaitingConfirmation, None),
        TransactionStage::Undoing => (wire::TransactionStage::Undoing, None),
        TransactionStage::Adopting => (wire::TransactionStage::Adopting, None),
        TransactionStage::Ended(Outcome::Applied) => (wire::TransactionStage::Applied, None),
        TransactionStage::Ended(Outcome::Unchanged) => (wire::TransactionStage::Unchanged, None),
        TransactionStage::Ended(Outcome::RolledBack(cause)) => (wire::TransactionStage::RolledBack, Some(cause)),
        TransactionStage::Ended(Outcome::RollbackFailed { cause, .. }) => {
            (wire::TransactionStage::RollbackFailed, Some(cause))
        }
    }
}

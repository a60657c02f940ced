//! `host watch`: shows what a host is, and then what changes.

use trestle_proto::host::v1::host_object::Value;
use trestle_proto::host::v1::watch_host_response::Event;
use trestle_proto::host::v1::{HostObject, ObjectKind, TransactionStage, WatchHostRequest, WatchHostResponse};
use trestle_proto::schema;

use super::{connect, domain, drift};
use crate::arguments::{ReportFormat, Watch, WatchedKind};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Runs `host watch`, until the agent ends the watch.
pub(super) async fn run(context: &Context, arguments: Watch) -> Result<(), Failure> {
    let mut client = connect(context, &arguments.agent.agent).await?;
    let kinds = arguments.kinds.iter().map(|kind| wire_kind(*kind).into()).collect();
    let request = WatchHostRequest { resume_token: arguments.resume, kinds };
    let failed = |status| Failure::of_call("watch", status);
    let mut stream = client.watch_host(request).await.map_err(failed)?.into_inner();
    while let Some(news) = stream.message().await.map_err(failed)? {
        match arguments.output {
            ReportFormat::Json => output::data(schema::to_json("trestle.host.v1.WatchHostResponse", &news))?,
            ReportFormat::Table => {
                if let Some(line) = line(&news) {
                    output::data(line)?;
                }
            }
        }
    }
    Ok(())
}

/// Returns the line that tells a piece of news; none for a bookmark.
fn line(news: &WatchHostResponse) -> Option<String> {
    match news.event.as_ref()? {
        Event::Object(HostObject { value }) => value.as_ref().map(described),
        Event::Removed(removed) => Some(format!("{} {} is gone", kind_text(removed.kind()), removed.name)),
        Event::SnapshotDone(_) => Some("-- that is all there is; what follows are changes".to_owned()),
        Event::Bookmark(_) => None,
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Host(host) => {
            let state = if host.dirty { "dirty" } else { "clean" };
            let libvirt = host.libvirt.as_ref().is_some_and(|libvirt| libvirt.connected);
            let libvirt = if libvirt { "connected" } else { "not connected" };
            format!("host generation {}, {state}, libvirt {libvirt}", host.generation)
        }
        Value::Network(network) => {
            let name = network.configured.clone().unwrap_or_default().name;
            let drift = drift::beside(drift::described(&network.drift, &network.repairs), &network.left_alone);
            format!("network {name} {}", if drift.is_empty() { "as configured" } else { &drift })
        }
        Value::Nic(nic) => format!("nic {} {}, mtu {}", nic.name, link(nic.up, nic.carrier), nic.mtu),
        Value::Bridge(bridge) => {
            format!("bridge {} {}, mtu {}", bridge.name, link(bridge.up, bridge.carrier), bridge.mtu)
        }
        Value::Bond(bond) => {
            let state = bond.observed.clone().unwrap_or_default();
            let ports: Vec<&str> = state.ports.iter().map(|port| port.device.as_str()).collect();
            let drift = drift::described(&bond.drift, &bond.repairs);
            let drift = if drift.is_empty() { drift } else { format!(", {drift}") };
            format!("bond {} {}, ports {}{drift}", bond.name, link(state.up, state.carrier), ports.join(" "))
        }
        Value::Vlan(vlan) => {
            format!("vlan {} {}, {} on {}", vlan.name, link(vlan.up, vlan.carrier), vlan.vlan_id, vlan.base)
        }
        Value::Port(port) => {
            let report = port.port.clone().unwrap_or_default();
            let guest = if report.guest.is_empty() { String::new() } else { format!(", guest {}", report.guest) };
            format!("port {} in {}{guest}", report.device, port.bridge)
        }
        Value::MacTable(table) => {
            let entries = table.table.as_ref().map_or(0, |table| table.entries.len());
            format!("mac-table {} {entries} entries", table.network)
        }
        Value::Domain(domain) => {
            let interfaces: Vec<String> = domain.interfaces.iter().map(domain::wiring).collect();
            format!("domain {} {}, {}", domain.name, domain::state(domain.state()), interfaces.join("; "))
        }
        Value::Transaction(transaction) => {
            let stage = stage_text(transaction.stage());
            format!("transaction {} of {} {stage}", transaction.transaction_id, transaction.actor)
        }
    }
}

const fn link(up: bool, carrier: bool) -> &'static str {
    match (up, carrier) {
        (true, true) => "up",
        (true, false) => "up, no carrier",
        (false, _) => "down",
    }
}

const fn stage_text(stage: TransactionStage) -> &'static str {
    match stage {
        TransactionStage::Unspecified => "is under way",
        TransactionStage::Applying => "is being applied",
        TransactionStage::AwaitingConfirmation => "waits for its confirmation",
        TransactionStage::Undoing => "is being undone",
        TransactionStage::Adopting => "is being adopted",
        TransactionStage::Applied => "was applied",
        TransactionStage::Unchanged => "changed nothing",
        TransactionStage::RolledBack => "was rolled back",
        TransactionStage::RollbackFailed => "could not be rolled back wholly",
    }
}

const fn kind_text(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Unspecified => "object",
        ObjectKind::Host => "host",
        ObjectKind::Network => "network",
        ObjectKind::Nic => "nic",
        ObjectKind::Bridge => "bridge",
        ObjectKind::Bond => "bond",
        ObjectKind::Vlan => "vlan",
        ObjectKind::Port => "port",
        ObjectKind::MacTable => "mac-table",
        ObjectKind::Domain => "domain",
        ObjectKind::Transaction => "transaction",
    }
}

const fn wire_kind(kind: WatchedKind) -> ObjectKind {
    match kind {
        WatchedKind::Host => ObjectKind::Host,
        WatchedKind::Network => ObjectKind::Network,
        WatchedKind::Nic => ObjectKind::Nic,
        WatchedKind::Bridge => ObjectKind::Bridge,
        WatchedKind::Bond => ObjectKind::Bond,
        WatchedKind::Vlan => ObjectKind::Vlan,
        WatchedKind::Port => ObjectKind::Port,
        WatchedKind::MacTable => ObjectKind::MacTable,
        WatchedKind::Domain => ObjectKind::Domain,
        WatchedKind::Transaction => ObjectKind::Transaction,
    }
}

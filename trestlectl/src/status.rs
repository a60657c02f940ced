//! `status`: how hosts are, and what differs.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use tokio::time::timeout;
use trestle_proto::engine::v1::watch_hosts_response::Event;
use trestle_proto::engine::v1::{Connection, Host, HostState, HostStatus, PlugCounts, Sync};
use trestle_proto::finding::v1::{Finding, Severity};
use trestle_proto::host::v1::SetupNetworksResponse;
use trestle_proto::schema;

use crate::arguments::{ReportFormat, Status};
use crate::context::Context;
use crate::engine::Engine;
use crate::failure::{Failure, findings_text};
use crate::follow;
use crate::get::whole;
use crate::host::drift::beside;
use crate::kind::{Kind, id_of};
use crate::output::{self, or_dash};
use crate::progress::{result_text, text};

/// Runs `status`.
///
/// # Errors
/// When the engine is not reached or refuses, or there is no host of the given name. A watch that the timeout ends is no
/// error.
pub(crate) async fn status(context: &Context, arguments: Status) -> Result<(), Failure> {
    let name = match &arguments.host {
        Some(name) if Kind::Host.names(name) => Some(name.clone()),
        Some(id) => Some(whole(Kind::Host, id)?),
        None => None,
    };
    let engine = Engine::connect(context, context.call_timeout()).await?;
    if arguments.watch {
        let watching = watch(&engine, name.into_iter().collect());
        return match context.timeout {
            Some(limit) => timeout(limit, watching).await.unwrap_or(Ok(())),
            None => watching.await,
        };
    }
    let hosts = match &name {
        Some(name) => {
            let host = engine.host(name).await?;
            vec![host.ok_or_else(|| Failure::Findings(format!("{name}: not found")))?]
        }
        None => engine.hosts().await?,
    };
    match (arguments.output, hosts.as_slice()) {
        (ReportFormat::Json, [host]) if name.is_some() => output::json(&dynamic(host)),
        (ReportFormat::Json, hosts) => output::json_array(&hosts.iter().map(dynamic).collect::<Vec<_>>()),
        (ReportFormat::Table, hosts) => table(hosts),
    }
}

fn dynamic(host: &Host) -> prost_reflect::DynamicMessage {
    schema::dynamic("trestle.engine.v1.Host", host)
}

fn table(hosts: &[Host]) -> Result<(), Failure> {
    let heads = ["HOST", "STATE", "SINCE", "CONNECTION", "SYNC", "LAST SEEN", "LAST RESULT"];
    output::table(heads, hosts.iter().map(host_row))?;
    let rows: Vec<_> = hosts.iter().flat_map(reason_rows).collect();
    if !rows.is_empty() {
        output::data("")?;
        output::table(["HOST", "WHY", "WHAT"], rows)?;
    }
    let rows: Vec<_> = hosts.iter().flat_map(network_rows).collect();
    if !rows.is_empty() {
        output::data("")?;
        output::table(["HOST", "NETWORK OR BOND", "SYNC", "DIFFERENCES"], rows)?;
    }
    let rows: Vec<_> = hosts.iter().flat_map(violation_rows).collect();
    if !rows.is_empty() {
        output::data("")?;
        output::table(["HOST", "GUESTS BREAK", "WEIGHT", "WHAT"], rows)?;
    }
    for host in hosts {
        let (shown, all, unmanaged) = host.status.as_ref().map_or((0, 0, 0), |status| {
            (status.violations.len(), status.violation_count, status.unmanaged_interface_count)
        });
        let id = id_of(&host.name);
        if usize::try_from(all).is_ok_and(|all| all > shown) {
            output::data(format_args!("\n{id}: {shown} of {all} violations are shown"))?;
        }
        if let Some(text) = host.status.as_ref().and_then(|status| plug_counts_text(status.plug_counts?)) {
            output::data(format_args!("\n{id}: vNICs that are not plugged as wanted: {text}: trestlectl get vnics"))?;
        }
        if unmanaged > 0 {
            let verb = if unmanaged == 1 { "interface is" } else { "interfaces are" };
            output::data(format_args!("\n{id}: {unmanaged} {verb} no vNIC's: trestlectl unmanaged {id}"))?;
        }
    }
    for host in hosts {
        let refusal = host.status.iter().flat_map(|status| &status.refusal).cloned().collect::<Vec<_>>();
        if !refusal.is_empty() {
            output::data(format_args!("\n{} refused:\n{}", id_of(&host.name), findings_text(&refusal).trim_end()))?;
        }
    }
    Ok(())
}

/// Counts what differs by what is done about it, `2 pending, 1 failed`; none where nothing does.
fn plug_counts_text(counts: PlugCounts) -> Option<String> {
    let counts = [(counts.pending, "pending"), (counts.failed, "failed"), (counts.withheld, "withheld")];
    let parts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn host_row(host: &Host) -> [String; 7] {
    let status = host.status.clone().unwrap_or_default();
    let result = match &status.last_result {
        _ if !status.refusal.is_empty() => "refused".to_owned(),
        Some(result) => result_text(result),
        None => "-".to_owned(),
    };
    let (connection, sync) = (connection_text(status.connection()), sync_text(status.sync()));
    let (state, since) = (state_text(status.state()), seen_text(status.state_time));
    let (connection, sync, seen) = (connection.to_owned(), sync.to_owned(), seen_text(status.last_seen_time));
    [id_of(&host.name).to_owned(), state.to_owned(), since, connection, sync, seen, result]
}

/// Says why a host is in its state.
fn reason_rows(host: &Host) -> Vec<[String; 3]> {
    let reasons = host.status.iter().flat_map(|status| &status.state_reasons);
    reasons.map(|reason| [id_of(&host.name).to_owned(), reason.code.clone(), reason.message.clone()]).collect()
}

fn network_rows(host: &Host) -> Vec<[String; 4]> {
    let row = |(what, sync, differences, left_alone): (String, Sync, &[String], &[String])| {
        let differences = or_dash(beside(differences.join("; "), left_alone));
        [id_of(&host.name).to_owned(), what, sync_text(sync).to_owned(), differences]
    };
    let status = host.status.iter();
    let bonds = status.clone().flat_map(|status| &status.bonds);
    let bonds = bonds
        .map(|bond| (format!("bond {}", id_of(&bond.bond)), bond.sync(), bond.differences.as_slice(), [].as_slice()));
    let networks = status.flat_map(|status| &status.networks).map(|network| {
        let name = id_of(&network.network).to_owned();
        (name, network.sync(), network.differences.as_slice(), network.left_alone.as_slice())
    });
    bonds.chain(networks).map(row).collect()
}

fn violation_rows(host: &Host) -> Vec<[String; 4]> {
    let violations = host.status.iter().flat_map(|status| &status.violations);
    let row = |finding: &Finding| {
        let weight = match finding.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info | Severity::Unspecified => "note",
        };
        [id_of(&host.name).to_owned(), finding.code.clone(), weight.to_owned(), finding.message.clone()]
    };
    violations.map(row).collect()
}

/// Prints a line for each change, and goes on until the caller has enough or the engine ends the watch.
async fn watch(engine: &Engine, names: Vec<String>) -> Result<(), Failure> {
    let mut stream = engine.watch(names).await.map_err(|status| Failure::of_call("hosts", status))?;
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let response = stream.message().await.map_err(|status| Failure::of_call("hosts", status))?;
        let Some(response) = response else { return Ok(()) };
        match response.event {
            Some(Event::Host(host)) => {
                let line = host_line(&host.status.clone().unwrap_or_default());
                if shown.get(&host.name) != Some(&line) {
                    output::data(format_args!("{}  {line}", id_of(&host.name)))?;
                    shown.insert(host.name, line);
                }
            }
            Some(Event::Progress(progress)) => {
                if let Some(SetupNetworksResponse { event: Some(event) }) = &progress.event {
                    output::data(format_args!("{}  {}", id_of(&progress.host), text(event)))?;
                }
            }
            Some(Event::Removed(host)) => {
                shown.remove(&host);
                output::data(format_args!("{}  removed", id_of(&host)))?;
            }
            Some(Event::Bookmark(_)) | None => {}
        }
    }
}

fn host_line(status: &HostStatus) -> String {
    let (state, connection) = (state_text(status.state()), connection_text(status.connection()));
    let line = format!("{state}, {connection}, {}", sync_text(status.sync()));
    match status.sync() {
        Sync::Failed => format!("{line}: {}", follow::failure(status)),
        Sync::Unspecified | Sync::InSync | Sync::Pending | Sync::Drifted | Sync::Unmanaged | Sync::Unknown => line,
    }
}

/// Tells whether a host can be used.
pub(crate) const fn state_text(state: HostState) -> &'static str {
    match state {
        HostState::Unspecified => "-",
        HostState::Up => "up",
        HostState::Maintenance => "maintenance",
        HostState::NonOperational => "non-operational",
        HostState::NonResponsive => "non-responsive",
    }
}

/// Tells whether an agent is connected.
pub(crate) fn connection_text(connection: Connection) -> &'static str {
    match connection {
        Connection::Connected => "connected",
        Connection::Disconnected => "disconnected",
        Connection::Unspecified => "unknown",
    }
}

/// Tells whether something is what is wanted.
pub(crate) fn sync_text(sync: Sync) -> &'static str {
    match sync {
        Sync::InSync => "in sync",
        Sync::Pending => "pending",
        Sync::Failed => "failed",
        Sync::Drifted => "drifted",
        Sync::Unmanaged => "unmanaged",
        Sync::Unknown | Sync::Unspecified => "unknown",
    }
}

fn seen_text(time: Option<Timestamp>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

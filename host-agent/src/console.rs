//! The verbs of the agent's own command line that talk to the running agent, for a host without trestlectl.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use host_agent::config::Config;
use prost_types::FieldMask;
use tonic::Request;
use trestle_model::{Capabilities, Origin, UncommittedChange};
use trestle_proto::adoption::{READ, Wanted, adoption};
use trestle_proto::host::v1::host_agent_client::HostAgentClient;
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_proto::host::v1::{
    self as wire, ConfirmNetworksRequest, GetCapabilitiesRequest, Outcome, SetupNetworksRequest, SetupNetworksResult,
};
use trestle_serve::{ClientOptions, Connection, ServerIdentity, Target, connect};

const DEADLINE: Duration = Duration::from_secs(30);

/// Whether a plan is carried out, or only shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    Given,
    Missing,
}

/// Prints what the host is and can do, as JSON.
pub(crate) async fn capabilities(config: &Config) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(&ask(config).await?)?)
}

/// Prints the host's networks and then its bonds, one a line: its name, who asked for it, and whether a reboot keeps it.
pub(crate) async fn list(config: &Config) -> anyhow::Result<()> {
    let capabilities = ask(config).await?;
    let (uncommitted, bonds) = (&capabilities.uncommitted, &capabilities.uncommitted_bonds);
    for network in &capabilities.networks {
        let name = &network.configured.spec.name;
        print(&line(name.as_str(), network.configured.origin, uncommitted.get(name)))?;
    }
    for (name, _) in uncommitted.iter().filter(|(_, change)| **change == UncommittedChange::Removed) {
        print(&format!("{name}\t-\tpersistent, does not run"))?;
    }
    for bond in &capabilities.bonds {
        if let Some(entry) = &bond.configured {
            print(&line(bond.name.as_str(), entry.origin, bonds.get(&bond.name)))?;
        }
    }
    for (name, _) in bonds.iter().filter(|(_, change)| **change == UncommittedChange::Removed) {
        print(&format!("{name}\t-\tpersistent, does not run"))?;
    }
    Ok(())
}

fn line(name: &str, origin: Origin, uncommitted: Option<&UncommittedChange>) -> String {
    let origin = match origin {
        Origin::Engine => "engine",
        Origin::Local => "local",
    };
    let persistent = match uncommitted {
        None => "persistent",
        Some(UncommittedChange::Added) => "not persistent",
        Some(UncommittedChange::Edited | UncommittedChange::Removed) => "persistent otherwise",
    };
    format!("{name}\t{origin}\t{persistent}")
}

/// Makes a bridge of somebody else's the bridge of a network, as it is, by a request that is filled in. Without consent
/// only the plan is shown.
pub(crate) async fn adopt(
    config: &Config,
    wanted: Wanted<'_>,
    mut request: SetupNetworksRequest,
    consent: Consent,
) -> anyhow::Result<()> {
    let adopted = adoption(&report(config, &READ).await?, wanted)?;
    for text in &adopted.notes {
        note(text);
    }
    request.networks = vec![adopted.network];
    request.adopt_devices = adopted.adopt_devices;
    set_up(config, request, consent).await
}

/// Changes the host as the request wants it. Without consent only the plan is shown.
pub(crate) async fn set_up(config: &Config, mut request: SetupNetworksRequest, consent: Consent) -> anyhow::Result<()> {
    if consent == Consent::Missing {
        request.validate_only = true;
        let result = perform(config, request).await?;
        let steps: Vec<&str> = result.steps.iter().map(|step| step.text.as_str()).collect();
        bail!("--yes would carry this out:\n{}", steps.join("\n"));
    }
    let result = perform(config, request).await?;
    match result.outcome() {
        Outcome::Applied => print("applied"),
        Outcome::Unchanged => print("unchanged"),
        Outcome::RolledBack | Outcome::RollbackFailed | Outcome::Validated | Outcome::Unspecified => {
            let cause = result.cause.map(|cause| cause.message).unwrap_or_default();
            bail!("the host was put back: {cause}")
        }
    }
}

/// Carries a request out, shows the steps on standard error, and confirms the change over a connection made for it.
async fn perform(config: &Config, request: SetupNetworksRequest) -> anyhow::Result<SetupNetworksResult> {
    let mut events = client(config).await?.setup_networks(request).await?.into_inner();
    while let Some(message) = events.message().await? {
        match message.event.context("the agent said nothing")? {
            Event::Result(result) => return Ok(result),
            Event::StepDone(step) => note(&format!("{}/{} {}", step.number, step.of, step.text)),
            Event::Undoing(undoing) => note(&format!("undoing: {}", undoing.cause.unwrap_or_default().message)),
            Event::AwaitingConfirmation(waiting) => {
                let confirmation = ConfirmNetworksRequest { transaction_id: waiting.transaction_id };
                client(config).await?.confirm_networks(confirmation).await?;
            }
            Event::Accepted(_) | Event::Verified(_) | Event::Confirmed(_) => {}
        }
    }
    bail!("the agent ended without a result")
}

async fn ask(config: &Config) -> anyhow::Result<Capabilities> {
    let capabilities = report(config, &[]).await?;
    trestle_proto::host_wire::parse_capabilities(&capabilities)
        .map_err(|findings| anyhow::anyhow!("the agent's answer makes no sense: {findings:?}"))
}

/// Asks for these parts of the capabilities; for all, where none is named.
async fn report(config: &Config, parts: &[&str]) -> anyhow::Result<wire::Capabilities> {
    let read_mask =
        (!parts.is_empty()).then(|| FieldMask { paths: parts.iter().map(|part| (*part).to_owned()).collect() });
    let mut request = Request::new(GetCapabilitiesRequest { read_mask });
    request.set_timeout(DEADLINE);
    let response = client(config).await?.get_capabilities(request).await?.into_inner();
    response.capabilities.context("the agent answered without capabilities")
}

async fn client(config: &Config) -> anyhow::Result<HostAgentClient<Connection>> {
    let target: Target = config.listen.socket.to_string().parse()?;
    Ok(HostAgentClient::new(connect(&target, &ClientOptions::new(None, ServerIdentity::AnyHost)).await?))
}

pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")
}

fn note(text: &str) {
    let _closed = writeln!(std::io::stderr(), "{text}");
}

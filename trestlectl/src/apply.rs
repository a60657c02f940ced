//! `apply` and `check`: makes the fleet what files say, or tells what that would do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use prost_reflect::DynamicMessage;
use trestle_proto::engine::v1 as wire;

use crate::arguments::{Apply, Check, Waiting};
use crate::context::Context;
use crate::document::{self, Document, Source};
use crate::engine::{Engine, Write, Written, etag_of};
use crate::failure::{Failure, findings_text};
use crate::follow::{Follower, Patience};
use crate::kind::{Kind, parent_of};
use crate::output;
use crate::preview::{self, Missing};

/// How long hosts may take together unless something else is said.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a single call may take where the timeout is meant for the hosts.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs `apply`.
///
/// # Errors
/// When a file is malformed, before anything is sent; when the engine refuses, at the first refusal; when hosts fail or
/// take too long.
pub(crate) async fn apply(context: &Context, arguments: Apply) -> Result<(), Failure> {
    let documents = read(&arguments.files.file)?;
    let engine = Engine::connect(context, CALL_TIMEOUT).await?;
    if arguments.writing.dry_run {
        return preview(&engine, &documents, &arguments.writing.acknowledge).await;
    }
    let follower = follower(context, &engine, &arguments.waiting).await?;
    let write = Write { acknowledge: arguments.writing.acknowledge };
    for (position, document) in documents.iter().enumerate() {
        if let Err(failure) = put(&engine, document, &write).await {
            let unsent: Vec<_> = documents.iter().skip(position + 1).map(|document| document.name.as_str()).collect();
            if !unsent.is_empty() {
                output::note(format_args!("not sent: {}", unsent.join(", ")));
            }
            return Err(failure);
        }
    }
    let Some(follower) = follower else { return Ok(()) };
    let hosts = touched(&engine, documents.iter().map(|document| document.name.as_str())).await?;
    let vnics = documents.iter().filter(|document| document.kind == Kind::Vnic);
    follower.settled(hosts, vnics.map(|document| document.name.clone()).collect()).await
}

/// Runs `check`.
///
/// # Errors
/// When a file is malformed, or the engine's rules would refuse any of its documents.
pub(crate) async fn check(context: &Context, arguments: Check) -> Result<(), Failure> {
    let documents = read(&arguments.files.file)?;
    let engine = Engine::connect(context, CALL_TIMEOUT).await?;
    preview(&engine, &documents, &arguments.acknowledge).await
}

/// Reads documents from files, folders or standard input.
///
/// # Errors
/// When one cannot be read or is malformed.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let mut sources = Vec::new();
    for file in files {
        sources.extend(Source::read(file)?);
    }
    Ok(document::resources(&sources)?)
}

async fn put(engine: &Engine, document: &Document, write: &Write) -> Result<(), Failure> {
    let before = engine.get(document.kind, &document.name).await?;
    let written = engine.put(document.kind, &document.resource, write).await?;
    output::data(format_args!("{} {}", document.name, change(before.as_ref(), &written)))?;
    output::notes(&findings_text(&written.findings));
    Ok(())
}

fn change(before: Option<&DynamicMessage>, written: &Written) -> &'static str {
    match (before, &written.resource) {
        (None, _) => "created",
        (Some(before), Some(after)) if etag_of(before) == etag_of(after) => "unchanged",
        (Some(_), _) => "changed",
    }
}

/// Asks for the findings of all documents, in the order in which they are applied, and prints them.
async fn preview(engine: &Engine, documents: &[Document], acknowledge: &[String]) -> Result<(), Failure> {
    preview::preview(engine, documents.iter().map(preview::put).collect(), acknowledge, Missing::Refused).await
}

/// Begins to follow the hosts, unless there is to be no waiting.
///
/// # Errors
/// When the engine is not reached or refuses.
pub(crate) async fn follower(
    context: &Context,
    engine: &Engine,
    waiting: &Waiting,
) -> Result<Option<Follower>, Failure> {
    if waiting.no_wait {
        return Ok(None);
    }
    let patience = if waiting.require_all { Patience::All } else { Patience::Connected };
    Follower::start(engine.clone(), patience, context.timeout.unwrap_or(PATIENCE)).await.map(Some)
}

/// Finds the hosts that a change of these resources touches: those among them, those that they are parts of, and those
/// that carry a network among them.
pub(crate) async fn touched(engine: &Engine, names: impl Iterator<Item = &str>) -> Result<Vec<String>, Failure> {
    let mut hosts = BTreeSet::new();
    let mut networks = BTreeSet::new();
    for name in names {
        match Kind::of_name(name) {
            Some(Kind::Host) => drop(hosts.insert(name.to_owned())),
            Some(Kind::NetworkAttachment | Kind::Bond) => hosts.extend(parent_of(name).map(str::to_owned)),
            Some(Kind::Network) => drop(networks.insert(name.to_owned())),
            // Hosts run no network for vNICs, and for what is about them.
            Some(Kind::Cluster | Kind::ClusterNetwork | Kind::VnicProfile | Kind::MacPool | Kind::Vm | Kind::Vnic)
            | None => {}
        }
    }
    if !networks.is_empty() {
        let carries = |host: &wire::Host| {
            host.status.iter().flat_map(|status| &status.networks).any(|sync| networks.contains(&sync.network))
        };
        hosts.extend(engine.hosts().await?.into_iter().filter(carries).map(|host| host.name));
    }
    Ok(hosts.into_iter().collect())
}

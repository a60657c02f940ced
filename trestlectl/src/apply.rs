//! `apply` and `check`: makes the fleet what files say, or tells what that would do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use prost_reflect::DynamicMessage;
use trestle_proto::engine::v1 as wire;
use trestle_proto::schema;

use crate::arguments::{Apply, Check, Waiting};
use crate::context::Context;
use crate::document::{self, Document, Source};
use crate::engine::{Engine, Write, Written, etag_of};
use crate::failure::{Failure, findings_text};
use crate::follow::{Follower, Patience};
use crate::kind::{Kind, id_of, parent_of};
use crate::output;
use crate::preview::{self, Preview};

/// How long hosts may take together unless something else is said.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a single call may take where the timeout is meant for the hosts.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What the engine says of a document that refers to something that is not there.
const OF_MISSING: [&str; 3] = ["NOT_FOUND", "REFERENCE_NOT_FOUND", "NETWORK_NOT_IN_CLUSTER"];

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
    let write = Write { validate_only: false, acknowledge: arguments.writing.acknowledge };
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

/// Asks for the findings of every document, and prints them all.
///
/// Documents are judged one by one: what is only missing because another document brings it is not held against one.
async fn preview(engine: &Engine, documents: &[Document], acknowledge: &[String]) -> Result<(), Failure> {
    let write = Write { validate_only: true, acknowledge: acknowledge.to_vec() };
    let mut preview = Preview::new(acknowledge);
    let mut missing = BTreeSet::new();
    for document in documents {
        let before = engine.get(document.kind, &document.name).await?;
        let mut would = if before.is_some() { "would be written" } else { "would be created" }.to_owned();
        let answer = engine.put(document.kind, &document.resource, &write).await;
        let mut findings = preview::findings(answer.map(|written| written.findings))?;
        let awaited: Vec<_> = needs(document).into_iter().filter(|need| missing.contains(need)).collect();
        if !awaited.is_empty() {
            would.push_str(&format!("; to be checked again with {}", awaited.join(", ")));
            findings.retain(|finding| !OF_MISSING.contains(&finding.code.as_str()));
        }
        if before.is_none() {
            missing.extend(provides(document));
        }
        preview.tell(&document.name, &would, &findings)?;
    }
    preview.conclude()
}

/// Names what has to be there before a document can be judged.
fn needs(document: &Document) -> Vec<String> {
    let network = || format!("networks/{}", id_of(&document.name));
    let mut needs: Vec<String> = parent_of(&document.name).map(str::to_owned).into_iter().collect();
    match document.kind {
        Kind::MacPool | Kind::Network => {}
        Kind::Cluster => {
            let cluster: wire::Cluster = schema::typed(&document.resource);
            needs.extend(cluster.spec.map(|spec| spec.mac_pool).filter(|pool| !pool.is_empty()));
        }
        Kind::VnicProfile => {
            let profile: wire::VnicProfile = schema::typed(&document.resource);
            needs.extend(profile.spec.and_then(|spec| spec.passthrough).map(|passthrough| passthrough.failover));
        }
        Kind::ClusterNetwork => needs.push(network()),
        Kind::NetworkAttachment => needs.extend([network(), format!("{} in its cluster", network())]),
        Kind::Host => {
            let host: wire::Host = schema::typed(&document.resource);
            needs.extend(host.spec.map(|spec| spec.cluster));
        }
        Kind::Vm => {
            let vm: wire::Vm = schema::typed(&document.resource);
            needs.extend(vm.spec.into_iter().flat_map(|spec| [spec.cluster, spec.host]));
        }
        Kind::Vnic => {
            let vnic: wire::Vnic = schema::typed(&document.resource);
            let profile = vnic.spec.map(|spec| spec.profile).unwrap_or_default();
            needs.extend(parent_of(&profile).map(|network| format!("{network} in its cluster")));
            needs.push(profile);
        }
    }
    needs
}

/// Names what a document brings.
fn provides(document: &Document) -> Vec<String> {
    let mut provides = vec![document.name.clone()];
    if document.kind == Kind::ClusterNetwork {
        provides.push(format!("networks/{} in its cluster", id_of(&document.name)));
    }
    provides
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
            Some(Kind::NetworkAttachment) => hosts.extend(parent_of(name).map(str::to_owned)),
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

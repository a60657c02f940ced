//! `get`: shows resources.

mod columns;
mod watch;

use std::collections::BTreeMap;

use prost_reflect::DynamicMessage;
use serde::Serialize;
use tokio::time::timeout;

use crate::arguments::{Format, Get};
use crate::context::Context;
use crate::engine::{Engine, name_of};
use crate::failure::Failure;
use crate::kind::{Kind, parent_of};
use crate::output;
use watch::Watched;

/// A resource as apply takes it.
#[derive(Debug, Serialize)]
struct Document {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    spec: serde_json::Value,
}

/// What was asked for.
enum Found {
    One(DynamicMessage),
    Many(Vec<DynamicMessage>),
}

/// Runs `get`.
///
/// # Errors
/// When the engine is not reached or refuses, or there is no resource of the given name. A watch that the timeout ends is no
/// error.
pub(crate) async fn get(context: &Context, arguments: Get) -> Result<(), Failure> {
    let engine = Engine::connect(context, context.call_timeout()).await?;
    if !arguments.watch {
        return show(&engine, &arguments).await;
    }
    let watched = watched(arguments.kind, arguments.name.as_deref())?;
    let watching = watch::run(&engine, &watched, arguments.output, async || show(&engine, &arguments).await);
    match context.timeout {
        Some(limit) => timeout(limit, watching).await.unwrap_or(Ok(())),
        None => watching.await,
    }
}

async fn show(engine: &Engine, arguments: &Get) -> Result<(), Failure> {
    let kind = arguments.kind;
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let found = match &arguments.name {
        None => Found::Many(all(engine, kind, filter).await?),
        Some(name) => named(engine, kind, name, filter).await?,
    };
    match (arguments.output, found) {
        (Format::Json, Found::One(resource)) => output::json(&resource),
        (Format::Json, Found::Many(resources)) => output::json_array(&resources),
        (format, Found::One(resource)) => print(kind, format, &[resource]),
        (format, Found::Many(resources)) => print(kind, format, &resources),
    }
}

fn watched(kind: Kind, name: Option<&str>) -> Result<Watched, Failure> {
    let nothing = Watched { kind, parent: String::new(), name: None };
    let Some(name) = name else { return Ok(nothing) };
    if kind.parent().is_some_and(|parent| parent.names(name)) {
        return Ok(Watched { parent: name.to_owned(), ..nothing });
    }
    let name = if kind.names(name) { name.to_owned() } else { whole(kind, name)? };
    Ok(Watched { parent: parent_of(&name).unwrap_or_default().to_owned(), name: Some(name), ..nothing })
}

fn print(kind: Kind, format: Format, resources: &[DynamicMessage]) -> Result<(), Failure> {
    match format {
        Format::Table => output::data(columns::text(kind, resources)),
        Format::Json => output::json_array(resources),
        Format::Name => resources.iter().try_for_each(|resource| output::data(name_of(resource))),
        Format::Yaml => {
            let texts = resources.iter().map(|resource| document_text(kind, resource));
            output::data(texts.collect::<Result<Vec<_>, _>>()?.join("\n---\n"))
        }
    }
}

/// Writes a resource as apply takes it, without a line break at its end.
fn document_text(kind: Kind, resource: &DynamicMessage) -> Result<String, Failure> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::File("answer cannot be shown".to_owned(), error);
    let document = document(kind, resource).map_err(|error| failed(error.into()))?;
    let text = serde_saphyr::to_string(&document).map_err(|error| failed(error.into()))?;
    Ok(text.trim_end().to_owned())
}

fn document(kind: Kind, resource: &DynamicMessage) -> Result<Document, serde_json::Error> {
    let mut value = serde_json::to_value(resource)?;
    let mut take = |field: &str| value.get_mut(field).map(serde_json::Value::take);
    let labels = take("labels").map(serde_json::from_value).transpose()?.unwrap_or_default();
    let spec = take("spec").unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()));
    Ok(Document { kind: kind.as_str(), name: name_of(resource).to_owned(), labels, spec })
}

async fn all(engine: &Engine, kind: Kind, filter: &str) -> Result<Vec<DynamicMessage>, Failure> {
    let Some(parent) = kind.parent() else { return engine.list(kind, None, filter).await };
    let mut found = Vec::new();
    for parent in engine.list(parent, None, "").await? {
        found.extend(engine.list(kind, Some(name_of(&parent)), filter).await?);
    }
    Ok(found)
}

/// Takes a whole name, an id where that is enough, or the name of what the resources are parts of.
async fn named(engine: &Engine, kind: Kind, name: &str, filter: &str) -> Result<Found, Failure> {
    if let Some(parent) = kind.parent().filter(|parent| parent.names(name)) {
        // A list in nothing is empty; that nothing is there is worth saying.
        engine.get(parent, name).await?.ok_or_else(|| missing(name))?;
        return Ok(Found::Many(engine.list(kind, Some(name), filter).await?));
    }
    if !filter.is_empty() {
        return Err(Failure::Usage("a filter is for lists, and not for one resource".to_owned()));
    }
    let name = if kind.names(name) { name.to_owned() } else { whole(kind, name)? };
    engine.get(kind, &name).await?.map(Found::One).ok_or_else(|| missing(&name))
}

fn missing(name: &str) -> Failure {
    Failure::Findings(format!("{name}: not found"))
}

/// Makes a whole name of the id of a resource that is no part of another.
pub(crate) fn whole(kind: Kind, id: &str) -> Result<String, Failure> {
    if kind.parent().is_none() && !id.is_empty() && !id.contains('/') {
        return Ok(format!("{}/{id}", kind.collection()));
    }
    Err(Failure::Usage(format!("{id:?} is no name of a {kind}: it has the form {}", kind.pattern())))
}

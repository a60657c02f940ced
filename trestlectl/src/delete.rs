//! `delete`: removes resources, each before those that it refers to.

use crate::apply::{CALL_TIMEOUT, follower, read, touched};
use crate::arguments::Delete;
use crate::context::Context;
use crate::engine::{Engine, Write};
use crate::failure::{Failure, findings_text};
use crate::kind::Kind;
use crate::output;
use crate::preview::{self, Missing};

/// Runs `delete`.
///
/// # Errors
/// When a name or file is malformed, before anything is sent; when the engine refuses, at the first refusal; when hosts
/// fail or take too long.
pub(crate) async fn delete(context: &Context, arguments: Delete) -> Result<(), Failure> {
    let targets = targets(&arguments)?;
    let engine = Engine::connect(context, CALL_TIMEOUT).await?;
    if arguments.writing.dry_run {
        let removals = targets.iter().map(|(_, name)| preview::delete(name)).collect();
        let missing = if arguments.ignore_missing { Missing::PassedOver } else { Missing::Refused };
        return preview::preview(&engine, removals, &arguments.writing.acknowledge, missing).await;
    }
    let follower = follower(context, &engine, &arguments.waiting).await?;
    let touched = touched(&engine, targets.iter().map(|(_, name)| name.as_str())).await?;
    let write = Write { acknowledge: arguments.writing.acknowledge };
    for (kind, name) in &targets {
        match engine.delete(*kind, name, &write).await? {
            Some(written) => {
                output::data(format_args!("{name} removed"))?;
                output::notes(&findings_text(&written.findings));
            }
            None if arguments.ignore_missing => output::data(format_args!("{name} is not there"))?,
            None => return Err(Failure::Findings(format!("{name}: not found"))),
        }
    }
    let Some(follower) = follower else { return Ok(()) };
    let removed = |host: &String| targets.iter().any(|(_, name)| name == host);
    follower.settled(touched.into_iter().filter(|host| !removed(host)).collect(), Vec::new()).await
}

fn targets(arguments: &Delete) -> Result<Vec<(Kind, String)>, Failure> {
    let mut targets = Vec::new();
    for name in &arguments.names {
        let kind = Kind::of_name(name).ok_or_else(|| {
            let patterns = Kind::ALL.map(Kind::pattern).join(", ");
            Failure::Usage(format!("{name:?} is no name of a resource: it has one of the forms {patterns}"))
        })?;
        targets.push((kind, name.clone()));
    }
    if !arguments.file.is_empty() {
        targets.extend(read(&arguments.file)?.into_iter().map(|document| (document.kind, document.name)));
    }
    targets.sort_by(|a, b| b.cmp(a));
    targets.dedup();
    Ok(targets)
}

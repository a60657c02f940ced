//! `delete`: removes resources, each before those that it refers to.

use trestle_proto::finding::v1::Finding;

use crate::apply::{CALL_TIMEOUT, follower, read, touched};
use crate::arguments::Delete;
use crate::context::Context;
use crate::engine::{Engine, Write};
use crate::failure::{Failure, findings_text};
use crate::kind::Kind;
use crate::output;
use crate::preview::{self, Preview};

/// Runs `delete`.
///
/// # Errors
/// When a name or file is malformed, before anything is sent; when the engine refuses, at the first refusal; when hosts
/// fail or take too long.
pub(crate) async fn delete(context: &Context, arguments: Delete) -> Result<(), Failure> {
    let targets = targets(&arguments)?;
    let engine = Engine::connect(context, CALL_TIMEOUT).await?;
    if arguments.writing.dry_run {
        return preview(&engine, &targets, &arguments).await;
    }
    let follower = follower(context, &engine, &arguments.waiting).await?;
    let touched = touched(&engine, targets.iter().map(|(_, name)| name.as_str())).await?;
    let write = Write { validate_only: false, acknowledge: arguments.writing.acknowledge };
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

/// Asks for the findings of every removal, and prints them all.
async fn preview(engine: &Engine, targets: &[(Kind, String)], arguments: &Delete) -> Result<(), Failure> {
    let acknowledge = &arguments.writing.acknowledge;
    let write = Write { validate_only: true, acknowledge: acknowledge.clone() };
    let mut preview = Preview::new(acknowledge);
    for (kind, name) in targets {
        let answer = match engine.delete(*kind, name, &write).await {
            Ok(None) if arguments.ignore_missing => {
                output::data(format_args!("{name} is not there"))?;
                continue;
            }
            Ok(None) => {
                preview.refuse(name, "is not there")?;
                continue;
            }
            Ok(Some(written)) => Ok(written.findings),
            Err(failure) => Err(failure),
        };
        let findings = preview::findings(answer)?;
        if preview.refuses(&findings) && goes_first(&findings, targets) {
            output::data(format_args!("{name} would be removed, after those that use it"))?;
        } else {
            preview.tell(name, "would be removed", &findings)?;
        }
    }
    preview.conclude()
}

/// Tells whether all that is in the way of a removal is removed with it.
fn goes_first(findings: &[Finding], targets: &[(Kind, String)]) -> bool {
    let is_target = |name: &String| targets.iter().any(|(_, target)| target == name);
    findings.iter().all(|finding| !finding.related.is_empty() && finding.related.iter().all(is_target))
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

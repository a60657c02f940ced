//! `placement`: shows where a virtual machine could be, and what is in the way elsewhere.

use trestle_proto::engine::v1::{ListPlacementsRequest, Placement as Placed, VnicSpec};
use trestle_proto::schema;

use crate::arguments::{Placement, ReportFormat};
use crate::context::Context;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::get::whole;
use crate::kind::{Kind, id_of};
use crate::output::{self, or_dash};

/// Runs `placement`.
///
/// # Errors
/// When the engine is not reached or refuses, or there is nothing of a given name.
pub(crate) async fn placement(context: &Context, arguments: Placement) -> Result<(), Failure> {
    let named = |kind: Kind, name: Option<String>| match name {
        Some(name) if kind.names(&name) => Ok(name),
        Some(id) => whole(kind, &id),
        None => Ok(String::new()),
    };
    let hosts = arguments.hosts.into_iter().map(|host| named(Kind::Host, Some(host)));
    let asked = ListPlacementsRequest {
        vm: named(Kind::Vm, arguments.vm)?,
        cluster: named(Kind::Cluster, arguments.cluster)?,
        vnics: arguments.profile.into_iter().map(|profile| VnicSpec { profile, ..Default::default() }).collect(),
        hosts: hosts.collect::<Result<_, _>>()?,
        filter: arguments.filter,
        ..Default::default()
    };
    let engine = Engine::connect(context, context.call_timeout()).await?;
    let found = engine.placements(asked).await?;
    match arguments.output {
        ReportFormat::Json => {
            let dynamic = |one| schema::dynamic("trestle.engine.v1.Placement", one);
            output::json_array(&found.iter().map(dynamic).collect::<Vec<_>>())
        }
        ReportFormat::Table => output::table(["HOST", "VERDICT", "REASONS"], found.into_iter().map(row)),
    }
}

fn row(placed: Placed) -> [String; 3] {
    let verdict = if placed.eligible { "eligible" } else { "not eligible" };
    let reasons: Vec<_> =
        placed.findings.iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect();
    [id_of(&placed.host).to_owned(), verdict.to_owned(), or_dash(reasons.join("; "))]
}

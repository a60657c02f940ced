//! `unmanaged`: shows the interfaces of guests that are no vNIC's.

use trestle_proto::engine::v1::UnmanagedInterface;
use trestle_proto::schema;

use crate::arguments::{ReportFormat, Unmanaged};
use crate::context::Context;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::get::whole;
use crate::host::domain;
use crate::kind::{Kind, id_of};
use crate::output::{self, or_dash};

/// Runs `unmanaged`.
///
/// # Errors
/// When the engine is not reached or refuses, or there is no host of the given name.
pub(crate) async fn unmanaged(context: &Context, arguments: Unmanaged) -> Result<(), Failure> {
    let parent = match &arguments.host {
        Some(name) if Kind::Host.names(name) => name.clone(),
        Some(id) => whole(Kind::Host, id)?,
        None => String::new(),
    };
    let engine = Engine::connect(context, context.call_timeout()).await?;
    let found = engine.unmanaged(&parent, &arguments.filter).await?;
    match arguments.output {
        ReportFormat::Json => {
            let dynamic = |one| schema::dynamic("trestle.engine.v1.UnmanagedInterface", one);
            output::json_array(&found.iter().map(dynamic).collect::<Vec<_>>())
        }
        ReportFormat::Table => {
            let heads = ["HOST", "DOMAIN", "STATE", "MAC", "WIRED TO", "FILTER", "BREAKS"];
            output::table(heads, found.into_iter().map(row))
        }
    }
}

fn row(unmanaged: UnmanagedInterface) -> [String; 7] {
    let seen = unmanaged.seen.unwrap_or_default();
    let state = domain::state(seen.state()).to_owned();
    let interface = seen.interface.unwrap_or_default();
    let place = domain::place(&interface);
    let codes: Vec<_> = unmanaged.violations.into_iter().map(|finding| finding.code).collect();
    let filter = interface.filter.unwrap_or_default().name;
    [id_of(&seen.host).to_owned(), seen.domain, state, interface.mac, place, or_dash(filter), or_dash(codes.join(", "))]
}

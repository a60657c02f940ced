//! The command line of Trestle: it applies files, shows what is, follows what changes, and makes certificates.
//!
//! It talks to the engine, or to one host's agent, by their public gRPC services and by nothing else. Rules live in the
//! engine: this crate reads files by the wire's own schema, sends them, and prints the answers.

pub mod arguments;
pub mod context;
pub mod document;
pub mod engine;
pub mod failure;
pub mod follow;
pub mod kind;
pub mod output;
pub mod progress;

mod apply;
mod copy;
mod delete;
mod events;
mod get;
mod host;
mod operations;
mod pki;
mod placement;
mod preview;
mod status;
mod unmanaged;

use arguments::Command;
use clap::CommandFactory as _;
use context::Context;
use failure::Failure;
use jiff::Timestamp;

/// Runs a command at the time `now`, from which certificates and periods count.
///
/// *Cancel safety*: dropped, it leaves a change that the engine or an agent has taken to run its course.
///
/// # Errors
/// When the command did not do its work; nothing of the failure is printed yet.
pub async fn run(command: Command, context: &Context, now: Timestamp) -> Result<(), Failure> {
    match command {
        Command::Apply(arguments) => Box::pin(apply::apply(context, arguments)).await,
        Command::Check(arguments) => Box::pin(apply::check(context, arguments)).await,
        Command::Copy(arguments) => Box::pin(copy::copy(context, arguments)).await,
        Command::Delete(arguments) => Box::pin(delete::delete(context, arguments)).await,
        Command::Get(arguments) => Box::pin(get::get(context, arguments)).await,
        Command::Status(arguments) => Box::pin(status::status(context, arguments)).await,
        Command::Unmanaged(arguments) => Box::pin(unmanaged::unmanaged(context, arguments)).await,
        Command::Placement(arguments) => Box::pin(placement::placement(context, arguments)).await,
        Command::Operations(arguments) => Box::pin(operations::operations(context, arguments)).await,
        Command::Events(arguments) => Box::pin(events::events(context, arguments, now)).await,
        Command::Host(command) => Box::pin(host::run(context, command)).await,
        Command::Pki(command) => pki::run(command, now),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut arguments::Arguments::command(), "trestlectl", &mut script);
            output::data(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

impl Command {
    /// Returns the command's name, for its span.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Apply(_) => "trestlectl apply",
            Self::Check(_) => "trestlectl check",
            Self::Copy(_) => "trestlectl copy",
            Self::Delete(_) => "trestlectl delete",
            Self::Get(_) => "trestlectl get",
            Self::Status(_) => "trestlectl status",
            Self::Unmanaged(_) => "trestlectl unmanaged",
            Self::Placement(_) => "trestlectl placement",
            Self::Operations(_) => "trestlectl operations",
            Self::Events(_) => "trestlectl events",
            Self::Host(_) => "trestlectl host",
            Self::Pki(_) => "trestlectl pki",
            Self::Completion { .. } => "trestlectl completion",
        }
    }
}

//! The grammar of `events`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::duration;

/// Options of events.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Events {
    /// One event instead of many.
    #[command(subcommand)]
    pub one: Option<EventsCommand>,
    /// Only what changed this resource or one below it, e.g. networks/blue or hosts
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// Only what this actor asked for, as the table spells it
    #[arg(long, value_name = "ACTOR")]
    pub actor: Option<String>,
    /// Only with this code among the findings that were acknowledged or told
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only what is no older
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,
    /// At most so many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 50, conflicts_with = "follow")]
    pub limit: usize,
    /// Go on with what comes, until Ctrl-C or the timeout
    #[arg(long)]
    pub follow: bool,
    /// How they are printed
    #[arg(short, long, value_enum, default_value_t = EventFormat::Table)]
    pub output: EventFormat,
}

/// What there is beside the list.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show one event: what was before, and what after
    Show(EventsShow),
}

/// Options of events show.
#[derive(Debug, Args)]
pub struct EventsShow {
    /// Its revision, e.g. 41 or events/41
    #[arg(value_name = "REVISION")]
    pub revision: String,
    /// How it is printed; a table is the difference
    #[arg(short, long, value_enum, default_value_t = EventFormat::Table)]
    pub output: EventFormat,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// For people.
    Table,
    /// ProtoJSON.
    Json,
    /// YAML with the fields of the ProtoJSON.
    Yaml,
}

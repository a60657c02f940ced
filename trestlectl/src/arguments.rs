//! The command line's grammar.

mod events;
mod host;
mod pki;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::events::{EventFormat, Events, EventsCommand, EventsShow};
pub use self::host::{
    Adopt, Agent, Capabilities, Change, Confirmation, History, HostCommand, Linked, List, ListFormat, Macs, Plug,
    Setup, Statistics, Unplug, Watch, WatchedKind, Whole,
};
pub use self::pki::{Holder, Issue, PkiCommand, PkiInit, PkiIssue};
use crate::failure::EXIT_CODES;
use crate::kind::Kind;

/// Manages the host networking of a fleet of virtualization hosts.
#[derive(Debug, Parser)]
#[command(name = "trestlectl", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Arguments {
    /// How the engine is reached.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Global {
    /// The engine: https://HOST:PORT, http://LOOPBACK:PORT or unix:/PATH [default: http://127.0.0.1:7443]
    #[arg(long, global = true, env = "TRESTLE_SERVER", value_name = "TARGET")]
    pub server: Option<String>,
    /// Certificates of the CA, PEM
    #[arg(long, global = true, env = "TRESTLE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Own certificate, PEM
    #[arg(long, global = true, env = "TRESTLE_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Own private key, PEM
    #[arg(long, global = true, env = "TRESTLE_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// TOML file with server, ca, cert, key and otlp [default: ~/.config/trestle/ctl.toml where it is there]
    #[arg(long, global = true, env = "TRESTLE_CONTEXT", value_name = "FILE")]
    pub context: Option<PathBuf>,
    /// How long it may take: for apply, copy and delete the hosts together (5m), for host setup the host's wait for its
    /// confirmation (30s), for what watches or follows the whole (for ever), for anything else each call (30s)
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// OTLP gRPC collector for the command's trace, e.g. http://127.0.0.1:4317
    #[arg(long, global = true, env = "TRESTLE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the fleet what files say
    Apply(Apply),
    /// Tell what the engine's rules say of files, without a change
    Check(Check),
    /// Give a host the bonds, labels and networks of another
    Copy(Copy),
    /// Remove resources
    Delete(Delete),
    /// Show resources
    Get(Get),
    /// Show how hosts are: connected, in sync, and what differs
    Status(Status),
    /// Show the interfaces of guests that are no vNIC's, as hosts report them, and what they break
    Unmanaged(Unmanaged),
    /// Show which hosts a virtual machine could be on, as far as its vNICs are concerned, and why not on the others
    Placement(Placement),
    /// Show what hosts were told to do, what is under way, and what became of the rest
    Operations(Operations),
    /// Show who changed what
    Events(Events),
    /// Talk to one host's agent, without the engine
    #[command(subcommand)]
    Host(HostCommand),
    /// Make certificates for an installation
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Print a completion script
    Completion {
        /// The shell that it is for
        shell: Shell,
    },
}

/// Which files.
#[derive(Debug, Args)]
pub struct Files {
    /// A YAML file, a folder of them, or - for standard input; may be repeated
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE")]
    pub file: Vec<PathBuf>,
}

/// Whether a command waits for hosts.
#[derive(Clone, Debug, Args)]
pub struct Waiting {
    /// Wait until the touched hosts are in sync; the default
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return once the engine has taken the change
    #[arg(long)]
    pub no_wait: bool,
    /// Also wait for hosts that are not connected
    #[arg(long)]
    pub require_all: bool,
}

/// Options of writes.
#[derive(Clone, Debug, Args)]
pub struct Writing {
    /// Only tell what would happen, with all findings
    #[arg(long)]
    pub dry_run: bool,
    /// A warning that does not stop the change, by its code; may be repeated
    #[arg(long, value_name = "CODE")]
    pub acknowledge: Vec<String>,
}

/// Options of apply.
#[derive(Debug, Args)]
pub struct Apply {
    /// Which files.
    #[command(flatten)]
    pub files: Files,
    /// How it writes.
    #[command(flatten)]
    pub writing: Writing,
    /// How it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Options of check.
#[derive(Debug, Args)]
pub struct Check {
    /// Which files.
    #[command(flatten)]
    pub files: Files,
    /// A warning that does not count, by its code; may be repeated
    #[arg(long, value_name = "CODE")]
    pub acknowledge: Vec<String>,
}

/// Options of copy.
#[derive(Debug, Args)]
pub struct Copy {
    /// The host to copy, e.g. hosts/host-a or just host-a
    pub source: String,
    /// The host that gets it
    pub target: String,
    /// The target's NIC or bond for one of the source; may be repeated [default: that of the same name]
    #[arg(long, value_name = "SOURCE=TARGET")]
    pub device: Vec<String>,
    /// An address of the target, needed where the source has static ones; may be repeated
    #[arg(long, value_name = "NETWORK=ADDRESS/PREFIX[@GATEWAY]|NETWORK=dhcp")]
    pub address: Vec<String>,
    /// Remove bonds, labels and networks of the target that the source does not have
    #[arg(long)]
    pub remove_others: bool,
    /// How it writes.
    #[command(flatten)]
    pub writing: Writing,
    /// How it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Options of delete.
#[derive(Debug, Args)]
pub struct Delete {
    /// Names, e.g. networks/blue
    #[arg(required_unless_present = "file", conflicts_with = "file", value_name = "NAME")]
    pub names: Vec<String>,
    /// Remove what a YAML file, a folder of them, or - for standard input names; may be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Pass over resources that are not there
    #[arg(long)]
    pub ignore_missing: bool,
    /// How it writes.
    #[command(flatten)]
    pub writing: Writing,
    /// How it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Options of get.
#[derive(Debug, Args)]
pub struct Get {
    /// macpools, clusters, networks, clusternetworks, vnicprofiles, hosts, bonds, networkattachments, vms or vnics
    #[arg(value_name = "KIND", value_parser = str::parse::<Kind>)]
    pub kind: Kind,
    /// A name, e.g. networks/blue or just blue; or, for what is part of something, the name of that
    pub name: Option<String>,
    /// How it is printed: json is ProtoJSON, yaml is what apply takes
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Go on with each that changes, until Ctrl-C or the timeout; as json, all that the engine's watch tells
    #[arg(long)]
    pub watch: bool,
    /// Only what meets a condition, e.g. 'spec.mtu > 1500 AND labels.rack = a1' (docs/filters.md)
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "watch")]
    pub filter: Option<String>,
}

/// How resources are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// ProtoJSON: an object for one name, else an array.
    Json,
    /// Documents that apply takes.
    Yaml,
    /// Names, one a line.
    Name,
}

/// How reports are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Table,
    /// ProtoJSON.
    Json,
}

/// Options of status.
#[derive(Debug, Args)]
pub struct Status {
    /// A host, e.g. hosts/host-a or just host-a; all without one
    pub host: Option<String>,
    /// Go on with every change, until Ctrl-C or the timeout
    #[arg(long, conflicts_with = "output")]
    pub watch: bool,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of unmanaged.
#[derive(Debug, Args)]
pub struct Unmanaged {
    /// A host, e.g. hosts/host-a or just host-a; all without one
    pub host: Option<String>,
    /// Only what meets a condition, e.g. 'violations.code = MAC_SPOOF_CONFLICT' (docs/filters.md)
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of operations.
#[derive(Debug, Args)]
pub struct Operations {
    /// A host, e.g. hosts/host-a or just host-a; all without one
    pub host: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: usize,
    /// Only what meets a condition, e.g. 'state = OPERATION_STATE_FAILED' (docs/filters.md)
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of placement.
#[derive(Debug, Args)]
pub struct Placement {
    /// The virtual machine, e.g. vms/UUID or just the UUID; without one, a new one of --cluster
    #[arg(required_unless_present = "cluster")]
    pub vm: Option<String>,
    /// The cluster of one that does not exist yet, e.g. clusters/lab or just lab
    #[arg(long, conflicts_with = "vm")]
    pub cluster: Option<String>,
    /// The profile of a vNIC of one that does not exist yet, networks/NETWORK/vnicProfiles/PROFILE; may be repeated
    #[arg(long, requires = "cluster", value_name = "PROFILE")]
    pub profile: Vec<String>,
    /// A host to look at, e.g. hosts/host-a or just host-a; may be repeated; all of the cluster without one
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Only what meets a condition, e.g. 'eligible = true' (docs/filters.md)
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "a duration is expected, such as 30s, 5m or 1h30m".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) | Err(_) => Err("a duration above zero is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_have_units_and_are_above_zero() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for text in ["", "30", "0s", "-5s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

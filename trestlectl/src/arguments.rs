//! The command line's grammar.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

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
    /// How long it may take: for apply and delete the hosts together (5m), for host setup the host's wait for its
    /// confirmation (30s), for anything else each call (30s)
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
    /// Remove resources
    Delete(Delete),
    /// Show resources
    Get(Get),
    /// Show how hosts are: connected, in sync, and what differs
    Status(Status),
    /// Show the interfaces of guests that are no vNIC's, as hosts report them, and what they break
    Unmanaged(Unmanaged),
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
    /// clusters, networks, clusternetworks, vnicprofiles, hosts or networkattachments
    #[arg(value_name = "KIND", value_parser = str::parse::<Kind>)]
    pub kind: Kind,
    /// A name, e.g. networks/blue or just blue; or, for what is part of something, the name of that
    pub name: Option<String>,
    /// How it is printed: json is ProtoJSON, yaml is what apply takes
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
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
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Where an agent is.
#[derive(Clone, Debug, Args)]
pub struct Agent {
    /// The agent: unix:/PATH, https://HOST:PORT or http://LOOPBACK:PORT
    #[arg(long, env = "TRESTLE_AGENT", default_value = "unix:/run/trestle/host-agent.sock", value_name = "TARGET")]
    pub agent: String,
}

/// Commands to one host's agent.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Change the host's networks in one transaction
    Setup(Setup),
    /// Show the host's networks: who asked for them, and whether a reboot keeps them
    List(List),
    /// Make a bridge of somebody else's, as it is, the bridge of a network
    Adopt(Adopt),
    /// Go back to the persistent configuration, without a reboot
    Restore(Whole),
    /// Remove every network of Trestle's
    Clear(Whole),
    /// Plug a network interface into a domain, or make one that is there what it is to be
    Plug(Plug),
    /// Unplug network interfaces from a domain
    Unplug(Unplug),
    /// Show what the host is and can do
    Capabilities(Capabilities),
    /// Show the MAC tables of bridges that libvirt manages: which guest is found where, and what ports learn and flood
    Macs(Macs),
    /// Show what the host's devices have counted
    Statistics(Statistics),
    /// Show what the host is, and then what changes, until it is interrupted
    Watch(Watch),
    /// Make the running configuration the one that is restored at boot
    Commit(Agent),
    /// Confirm that the host is still reached after a change
    Confirm {
        /// The transaction's id
        transaction: String,
        /// Where the agent is.
        #[command(flatten)]
        agent: Agent,
    },
    /// Show the transactions that ended, newest first
    History(History),
}

/// Options of host history.
#[derive(Debug, Args)]
pub struct History {
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How many to show at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of host setup.
#[derive(Debug, Args)]
pub struct Setup {
    /// A YAML file with networks, or - for standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: PathBuf,
    /// Also remove every network that the file does not name
    #[arg(long)]
    pub remove_others: bool,
    /// A device of somebody else's that may become Trestle's, by name; may be repeated
    #[arg(long, value_name = "DEVICE")]
    pub adopt: Vec<String>,
    /// How the host is changed.
    #[command(flatten)]
    pub change: Change,
}

/// How a host is changed.
#[derive(Debug, Args)]
pub struct Change {
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// Whether the change has to be confirmed: confirm does it over a new connection
    #[arg(long, value_enum, default_value_t = Confirmation::Confirm)]
    pub check: Confirmation,
    /// Also make the result persistent
    #[arg(long)]
    pub commit: bool,
    /// How it writes.
    #[command(flatten)]
    pub writing: Writing,
}

/// Options of host list.
#[derive(Debug, Args)]
pub struct List {
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
}

/// How the list of a host's networks is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people.
    Table,
    /// A file that host setup takes.
    Yaml,
}

/// Options of host adopt.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The bridge
    pub bridge: String,
    /// The network's name [default: the bridge's]
    #[arg(long = "as", value_name = "NETWORK")]
    pub network: Option<String>,
    /// The port that is the way out, where there are several that could be
    #[arg(long, value_name = "DEVICE")]
    pub uplink: Option<String>,
    /// Carry the plan out without asking
    #[arg(long)]
    pub yes: bool,
    /// How the host is changed.
    #[command(flatten)]
    pub change: Change,
}

/// Options of what changes a host as a whole.
#[derive(Debug, Args)]
pub struct Whole {
    /// Carry the plan out without asking
    #[arg(long)]
    pub yes: bool,
    /// How the host is changed.
    #[command(flatten)]
    pub change: Change,
}

/// Whether a change of a host has to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Confirmation {
    /// By this command, over a new connection.
    Confirm,
    /// Not at all.
    None,
}

/// Options of host plug: the interface is to be exactly so, and what is not given has its default.
#[derive(Debug, Args)]
pub struct Plug {
    /// The domain: its name or UUID
    pub domain: String,
    /// The interface's MAC
    pub mac: String,
    /// A network of the host, else one of libvirt's
    pub network: String,
    /// The device that the guest sees [default: virtio]
    #[arg(long)]
    pub model: Option<String>,
    /// MTU in bytes [default: the network's]
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// Whether the cable is in
    #[arg(long, value_enum, default_value_t = Linked::Up)]
    pub link: Linked,
    /// Isolate the port from other isolated ones
    #[arg(long)]
    pub isolated: bool,
    /// A filter of libvirt's; no-mac-spoofing is defined where it lacks [default: none]
    #[arg(long, value_name = "NAME")]
    pub filter: Option<String>,
    /// A parameter of the filter; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,
    /// Unplug it from a running guest and plug it again, where it cannot be changed in place
    #[arg(long)]
    pub replug: bool,
    /// Only tell what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Whether an interface's cable is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Linked {
    /// It is.
    Up,
    /// It is not.
    Down,
}

/// Options of host unplug.
#[derive(Debug, Args)]
pub struct Unplug {
    /// The domain: its name or UUID
    pub domain: String,
    /// The interfaces' MACs
    #[arg(value_name = "MAC", required = true)]
    pub macs: Vec<String>,
    /// Only tell what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of host capabilities.
#[derive(Debug, Args)]
pub struct Capabilities {
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// Only these parts, e.g. networks,features
    #[arg(long, value_delimiter = ',', value_name = "FIELD")]
    pub fields: Vec<String>,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of host macs.
#[derive(Debug, Args)]
pub struct Macs {
    /// Bridges [default: all that libvirt manages]
    #[arg(value_name = "BRIDGE")]
    pub bridges: Vec<String>,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How it is printed: tables, or the networks of these bridges as in the capabilities
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of host statistics.
#[derive(Debug, Args)]
pub struct Statistics {
    /// Devices [default: all]
    #[arg(value_name = "DEVICE")]
    pub names: Vec<String>,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// Options of host watch.
#[derive(Debug, Args)]
pub struct Watch {
    /// Only objects of these kinds
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub kinds: Vec<WatchedKind>,
    /// Go on after this token of an earlier watch instead of showing all there is
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    pub resume: String,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: Agent,
    /// How it is printed: a line for people, or a line of JSON, for each piece of news
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// A kind of object that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WatchedKind {
    /// The host itself: generation, dirty, libvirt
    Host,
    /// Networks, with drift
    Network,
    /// NICs
    Nic,
    /// Bridges
    Bridge,
    /// Bonds, with their ports
    Bond,
    /// VLAN devices
    Vlan,
    /// Ports of bridges, and the guests behind them
    Port,
    /// Managed MAC tables
    MacTable,
    /// Domains of libvirt, with their interfaces
    Domain,
    /// Transactions
    Transaction,
}

/// Commands that make certificates.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make a certificate authority: ca.crt and ca.key
    Init(PkiInit),
    /// Issue a certificate and its key: NAME.crt and NAME.key, beside ca.crt
    Issue(PkiIssue),
}

/// Options of pki init.
#[derive(Debug, Args)]
pub struct PkiInit {
    /// Where the authority lives
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The installation's name: lower-case letters, digits, '.', '-' and '_'
    #[arg(long, value_name = "NAME")]
    pub trust_domain: String,
    /// How long it is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// Options of pki issue.
#[derive(Debug, Args)]
pub struct PkiIssue {
    /// For whom
    #[command(subcommand)]
    pub holder: Holder,
}

/// For whom a certificate is.
#[derive(Debug, Subcommand)]
pub enum Holder {
    /// For the engine: engine.crt and engine.key
    Engine(Issue),
    /// For a host's agent
    Host {
        /// The host's id, as in hosts/ID
        name: String,
        /// The rest.
        #[command(flatten)]
        issue: Issue,
    },
    /// For a person or program that calls the engine
    User {
        /// The user's name
        name: String,
        /// The rest.
        #[command(flatten)]
        issue: Issue,
    },
}

/// How a certificate is issued.
#[derive(Clone, Debug, Args)]
pub struct Issue {
    /// Where the authority lives
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the files go [default: the authority's folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// A DNS name of the holder's, for clients that look at it; may be repeated
    #[arg(long, value_name = "NAME")]
    pub dns: Vec<String>,
    /// An address of the holder's, for clients that look at it; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Vec<IpAddr>,
    /// How long it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
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

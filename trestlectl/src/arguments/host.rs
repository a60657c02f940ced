//! The grammar of commands to one host's agent.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ReportFormat, Writing};

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
    /// Change the host's networks, bonds and NICs in one transaction
    Setup(Setup),
    /// Show the host's networks, bonds and set NICs: who asked for them, and whether a reboot keeps them
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
    /// A YAML file with networks, bonds and nics, or - for standard input
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
    /// What may go to the guest, in kB/s, kB/s and KiB; only the average is needed [default: not limited]
    #[arg(long, value_name = "AVERAGE[,PEAK[,BURST]]")]
    pub inbound: Option<String>,
    /// What the guest may send, in the same form [default: not limited]
    #[arg(long, value_name = "AVERAGE[,PEAK[,BURST]]")]
    pub outbound: Option<String>,
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
    /// Bridges [default: all that libvirt manages, and others of which there is something to tell]
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

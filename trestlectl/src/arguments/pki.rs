//! The grammar of commands that make certificates.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

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

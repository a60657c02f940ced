//! Measures the host agent against floors that are measured in the same run, and prints the ratios with their goals.
//!
//! `host-benchmark [--networks 100,300,1000] [--rounds 5] [--shape bridges|cables|vlans]
//! [--parts floor,agent,libvirt,peer] [--agent PROGRAM] [--strict]`: the release build of the agent, driven over its
//! socket, on the real kernel in a network namespace of its own. Each measurement is a process of its own in a new
//! namespace, begun when the kernel has cleared the last one away: a namespace that goes holds the lock that every change
//! needs. libvirtd and nmstatectl are measured where they are installed. Medians over the rounds. The end is a failure
//! where an answer was wrong, and with `--strict` also where a goal is missed.

mod agent;
mod floor;
mod libvirt;
mod measure;
mod peer;
mod scene;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::measure::Measured;
use crate::scene::{Scene, Shape};

/// What the command line says.
struct Arguments {
    networks: Vec<usize>,
    rounds: usize,
    shape: Shape,
    agent: PathBuf,
    strict: bool,
    /// The parts to measure; all unless told otherwise.
    parts: Vec<Part>,
    /// The one part that this process is to measure, in a namespace that it makes; none for the whole run.
    part: Option<Part>,
}

/// A part of the run that has a namespace of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Floor,
    Agent,
    Libvirt,
    Peer,
}

impl Part {
    const ALL: [Self; 4] = [Self::Floor, Self::Agent, Self::Libvirt, Self::Peer];

    const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Agent => "agent",
            Self::Libvirt => "libvirt",
            Self::Peer => "peer",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|part| part.name() == name) {
            Some(part) => Ok(part),
            None => bail!("{name} is no part: floor, agent, libvirt or peer"),
        }
    }

    /// Returns what keeps a part from being measured here.
    fn hindrance(self) -> Option<&'static str> {
        match self {
            Self::Floor | Self::Agent => None,
            Self::Libvirt => (!libvirt::is_installed()).then_some("libvirtd is not installed"),
            Self::Peer => (!peer::is_installed()).then_some("nmstatectl is not on the path"),
        }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::read()?;
    match arguments.part {
        Some(part) => alone(&arguments, part).map(|()| ExitCode::SUCCESS),
        None => whole(&arguments),
    }
}

/// Measures one part in a new namespace, and prints what was measured as JSON.
fn alone(arguments: &Arguments, part: Part) -> Result<()> {
    // Before any other thread is there: a namespace is a thread's own.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).context("no network namespace: are we root?")?;
    let count = *arguments.networks.first().context("no number of networks")?;
    let scene = Scene { shape: arguments.shape, count };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        match part {
            Part::Floor => Box::pin(floor::measure(&scene)).await,
            Part::Agent => Box::pin(agent::measure(&scene, &arguments.agent)).await,
            Part::Libvirt => Box::pin(libvirt::measure(&scene)).await,
            Part::Peer => Box::pin(peer::measure(&scene)).await,
        }
    })?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn whole(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.agent.exists(), "{} is not built: cargo build --release", arguments.agent.display());
    let asked = arguments.parts.iter().copied();
    let (parts, absent): (Vec<_>, Vec<_>) = asked.partition(|part| part.hindrance().is_none());
    for part in absent {
        println!("{}: not measured, {}", part.name(), part.hindrance().unwrap_or_default());
    }
    let mut held = true;
    for count in &arguments.networks {
        let mut rounds = Vec::new();
        for round in 1..=arguments.rounds {
            eprintln!("{count} networks ({}), round {round} of {}", arguments.shape.name(), arguments.rounds);
            let mut measured = Measured::new();
            for part in &parts {
                measured.extend(apart(arguments, *count, *part)?);
            }
            rounds.push(measured);
        }
        held &= table::print(arguments.shape, *count, &rounds);
    }
    Ok(if held || !arguments.strict { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures one part in a process of its own.
fn apart(arguments: &Arguments, count: usize, part: Part) -> Result<Measured> {
    let word = part.name();
    let output = Command::new(std::env::current_exe()?)
        .args(["--part", word, "--shape", arguments.shape.name(), "--networks", &count.to_string(), "--agent"])
        .arg(&arguments.agent)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{word} was not measured");
    serde_json::from_slice(&output.stdout).context("measurements do not parse")
}

impl Arguments {
    fn read() -> Result<Self> {
        let beside = std::env::current_exe()?.with_file_name("host-agent");
        let mut read = Self {
            networks: vec![100, 300, 1000],
            rounds: 5,
            shape: Shape::Bridges,
            agent: beside,
            strict: false,
            parts: Part::ALL.into(),
            part: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} takes a value"));
            match word.as_str() {
                "--networks" => {
                    read.networks = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                "--rounds" => read.rounds = value()?.parse()?,
                "--shape" => read.shape = Shape::parse(&value()?)?,
                "--agent" => read.agent = value()?.into(),
                "--strict" => read.strict = true,
                "--parts" => read.parts = value()?.split(',').map(Part::parse).collect::<Result<_, _>>()?,
                "--part" => read.part = Some(Part::parse(&value()?)?),
                other => bail!("{other} is not understood; the file's first lines say how this is called"),
            }
        }
        Ok(read)
    }
}

//! Measures what a managed MAC table saves and what keeping it costs, beside the same network unmanaged in the same run.
//!
//! `mac-table-benchmark [--ports 10,50,200] [--phase SECONDS] [--rest SECONDS] [--agent PROGRAM] CLOCK`, in a machine of the
//! lab with a wire as its second card, and with somebody at the address CLOCK who tells what its processors cost: it loads
//! modules, makes devices, and sends on `wire1`, the far end of `eth1`'s cable, in the network namespace `peer`. Each measurement is told as soon as it is made on standard error, the table on standard output.
//! `docs/benchmarks.md` says what each row means and what stands for what.

mod agent;
mod frames;
mod generator;
mod guard;
mod guests;
mod processor;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::agent::Agent;
use crate::guests::Guests;
use crate::processor::Processors;
use crate::table::Measured;

/// What the command line says.
struct Arguments {
    /// How many guests there are, one run for each.
    ports: Vec<usize>,
    phase: Duration,
    rest: Duration,
    agent: PathBuf,
    clock: String,
}

/// How is measured, and how long.
struct Bench {
    /// Frames are sent until they cost as much, and at most about twice as much.
    phase: Duration,
    /// How long the machine is watched at rest.
    rest: Duration,
    processors: Processors,
}

/// Who manages the MAC table of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    /// The kernel: ports learn and flood.
    Kernel,
    /// libvirt and Trestle.
    Libvirt,
}

/// What the network's bridge has as its uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uplink {
    /// A virtual cable: what is sent at its far end comes to the bridge, whatever its MAC.
    Cable,
    /// A virtio card, which filters what comes unless it is promiscuous.
    Card,
}

impl Uplink {
    const fn device(self) -> &'static str {
        match self {
            Self::Cable => "up0",
            Self::Card => "eth1",
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { ports, phase, rest, agent, clock } = Arguments::read()?;
    let bench = Bench { phase, rest, processors: Processors::connect(&clock)? };
    generator::prepare()?;
    table::head();
    for count in ports {
        measure(count, &agent, &bench).await.with_context(|| format!("{count} guests"))?;
    }
    Ok(())
}

/// Measures one network with so many guests, first as the kernel keeps its table, then as libvirt and Trestle do.
async fn measure(count: usize, program: &Path, bench: &Bench) -> Result<()> {
    let _cable = frames::Cable::lay()?;
    let mut measured = Measured::new(count);
    frames::floors(bench, &mut measured)?;
    guard::nobody(bench, &mut measured).await?;

    let guests = Guests::new(count);
    let agent = Agent::start(program, &guests.node_xml()?).await?;
    agent.set_up(Uplink::Cable, Manager::Kernel).await?;
    guests.plug_in()?;
    frames::over_a_cable(&guests, Manager::Kernel, bench, &mut measured)?;
    let at_rest = guard::at_rest(Manager::Kernel, bench, &mut measured).await?;
    agent.set_up(Uplink::Card, Manager::Kernel).await?;
    frames::over_a_card(Manager::Kernel, bench, &mut measured)?;

    guard::switched(&agent, &guests, bench.processors.beyond(at_rest)?, &mut measured).await?;
    frames::over_a_card(Manager::Libvirt, bench, &mut measured)?;
    agent.set_up(Uplink::Cable, Manager::Libvirt).await?;
    frames::over_a_cable(&guests, Manager::Libvirt, bench, &mut measured)?;
    let at_rest = guard::at_rest(Manager::Libvirt, bench, &mut measured).await?;
    guard::losses(&agent, &guests, at_rest, bench, &mut measured).await?;
    measured.tell();
    agent.end().await
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut read = Self {
            ports: vec![10, 50, 200],
            phase: Duration::from_millis(400),
            rest: Duration::from_secs(6),
            agent: std::env::current_exe()?.with_file_name("host-agent"),
            clock: String::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} takes a value"));
            match word.as_str() {
                "--ports" => read.ports = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
                "--phase" => read.phase = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--rest" => read.rest = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--agent" => read.agent = value()?.into(),
                _ => read.clock = word,
            }
        }
        Ok(read)
    }
}

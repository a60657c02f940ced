//! Sends frames by the kernel's own generator, which costs little beside what the frames cost. Source: the kernel's
//! `Documentation/networking/pktgen.rst`.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};

use crate::Bench;
use crate::processor::{self, Backlog, Processors};

/// A device that sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    /// One of this namespace.
    Here(&'static str),
    /// One in the namespace `peer`.
    Peer(&'static str),
}

/// What sending cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    /// Of the whole machine, beyond what it needs at rest.
    pub(crate) cpu: Duration,
    /// By how much the counter grew for each frame.
    pub(crate) counted: f64,
}

/// How many frames may wait for a processor, which a flood to many ports would exceed: what is dropped costs less.
const BACKLOG: &str = "1000000";
/// How many frames are sent first, and how many times as many next.
const FIRST: u64 = 100;
const GROWTH: u64 = 2;
/// How often has to be seen that nothing is taken until all has been.
const LULL_LOOKS: usize = 5;
const LOOK: Duration = Duration::from_millis(20);
/// How long the machine is watched at rest: as long as the agent takes from one question to libvirt to the next.
const IDLE: Duration = Duration::from_secs(1);
/// It is at rest when a look shows no less than this share of what the last one showed, within so many looks.
const STEADY: f64 = 0.8;
const IDLE_LOOKS: usize = 30;

/// Loads the generator, and keeps IPv6 from sending frames of its own on new devices.
pub(crate) fn prepare() -> Result<()> {
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
    std::fs::write("/proc/sys/net/core/netdev_max_backlog", BACKLOG)?;
    let status = Command::new("modprobe").arg("pktgen").status()?;
    ensure!(status.success(), "the kernel has no pktgen");
    Ok(())
}

impl Sender {
    /// Sends frames of 60 bytes to a MAC, more each time until they cost a phase, and yields what the last of them cost, and
    /// what they did to `counter`.
    ///
    /// The first are dearer, since the emulator translates what they run through.
    pub(crate) fn send(self, to: &str, bench: &Bench, counter: impl Fn() -> Result<u64>) -> Result<Sent> {
        let idle = idle(&bench.processors)?;
        let mut frames = FIRST;
        loop {
            let before = counter()?;
            let cpu = self.in_namespace(|device| send(device, to, frames, &bench.processors, idle))?;
            if cpu > bench.phase {
                return Ok(Sent { frames, cpu, counted: (counter()? - before) as f64 / frames as f64 });
            }
            frames *= GROWTH;
        }
    }

    /// Does something in a thread of the device's namespace.
    fn in_namespace<T: Send>(self, work: impl FnOnce(&str) -> Result<T> + Send) -> Result<T> {
        let (device, namespace) = match self {
            Self::Here(device) => (device, None),
            Self::Peer(device) => (device, Some("/run/netns/peer")),
        };
        let done = std::thread::scope(|scope| {
            let inside = move || {
                if let Some(path) = namespace {
                    setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
                }
                work(device)
            };
            scope.spawn(inside).join()
        });
        done.map_err(|_| anyhow!("the sender panicked"))?
    }
}

/// Sends so many frames, and yields the machine's processor time beyond `idle`, the share of a processor at rest.
fn send(device: &str, to: &str, frames: u64, processors: &Processors, idle: f64) -> Result<Duration> {
    tell("kpktgend_0", "rem_device_all")?;
    tell("kpktgend_0", &format!("add_device {device}"))?;
    let count = format!("count {frames}");
    let to = format!("dst_mac {to}");
    for setting in [&count, "pkt_size 60", "delay 0", "clone_skb 0", "src_mac 02:00:00:00:00:01", &to] {
        tell(device, setting)?;
    }
    let (dropped, spending) = (processor::backlog()?.dropped, processors.beyond(idle)?);
    // Returns when the last was sent.
    tell("pgctrl", "start")?;
    let backlog = drained()?;
    let cpu = spending.so_far()?;
    ensure!(backlog.dropped == dropped, "{} frames were dropped on their way", backlog.dropped - dropped);
    let told = std::fs::read_to_string(control(device))?;
    ensure!(told.contains("Result: OK"), "{told}");
    Ok(cpu)
}

/// Tells the generator of this thread's namespace something.
fn tell(file: &str, words: &str) -> Result<()> {
    std::fs::write(control(file), format!("{words}\n")).with_context(|| format!("{file}: {words}"))
}

fn control(file: &str) -> String {
    format!("/proc/thread-self/net/pktgen/{file}")
}

/// Waits until what went before is over, and returns what share of a processor the machine needs at rest.
pub(crate) fn idle(processors: &Processors) -> Result<f64> {
    let share = || -> Result<f64> {
        let spending = processors.beyond(0.0)?;
        pause(IDLE);
        spending.share()
    };
    let mut least = share()?;
    for _ in 0..IDLE_LOOKS {
        let now = share()?;
        if now > least * STEADY {
            return Ok(now.min(least));
        }
        least = now;
    }
    bail!("the machine does not come to rest: {least:.2} of a processor")
}

/// Waits until the kernel has taken all frames from its queues, and a card brings no more for some looks in a row.
fn drained() -> Result<Backlog> {
    let (mut before, mut unchanged) = (processor::backlog()?, 0);
    while unchanged < LULL_LOOKS {
        pause(LOOK);
        let now = processor::backlog()?;
        unchanged = if now.taken == before.taken && now.waiting == 0 { unchanged + 1 } else { 0 };
        before = now;
    }
    Ok(before)
}

#[expect(clippy::disallowed_methods, reason = "nothing else is to run while frames are sent")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Sent {
    /// Processor time of the whole machine for a frame, microseconds.
    pub(crate) fn microseconds(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.frames as f64
    }

    /// Frames in a second of processor time.
    pub(crate) fn rate(&self) -> f64 {
        1e6 / self.microseconds()
    }
}

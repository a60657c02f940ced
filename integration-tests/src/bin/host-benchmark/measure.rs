//! What is measured: wall clock, and the processor time of one process, kernel and user.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Measurements by name.
pub(crate) type Measured = BTreeMap<String, Cost>;

/// What something cost: milliseconds, or megabytes for a measurement of memory, which is in both.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Time on the clock, ms.
    pub(crate) wall: f64,
    /// Time of processors, ms.
    pub(crate) cpu: f64,
}

/// A beginning.
pub(crate) struct Start {
    wall: Instant,
    cpu: Duration,
    whose: Whose,
}

/// Whose processor time counts.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    /// This process and the children that have ended.
    Ours,
    /// Another process, all its threads.
    Process(Pid),
    /// This process with the children that have ended, and another process.
    With(Pid),
}

impl Start {
    /// Begins to measure.
    pub(crate) fn now(whose: Whose) -> Result<Self> {
        Ok(Self { cpu: whose.cpu()?, wall: Instant::now(), whose })
    }

    /// Ends.
    pub(crate) fn stop(&self) -> Result<Cost> {
        let wall = self.wall.elapsed();
        let cpu = self.whose.cpu()?.saturating_sub(self.cpu);
        Ok(Cost { wall: wall.as_secs_f64() * 1e3, cpu: cpu.as_secs_f64() * 1e3 })
    }
}

impl Whose {
    /// Returns the processor time so far.
    pub(crate) fn cpu(self) -> Result<Duration> {
        match self {
            Self::Ours => {
                [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].into_iter().try_fold(Duration::ZERO, |sum, who| {
                    let usage = getrusage(who)?;
                    Ok(sum + of(usage.user_time()) + of(usage.system_time()))
                })
            }
            Self::Process(pid) => Ok(clock_gettime(clock_getcpuclockid(pid)?)?.into()),
            Self::With(pid) => Ok(Self::Ours.cpu()? + Self::Process(pid).cpu()?),
        }
    }
}

impl Cost {
    /// Makes a cost of a size.
    pub(crate) const fn size(megabytes: f64) -> Self {
        Self { wall: megabytes, cpu: megabytes }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

/// Waits until the kernel makes changes at once: what goes with an earlier namespace holds its lock.
pub(crate) async fn quiet() -> Result<()> {
    let (mut calm, until) = (0, Instant::now() + Duration::from_secs(120));
    while calm < 10 {
        ensure!(Instant::now() < until, "the kernel does not come to rest");
        let start = Instant::now();
        Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
        calm = if start.elapsed() < Duration::from_millis(20) { calm + 1 } else { 0 };
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

const fn of(time: TimeVal) -> Duration {
    Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs() as u32 * 1000)
}

//! The machine's processor time, of all that runs in it, since forwarding is nobody's process.
//!
//! A machine's own accounts are of no use under emulation: while its host lets another run, they go on counting, or miss
//! ticks. So it is asked what its processors have cost *there*: the host answers each line on a TCP connection with the
//! time in nanoseconds, see `tests/benchmark.rs`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

/// A connection to who knows what this machine's processors have cost.
pub(crate) struct Processors {
    line: Mutex<BufReader<TcpStream>>,
}

/// What has been spent since a beginning.
pub(crate) struct Spending<'a> {
    processors: &'a Processors,
    cpu: Duration,
    wall: Instant,
    /// The share of one processor that counts for nothing.
    idle: f64,
}

/// What processors have taken from their queues of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) taken: u64,
    /// For want of room.
    pub(crate) dropped: u64,
    /// What is still there.
    pub(crate) waiting: u64,
}

impl Processors {
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let line = TcpStream::connect(address).with_context(|| address.to_owned())?;
        Ok(Self { line: Mutex::new(BufReader::new(line)) })
    }

    /// Begins to count what is spent beyond a share of one processor.
    pub(crate) fn beyond(&self, idle: f64) -> Result<Spending<'_>> {
        Ok(Spending { processors: self, cpu: self.spent()?, wall: Instant::now(), idle })
    }

    fn spent(&self) -> Result<Duration> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.get_mut().write_all(b"?\n")?;
        let mut answer = String::new();
        line.read_line(&mut answer)?;
        Ok(Duration::from_nanos(answer.trim().parse().with_context(|| answer.clone())?))
    }
}

impl Spending<'_> {
    /// Returns the processor time until now.
    pub(crate) fn so_far(&self) -> Result<Duration> {
        let spent = self.processors.spent()? - self.cpu;
        Ok(spent.saturating_sub(self.wall.elapsed().mul_f64(self.idle)))
    }

    /// Returns what share of one processor that is.
    pub(crate) fn share(&self) -> Result<f64> {
        Ok(self.so_far()?.as_secs_f64() / self.wall.elapsed().as_secs_f64())
    }
}

/// Returns what all processors have taken since the boot. Source: `softnet_seq_show` of `net/core/net-procfs.c` (Linux 6.1): a
/// line for each processor, hexadecimal; the first, second and twelfth numbers are those.
pub(crate) fn backlog() -> Result<Backlog> {
    let text = std::fs::read_to_string("/proc/net/softnet_stat")?;
    let mut sum = Backlog { taken: 0, dropped: 0, waiting: 0 };
    for line in text.lines() {
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(|word| u64::from_str_radix(word, 16)).collect();
        let [taken, dropped, _, _, _, _, _, _, _, _, _, waiting, ..] = numbers?[..] else { bail!("{line}") };
        sum = Backlog { taken: sum.taken + taken, dropped: sum.dropped + dropped, waiting: sum.waiting + waiting };
    }
    Ok(sum)
}

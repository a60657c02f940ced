//! Tells a story fact by fact: a line and a time for each, and at the end, when one did not hold, what everybody logged.

use std::future::Future;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use super::Fleet;

/// How much of each log a failure quotes.
const LAST_LINES: usize = 60;

/// A story that is being told.
#[derive(Debug)]
pub struct Story {
    begun: Instant,
    last: Instant,
    failed: Vec<String>,
}

impl Story {
    /// Begins to tell.
    pub fn begin(title: &str) -> Self {
        println!("story: {title}");
        Self { begun: Instant::now(), last: Instant::now(), failed: Vec::new() }
    }

    /// Tells a fact without which the rest makes no sense.
    ///
    /// *Errors*: the scene's.
    pub async fn need(&mut self, fact: &str, scene: impl Future<Output = Result<()>>) -> Result<()> {
        let outcome = Box::pin(scene).await;
        let word = if outcome.is_ok() { "holds" } else { "FAILS" };
        println!("{:7.1} s  {word}  {fact}", self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
        outcome.with_context(|| fact.to_owned())
    }

    /// Tells one fact, after the scene that proves it; the story goes on also where it does not hold.
    pub async fn tell(&mut self, fact: &str, scene: impl Future<Output = Result<()>>) {
        if let Err(error) = self.need(fact, scene).await {
            println!("{error:#}");
            self.failed.push(format!("{fact}: {error:#}"));
        }
    }

    /// Ends the story.
    ///
    /// *Errors*: `outcome`, or the facts that did not hold; told with the ends of all logs.
    pub async fn end(self, fleet: &Fleet, outcome: Result<()>) -> Result<()> {
        println!("{:7.1} s  in all", self.begun.elapsed().as_secs_f64());
        if outcome.is_ok() && self.failed.is_empty() {
            return Ok(());
        }
        println!("--- engine-svc\n{}", last_lines(&fleet.engine.log()));
        for host in [&fleet.a, &fleet.b] {
            println!("--- host-agent on {}\n{}", host.name(), last_lines(&host.agent_log().await));
        }
        outcome?;
        bail!("{} facts do not hold:\n{}", self.failed.len(), self.failed.join("\n"))
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

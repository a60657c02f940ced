//! What the spectator sees: numbered chapters, the commands that a user would type, their output, and what they prove.

use std::time::Duration;

use tokio::time::Instant;

/// How many lines of one output are shown.
const SHOWN_LINES: usize = 60;

/// The stage of one performance, and the claims that did not hold.
#[derive(Debug)]
pub(crate) struct Stage {
    begun: Instant,
    chapter: u32,
    claims: u32,
    broken: Vec<String>,
}

impl Stage {
    pub(crate) fn open() -> Self {
        Self { begun: Instant::now(), chapter: 0, claims: 0, broken: Vec::new() }
    }

    /// Opens the next chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        let heading = format!("{}. {title}", self.chapter);
        println!("\n{heading:─<100}{:>6} s", self.begun.elapsed().as_secs());
    }

    /// Explains.
    pub(crate) fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// Shows a command and what came of it.
    pub(crate) fn show(&self, prompt: &str, command: &str, output: &str) {
        println!("   {prompt} {command}");
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in lines.iter().take(SHOWN_LINES) {
            println!("   │ {line}");
        }
        if lines.len() > SHOWN_LINES {
            println!("   │ … {} lines more", lines.len() - SHOWN_LINES);
        }
    }

    /// Makes a claim, and says whether it holds.
    pub(crate) fn claim(&mut self, claim: &str, holds: bool) {
        self.claims += 1;
        println!("   {} {claim}", if holds { "✓" } else { "✗ NOT TRUE:" });
        if !holds {
            self.broken.push(claim.to_owned());
        }
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sums up, and tells whether every claim held.
    pub(crate) fn sum_up(&self) -> bool {
        println!("\n{} claims checked, {} not true, {} s", self.claims, self.broken.len(), self.elapsed().as_secs());
        for claim in &self.broken {
            println!("   ✗ {claim}");
        }
        self.broken.is_empty()
    }
}

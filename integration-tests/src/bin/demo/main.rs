//! The demo: an engine, two hosts, and the main job from end to end, told while it happens.
//!
//! `demo` leaves the fleet running until Ctrl-C; `demo --once` ends with the story, with 0 when every claim held;
//! `demo exec HOST COMMAND` runs a command in a host of the demo that is running.

mod control;
mod stage;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use integration_tests::lab::script::{Output, Status};
use tokio::signal::unix::{SignalKind, signal};

use crate::story::Ending;

/// How long what was started may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(10);
const END_PERIOD: Duration = Duration::from_millis(50);
/// What the shell gets when a person stops the story before its end.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    Box::pin(run()).await.unwrap_or_else(|error| {
        eprintln!("demo: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ending = match words.as_slice() {
        [] => Ending::Stay,
        ["--once"] => Ending::Leave,
        ["exec", host, command @ ..] if !command.is_empty() => {
            return Ok(show(&control::ask(host, &command.join(" ")).await?));
        }
        _ => bail!("usage: demo [--once] | demo exec HOST COMMAND"),
    };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Everything that runs belongs to the performance, and ends when it is dropped.
    let played = tokio::select! {
        played = Box::pin(story::play(ending)) => played,
        _ = interrupt.recv() => Ok(stopped(ending)),
        _ = terminate.recv() => Ok(stopped(ending)),
    };
    tokio::time::timeout(END_LIMIT, until_alone()).await.context("a machine does not end")??;
    if ending == Ending::Stay {
        println!("\ndemo: nothing is left running");
    }
    played
}

fn stopped(ending: Ending) -> ExitCode {
    match ending {
        Ending::Stay => ExitCode::SUCCESS,
        Ending::Leave => ExitCode::from(INTERRUPTED),
    }
}

/// Waits until this process has no children any more.
async fn until_alone() -> Result<()> {
    let mut tick = tokio::time::interval(END_PERIOD);
    loop {
        tick.tick().await;
        let threads = std::fs::read_dir("/proc/self/task")?.flatten();
        let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        if children.collect::<String>().is_empty() {
            return Ok(());
        }
    }
}

fn show(output: &Output) -> ExitCode {
    print!("{}", output.stdout);
    eprint!("{}", output.stderr);
    match output.status {
        Status::Exited(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Status::Signalled(_) | Status::TimedOut => {
            eprintln!("{:?}", output.status);
            ExitCode::FAILURE
        }
    }
}

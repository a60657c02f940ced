//! The demo: an engine, two hosts, and the main job from end to end, told while it happens.
//!
//! `demo` leaves the fleet running until Ctrl-C; `demo --once` ends with the story, with 0 when every claim held;
//! `demo exec HOST COMMAND` runs a command in a host of the demo that is running.

mod control;
mod stage;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};
use integration_tests::lab::script::{Output, Status};
use tokio::signal::unix::{SignalKind, signal};

use crate::story::Ending;

#[tokio::main]
async fn main() -> Result<ExitCode> {
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
    tokio::select! {
        played = Box::pin(story::play(ending)) => played,
        _ = interrupt.recv() => Ok(stopped()),
        _ = terminate.recv() => Ok(stopped()),
    }
}

fn stopped() -> ExitCode {
    println!("\ndemo: stopped; nothing is left running");
    ExitCode::SUCCESS
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

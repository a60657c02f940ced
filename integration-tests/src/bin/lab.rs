//! The lab from the command line, and the responder that every lab machine runs.
//!
//! `lab exec SCRIPT` boots a machine, runs a script in it and ends with its exit code; `lab shell` takes scripts line by
//! line; after the word `systemd`, systemd boots the machine. `lab respond` is for `guest-init` only; `lab say SOCKET LINE`,
//! in a machine, gives a guest's serial line a line and prints the answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration_tests::lab::nic::Nic;
use integration_tests::lab::script::{Output, Status};
use integration_tests::lab::vm::{Builder, Vm};
use integration_tests::lab::{Lab, responder};
use tokio::sync::mpsc;

/// How long one script may take.
const SCRIPT_LIMIT: Duration = Duration::from_secs(600);
/// How long a guest may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["respond"] => responder::respond().await.map(|()| ExitCode::SUCCESS),
        ["say", path, line] => say(path, line).map(|()| ExitCode::SUCCESS),
        ["exec", script] => exec(&boot(|vm| vm).await?, script).await,
        ["shell"] => shell(&boot(|vm| vm).await?).await,
        ["systemd", "exec", script] => exec(&boot(Builder::systemd).await?, script).await,
        ["systemd", "shell"] => shell(&boot(Builder::systemd).await?).await,
        _ => bail!("usage: lab [systemd] exec SCRIPT | lab [systemd] shell"),
    }
}

/// Boots one machine with a user-mode card and a wire.
async fn boot(described: impl FnOnce(Builder) -> Builder) -> Result<Vm> {
    let lab = Lab::enter_beside().await?;
    let vm = described(lab.vm("lab").nic(Nic::user()).nic(Nic::Wire)).start().await?;
    eprintln!("up after {:.1?}, QEMU is process {}", vm.boot_time(), vm.qemu_pid().unwrap_or_default());
    Ok(vm)
}

async fn exec(vm: &Vm, script: &str) -> Result<ExitCode> {
    Ok(show(&vm.exec(script, SCRIPT_LIMIT).await?))
}

/// Runs every line of standard input as a script of its own.
async fn shell(vm: &Vm) -> Result<ExitCode> {
    // A thread of its own: a runtime would wait for a blocked read when it ends.
    let (sender, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    loop {
        eprint!("lab# ");
        std::io::stderr().flush()?;
        let line = tokio::select! {
            line = lines.recv() => line,
            interrupted = tokio::signal::ctrl_c() => { interrupted?; None }
        };
        let Some(line) = line else { return Ok(ExitCode::SUCCESS) };
        show(&vm.exec(&line, SCRIPT_LIMIT).await?);
    }
}

fn say(path: &str, line: &str) -> Result<()> {
    let mut stream = UnixStream::connect(path).with_context(|| format!("cannot reach {path}"))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    // First the end of what somebody before may have begun.
    stream.write_all(format!("\n{line}\n").as_bytes())?;
    let mut answer = String::new();
    let length = BufReader::new(stream).read_line(&mut answer).with_context(|| format!("no answer to {line}"))?;
    ensure!(length > 0, "{path} hung up");
    print!("{answer}");
    Ok(())
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

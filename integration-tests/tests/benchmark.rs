//! The benchmark runs, and what it prints holds a number for every goal. How fast anything is, is nobody's business here.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::program;
use integration_tests::lab::nic::Nic;
use integration_tests::lab::vm::Vm;
use integration_tests::lab::{Lab, probe};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(400);
/// What has to be told: of what is measured here, against what; nothing for memory.
const TOLD: [(&str, &str); 9] = [
    ("apply", "ip -batch"),
    ("apply again", "observe"),
    ("apply again", "dump, unread"),
    ("capabilities", "ip -d -j"),
    ("restore", "apply"),
    ("restore", "ip -batch"),
    ("memory, idle", ""),
    ("memory", ""),
    ("memory, most", ""),
];

/// Holds of the numbers of a row, whatever the machine: floor, unmanaged, managed; not a number where there is none.
type Plausible = fn([f64; 3]) -> bool;
/// What the benchmark of MAC tables has to tell of ten guests.
const TABLES: [(&str, Plausible); 10] = [
    ("frames at guests' ports, of an unknown unicast frame", |[_, unmanaged, managed]| {
        unmanaged == 10.0 && managed == 0.0
    }),
    ("processor time of an unknown unicast frame, µs", all_measured),
    ("foreign frames that a virtio card hands up, of 100", |[_, unmanaged, managed]| {
        unmanaged >= 100.0 && managed < 5.0
    }),
    ("processor time of a foreign frame at a virtio card, µs", all_measured),
    ("known unicast, frames in a second of processor time", all_measured),
    ("the machine at rest, % of one processor", all_measured),
    ("1,000 entries of others come and go, ms of processor time", all_measured),
    ("all guests' entries are lost and come back, ms of processor time", |[floor, _, managed]| managed > floor),
    ("from the loss of the first until the last is back, ms", |[_, _, managed]| managed > 0.0),
    ("switching the network to managed, ms of processor time", |[_, _, managed]| managed > 0.0),
];

fn all_measured(numbers: [f64; 3]) -> bool {
    numbers.into_iter().all(|number| number.is_finite() && number > 0.0)
}

#[tokio::test]
async fn every_goal_of_the_benchmark_is_measured() -> Result<()> {
    if let Err(reason) = probe::namespaces().await {
        return probe::skip("benchmark", &reason);
    }
    let table = measure("bridges").await?;
    for (what, against) in TOLD {
        told(&table, what, against)?;
    }
    match probe::libvirt() {
        Ok(()) => told(&table, "libvirt, observe", "libvirt, asked"),
        Err(reason) => {
            ensure!(table.contains("libvirt: not measured"), "nothing is said of libvirt:\n{table}");
            probe::skip("benchmark of libvirt", &reason)
        }
    }
}

#[tokio::test]
async fn networks_on_cables_are_measured() -> Result<()> {
    if let Err(reason) = probe::namespaces().await {
        return probe::skip("benchmark", &reason);
    }
    told(&measure("cables").await?, "apply", "ip -batch")
}

/// `TRESTLE_BENCH_PORTS=10,50,200` measures at length, `TRESTLE_BENCH_AGENT` another program than was built with this test.
#[tokio::test]
async fn managed_mac_tables_are_measured_beside_unmanaged_ones() -> Result<()> {
    let Some(lab) = Lab::enter("benchmark of MAC tables").await? else { return Ok(()) };
    let machine = lab.vm("bench").processors(2).nic(Nic::user()).nic(Nic::Wire).start().await?;
    let (effort, limit) = match std::env::var("TRESTLE_BENCH_PORTS") {
        Ok(ports) => (format!("--ports {ports}"), Duration::from_secs(900)),
        Err(_) => ("--ports 10 --phase 0.1 --rest 1".to_owned(), LIMIT),
    };
    let agent =
        std::env::var("TRESTLE_BENCH_AGENT").map_or_else(|_| program::built("host-agent"), |path| Ok(path.into()))?;
    let (clock, ear) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (clock_port, ear_port) = (clock.local_addr()?.port(), ear.local_addr()?.port());
    let command = format!(
        "{} {effort} --agent {} 10.0.2.2:{clock_port} >/dev/tcp/10.0.2.2/{ear_port} 2>&1",
        env!("CARGO_BIN_EXE_mac-table-benchmark"),
        agent.display()
    );
    let measure = async { tokio::try_join!(machine.exec(&command, limit), pass_on(ear)) };
    let (output, table) = tokio::select! {
        measured = measure => measured?,
        stopped = tell_processor_time(&machine, clock) => anyhow::bail!("the clock stopped: {stopped:?}"),
    };
    output.success()?;
    for (what, holds) in TABLES {
        let row = table.lines().find_map(|line| line.strip_prefix(&format!("| {what} | 10 |")));
        let row = row.with_context(|| format!("{what} is missing"))?;
        let mut cells = row.split('|').map(|cell| cell.trim().parse().unwrap_or(f64::NAN));
        let numbers = std::array::from_fn(|_| cells.next().unwrap_or(f64::NAN));
        ensure!(holds(numbers), "{what}: {row}");
    }
    Ok(())
}

/// Prints each line as it comes, since whoever waits for the last one may wait in vain; yields all of them.
async fn pass_on(ear: TcpListener) -> Result<String> {
    let mut lines = BufReader::new(ear.accept().await?.0).lines();
    let mut all = String::new();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        all += &(line + "\n");
    }
    Ok(all)
}

/// Answers each line with what the machine's processors have cost here, in nanoseconds.
async fn tell_processor_time(machine: &Vm, clock: TcpListener) -> Result<()> {
    let (mut line, _) = clock.accept().await?;
    let (asked, mut answers) = line.split();
    let mut asked = BufReader::new(asked).lines();
    while asked.next_line().await?.is_some() {
        answers.write_all(format!("{}\n", machine.processor_time()?.as_nanos()).as_bytes()).await?;
    }
    // The benchmark has ended, or will say why.
    std::future::pending().await
}

/// Measures the agent that was built with this test, once, with three networks.
async fn measure(shape: &str) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-benchmark"));
    command.args(["--networks", "3", "--rounds", "1", "--shape", shape]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("the benchmark does not end")??;
    let (table, said) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}\n{table}\n{said}", output.status);
    Ok(table)
}

/// Finds the row of a goal, whose numbers have to make sense.
fn told(table: &str, what: &str, against: &str) -> Result<()> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut rows = table.lines().filter(|line| line.starts_with('|')).map(cells);
    let is_it =
        |row: &Vec<String>| row.first().is_some_and(|cell| cell == what) && row.get(1).is_some_and(|c| c == against);
    let row = rows.find(is_it).with_context(|| format!("{what} against {against} is missing in\n{table}"))?;
    let numbers = row.iter().skip(2).map(|cell| cell.trim_end_matches(" MB")).filter(|cell| !cell.is_empty());
    let numbers: Vec<f64> = numbers.filter_map(|cell| cell.parse().ok()).collect();
    let good = match numbers.as_slice() {
        [megabytes] => against.is_empty() && *megabytes > 0.0,
        // Of so few networks a restore may cost less than a start differs from another.
        [_, _, ratio, ..] => numbers.len() == 6 && (what == "restore" || (ratio.is_finite() && *ratio > 0.0)),
        _ => false,
    };
    ensure!(good, "{what} against {against}: {row:?}");
    Ok(())
}

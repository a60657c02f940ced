//! The benchmark runs, and what it prints holds a number for every goal. How fast anything is, is nobody's business here.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::lab::probe;
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

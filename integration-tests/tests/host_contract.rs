//! The edges of a host on a kernel that has everything: what the build machine's kernel makes them skip runs here.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::lab::nic::Nic;
use integration_tests::lab::vm::{Vm, quote};
use integration_tests::lab::{Lab, workspace};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test]
async fn edges_hold_on_a_whole_kernel() -> Result<()> {
    let mut edges = Vec::new();
    for package in ["trestle-netlink", "trestle-dhcp"] {
        let programs = test_programs(package).await?;
        ensure!(!programs.is_empty(), "{package} has no tests");
        edges.extend(programs);
    }
    let Some(lab) = Lab::enter("host contract").await? else { return Ok(()) };
    let machine = lab.vm("contract").nic(Nic::Wire).nic(Nic::Wire).nic(Nic::Wire).start().await?;
    for program in edges {
        edge_passes_its_tests(&machine, &program.display().to_string()).await?;
    }
    machine.start_libvirt().await?;
    real_host_passes_the_contract(&machine).await
}

async fn edge_passes_its_tests(machine: &Vm, program: &str) -> Result<()> {
    let begun = Instant::now();
    let output = machine.exec(&format!("{} --nocapture 2>&1", quote(program)), LIMIT).await?.success()?;
    let skipped: Vec<&str> = output.lines().filter(|line| line.contains("skipped:")).collect();
    ensure!(skipped.is_empty(), "this kernel has everything, and still:\n{}", skipped.join("\n"));
    let summary = output.lines().rfind(|line| line.starts_with("test result:")).unwrap_or_default();
    println!("{:6.1} s  {program}: {summary}", begun.elapsed().as_secs_f64());
    Ok(())
}

async fn real_host_passes_the_contract(machine: &Vm) -> Result<()> {
    let begun = Instant::now();
    let output = machine.exec(&quote(env!("CARGO_BIN_EXE_host-contract")), LIMIT).await?;
    println!("{}", output.stdout);
    println!("{:6.1} s  the contract of every host", begun.elapsed().as_secs_f64());
    output.success()?;
    Ok(())
}

/// The test programs of a package, built where they are not; the selection is that of `scripts/test`, which has built
/// them.
async fn test_programs(package: &str) -> Result<Vec<PathBuf>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "test",
            "--locked",
            "--workspace",
            "--exclude",
            "integration-tests",
            "--no-run",
            "--message-format=json",
        ])
        .current_dir(workspace())
        .output()
        .await?;
    ensure!(output.status.success(), "tests are not built: {}", String::from_utf8_lossy(&output.stderr));
    let manifest = |message: &Value| message["manifest_path"].as_str().map(PathBuf::from);
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let of_package = messages.filter(|message: &Value| {
        let folder = manifest(message).and_then(|path| path.parent().map(|folder| folder.to_owned()));
        let name = package.strip_prefix("trestle-").unwrap_or(package);
        message["profile"]["test"] == true && folder.is_some_and(|folder| folder.ends_with(name))
    });
    Ok(of_package.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}

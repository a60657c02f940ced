//! The laws of every plan on a real kernel, re-applying without a write, and deaths at places of every kind of plan.
//!
//! First on this machine's own kernel, and then in a machine of the lab, with what this kernel lacks and with libvirt.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::lab::namespace::Namespace;
use integration_tests::lab::nic::Nic;
use integration_tests::lab::vm::{Vm, quote};
use integration_tests::lab::{Lab, probe};
use tokio::time::Instant;
use trestle_plan::sample::kind::kinds;

/// Three cards; what is plugged in at the other end is never taken away.
const CARDS: &str = "for n in 0 1 2; do ip link add eth$n type veth peer name wire$n; ip link set wire$n up; done";
const LIMIT: Duration = Duration::from_secs(900);
/// The kind of plan that a power cut breaks off.
const CUT_SHORT: &str = "add, change and remove at once";

#[tokio::test]
async fn laws_hold_on_random_hosts() -> Result<()> {
    proven_here(&laws(15)).await
}

#[tokio::test]
async fn asking_for_what_runs_writes_nothing() -> Result<()> {
    proven_here("quiet 1").await
}

#[tokio::test]
async fn a_killed_agent_leaves_a_host_wholly_old_or_wholly_new() -> Result<()> {
    proven_here("deaths 1").await
}

#[tokio::test]
async fn a_host_with_libvirt_keeps_the_same_promises() -> Result<()> {
    let Some(lab) = Lab::enter("host proofs").await? else { return Ok(()) };
    let mut machine = lab.vm("proofs").nic(Nic::Wire).nic(Nic::Wire).nic(Nic::Wire).start().await?;
    machine.start_libvirt().await?;
    for proof in [&laws(45), "quiet 3", "deaths once"] {
        proven_in(&machine, proof).await?;
    }
    for place in [3, 9] {
        a_power_cut_leaves_what_was_committed(&mut machine, place).await?;
    }
    Ok(())
}

/// The laws for some seconds, from the seed of all random tests where one is set.
fn laws(seconds: u64) -> String {
    std::env::var("PROPTEST_RNG_SEED")
        .map_or_else(|_| format!("laws {seconds}"), |seed| format!("laws {seconds} {seed}"))
}

async fn proven_here(what: &str) -> Result<()> {
    if let Err(reason) = probe::namespaces().await {
        return probe::skip(what, &reason);
    }
    let namespace = Namespace::start().await?;
    namespace.run(CARDS).await?;
    let output = namespace.exec(&format!("{} {what}", quote(env!("CARGO_BIN_EXE_host-proofs"))), LIMIT).await?;
    println!("{}", output.stdout);
    output.success().map(drop)
}

async fn proven_in(machine: &Vm, what: &str) -> Result<()> {
    let begun = Instant::now();
    let output = machine.exec(&proofs(what), LIMIT).await?;
    println!("{}", output.stdout);
    println!("{:6.1} s  {what}", begun.elapsed().as_secs_f64());
    output.success().map(drop)
}

/// Pulls the plug while an agent is at a place of a change, and boots.
async fn a_power_cut_leaves_what_was_committed(machine: &mut Vm, place: usize) -> Result<()> {
    let begun = Instant::now();
    let kinds = kinds();
    let kind = kinds.iter().position(|kind| kind.name == CUT_SHORT).context("no such kind")?;
    let folder = "/var/lib/trestle/proofs";
    machine.run(&format!("rm -rf {folder}")).await?;
    let agent = machine.start_daemon(&proofs(&format!("hang {kind} {folder} {place}")), "/run/lab/hanging").await?;
    let pid = agent.pid;
    machine.wait_until(&format!("grep place: {0} || {{ kill -0 {pid} || cat {0}; false; }}", agent.log), LIMIT).await?;
    println!("{}", machine.read(&agent.log).await?);
    machine.power_cut().await?;
    machine.boot().await?;
    machine.start_libvirt().await?;
    println!("{}", machine.exec(&proofs(&format!("comes-back {kind} {folder}")), LIMIT).await?.success()?);
    println!("{:6.1} s  a power cut at place {place}", begun.elapsed().as_secs_f64());
    Ok(())
}

fn proofs(what: &str) -> String {
    format!("env TRESTLE_PROOFS_LIBVIRT=qemu:///system {} {what}", quote(env!("CARGO_BIN_EXE_host-proofs")))
}

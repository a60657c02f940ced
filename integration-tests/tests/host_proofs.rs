//! The laws of every plan on a real kernel, re-applying without a write, and deaths at places of every kind of plan.
//!
//! First on this machine's own kernel, and then in a machine of the lab, with what this kernel lacks and with libvirt.

use std::time::Duration;

use anyhow::Result;
use integration_tests::lab::namespace::Namespace;
use integration_tests::lab::nic::Nic;
use integration_tests::lab::vm::{Vm, quote};
use integration_tests::lab::{Lab, probe};
use tokio::time::Instant;

/// Three cards; what is plugged in at the other end is never taken away.
const CARDS: &str = "for n in 0 1 2; do ip link add eth$n type veth peer name wire$n; ip link set wire$n up; done";
const LIMIT: Duration = Duration::from_secs(900);

#[tokio::test]
async fn laws_hold_on_random_hosts() -> Result<()> {
    proven_here("laws 15").await
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
    let machine = lab.vm("proofs").nic(Nic::Wire).nic(Nic::Wire).nic(Nic::Wire).start().await?;
    machine.start_libvirt().await?;
    for proof in ["laws 45", "quiet 3"] {
        proven_in(&machine, proof).await?;
    }
    Ok(())
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

fn proofs(what: &str) -> String {
    format!("env TRESTLE_PROOFS_LIBVIRT=qemu:///system {} {what}", quote(env!("CARGO_BIN_EXE_host-proofs")))
}

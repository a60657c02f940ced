//! The real program while somebody else holds RTNL, the lock that each change of the kernel's networks takes: whoever sends
//! a netlink message then stands still within the kernel, and no deadline of the program's ends that.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::task::JoinSet;
use trestle_proto::host::v1::{self as wire, ConnectivityCheck, Outcome};

use super::bench::{BOUND, Bench};
use crate::{network, request};

/// How long the lock is held; the kernel has one for all namespaces.
const HELD: &str = "3";
/// How long an answer may take that needs nothing of the kernel.
const PROMPT: Duration = Duration::from_secs(1);

/// Holds the lock, by an argument that the kernel reads under it and that is not there yet; `None`, with the reason on
/// standard error, where the kernel has no userfaultfd.
fn hold(bench: &Bench) -> Option<Child> {
    let mut program = Command::new("ip");
    program.args(["netns", "exec", bench.namespace(), "python3", "-c", include_str!("hold_rtnl.py"), "lo", HELD]);
    let mut holder = program.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line != "held\n" {
        eprintln!("skipped: nobody can hold the kernel's lock: {}", holder.wait().unwrap());
        return None;
    }
    Some(holder)
}

#[tokio::test]
async fn calls_are_answered_and_confirmations_taken_while_the_kernels_lock_is_held() {
    let Some(bench) = Bench::new("rtnl").await else { return };
    bench.settled().await;
    let mut agent = bench.agent().await;
    let mut asked = request(network("192.0.2.20/24"), ConnectivityCheck::Confirm);
    asked.connectivity_timeout = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    asked.request_id = uuid::Uuid::now_v7().to_string();
    let transaction_id = asked.request_id.clone();
    let _waiting = agent.until_it_waits(asked).await;

    // Everything that looks at the kernel has a reason to, and there are several such tasks.
    for number in 0..8 {
        bench.ip(if number % 2 == 0 { "link set wire0 down" } else { "link set wire0 up" });
    }
    let Some(mut holder) = hold(&bench) else { return };
    let mut looking = agent.client.clone();
    let mut looks = JoinSet::new();
    looks.spawn(async move { looking.get_capabilities(wire::GetCapabilitiesRequest::default()).await });
    let held = tokio::time::Instant::now();
    let mut calls = 0;
    while held.elapsed() < Duration::from_secs(2) {
        let history = wire::ListTransactionsRequest { page_size: 10, ..wire::ListTransactionsRequest::default() };
        let asked = tokio::time::Instant::now();
        agent.client.list_transactions(history).await.unwrap();
        assert!(asked.elapsed() < PROMPT, "call {calls} took {:?}", asked.elapsed());
        calls += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let confirmation = wire::ConfirmNetworksRequest { transaction_id };
    tokio::time::timeout(PROMPT, agent.client.confirm_networks(confirmation)).await.expect("no answer").unwrap();
    assert!(looks.try_join_next().is_none(), "nobody stood still: the lock was not held");
    assert_eq!(holder.try_wait().unwrap(), None, "the lock was held for too short a time");

    // Once the lock is free, all goes on.
    assert!(holder.wait().unwrap().success());
    let capabilities =
        tokio::time::timeout(BOUND, looks.join_next()).await.unwrap().unwrap().unwrap().unwrap().into_inner();
    assert_eq!(capabilities.capabilities.unwrap().networks.len(), 1);
    let unchanged = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(unchanged.outcome(), Outcome::Unchanged, "{unchanged:?}");
    agent.terminate().await;
}

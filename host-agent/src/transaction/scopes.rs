//! Requests about the whole host.

use trestle_model::{NetworkChange, NetworkName, NetworkSpec, Origin, Outcome, Scope, SetupRequest, UncommittedChange};

use crate::trial::{Bench, committed, essence, host, managed, network, remove, request, set};

fn of(scope: Scope) -> SetupRequest {
    let mut request = request(Vec::<NetworkChange>::new());
    request.options.scope = scope;
    request
}

fn of_engine(mut request: SetupRequest) -> SetupRequest {
    request.options.origin = Origin::Engine;
    request
}

#[tokio::test(start_paused = true)]
async fn the_persistent_configuration_is_restored_without_a_reboot() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(of_engine(committed(set(managed("blue", "eth1", "198.51.100.1/24"))))).await;
    let before = essence(&host).kernel;
    bench.apply(remove("blue")).await;
    bench.apply(set(network("amber", "eth1"))).await;
    let uncommitted = bench.capabilities().await.uncommitted;
    let changes: Vec<(&str, UncommittedChange)> =
        uncommitted.iter().map(|(name, change)| (NetworkName::as_str(name), *change)).collect();
    assert_eq!(changes, [("amber", UncommittedChange::Added), ("blue", UncommittedChange::Removed)]);

    let restore = of(Scope::Persistent);
    let report = bench.apply(restore.clone()).await;
    assert_eq!(report.outcome, Outcome::Applied);
    assert_eq!(essence(&host).kernel, before);
    let capabilities = bench.capabilities().await;
    assert!(!capabilities.dirty && capabilities.uncommitted.is_empty());
    assert_eq!(capabilities.networks[0].configured.origin, Origin::Engine, "the engine still has asked for it");

    // The same id again is the same request, although the host has changed in between.
    bench.apply(remove("blue")).await;
    assert_eq!(bench.apply(restore).await, report);
    assert!(bench.capabilities().await.networks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn everything_is_cleared_and_the_host_is_as_before() {
    let host = host();
    let before = essence(&host);
    let bench = Bench::new(host.clone()).await;
    bench.apply(set(managed("blue", "eth1", "198.51.100.1/24"))).await;
    bench.apply(set(NetworkSpec { southbound: None, ..network("amber", "eth0") })).await;
    let report = bench.apply(committed(of(Scope::Everything))).await;
    assert!(report.committed);
    assert!(bench.capabilities().await.networks.is_empty());
    assert_eq!(essence(&host), before);
    assert_eq!(bench.apply(of(Scope::Everything)).await.outcome, Outcome::Unchanged);
}

//! The kernel says that something is busy: the step is tried again, and where that does not help, all is put back.

use trestle_fake_host::Fault;
use trestle_model::{Code, Outcome};

use super::*;
use crate::trial::*;

/// The step that meets it; others come before and after.
const STEP: &str = "make eth0 a port of blue";

#[tokio::test(start_paused = true)]
async fn what_is_busy_for_a_moment_is_waited_for() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let began = Instant::now();
    host.inject(Fault::BusyMatching(STEP.to_owned(), 3));
    bench.apply(set(network("blue", "eth0"))).await;
    assert_eq!(began.elapsed().as_millis(), 50 + 200 + 800);
    assert_eq!(host.performed().iter().filter(|step| step.to_string().contains(STEP)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_stays_busy_is_named_and_all_is_put_back() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let before = essence(&host);
    host.inject(Fault::BusyMatching(STEP.to_owned(), usize::MAX));
    let report = report(bench.set_up(set(network("blue", "eth0"))).await.unwrap());
    let Outcome::RolledBack(cause) = &report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(cause.code, Code::StepFailed);
    assert!(cause.message.contains(STEP) && cause.message.contains("(EBUSY)"), "{}", cause.message);
    assert_eq!(essence(&host), before);
    host.heal();
    bench.apply(set(network("blue", "eth0"))).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_busy_during_an_undo_is_waited_for_too() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let before = essence(&host);
    host.inject(Fault::FailMatching(STEP.to_owned()));
    host.inject(Fault::BusyMatching("delete device blue".to_owned(), 2));
    let report = report(bench.set_up(set(network("blue", "eth0"))).await.unwrap());
    assert!(matches!(report.outcome, Outcome::RolledBack(_)), "{:?}", report.outcome);
    assert_eq!(essence(&host), before);
}

//! Faults strike where they are told to, and leave the rest alone.

use std::time::Duration;

use trestle_fake_host::{FakeHost, Fault, World};
use trestle_model::IfName;
use trestle_plan::{Host, KernelStep, Step};

fn steps() -> Vec<Step> {
    let bridge = |name: &str| {
        let name = IfName::parse(name).expect("a device's name");
        KernelStep::CreateBridge { name, mac: None, alias: "trestle:test".to_owned() }.into()
    };
    ["one", "two", "three"].map(bridge).into()
}

#[tokio::test]
async fn a_step_fails_once_without_effect_and_stops_the_rest() {
    let host = FakeHost::new(World::default());
    host.inject(Fault::FailAfter(1));
    let failure = host.perform(&steps()).await.unwrap_err();
    assert_eq!((failure.position, failure.transient), (1, false));
    assert_eq!(host.writes(), 1);
    host.perform(&steps()).await.unwrap();
    assert_eq!(host.state().kernel.links.len(), 4);
}

#[tokio::test]
async fn steps_that_match_fail_until_healed() {
    let host = FakeHost::new(World::default());
    host.inject(Fault::FailMatching("create bridge three".to_owned()));
    for _ in 0..2 {
        assert_eq!(host.perform(&steps()).await.unwrap_err().position, 2);
    }
    host.heal();
    host.perform(&steps()).await.unwrap();
}

#[tokio::test]
async fn an_observation_fails_when_its_turn_comes() {
    let host = FakeHost::new(World::default());
    host.inject(Fault::FailObservationAfter(1));
    let outcomes = [host.observe().await.is_ok(), host.observe().await.is_ok(), host.observe().await.is_ok()];
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(host.observations(), 3);
}

#[tokio::test]
async fn a_hanging_step_can_be_dropped_and_has_no_effect() {
    let host = FakeHost::new(World::default());
    host.inject(Fault::HangAfter(2));
    let dropped = tokio::time::timeout(Duration::from_millis(20), host.perform(&steps())).await;
    assert!(dropped.is_err());
    assert_eq!(host.performed(), steps()[..2]);
    host.perform(&steps()).await.unwrap();
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_delay_holds_up_every_step() {
    let host = FakeHost::new(World::default());
    host.inject(Fault::Delay(Duration::from_secs(2)));
    let start = tokio::time::Instant::now();
    host.perform(&steps()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(6));
}

use trestle_model::{Code, Domain, DomainPersistence, DomainState, Replug};

use super::*;

const RESTS: Rests = Rests { first: Duration::from_secs(10), longest: Duration::from_secs(600) };
const LONG: Duration = Duration::from_secs(180);

fn owed(domain: u128, state: DomainState) -> OwedPlug {
    let uuid = Uuid::from_u128(domain);
    let name = format!("vm-{domain}");
    OwedPlug {
        request: PlugRequest {
            domain: DomainKey::Uuid(uuid),
            set: Vec::new(),
            remove: vec!["02:00:00:00:00:01".parse().unwrap()],
            replug: Replug::Refuse,
            validate_only: false,
        },
        seen: Domain { name, uuid, state, persistence: DomainPersistence::Persistent, interfaces: Vec::new() },
    }
}

fn running(domain: u128) -> OwedPlug {
    owed(domain, DomainState::Running)
}

/// Sends what is next of `owed`, and ends it.
fn end(plugs: &mut Plugs, owed: &[OwedPlug], refusal: Option<Vec<Finding>>, now: Instant) -> Option<OwedPlug> {
    let next = plugs.next(owed.to_vec(), now)?;
    let command = Uuid::now_v7();
    plugs.begin(command, next.clone(), now + LONG);
    assert_eq!((plugs.next(owed.to_vec(), now), plugs.standing(&next.request)), (None, PlugStanding::UnderWay));
    assert!(!plugs.settle(Uuid::now_v7(), PlugEnd { refusal: None }, RESTS, now), "another command's end was taken");
    assert!(plugs.settle(command, PlugEnd { refusal }, RESTS, now));
    Some(next)
}

fn refusal() -> Option<Vec<Finding>> {
    Some(vec![Finding::error(Code::ReplugNeeded, "set[0].model", "it runs")])
}

#[test]
fn one_domain_s_failure_holds_up_no_other_and_rests_longer_each_time() {
    let (mut plugs, all, mut now) = (Plugs::default(), [running(1), running(2)], Instant::now());
    assert_eq!(end(&mut plugs, &all, refusal(), now), Some(running(1)));
    assert_eq!(end(&mut plugs, &all, None, now), Some(running(2)));
    for seconds in [10, 20, 40] {
        assert_eq!(plugs.next(vec![running(1)], now), None);
        let PlugStanding::Failed(findings, at) = plugs.standing(&running(1).request) else { panic!("it did not fail") };
        assert_eq!((findings.len(), at - now), (1, Duration::from_secs(seconds)));
        now = at;
        assert_eq!(end(&mut plugs, &[running(1)], refusal(), now), Some(running(1)));
    }
}

#[test]
fn a_domain_that_changed_and_another_wish_do_not_rest() {
    let (mut plugs, now) = (Plugs::default(), Instant::now());
    end(&mut plugs, &[running(1)], refusal(), now);
    let stopped = owed(1, DomainState::ShutOff);
    assert_eq!(plugs.next(vec![stopped.clone()], now), Some(stopped));
    let mut other = running(1);
    other.request.replug = Replug::Allow;
    assert_eq!(plugs.next(vec![other.clone()], now), Some(other.clone()));
    assert_eq!(plugs.standing(&other.request), PlugStanding::Owed);
}

#[test]
fn what_was_done_is_asked_again_only_of_a_host_that_does_not_report_it() {
    let (mut plugs, now) = (Plugs::default(), Instant::now());
    end(&mut plugs, &[running(1)], None, now);
    assert_eq!((plugs.next(vec![running(1)], now), plugs.awaits()), (None, true));
    assert_eq!(plugs.next(vec![running(1)], now + SILENCE), Some(running(1)));
    assert_eq!((plugs.next(Vec::new(), now), plugs.awaits()), (None, false), "what is no longer owed is remembered");
}

#[test]
fn a_command_whose_session_or_patience_ended_is_made_anew() {
    let (mut plugs, now) = (Plugs::default(), Instant::now());
    plugs.begin(Uuid::now_v7(), running(1), now + LONG);
    assert!(!plugs.forget_lost(now));
    assert!(plugs.forget_lost(now + LONG));
    assert_eq!(plugs.next(vec![running(1)], now), Some(running(1)));
    plugs.begin(Uuid::now_v7(), running(1), now + LONG);
    plugs.interrupt();
    assert_eq!(plugs.next(vec![running(1)], now), Some(running(1)));
}

use trestle_model::{Bandwidth, Code, Domain, DomainPersistence, DomainState, WantedInterface};

use super::*;

const RESTS: Rests = Rests { first: Duration::from_secs(10), longest: Duration::from_secs(600) };
const LONG: Duration = Duration::from_secs(180);

fn mac(number: u8) -> MacAddr {
    format!("02:00:00:00:00:{number:02x}").parse().unwrap()
}

/// What is owed for interfaces of these MACs, which are to be gone.
fn owed_for(domain: u128, state: DomainState, macs: &[u8]) -> OwedPlug {
    let (uuid, name) = (Uuid::from_u128(domain), format!("vm-{domain}"));
    let persistence = DomainPersistence::Persistent;
    let seen = Domain { name, uuid, state, persistence, interfaces: Vec::new() };
    let ask = |number: &u8| Ask { mac: mac(*number), wanted: None, seen: seen.clone() };
    OwedPlug { domain: uuid, asks: macs.iter().map(ask).collect() }
}

fn owed(domain: u128, state: DomainState) -> OwedPlug {
    owed_for(domain, state, &[1])
}

fn running(domain: u128) -> OwedPlug {
    owed(domain, DomainState::Running)
}

/// Sends what is next of `owed`, and ends it.
fn end(plugs: &mut Plugs, owed: &[OwedPlug], refusal: Option<Vec<Finding>>, now: Instant) -> Option<OwedPlug> {
    let next = plugs.next(owed.to_vec(), now)?;
    let command = Uuid::now_v7();
    plugs.begin(command, next.clone(), now + LONG);
    assert_eq!((plugs.next(owed.to_vec(), now), plugs.standing(&next.asks[0])), (None, PlugStanding::UnderWay));
    assert!(!plugs.settle(Uuid::now_v7(), PlugEnd { refusal: None }, RESTS, now), "another command's end was taken");
    assert!(plugs.settle(command, PlugEnd { refusal }, RESTS, now));
    Some(next)
}

fn refusal() -> Option<Vec<Finding>> {
    Some(vec![Finding::error(Code::VerificationFailed, "domain", "libvirt is not reached")])
}

fn wanted(number: u8) -> WantedInterface {
    WantedInterface {
        mac: mac(number),
        network: "blue".to_owned(),
        model: "virtio".to_owned(),
        mtu: None,
        linked: true,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: None,
    }
}

/// Four interfaces of one domain: 1 and 3 to be gone, 2 and 4 to be set.
fn mixed() -> OwedPlug {
    let mut owed = owed_for(1, DomainState::Running, &[1, 2, 3, 4]);
    for number in [2, 4] {
        owed.asks[usize::from(number) - 1].wanted = Some(wanted(number));
    }
    owed
}

fn macs(owed: Option<OwedPlug>) -> Vec<MacAddr> {
    owed.into_iter().flat_map(|owed| owed.asks).map(|ask| ask.mac).collect()
}

/// The codes for which an interface failed.
fn why(plugs: &Plugs, ask: &Ask) -> Vec<Code> {
    match plugs.standing(ask) {
        PlugStanding::Failed(findings, _) => findings.into_iter().map(|finding| finding.code).collect(),
        PlugStanding::Owed | PlugStanding::UnderWay => Vec::new(),
    }
}

#[test]
fn an_interface_that_is_refused_holds_up_no_other_of_its_domain() {
    let (mut plugs, all, now) = (Plugs::default(), [mixed()], Instant::now());
    // The second that is to be set, and the first that is to be gone.
    let refusal = vec![
        Finding::error(Code::FilterNotFound, "set[1].filter.name", "libvirt has no such filter"),
        Finding::error(Code::UnplugPending, "remove[0]", "the guest did not release it"),
        Finding::warning(Code::DuplicateMac, "set[0].mac", "another guest that is off has it"),
        Finding::error(Code::NotPutBack, "domain", "it is not as it was"),
    ];
    assert_eq!(macs(end(&mut plugs, &all, Some(refusal), now)), [1, 2, 3, 4].map(mac));
    let why: Vec<Vec<Code>> = mixed().asks.iter().map(|ask| why(&plugs, ask)).collect();
    let expected =
        [vec![Code::UnplugPending, Code::NotPutBack], vec![], vec![], vec![Code::FilterNotFound, Code::NotPutBack]];
    assert_eq!(why, expected);
    // At once, without those.
    assert_eq!(macs(end(&mut plugs, &all, None, now)), [2, 3].map(mac));
    assert_eq!(plugs.next(all.to_vec(), now), None);
    // The others came to be. That makes no other wish of those that rest.
    let mut left = mixed();
    left.asks.retain(|ask| [1, 4].map(mac).contains(&ask.mac));
    assert_eq!(plugs.next(vec![left.clone()], now), None);
    assert_eq!(plugs.next(vec![left.clone()], now + RESTS.first), Some(left));
}

#[test]
fn what_no_interface_is_named_for_is_the_whole_domain_s() {
    let (mut plugs, now) = (Plugs::default(), Instant::now());
    for field in ["domain", "", "set", "set[9].mac", "set[x]", "else[0]"] {
        let refusal = vec![Finding::error(Code::StepFailed, field, "no")];
        assert_eq!(macs(end(&mut plugs, &[mixed()], Some(refusal), now)).len(), 4, "{field}");
        assert_eq!(plugs.next(vec![mixed()], now), None, "{field}");
        plugs = Plugs::default();
    }
}

#[test]
fn more_than_a_request_holds_comes_with_the_next_one() {
    let (mut plugs, now) = (Plugs::default(), Instant::now());
    let numbers: Vec<u8> = (1..=100).collect();
    let all = [owed_for(1, DomainState::Running, &numbers)];
    assert_eq!(macs(end(&mut plugs, &all, refusal(), now)).len(), PlugRequest::MOST_INTERFACES);
    // That those failed does not hold up the rest.
    assert_eq!(macs(end(&mut plugs, &all, None, now)), (65..=100).map(mac).collect::<Vec<_>>());
}

#[test]
fn one_domain_s_failure_holds_up_no_other_and_rests_longer_each_time() {
    let (mut plugs, all, mut now) = (Plugs::default(), [running(1), running(2)], Instant::now());
    assert_eq!(end(&mut plugs, &all, refusal(), now), Some(running(1)));
    assert_eq!(end(&mut plugs, &all, None, now), Some(running(2)));
    for seconds in [10, 20, 40] {
        assert_eq!(plugs.next(vec![running(1)], now), None);
        let PlugStanding::Failed(findings, at) = plugs.standing(&running(1).asks[0]) else { panic!("it did not fail") };
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
    other.asks[0].wanted = Some(wanted(1));
    assert_eq!(plugs.next(vec![other.clone()], now), Some(other.clone()));
    assert_eq!(plugs.standing(&other.asks[0]), PlugStanding::Owed);
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
    assert_eq!(plugs.forget_lost(now), None);
    assert!(plugs.forget_lost(now + LONG).is_some());
    assert_eq!(plugs.next(vec![running(1)], now), Some(running(1)));
    plugs.begin(Uuid::now_v7(), running(1), now + LONG);
    plugs.interrupt();
    assert_eq!(plugs.next(vec![running(1)], now), Some(running(1)));
}

/// Sends an unfiltered interface of domain 1.
fn send(plugs: &mut Plugs, now: Instant) -> (Uuid, OwedPlug) {
    let mut owed = running(1);
    owed.asks[0].wanted = Some(wanted(1));
    let command = Uuid::now_v7();
    plugs.begin(command, owed.clone(), now + LONG);
    (command, owed)
}

fn seen(owed: &OwedPlug) -> Vec<Domain> {
    let interfaces = owed.coming().map(|coming| coming.interface).collect();
    vec![Domain { interfaces, ..owed.asks[0].seen.clone() }]
}

#[test]
fn what_was_sent_is_expected_until_it_is_reported_refused_or_lost() {
    let now = Instant::now();
    let expected = |plugs: &mut Plugs, domains: &[Domain], at| !plugs.sent(domains, at).is_empty() && plugs.expects();
    let mut plugs = Plugs::default();

    let (command, owed) = send(&mut plugs, now);
    assert_eq!(plugs.sent(&[], now), std::slice::from_ref(&owed));
    assert!(expected(&mut plugs, &seen(&owed), now), "an old report may show what is just being done anew");
    plugs.settle(command, PlugEnd { refusal: None }, RESTS, now);
    assert!(expected(&mut plugs, &[], now));
    assert!(!expected(&mut plugs, &seen(&owed), now));

    let (command, _) = send(&mut plugs, now);
    plugs.settle(command, PlugEnd { refusal: None }, RESTS, now);
    assert!(!expected(&mut plugs, &[], now + SILENCE), "reports have shown the guest without it");

    let (command, _) = send(&mut plugs, now);
    plugs.settle(command, PlugEnd { refusal: refusal() }, RESTS, now);
    assert!(!expected(&mut plugs, &[], now));

    send(&mut plugs, now);
    plugs.interrupt();
    assert!(expected(&mut plugs, &[], now), "the host may carry it out although its session broke");
    assert!(!expected(&mut plugs, &[], now + LONG));
    send(&mut plugs, now);
    plugs.forget_lost(now + LONG);
    assert!(!expected(&mut plugs, &[], now + LONG));
}

//! Interfaces of domains over the life of an agent: plugged, changed, refused, and put back.

use trestle_fake_host::{FakeHost, Fault, World};
use trestle_model::{
    Bandwidth, BandwidthRate, DomainState, FilterReference, MacTableManager, Mtu, Outcome, WantedInterface,
};
use trestle_plan::Host as _;

use super::*;
use crate::trial::*;

const MACS: [&str; 3] = ["52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"];

/// A host with a managed network and one that is not, with domains that run and one that does not.
async fn bench() -> (FakeHost, Bench<FakeHost>) {
    let world = World::default().nic("eth0").nic("eth1").filter("ours");
    let world = world.domain("web", DomainState::Running).domain("db", DomainState::ShutOff).transient_domain("tmp");
    let host = FakeHost::new(world);
    let bench = Bench::new(host.clone()).await;
    bench.apply(set(managed("blue", "eth0", "192.0.2.1/24"))).await;
    bench.apply(set(network("red", "eth1"))).await;
    host.forget();
    (host, bench)
}

fn wanted(mac: &str) -> WantedInterface {
    WantedInterface {
        mac: mac.parse().unwrap(),
        network: "blue".to_owned(),
        model: "virtio".to_owned(),
        mtu: None,
        linked: true,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: None,
    }
}

fn wish(domain: &str, set: impl Into<Vec<WantedInterface>>, remove: &[&str]) -> PlugRequest {
    PlugRequest {
        domain: DomainKey::parse(domain),
        set: set.into(),
        remove: remove.iter().map(|mac| mac.parse().unwrap()).collect(),
        replug: Replug::Refuse,
        validate_only: false,
    }
}

fn filtered(mac: &str, name: &str) -> WantedInterface {
    let parameters = vec![("IP".to_owned(), "192.0.2.7".to_owned())];
    WantedInterface { filter: Some(FilterReference { name: name.to_owned(), parameters }), ..wanted(mac) }
}

/// Asks for what must succeed, and returns what was done to each interface.
async fn plug(bench: &Bench<FakeHost>, request: PlugRequest) -> Vec<PlugAction> {
    let report = bench.agent.plug(request, local()).await.unwrap();
    report.outcomes.into_iter().map(|(_, action)| action).collect()
}

async fn refused(bench: &Bench<FakeHost>, request: PlugRequest) -> Vec<(Code, String)> {
    let refusal = bench.agent.plug(request, local()).await.unwrap_err();
    refusal.findings().0.into_iter().map(|finding| (finding.code, finding.field)).collect()
}

fn steps(host: &FakeHost) -> Vec<String> {
    host.performed().iter().map(ToString::to_string).collect()
}

fn wiring(host: &FakeHost, domain: &str) -> DomainWiring {
    host.wiring(&DomainKey::parse(domain)).unwrap().unwrap()
}

/// What a domain is wired to, without the texts, which differ each time.
fn told(host: &FakeHost, domain: &str) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let wiring = wiring(host, domain);
    let lines = |interfaces: Vec<trestle_model::WiredInterface>| {
        let line = |interface: &trestle_model::WiredInterface| format!("{:?}", interface.told);
        interfaces.iter().map(line).collect()
    };
    (wiring.live.map(lines), wiring.defined.map(lines))
}

fn limited() -> Bandwidth {
    let rate = BandwidthRate { average: 1000, peak: Some(2000), burst: None };
    Bandwidth { inbound: Some(rate), outbound: Some(rate) }
}

#[tokio::test(start_paused = true)]
async fn an_interface_comes_to_what_runs_and_to_the_definition_and_goes_again() {
    let (host, bench) = bench().await;
    let before = told(&host, "web");
    assert_eq!(plug(&bench, wish("web", [wanted(MACS[0])], &[])).await, [PlugAction::Plugged]);
    let mac: MacAddr = MACS[0].parse().unwrap();
    assert_eq!(
        steps(&host),
        [
            "plug 52:54:00:00:00:01 into the definition of web: virtio on network trestle-blue",
            "plug 52:54:00:00:00:01 into running web: virtio on network trestle-blue",
        ]
    );
    let entries = || host.state().kernel.fdb.iter().filter(|entry| entry.mac == mac).count();
    assert!(entries() > 0, "libvirt manages its MAC");
    assert_eq!(plug(&bench, wish("web", [], &[MACS[0]])).await, [PlugAction::Unplugged]);
    assert_eq!((told(&host, "web"), entries()), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn asking_again_writes_nothing() {
    let (host, bench) = bench().await;
    let all = || {
        let odd = WantedInterface {
            network: "red".to_owned(),
            model: "e1000".to_owned(),
            mtu: Some(Mtu::try_from(1400).unwrap()),
            linked: false,
            isolated: true,
            bandwidth: limited(),
            ..wanted(MACS[1])
        };
        [wanted(MACS[0]), odd, filtered(MACS[2], "ours")]
    };
    for domain in ["web", "db", "tmp"] {
        assert_eq!(plug(&bench, wish(domain, all(), &[])).await, [PlugAction::Plugged; 3], "{domain}");
        host.forget();
        assert_eq!(plug(&bench, wish(domain, all(), &[])).await, [PlugAction::Unchanged; 3], "{domain}");
        assert_eq!(host.writes(), 0, "{domain}");
        let gone = wish(domain, [], &MACS);
        assert_eq!(plug(&bench, gone.clone()).await, [PlugAction::Unplugged; 3], "{domain}");
        host.forget();
        assert_eq!(plug(&bench, gone).await, [PlugAction::Unchanged; 3], "{domain}");
        assert_eq!(host.writes(), 0, "{domain}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_differs_is_changed_where_it_differs() {
    let (host, bench) = bench().await;
    plug(&bench, wish("web", [wanted(MACS[0]), wanted(MACS[1])], &[])).await;
    host.change(|world| world.edit_definition("web", MACS[0], |interface| interface.linked = false));
    for (change, action, expected) in [
        (wanted(MACS[0]), PlugAction::Updated, vec!["definition"]),
        (WantedInterface { linked: false, ..wanted(MACS[0]) }, PlugAction::Updated, vec!["definition", "running"]),
        (filtered(MACS[0], "ours"), PlugAction::Updated, vec!["definition", "running"]),
        (
            WantedInterface {
                network: "trestle-red".to_owned(),
                bandwidth: limited(),
                isolated: true,
                ..wanted(MACS[0])
            },
            PlugAction::Rewired,
            vec!["definition", "running"],
        ),
    ] {
        host.forget();
        assert_eq!(plug(&bench, wish("web", [change.clone()], &[])).await, [action], "{change:?}");
        let steps = steps(&host);
        assert_eq!(steps.len(), expected.len(), "{steps:?}");
        for (step, side) in steps.iter().zip(expected) {
            assert!(step.starts_with(&format!("change {} in ", MACS[0])) && step.contains(side), "{step}");
        }
    }
    let (live, _) = told(&host, "web");
    assert!(live.unwrap()[1].contains("trestle-blue"), "who is not named is not touched");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_change_in_place_needs_a_replug() {
    let (host, bench) = bench().await;
    plug(&bench, wish("web", [wanted(MACS[0])], &[])).await;
    plug(&bench, wish("db", [wanted(MACS[1])], &[])).await;
    let other =
        |mac| WantedInterface { model: "e1000".to_owned(), mtu: Some(Mtu::try_from(1400).unwrap()), ..wanted(mac) };
    host.forget();
    assert_eq!(
        refused(&bench, wish("web", [other(MACS[0])], &[])).await,
        [(Code::ReplugNeeded, "set[0].model".to_owned()), (Code::ReplugNeeded, "set[0].mtu".to_owned())]
    );
    assert_eq!(host.writes(), 0);
    let allowed = PlugRequest { replug: Replug::Allow, ..wish("web", [other(MACS[0])], &[]) };
    assert_eq!(plug(&bench, allowed).await, [PlugAction::Replugged]);
    assert_eq!(steps(&host).len(), 3);
    assert_eq!(plug(&bench, wish("db", [other(MACS[1])], &[])).await, [PlugAction::Updated], "it does not run");
}

#[tokio::test(start_paused = true)]
async fn every_violation_is_told_at_once_and_nothing_is_changed() {
    let (host, bench) = bench().await;
    let bare = trestle_model::NetworkSpec { topology: trestle_model::Topology::Bridgeless, ..network("bare", "eth1") };
    let bench = {
        bench.apply(remove("red")).await;
        bench.apply(set(bare)).await;
        bench
    };
    plug(&bench, wish("tmp", [wanted(MACS[2])], &[])).await;
    plug(&bench, wish("db", [wanted(MACS[1])], &[])).await;
    host.forget();
    let asked = wish(
        "web",
        [
            WantedInterface { network: "green".to_owned(), ..filtered(MACS[0], "theirs") },
            WantedInterface { network: "bare".to_owned(), ..wanted(MACS[1]) },
            wanted(MACS[2]),
        ],
        &[],
    );
    let expected = [
        (Code::FilterNotFound, "set[0].filter.name"),
        (Code::NetworkNotFound, "set[0].network"),
        (Code::NetworkNotPluggable, "set[1].network"),
        (Code::DuplicateMac, "set[2].mac"),
    ];
    let expected = expected.map(|(code, field)| (code, field.to_owned()));
    assert_eq!(refused(&bench, asked.clone()).await, expected);
    assert_eq!(refused(&bench, PlugRequest { validate_only: true, ..asked }).await, expected);
    assert_eq!(refused(&bench, wish("nobody", [], &[MACS[0]])).await, [(Code::DomainNotFound, "domain".to_owned())]);
    assert_eq!(host.writes(), 0);
    // One that is stopped with the MAC is only told of.
    let report = bench.agent.plug(wish("web", [wanted(MACS[1])], &[]), local()).await.unwrap();
    assert_eq!(report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::DuplicateMac]);
}

#[tokio::test(start_paused = true)]
async fn two_interfaces_of_one_mac_cannot_be_told_apart() {
    let (host, bench) = bench().await;
    plug(&bench, wish("db", [wanted(MACS[0]), wanted(MACS[1])], &[])).await;
    let twin: MacAddr = MACS[0].parse().unwrap();
    host.change(|world| world.edit_definition("db", MACS[1], |interface| interface.mac = twin));
    for (asked, field) in
        [(wish("db", [wanted(MACS[0])], &[]), "set[0].mac"), (wish("db", [], &[MACS[0]]), "remove[0]")]
    {
        assert_eq!(refused(&bench, asked).await, [(Code::DuplicateMac, field.to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (host, bench) = bench().await;
    let dry = PlugRequest { validate_only: true, ..wish("web", [wanted(MACS[0])], &[MACS[1]]) };
    assert_eq!(plug(&bench, dry).await, [PlugAction::Unchanged, PlugAction::Plugged]);
    assert_eq!(host.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_guard_of_macs_is_defined_where_it_lacks_and_nowhere_else() {
    let (host, bench) = bench().await;
    plug(&bench, wish("web", [filtered(MACS[0], "no-mac-spoofing")], &[])).await;
    assert_eq!(steps(&host)[0], "define filter no-mac-spoofing");
    host.forget();
    plug(&bench, wish("db", [filtered(MACS[1], "no-mac-spoofing")], &[])).await;
    assert!(!steps(&host).concat().contains("define filter"), "{:?}", steps(&host));
}

/// Each step of a wish fails in turn: what was done before it is put back.
#[tokio::test(start_paused = true)]
async fn what_was_done_is_put_back_wherever_a_step_fails() {
    for failing in 0..7 {
        let (host, bench) = bench().await;
        plug(&bench, wish("web", [wanted(MACS[0]), wanted(MACS[1])], &[])).await;
        let (before, table) = (told(&host, "web"), host.state().kernel.fdb);
        let red = |mac| WantedInterface { network: "red".to_owned(), linked: false, ..wanted(mac) };
        let other = WantedInterface { model: "e1000".to_owned(), ..wanted(MACS[1]) };
        let asked = PlugRequest { replug: Replug::Allow, ..wish("web", [red(MACS[0]), other, wanted(MACS[2])], &[]) };
        host.inject(Fault::FailAfter(failing));
        let findings = refused(&bench, asked).await;
        let field = if failing < 2 {
            "set[0]"
        } else if failing < 5 {
            "set[1]"
        } else {
            "set[2]"
        };
        assert_eq!(findings, [(Code::StepFailed, field.to_owned())], "step {failing}");
        let strip = |(live, defined): (Option<Vec<String>>, Option<Vec<String>>)| {
            let taps = |lines: Vec<String>| {
                let mut lines: Vec<String> =
                    lines.iter().map(|line| line.split("tap:").next().unwrap().to_owned()).collect();
                lines.sort();
                lines
            };
            (live.map(taps), defined.map(taps))
        };
        assert_eq!(strip(told(&host, "web")), strip(before), "step {failing}");
        let macs = |table: &[trestle_model::FdbEntry]| {
            table.iter().map(|entry| (entry.mac, entry.bridge.clone())).collect::<BTreeSet<_>>()
        };
        // The entry of a tap that libvirt moved away and back is the keeper's to bring back.
        let left = macs(&host.state().kernel.fdb);
        assert!(left.is_subset(&macs(&table)), "step {failing}: {left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_back_is_named() {
    let (host, bench) = bench().await;
    // The second interface is refused, and so is the way back of the first.
    for words in [format!("plug {} into", MACS[1]), format!("unplug {} from running", MACS[0])] {
        host.inject(Fault::FailMatching(words));
    }
    let findings = refused(&bench, wish("web", [wanted(MACS[0]), wanted(MACS[1])], &[])).await;
    assert_eq!(findings, [(Code::StepFailed, "set[1]".to_owned()), (Code::NotPutBack, "domain".to_owned())]);
    host.heal();
    assert_eq!(
        plug(&bench, wish("web", [wanted(MACS[0]), wanted(MACS[1])], &[])).await,
        [PlugAction::Plugged; 2],
        "asking again goes on from there"
    );
}

#[tokio::test(start_paused = true)]
async fn a_libvirt_that_dies_amid_it_is_told_truthfully() {
    let (host, bench) = bench().await;
    host.inject(Fault::FailMatching("into running web".to_owned()));
    // Two looks before, and none after that.
    host.inject(Fault::FailObservationAfter(2));
    let findings = refused(&bench, wish("web", [wanted(MACS[0])], &[])).await;
    assert_eq!(findings, [(Code::StepFailed, "set[0]".to_owned()), (Code::NotPutBack, "domain".to_owned())]);
    host.heal();
    assert_eq!(plug(&bench, wish("web", [wanted(MACS[0])], &[])).await, [PlugAction::Plugged]);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_releases_nothing_keeps_its_interface_and_its_definition() {
    let (host, bench) = bench().await;
    plug(&bench, wish("web", [wanted(MACS[0])], &[])).await;
    let before = told(&host, "web");
    host.change(|world| world.hold_devices("web", true));
    let began = Instant::now();
    let findings = refused(&bench, wish("web", [], &[MACS[0]])).await;
    assert_eq!(findings, [(Code::UnplugPending, "remove[0]".to_owned())]);
    assert_eq!((told(&host, "web"), began.elapsed()), (before, RELEASE));
    host.change(|world| world.hold_devices("web", false));
    assert_eq!(plug(&bench, wish("web", [], &[MACS[0]])).await, [PlugAction::Unplugged]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_libvirt_drops_without_a_word_is_found() {
    let host = FakeHost::new(World::default().nic("eth0").domain("web", DomainState::Running));
    let bench = Bench::new(Wayward { host, ignores: "plug 52:54:00:00:00:01 into running" }).await;
    bench.apply(set(network("blue", "eth0"))).await;
    let asked = wish("web", [wanted(MACS[1]), wanted(MACS[0])], &[]);
    let findings = bench.agent.plug(asked, local()).await.unwrap_err().findings();
    let told: Vec<_> = findings.0.iter().map(|finding| (finding.code, finding.field.as_str())).collect();
    assert_eq!(told, [(Code::VerificationFailed, "set[1]")]);
}

#[tokio::test(start_paused = true)]
async fn a_network_does_not_go_while_an_interface_comes_to_it() {
    let (host, bench) = bench().await;
    host.inject(Fault::Delay(Duration::from_secs(3)));
    let plugging = plug(&bench, wish("web", [wanted(MACS[0])], &[]));
    let removal = async {
        // It comes second: the wish has its turn already.
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.set_up(remove("blue")).await
    };
    let (plugged, removed) = tokio::join!(plugging, removal);
    assert_eq!(plugged, [PlugAction::Plugged]);
    let refusal = removed.unwrap_err();
    assert_eq!(refusal.findings().0[0].code, Code::GuestsAttached, "{refusal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_stop_what_has_begun() {
    let (host, bench) = bench().await;
    host.inject(Fault::Delay(Duration::from_secs(3)));
    let asked = bench.agent.plug(wish("web", [wanted(MACS[0])], &[]), local());
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
    // Whoever comes next waits for its turn.
    assert_eq!(plug(&bench, wish("web", [wanted(MACS[0])], &[])).await, [PlugAction::Unchanged]);
}

#[tokio::test(start_paused = true)]
async fn a_moved_guest_is_looked_after_on_its_new_bridge() {
    let (host, bench) = bench().await;
    let on_red = WantedInterface { network: "red".to_owned(), ..wanted(MACS[0]) };
    plug(&bench, wish("web", [on_red], &[])).await;
    assert_eq!(plug(&bench, wish("web", [wanted(MACS[0])], &[])).await, [PlugAction::Rewired]);
    let observed = host.observe().await.unwrap();
    let guests = observed.libvirt.unwrap().guests;
    assert_eq!(
        guests.iter().map(|guest| (guest.bridge.as_deref(), guest.mac_table_manager)).collect::<Vec<_>>(),
        [(Some("blue"), MacTableManager::Libvirt)]
    );
    // libvirt moves the tap and leaves its entry out; what is lost of a managed table is a repair.
    let report = bench.apply(set(managed("blue", "eth0", "192.0.2.1/24"))).await;
    assert_eq!(report.outcome, Outcome::Applied);
    let mac: MacAddr = MACS[0].parse().unwrap();
    assert!(host.state().kernel.fdb.iter().any(|entry| entry.mac == mac));
}

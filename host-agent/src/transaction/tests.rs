use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use trestle_fake_host::{FakeHost, Fault, World};
use trestle_model::{Code, ConnectivityCheck, Fence, MacTableManager, Outcome};

use super::*;
use crate::trial::*;

const LOCAL: ConnectivityCheck = ConnectivityCheck::Local(Duration::from_secs(30));
const ENGINE: ConnectivityCheck = ConnectivityCheck::Engine(Duration::from_secs(30));

fn codes(refusal: &Refusal) -> Vec<Code> {
    refusal.findings().0.iter().map(|finding| finding.code).collect()
}

async fn until_awaiting<H: Site>(bench: &Bench<H>) -> Awaiting {
    let mut awaiting = bench.agent.awaiting();
    let waiting = tokio::time::timeout(BOUND, awaiting.wait_for(Option::is_some)).await.unwrap().unwrap();
    waiting.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_applied_and_reported() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let report = bench.apply(set(managed("blue", "eth1", "198.51.100.1/24"))).await;
    assert_eq!(report.outcome, Outcome::Applied);
    assert_eq!(report.steps.len(), host.writes());

    let capabilities = bench.capabilities().await;
    assert_eq!(capabilities.running_hash, report.running_hash);
    assert!(capabilities.dirty, "nothing was committed");
    let [blue] = &capabilities.networks[..] else { panic!("{:?}", capabilities.networks) };
    assert_eq!(blue.mac_table.as_ref().unwrap().manager, Some(MacTableManager::Libvirt));
    assert_eq!(blue.drift, Vec::<String>::new());

    let persistent = bench.agent.commit().await.unwrap();
    assert_eq!(persistent, report.running_hash);
    assert!(!bench.capabilities().await.dirty);
}

#[tokio::test(start_paused = true)]
async fn progress_tells_every_step_and_comes_before_the_end() {
    let bench = Bench::new(host()).await;
    let mut running = bench.begin(set(network("blue", "eth1")));
    let mut told = Vec::new();
    while let Some(progress) = running.progress.recv().await {
        told.push(progress);
    }
    let report = report(running.end.await.unwrap().unwrap());
    let steps = report.steps.len();
    assert_eq!(told.first(), Some(&Progress::Accepted { transaction: report.transaction, steps }));
    let texts: Vec<String> = told
        .iter()
        .filter_map(|progress| if let Progress::Step { text, .. } = progress { Some(text.clone()) } else { None })
        .collect();
    assert_eq!(texts, report.steps);
    assert_eq!(told.last(), Some(&Progress::Verified));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_changes_nothing() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let before = essence(&host);
    let refusal = bench.set_up(set(network("blue", "eth9"))).await.unwrap_err();
    assert_eq!(codes(&refusal), [Code::NicNotFound]);
    assert_eq!((host.writes(), essence(&host)), (0, before));
    assert_eq!(bench.agent.kept().borrow().open, None);
}

#[tokio::test(start_paused = true)]
async fn a_preview_returns_the_plan_and_changes_nothing() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let mut preview = set(network("blue", "eth1"));
    preview.options.validate_only = true;
    let answer = bench.set_up(preview.clone()).await.unwrap();
    assert!(matches!(answer.end, End::Validated(_)) && !answer.steps.is_empty(), "{answer:?}");
    assert_eq!(host.writes(), 0);

    preview.options.validate_only = false;
    let report = bench.apply(preview).await;
    let planned: Vec<String> = answer.steps.iter().map(|planned| planned.step.to_string()).collect();
    assert_eq!(report.steps, planned);
}

#[tokio::test(start_paused = true)]
async fn asking_for_what_is_there_writes_nothing() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(set(managed("blue", "eth1", "198.51.100.1/24"))).await;
    host.forget();
    let report = bench.apply(committed(set(managed("blue", "eth1", "198.51.100.1/24")))).await;
    assert_eq!((report.outcome, host.writes()), (Outcome::Unchanged, 0));
    assert!(!bench.capabilities().await.dirty, "it was committed all the same");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_any_step_puts_the_host_back() {
    let steps = {
        let bench = Bench::new(host()).await;
        bench.apply(set(managed("blue", "eth0", "198.51.100.1/24"))).await.steps
    };
    for (position, step) in steps.iter().enumerate() {
        let host = host();
        let before = essence(&host);
        let bench = Bench::new(host.clone()).await;
        host.inject(Fault::FailAfter(position));
        let report = report(bench.set_up(set(managed("blue", "eth0", "198.51.100.1/24"))).await.unwrap());
        assert_eq!(undone_because(&report), Code::StepFailed, "step {position}: {step}");
        assert_eq!(essence(&host), before, "step {position}: {step}");
        let contents = bench.agent.kept().borrow().clone();
        assert_eq!((contents.open.is_none(), contents.running.networks.len()), (true, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_without_effect_is_found_by_reading_back() {
    let host = host();
    let before = essence(&host);
    let bench = Bench::new(Wayward { host: host.clone(), ignores: "add address" }).await;
    let report = report(bench.set_up(set(managed("blue", "eth1", "198.51.100.1/24"))).await.unwrap());
    assert_eq!(undone_because(&report), Code::VerificationFailed);
    assert_eq!(essence(&host), before);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_back_is_named() {
    let host = host();
    let bench = Bench::new(Wayward { host: host.clone(), ignores: "add address 198" }).await;
    host.inject(Fault::FailMatching("delete device blue".to_owned()));
    let report = report(bench.set_up(set(managed("blue", "eth1", "198.51.100.1/24"))).await.unwrap());
    let Outcome::RollbackFailed { cause, leftovers } = &report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(cause.code, Code::VerificationFailed);
    assert!(leftovers.iter().any(|left| left.object.contains("blue")), "{leftovers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_confirms_is_undone() {
    let host = host();
    let before = essence(&host);
    for check in [LOCAL, ENGINE] {
        let bench = Bench::new(host.clone()).await;
        let began = Instant::now();
        let report = report(bench.set_up(checked(set(network("blue", "eth0")), check)).await.unwrap());
        assert_eq!(undone_because(&report), Code::ConnectivityLost);
        assert_eq!(began.elapsed().as_secs(), 30);
        assert_eq!(essence(&host), before);
        let late = bench.agent.confirm(report.transaction, Confirmer::Local("local".to_owned())).await;
        assert_eq!(codes(&late.unwrap_err()), [Code::TransactionNotFound]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_libvirt_that_dies_does_not_keep_the_kernel_from_being_put_back() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let before = essence(&host);
    let running = bench.begin(checked(set(managed("blue", "eth0", "198.51.100.1/24")), LOCAL));
    until_awaiting(&bench).await;
    host.inject(Fault::FailObservations);
    host.inject(Fault::FailMatching("libvirt".to_owned()));
    let report = report(end_of(running).await.unwrap());
    let Outcome::RollbackFailed { cause, leftovers } = &report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(cause.code, Code::ConnectivityLost);
    assert!(!leftovers.is_empty());
    assert_eq!(essence(&host).kernel, before.kernel);
    assert_ne!(essence(&host), before, "libvirt has nothing to put back: this proves nothing");

    // Nothing else may come between.
    let refused = bench.set_up(set(network("red", "eth1"))).await.unwrap_err();
    assert_eq!(codes(&refused), [Code::HostUnobservable]);
    host.heal();
    let mut kept = bench.agent.kept();
    tokio::time::timeout(BOUND, kept.wait_for(|contents| contents.open.is_none())).await.unwrap().unwrap();
    assert_eq!(essence(&host), before);
    let ended = bench.agent.ended().unwrap();
    let Outcome::RolledBack(cause) = &ended.outcome else { panic!("{ended:?}") };
    assert_eq!((ended.transaction, cause.code), (report.transaction, Code::ConnectivityLost));
    assert_eq!(bench.apply(set(network("red", "eth1"))).await.outcome, Outcome::Applied);
}

#[tokio::test(start_paused = true)]
async fn only_whoever_asked_can_confirm() {
    let bench = Bench::new(host()).await;
    let running = bench.begin(checked(set(network("blue", "eth1")), LOCAL));
    let transaction = until_awaiting(&bench).await.transaction;
    let other = TransactionId(uuid::Uuid::from_u128(1));
    let answered = Challenge::new(transaction, [7; 16]).answered(transaction, &[7; 16]).unwrap();
    for (asked, by, code) in [
        (transaction, Confirmer::Local("user/eve".to_owned()), Code::ConfirmationRefused),
        (transaction, Confirmer::Engine(answered), Code::ConfirmationRefused),
        (other, Confirmer::Local("local".to_owned()), Code::TransactionNotFound),
    ] {
        assert_eq!(codes(&bench.agent.confirm(asked, by).await.unwrap_err()), [code]);
    }
    bench.agent.confirm(transaction, Confirmer::Local("local".to_owned())).await.unwrap();
    assert_eq!(report(end_of(running).await.unwrap()).outcome, Outcome::Applied);
}

#[tokio::test(start_paused = true)]
async fn no_local_client_can_confirm_for_the_engine() {
    let bench = Bench::new(host()).await;
    let running = bench.begin(checked(set(network("blue", "eth1")), ENGINE));
    let transaction = until_awaiting(&bench).await.transaction;
    let refused = bench.agent.confirm(transaction, Confirmer::Local("local".to_owned())).await.unwrap_err();
    assert_eq!(codes(&refused), [Code::ConfirmationRefused]);
    let challenge = Challenge::new(transaction, [7; 16]);
    assert!(challenge.answered(transaction, &[8; 16]).is_none());
    assert!(challenge.answered(transaction, &[]).is_none());
    let answered = challenge.answered(transaction, &[7; 16]).unwrap();
    bench.agent.confirm(transaction, Confirmer::Engine(answered)).await.unwrap();
    assert_eq!(report(end_of(running).await.unwrap()).outcome, Outcome::Applied);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_confirmation_is_waited_for_undoes() {
    let host = host();
    let before = essence(&host);
    let bench = Bench::new(host.clone()).await;
    let running = bench.begin(checked(set(network("blue", "eth0")), LOCAL));
    until_awaiting(&bench).await;
    let folder = bench.end().await;
    let report = report(end_of(running).await.unwrap());
    assert_eq!(undone_because(&report), Code::ConnectivityLost);
    assert_eq!(essence(&host), before);
    let bench = Bench::start(host, folder, BOOT).await;
    assert_eq!(bench.agent.kept().borrow().open, None);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_returns_the_first_result_also_after_a_restart() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let asked = set(network("blue", "eth1"));
    let first = bench.set_up(asked.clone()).await.unwrap();
    host.forget();
    assert_eq!(bench.set_up(asked.clone()).await.unwrap(), first);
    let bench = Bench::start(host.clone(), bench.end().await, BOOT).await;
    assert_eq!(bench.set_up(asked.clone()).await.unwrap(), first);
    assert_eq!(host.writes(), 0);

    let mut other = remove("blue");
    other.options.transaction = asked.options.transaction;
    let refusal = bench.set_up(other).await.unwrap_err();
    assert_eq!(codes(&refusal), [Code::RequestIdReused]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_repeated_while_it_runs_is_carried_out_once() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    host.inject(Fault::Delay(Duration::from_secs(1)));
    let asked = set(network("blue", "eth1"));
    let (first, second) = (bench.begin(asked.clone()), bench.begin(asked));
    let first = end_of(first).await.unwrap();
    let writes = host.writes();
    assert_eq!(end_of(second).await.unwrap(), first);
    assert_eq!(host.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_busy_and_every_waiting_request_has_its_turn() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let first = bench.begin(checked(set(network("blue", "eth1")), LOCAL));
    let transaction = until_awaiting(&bench).await.transaction;
    let waiting: Vec<Running> = (0..QUEUE).map(|_| bench.begin(remove("blue"))).collect();
    let refusal = bench.agent.setup(remove("blue"), local()).unwrap_err();
    assert_eq!(codes(&refusal), [Code::Busy]);
    bench.agent.confirm(transaction, Confirmer::Local("local".to_owned())).await.unwrap();
    assert_eq!(report(end_of(first).await.unwrap()).outcome, Outcome::Applied);
    let mut removed = 0;
    for running in waiting {
        match end_of(running).await {
            Ok(answer) => removed += usize::from(report(answer).outcome == Outcome::Applied),
            Err(refusal) => assert_eq!(codes(&refusal), [Code::NetworkNotFound]),
        }
    }
    assert_eq!(removed, 1, "the first of them removed it, the others found it gone");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_the_wait_and_never_the_change() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    host.inject(Fault::Delay(Duration::from_secs(1)));
    let soon = Caller { actor: "engine".to_owned(), begin_by: Some(Instant::now() + Duration::from_secs(2)) };
    let first = bench.agent.setup(set(network("blue", "eth1")), soon.clone()).unwrap();
    let second = bench.agent.setup(set(network("red", "eth0")), soon).unwrap();
    assert_eq!(report(end_of(first).await.unwrap()).outcome, Outcome::Applied);
    assert!(matches!(end_of(second).await, Err(Refusal::Deadline)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_stop_the_transaction() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let mut running = bench.begin(set(network("blue", "eth1")));
    running.progress.recv().await.unwrap();
    drop(running);
    let mut kept = bench.agent.kept();
    let applied = kept.wait_for(|contents| contents.open.is_none() && !contents.running.networks.is_empty());
    tokio::time::timeout(BOUND, applied).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_host_is_refused_also_after_a_restart() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    let fenced = |epoch, generation, network| {
        let mut request = set(network);
        request.options.fence = Some(Fence { epoch, generation });
        request
    };
    bench.apply(fenced(2, 5, network("blue", "eth1"))).await;
    let bench = Bench::start(host, bench.end().await, BOOT).await;
    for (epoch, generation) in [(2, 4), (1, 9)] {
        let refusal = bench.set_up(fenced(epoch, generation, network("red", "eth0"))).await.unwrap_err();
        assert_eq!(codes(&refusal), [Code::StaleGeneration]);
    }
    bench.apply(fenced(2, 5, network("red", "eth0"))).await;
    bench.apply(fenced(3, 1, network("red", "eth0"))).await;
    assert_eq!(bench.agent.standing().generation, 1);
    assert!(bench.agent.see_epoch(2).await.is_err());
    bench.agent.see_epoch(4).await.unwrap();
    assert_eq!(bench.agent.standing().fencing_epoch, 4);
}

#[tokio::test(start_paused = true)]
async fn a_boot_brings_back_what_was_committed_and_nothing_else() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(committed(set(managed("blue", "eth1", "198.51.100.1/24")))).await;
    let committed_hash = bench.agent.standing().running_hash;
    bench.apply(set(network("red", "eth0"))).await;
    let folder = bench.end().await;

    let bench = Bench::start(host.clone(), folder, BOOT).await;
    assert!(bench.capabilities().await.dirty, "the same boot keeps what runs");
    assert_ne!(bench.agent.standing().running_hash, committed_hash);
    let folder = bench.end().await;

    host.reboot();
    let bench = Bench::start(host.clone(), folder, "boot-2").await;
    let capabilities = bench.capabilities().await;
    assert_eq!((capabilities.running_hash, capabilities.dirty), (committed_hash, false));
    let [blue] = &capabilities.networks[..] else { panic!("{:?}", capabilities.networks) };
    assert_eq!(blue.drift, Vec::<String>::new());
    assert!(!host.state().kernel.links.keys().any(|link| link.as_str() == "red"));
    let libvirt = host.state().libvirt.unwrap();
    assert_eq!(libvirt.networks.len(), 1, "{:?}", libvirt.networks.keys());
}

#[tokio::test(start_paused = true)]
async fn a_restore_skips_a_network_whose_nic_is_gone() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(committed(set(network("blue", "eth1")))).await;
    bench.apply(committed(set(network("red", "eth0")))).await;
    let folder = bench.end().await;
    host.change(|world| world.pull("eth1"));
    host.reboot();
    let bench = Bench::start(host.clone(), folder, "boot-2").await;
    let networks = bench.capabilities().await.networks;
    let drift: Vec<(&str, bool)> =
        networks.iter().map(|report| (report.configured.spec.name.as_str(), report.drift.is_empty())).collect();
    assert_eq!(drift, [("blue", false), ("red", true)]);
}

/// Polls `work` `count` times.
async fn poll_times(work: &mut (impl Future + Unpin), count: usize) {
    let mut left = count;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        std::pin::Pin::new(&mut *work).poll(context).map(drop)
    })
    .await;
}

/// Confirms the transaction that waits, and tells whether that was accepted; never returns.
async fn confirm_when_awaited<H: Site>(agent: &Agent<H>, accepted: &mut bool) {
    let mut awaiting = agent.awaiting();
    let transaction = awaiting.wait_for(Option::is_some).await.unwrap().unwrap().transaction;
    *accepted = agent.confirm(transaction, Confirmer::Local("local".to_owned())).await.is_ok();
    std::future::pending().await
}

/// Ends the agent after each count of polls in turn, as a crash does, and checks that the next start finds or makes
/// the host wholly old or wholly new. Returns how often it was each.
///
/// A confirmation that is asked for is given; once it was accepted, the host is new.
async fn crash_everywhere(asked: SetupRequest, prepare: &[SetupRequest]) -> (usize, usize) {
    let (mut olds, mut news) = (0, 0);
    for count in 0.. {
        let host = host();
        let bench = Bench::new(host.clone()).await;
        for request in prepare {
            bench.apply(committed(request.clone())).await;
        }
        let old = (essence(&host), bench.agent.standing().running_hash);
        let folder = bench.end().await;

        let wayward = Wayward { host: host.clone(), ignores: "" };
        let (agent, writer) = assemble(wayward, folder.path(), BOOT).await;
        let running = agent.setup(asked.clone(), local()).unwrap();
        let mut run = Box::pin(writer.run(tokio_util::sync::CancellationToken::new()));
        let mut accepted = false;
        // Cancel safety: what is dropped here is what a crash drops.
        tokio::select! {
            biased;
            () = poll_times(&mut run, count) => {}
            () = confirm_when_awaited(&agent, &mut accepted) => {}
            _ = end_of(running) => {}
        }
        drop((run, agent));

        let bench = Bench::start(host.clone(), folder, BOOT).await;
        let standing = bench.agent.standing().running_hash;
        assert_eq!(bench.agent.kept().borrow().open, None, "after {count} polls");
        if standing == old.1 {
            assert!(!accepted, "a confirmed change is gone after {count} polls");
            assert_eq!(essence(&host), old.0, "after {count} polls");
            olds += 1;
        } else {
            let drift: Vec<String> = bench.capabilities().await.networks.into_iter().flat_map(|n| n.drift).collect();
            assert_eq!(drift, Vec::<String>::new(), "after {count} polls");
            news += 1;
        }
        let again = report(bench.set_up(asked.clone()).await.unwrap());
        let known = [Code::StepFailed, Code::ConnectivityLost];
        assert!(again.outcome.is_success() || known.contains(&undone_because(&again)), "{again:?}");
        if news >= 3 {
            break;
        }
        assert!(count < 500, "the transaction never ends");
    }
    (olds, news)
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_leaves_the_host_wholly_old_or_wholly_new() {
    let mut add = set(managed("blue", "eth0", "192.0.2.10/24"));
    add.options.fence = Some(Fence { epoch: 1, generation: 1 });
    let (olds, news) = crash_everywhere(add, &[]).await;
    assert!(olds > 10 && news >= 3, "{olds} old, {news} new");
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_in_an_edit_leaves_the_host_wholly_old_or_wholly_new() {
    let mut edit = request([
        trestle_model::NetworkChange::Set(network("red", "eth0")),
        trestle_model::NetworkChange::Remove(name("blue")),
    ]);
    edit.options.fence = Some(Fence { epoch: 1, generation: 1 });
    let (olds, news) = crash_everywhere(edit, &[set(managed("blue", "eth0", "192.0.2.10/24"))]).await;
    assert!(olds > 10 && news >= 3, "{olds} old, {news} new");
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_around_the_confirmation_keeps_what_was_confirmed() {
    let mut add = checked(set(managed("blue", "eth0", "192.0.2.10/24")), LOCAL);
    add.options.fence = Some(Fence { epoch: 1, generation: 1 });
    let (olds, news) = crash_everywhere(add, &[]).await;
    assert!(olds > 10 && news >= 3, "{olds} old, {news} new");
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_was_hindered_is_made_up_for() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(committed(set(network("blue", "eth1")))).await;
    bench.apply(set(network("red", "eth0"))).await;
    let folder = bench.end().await;
    host.reboot();
    host.inject(Fault::FailObservations);
    let bench = Bench::start(host.clone(), folder, "boot-2").await;
    assert_eq!(bench.agent.kept().borrow().boot_id, BOOT);
    host.heal();
    // Whatever is asked for comes after the restore.
    bench.apply(set(network("green", "eth0"))).await;
    let kept = bench.agent.kept().borrow().clone();
    assert_eq!(kept.boot_id, "boot-2");
    assert_eq!(kept.running.networks.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["blue", "green"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_boot_networks_are_up_before_libvirt_is_waited_for() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(committed(set(network("blue", "eth1")))).await;
    let folder = bench.end().await;
    host.reboot();
    host.inject(Fault::FailObservations);
    let (_agent, mut writer) = assemble(host.clone(), folder.path(), "boot-2").await;
    let (begun, mut up) = (tokio::time::Instant::now(), None);
    let is_there = || host.state().kernel.links.keys().any(|link| link.as_str() == "blue");
    writer.recover(|| up = Some((begun.elapsed(), is_there()))).await.unwrap();
    assert_eq!(up, Some((Duration::ZERO, true)));
    assert!(begun.elapsed() > Duration::from_secs(5), "libvirt was not waited for: this proves nothing");
}

#[tokio::test(start_paused = true)]
async fn a_reboot_inside_the_wait_comes_up_with_what_was_committed() {
    let host = host();
    let bench = Bench::new(host.clone()).await;
    bench.apply(committed(set(managed("blue", "eth1", "198.51.100.1/24")))).await;
    let folder = bench.end().await;

    let (agent, writer) = assemble(host.clone(), folder.path(), BOOT).await;
    let asked = checked(committed(remove("blue")), ENGINE);
    let running = agent.setup(asked.clone(), local()).unwrap();
    let mut awaiting = agent.awaiting();
    // Cancel safety: the writer is dropped where it is, as by a power cut.
    tokio::select! {
        _ = writer.run(tokio_util::sync::CancellationToken::new()) => panic!("the writer ended"),
        () = async { drop(awaiting.wait_for(Option::is_some).await) } => {}
    }
    drop((running, agent, awaiting));
    host.reboot();

    let bench = Bench::start(host.clone(), folder, "boot-2").await;
    let networks = bench.capabilities().await.networks;
    let [blue] = &networks[..] else { panic!("{networks:?}") };
    assert_eq!(blue.drift, Vec::<String>::new());
    let past = bench.set_up(asked).await.unwrap();
    undone_because(&report(past));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_be_observed_is_left_alone() {
    let host = FakeHost::new(World::default().nic("eth0"));
    let bench = Bench::new(host.clone()).await;
    host.inject(Fault::FailObservations);
    let refusal = bench.set_up(set(network("blue", "eth0"))).await.unwrap_err();
    assert_eq!(codes(&refusal), [Code::HostUnobservable]);
    host.heal();
    assert_eq!(host.writes(), 0);
    bench.apply(set(network("blue", "eth0"))).await;
}

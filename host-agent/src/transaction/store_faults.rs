//! The store fails amid a transaction, as on a disk that has just become full: what the host is and what the next start makes
//! of it go together.

use std::time::Duration;

use trestle_fake_host::FakeHost;
use trestle_model::{ConnectivityCheck, Outcome};
use trestle_plan::transaction::Phase;

use super::*;
use crate::journal::{Change, OpenChange};
use crate::trial::*;

const LOCAL: ConnectivityCheck = ConnectivityCheck::Local(Duration::from_secs(30));

fn opens_as(change: &Change, phase: Phase) -> bool {
    matches!(&change.open, OpenChange::Set(open) if open.record.phase == phase)
}

fn adopts(change: &Change) -> bool {
    matches!(change.open, OpenChange::Clear) && change.running.is_some()
}

/// An agent with a transaction whose commits fail where `fails` says so; it is confirmed. Returns what whoever confirmed was
/// told, whether the agent went on, and the store's folder.
async fn confirmed(
    host: &FakeHost,
    fails: impl Fn(&Change) -> bool + Send + Sync + 'static,
) -> (Result<(), Refusal>, Option<Outcome>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    journal.sabotage(fails);
    let (agent, writer) = Agent::new(host.clone(), journal, BOOT.to_owned());
    let mut bench = Bench::run(agent, writer, folder).await;
    let mut running = bench.begin(checked(set(network("blue", "eth0")), LOCAL));
    let mut awaiting = bench.agent.awaiting();
    let transaction = awaiting.wait_for(Option::is_some).await.unwrap().unwrap().transaction;
    let told = bench.agent.confirm(transaction, Confirmer::Local("local".to_owned())).await;
    while running.progress.recv().await.is_some() {}
    let outcome = match running.end.await {
        Ok(answer) => Some(report(answer.unwrap()).outcome),
        Err(_) => {
            bench.writer.join_next().await.unwrap().unwrap().unwrap_err();
            None
        }
    };
    (told, outcome, bench.folder)
}

#[tokio::test(start_paused = true)]
async fn what_was_confirmed_is_never_undone_but_finished_by_the_next_start() {
    let host = host();
    let (told, outcome, folder) = confirmed(&host, adopts).await;
    told.unwrap();
    assert_eq!(outcome, None, "only a new start can tell how it ends");
    let changed = essence(&host);

    let bench = Bench::start(host.clone(), folder, BOOT).await;
    assert_eq!(essence(&host), changed);
    let kept = bench.agent.kept().borrow().clone();
    assert_eq!(kept.open, None);
    assert!(kept.running.networks.contains_key(&name("blue")));
    assert_eq!(bench.agent.ended().unwrap().outcome, Outcome::Applied);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_confirmation_was_refused_is_put_back_also_where_that_cannot_be_noted() {
    let host = host();
    let before = essence(&host);
    let full = |change: &Change| {
        opens_as(change, Phase::Adopting)
            || opens_as(change, Phase::Undoing)
            || matches!(change.open, OpenChange::Clear)
    };
    let (told, outcome, folder) = confirmed(&host, full).await;
    told.unwrap_err();
    assert_eq!(outcome, None);
    assert_eq!(essence(&host), before);

    let bench = Bench::start(host.clone(), folder, BOOT).await;
    assert_eq!(essence(&host), before);
    assert_eq!(bench.agent.kept().borrow().open, None);
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_cannot_be_written_undoes() {
    let host = host();
    let before = essence(&host);
    let (told, outcome, folder) = confirmed(&host, |change| opens_as(change, Phase::Adopting)).await;
    told.unwrap_err();
    assert!(matches!(outcome, Some(Outcome::RolledBack(_))), "{outcome:?}");
    assert_eq!(essence(&host), before);
    drop(folder);
}

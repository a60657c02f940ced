use trestle_model::Findings;
use trestle_model::fleet::{Entity, Mutation, NetworkAttachment};
use trestle_store::{Decision, Write};
use uuid::Uuid;

use super::*;
use crate::fixture::{attachment, cluster, cluster_network, host, host_name, network, network_name};
use crate::session::LastCommand;

const GRACE: Duration = Duration::from_secs(60);

fn remove(network: &str) -> NetworkChange {
    NetworkChange::Remove(network_name(network))
}

fn pending_after(owed: &[&str], failed: &[&str]) -> Vec<String> {
    let changes = |names: &[&str]| names.iter().map(|name| remove(name)).collect::<Vec<_>>();
    let last = LastCommand {
        changes: Owed { networks: changes(failed), ..Owed::default() },
        result: None,
        refusal: Findings::default(),
        succeeded: failed.is_empty(),
        failures: 1,
        retry_at: Instant::now(),
    };
    let now = HostNow { last: Some(last), ..HostNow::default() };
    let owed = Owed { networks: changes(owed), ..Owed::default() };
    pending(&[], &owed, &now).into_iter().map(|network| network.to_string()).collect()
}

#[test]
fn what_is_owed_is_pending_until_it_has_failed_once() {
    assert_eq!(pending_after(&["blue", "red"], &[]), ["blue", "red"]);
    assert_eq!(pending_after(&["blue", "red"], &["blue"]), ["red"]);
    assert_eq!(pending_after(&[], &[]), Vec::<String>::new());
}

/// A command about a bond says what becomes of the networks on it, too: they may be without a link for a moment.
#[test]
fn what_stands_on_a_bond_is_pending_with_it_until_it_has_failed_once() {
    let bond0 = IfName::parse("bond0").unwrap();
    let mut fleet = crate::fixture::fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(network("blue")),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(attachment("h1", "red", "eth0")),
    ]);
    let on_bond =
        NetworkAttachment { southbound: Some(Southbound::Bond(bond0.clone())), ..attachment("h1", "blue", "eth0") };
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(on_bond)));
    let desired = fleet.desired_networks(&host_name("h1"));
    let owed = Owed { bonds: vec![BondChange::Remove(bond0)], ..Owed::default() };
    let pending_after = |failed: Owed| {
        let last = LastCommand {
            changes: failed,
            result: None,
            refusal: Findings::default(),
            succeeded: false,
            failures: 1,
            retry_at: Instant::now(),
        };
        pending(&desired, &owed, &HostNow { last: Some(last), ..HostNow::default() })
    };
    assert_eq!(pending_after(Owed::default()), BTreeSet::from([network_name("blue")]));
    assert_eq!(pending_after(owed.clone()), BTreeSet::new());
}

/// States of a fleet with the host `h1`.
fn states() -> HostStates {
    let store = Store::in_memory().unwrap();
    for entity in [Entity::Cluster(cluster("main")), Entity::Host(host("h1", "main"))] {
        let write = Write { request: None, now_ms: 1, uid: Uuid::now_v7(), actor: "test".to_owned() };
        let mutations = vec![Mutation::Put(entity)];
        store.transact::<()>(write, |_| Ok(Decision { mutations, findings: Findings::default() })).unwrap();
    }
    HostStates::new(store, Arc::new(Board::default()), GRACE)
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_calls_is_silent_once_it_could_have() {
    let states = states();
    let h1 = host_name("h1");
    let contact = |states: &HostStates| states.store.read(|fleet| states.standing(fleet, &h1)).contact;
    assert_eq!(contact(&states), Contact::Heard);
    tokio::time::advance(GRACE).await;
    assert_eq!(contact(&states), Contact::Silent);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_hosts_grace_is_told_once() {
    let states = Arc::new(states());
    let mut events = states.board.subscribe();
    let (cancel, task) = (CancellationToken::new(), Arc::clone(&states));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn({
        let cancel = cancel.clone();
        async move { task.run(cancel).await }
    });
    let began = Instant::now();
    let told = events.recv().await.unwrap();
    assert!(matches!(told, BoardEvent::Changed(host) if host == host_name("h1")));
    assert!((GRACE..=GRACE + SWEEP).contains(&began.elapsed()), "{:?}", began.elapsed());
    let more = tokio::time::timeout(GRACE, events.recv()).await;
    assert!(more.is_err(), "{more:?}");
    cancel.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[test]
fn since_when_a_state_is_so_stays_until_another_one_is_seen() {
    let states = states();
    let h1 = host_name("h1");
    let first = states.look(&h1).unwrap();
    assert_eq!((first.state, states.look(&h1).unwrap().since_ms), (HostState::NonResponsive, first.since_ms));
    states.noted().insert(h1.clone(), Noted { state: HostState::Up, since_ms: 7 });
    assert_eq!(states.note(&h1, HostState::Up), 7);
    assert!(states.note(&h1, HostState::NonOperational) >= first.since_ms);
    assert_eq!(states.look(&host_name("nobody")), None);
}

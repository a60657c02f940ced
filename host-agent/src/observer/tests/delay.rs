//! How long a difference takes to be told, by the agent's own timers: what has just been missed by a look is seen by the next.

use trestle_model::IfName;
use trestle_plan::{KernelStep, PortChange, Step};

use super::*;
use crate::keeper::{Keeper, Policy};
use crate::trial::Slow;

/// A look of a host takes as long, several times what one of a thousand networks takes (`docs/benchmarks.md`).
const LOOK: Duration = Duration::from_millis(150);
/// What is promised.
const PROMISED: Duration = Duration::from_secs(1);
/// How often others change something of no interest, so that there is always a look under way or its rest.
const NOISE: Duration = Duration::from_millis(10);

/// Waits until a watcher is told that blue's drift is so.
async fn until_drift(watcher: &mut Watcher, expected: impl Fn(&[String]) -> bool) {
    loop {
        let (blue, _) = until(watcher, ObjectKind::Network, "blue").await;
        let Some(HostObject::Network(blue)) = blue.as_deref() else { panic!("{blue:?}") };
        if expected(&blue.drift) {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_difference_is_told_within_a_second_at_whatever_moment_it_appears() {
    let world = host();
    let bench = Bench::new(Slow { host: world.clone(), look: LOOK }).await;
    let (changed, on_change) = watch::channel(0);
    let (_learned, on_learning) = watch::channel(0);
    let notices = Notices { changed: on_change.clone(), learned: on_learning };
    let (watches, observer) = Watches::new(bench.agent.clone(), notices, Uuid::nil());
    // It finds differences and leaves them.
    let policy = Policy { repair: BTreeSet::new(), period: Duration::from_secs(60) };
    let keeper = Keeper::new(bench.agent.clone(), policy, on_change);
    let mut tasks = JoinSet::new();
    tasks.spawn(observer.run(bench.stop.clone()));
    tasks.spawn(keeper.run(bench.stop.clone()));
    let noise = changed.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(NOISE).await;
            noise.send_modify(|count| *count += 1);
        }
    });

    bench.apply(set(managed("blue", "eth0", "192.0.2.10/24"))).await;
    world.change(guest);
    let mut watcher = watches.open(None, None).await.unwrap();
    until_drift(&mut watcher, <[String]>::is_empty).await;
    let mut board = bench.agent.board();
    let (mut longest_watch, mut longest_keeper) = (Duration::ZERO, Duration::ZERO);
    for round in 0..60 {
        // At another moment of looks and rests each time.
        tokio::time::sleep(PROMISED + Duration::from_millis(17 * round)).await;
        let learning = |learning| {
            let change = PortChange { learning: Some(learning), ..PortChange::default() };
            Step::from(KernelStep::SetPort { port: IfName::parse("eth0").unwrap(), change })
        };
        let tamper = |step: Step| {
            world.change(|world| world.perform(&step).unwrap());
            changed.send_modify(|count| *count += 1);
        };
        let appeared = Instant::now();
        tamper(learning(true));
        let told = async {
            until_drift(&mut watcher, |drift| !drift.is_empty()).await;
            appeared.elapsed()
        };
        let found = async {
            let found = board.wait_for(|board| !board.repairs.is_empty());
            drop(tokio::time::timeout(BOUND, found).await.expect("not found").unwrap());
            appeared.elapsed()
        };
        let (told, found) = tokio::join!(told, found);
        (longest_watch, longest_keeper) = (longest_watch.max(told), longest_keeper.max(found));
        tamper(learning(false));
        until_drift(&mut watcher, <[String]>::is_empty).await;
    }
    assert!(longest_watch <= PROMISED && longest_keeper <= PROMISED, "{longest_watch:?}, {longest_keeper:?}");
    // The moments were those that take longest: a look had just begun.
    assert!(longest_watch > 5 * LOOK, "{longest_watch:?}");
}

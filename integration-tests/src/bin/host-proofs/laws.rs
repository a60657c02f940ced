//! What holds of every plan on every host, on a real one: `trestle-plan`'s properties, as many as there is time for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_agent::host::RealHost;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::time::{Instant, sleep};
use trestle_model::HostConfig;
use trestle_plan::sample::random::{Nic, Round, nics, rounds};
use trestle_plan::sample::{Change, acceptable, lines, untouched};
use trestle_plan::{Host, Named, Plan, compose, steps_towards, undo_target, verify};

use crate::stage;

/// The rests between the rounds of an undo, as the agent makes them.
const ROUNDS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(800),
];

#[derive(Default)]
struct Count {
    hosts: usize,
    plans: usize,
    steps: usize,
}

/// Plays random requests on random hosts for some seconds.
///
/// *Errors*: a law that does not hold, with the seed and the number of the host that shows it.
pub(crate) async fn hold(seconds: u64, seed: u64) -> Result<()> {
    println!("laws: seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let host = stage::connect().await?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut count = Count::default();
    while Instant::now() < end {
        let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 8);
        let drawn = (nics(), rounds(), cuts).new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("{reason}"))?;
        let (nics, rounds, cuts) = drawn.current();
        let played = play(&host, &nics, rounds, &cuts, &mut count).await;
        played.with_context(|| format!("seed {seed}, host {}: {nics:?}", count.hosts))?;
        count.hosts += 1;
    }
    stage::clear(&host).await?;
    println!("laws: {} hosts, {} plans, {} steps", count.hosts, count.plans, count.steps);
    Ok(())
}

async fn play(
    host: &RealHost,
    nics: &[Nic],
    rounds: Vec<Round>,
    cuts: &[prop::sample::Index],
    count: &mut Count,
) -> Result<()> {
    stage::clear(host).await?;
    stage::lay_out(host, nics).await?;
    let mut running = HostConfig::default();
    let mut cuts = cuts.iter();
    for (number, (changes, guests)) in rounds.into_iter().enumerate() {
        let before = host.observe().await?;
        let (request, plan) = acceptable(changes, &running, &before);
        let mut cut = || cuts.next().map_or(plan.steps.len(), |cut| cut.index(plan.steps.len() + 1));
        let told = || format!("round {number}, plan:\n{}", lines(&plan.steps));

        // Any part of it can be undone.
        let done = cut();
        stage::perform(host, &plan.steps[..done]).await.with_context(told)?;
        nothing_else_changed(host, &plan, &before).await.with_context(|| format!("after {done} of {}", told()))?;
        go_back(host, &plan).await.with_context(|| format!("undone after {done} of {}", told()))?;
        let as_before = stage::until(host, |state| stage::difference(state, &before)).await;
        as_before.with_context(|| format!("undone after {done} of {}", told()))?;

        // Any part of it can be gone on with, and what is reached is what was planned.
        let done = cut();
        stage::perform(host, &plan.steps[..done]).await.with_context(told)?;
        let resumed = trestle_plan::plan(&request, &running, &host.observe().await?);
        let resumed =
            resumed.map_err(|findings| anyhow::anyhow!("refused after {done} of {}: {findings:#?}", told()))?;
        let rest = || format!("gone on after {done} of {} with:\n{}", told(), lines(&resumed.steps));
        stage::perform(host, &resumed.steps).await.with_context(rest)?;
        let drift = |state: &_| Some(verify(&plan.target, state)).filter(|drift| !drift.is_empty());
        stage::until(host, |state| drift(state).map(|drift| format!("{drift:#?}"))).await.with_context(rest)?;
        nothing_else_changed(host, &plan, &before).await.with_context(rest)?;

        // Asking again is nothing to do.
        running = plan.desired.clone();
        let again = Change::all(request).into_iter().filter(Change::sets);
        nothing_is_left(host, &running, again.collect()).await.with_context(rest)?;
        count.plans += 1;
        count.steps += plan.steps.len();
        taps_come(host, &guests, number).await?;
    }
    Ok(())
}

async fn nothing_else_changed(host: &RealHost, plan: &Plan, before: &trestle_model::HostState) -> Result<()> {
    let expected = untouched(before.clone(), plan);
    stage::until(host, |state| stage::difference(&untouched(state.clone(), plan), &expected)).await.map(drop)
}

async fn go_back(host: &RealHost, plan: &Plan) -> Result<()> {
    let target = undo_target(&plan.snapshot);
    let mut left = String::new();
    for rest in ROUNDS {
        sleep(rest).await;
        let steps = steps_towards(&target, &host.observe().await?);
        if steps.is_empty() {
            return Ok(());
        }
        left = lines(&steps);
        stage::perform(host, &steps).await.with_context(|| format!("way back:\n{left}"))?;
    }
    anyhow::bail!("the way back does not end:\n{left}")
}

async fn nothing_is_left(host: &RealHost, running: &HostConfig, again: Vec<Change>) -> Result<()> {
    let state = host.observe().await?;
    let again = trestle_plan::plan(&trestle_plan::sample::request(again), running, &state);
    let again = again.map_err(|findings| anyhow::anyhow!("asking again is refused: {findings:#?}"))?;
    ensure!(again.steps.is_empty(), "asking again:\n{}", lines(&again.steps));
    let (target, _) = compose(running, running, &state, &Named::everything(running));
    let steps = steps_towards(&target, &state);
    ensure!(steps.is_empty(), "still to do:\n{}", lines(&steps));
    Ok(())
}

/// Taps that come as guests' do: somebody puts them into a bridge.
async fn taps_come(host: &RealHost, guests: &[u8], round: usize) -> Result<()> {
    let links = host.observe().await?.kernel.links;
    for (position, number) in guests.iter().enumerate() {
        let bridge = format!("n{number}");
        if links.values().any(|link| link.name.as_str() == bridge && trestle_plan::ownership::is_ours(link)) {
            let tap = format!("vnet{round}{position}");
            stage::run(&format!("ip tuntap add dev {tap} mode tap; ip link set {tap} master {bridge} up")).await?;
        }
    }
    Ok(())
}

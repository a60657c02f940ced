//! What keeping a network costs: at rest, amid entries of others that come and go, and when guests lose theirs.
//!
//! All of the machine counts, since the agent's work is the kernel's, too; floors are what it costs without an agent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::generator::idle;
use crate::guests::{Guests, batch};
use crate::processor::Spending;
use crate::table::{Column, Measured, Row};
use crate::{Bench, Manager, Uplink};

/// How many entries of others come and go.
const OTHERS: usize = 1000;

/// The machine without an agent.
pub(crate) async fn nobody(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let share = at_ease(bench).await?;
    measured.note(Row::Rest, Column::Floor, 100.0 * share);
    let bridge = ["link add others type bridge", "link set up0 master others"].map(str::to_owned);
    batch("ip", &bridge)?;
    measured.note(Row::Churn, Column::Floor, churn(share, bench).await?);
    batch("ip", &["link delete others".to_owned()])
}

/// Watches while nothing happens, and then while entries come and go that are nobody's; yields the share of one processor
/// that is needed at rest.
pub(crate) async fn at_rest(manager: Manager, bench: &Bench, measured: &mut Measured) -> Result<f64> {
    let share = at_ease(bench).await?;
    measured.note(Row::Rest, manager, 100.0 * share);
    measured.note(Row::Churn, manager, churn(share, bench).await?);
    Ok(share)
}

/// Switches the network to managed, and waits until each guest is as it has to be.
pub(crate) async fn switched(
    agent: &Agent,
    guests: &Guests,
    spending: Spending<'_>,
    measured: &mut Measured,
) -> Result<()> {
    agent.set_up(Uplink::Card, Manager::Libvirt).await?;
    guests.in_order().await.context("the network is switched")?;
    measured.note(Row::Switch, Manager::Libvirt, ms(spending.so_far()?));
    Ok(())
}

/// Takes all guests' entries away, and waits until they are back.
pub(crate) async fn losses(
    agent: &Agent,
    guests: &Guests,
    share: f64,
    bench: &Bench,
    measured: &mut Measured,
) -> Result<()> {
    let [repaired, failed] = agent.repairs().await?;
    let (begun, spending) = (Instant::now(), bench.processors.beyond(share)?);
    batch("bridge", &guests.losses())?;
    measured.note(Row::Lost, Column::Floor, ms(spending.so_far()?));
    guests.in_order().await.context("entries come back")?;
    measured.note(Row::Back, Manager::Libvirt, ms(begun.elapsed()));
    sleep(bench.rest).await;
    measured.note(Row::Lost, Manager::Libvirt, ms(spending.so_far()?));
    let [now_repaired, now_failed] = agent.repairs().await?;
    ensure!(now_repaired > repaired && now_failed == failed, "{now_repaired} repairs, {now_failed} failed");
    Ok(())
}

/// Returns what share of a processor is needed while nothing happens.
async fn at_ease(bench: &Bench) -> Result<f64> {
    idle(&bench.processors)?;
    let spending = bench.processors.beyond(0.0)?;
    sleep(bench.rest).await;
    spending.share()
}

/// Lets entries come and go at the uplink, and returns what that cost, ms.
async fn churn(share: f64, bench: &Bench) -> Result<f64> {
    let entry = |other: usize| format!("02:00:00:01:{:02x}:{:02x} dev up0 master static", other / 256, other % 256);
    let lines = |verb: &str| (0..OTHERS).map(|other| format!("fdb {verb} {}", entry(other))).collect::<Vec<_>>();
    let spending = bench.processors.beyond(share)?;
    batch("bridge", &lines("add"))?;
    batch("bridge", &lines("del"))?;
    sleep(bench.rest).await;
    Ok(ms(spending.so_far()?))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

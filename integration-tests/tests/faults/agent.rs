//! The agent ends while it is at work.

use anyhow::{Result, ensure};
use integration_tests::fleet::Fleet;
use serde_json::json;

use crate::SETTLE;
use crate::local::{ask, network_local, reports, until_told};

pub(crate) async fn killed_while_applying(fleet: &mut Fleet) -> Result<()> {
    // The first sign of life comes before the first step, and some of the steps are done when the signal arrives.
    killed_at_the_sign_of(fleet, "accepted").await?;
    killed_at_the_sign_of(fleet, "stepDone").await
}

pub(crate) async fn killed_while_waiting(fleet: &mut Fleet) -> Result<()> {
    killed_at_the_sign_of(fleet, "awaitingConfirmation").await
}

async fn killed_at_the_sign_of(fleet: &mut Fleet, sign: &str) -> Result<()> {
    let host = &mut fleet.a;
    let before = host.picture().await?;
    ask(host, &json!({"networks": [network_local()], "connectivityTimeout": "300s"})).await?;
    until_told(host, sign).await?;
    host.kill_agent().await?;
    let between = host.picture().await?;
    host.start_agent().await?;
    host.picture().await?.same_as(&before)?;
    ensure!(!reports(host, "local").await?, "an unfinished change was adopted");
    if sign == "awaitingConfirmation" {
        ensure!(between != before, "nothing was changed when the agent was killed");
    }
    fleet.until_in_sync("host-a", SETTLE).await?;
    Ok(())
}

pub(crate) async fn stopped_in_order(fleet: &mut Fleet) -> Result<()> {
    let before = fleet.a.picture().await?;
    fleet.a.stop_agent().await?;
    fleet.until("host-a", SETTLE, |status| status["connection"] == "CONNECTION_DISCONNECTED").await?;
    fleet.a.picture().await?.same_as(&before)?;
    fleet.a.start_agent().await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    fleet.a.picture().await?.same_as(&before)
}

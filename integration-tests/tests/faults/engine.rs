//! The engine ends and returns.

use anyhow::{Result, ensure};
use integration_tests::fleet::Fleet;

use crate::SETTLE;
use crate::local::capabilities;

pub(crate) async fn is_down(fleet: &mut Fleet) -> Result<()> {
    let before = (fleet.a.picture().await?, fleet.b.picture().await?);
    fleet.engine.stop().await?;
    let reported = capabilities(&fleet.a).await?;
    ensure!(reported["networks"].to_string().contains("blue"), "{reported:#}");
    fleet.a.picture().await?.same_as(&before.0)?;
    fleet.b.picture().await?.same_as(&before.1)?;
    fleet.engine.resume().await?;
    returns(fleet, before).await
}

pub(crate) async fn is_killed(fleet: &mut Fleet) -> Result<()> {
    let before = (fleet.a.picture().await?, fleet.b.picture().await?);
    fleet.engine.kill().await?;
    fleet.engine.resume().await?;
    returns(fleet, before).await
}

/// Both hosts are back and in sync, without a command: there was nothing to do.
async fn returns(
    fleet: &Fleet,
    before: (integration_tests::fleet::picture::Picture, integration_tests::fleet::picture::Picture),
) -> Result<()> {
    fleet.until_all_in_sync(SETTLE).await?;
    for host in ["host-a", "host-b"] {
        let status = fleet.status(host).await?;
        ensure!(status["lastResult"].is_null(), "{host} was sent a command: {status:#}");
    }
    fleet.a.picture().await?.same_as(&before.0)?;
    fleet.b.picture().await?.same_as(&before.1)
}

//! What is set on the hardware and on what leaves it, on a real kernel, by the real agent and the real command line.

mod functions;
mod nics;
mod rates;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::Alone;
use integration_tests::lab::Lab;
use integration_tests::lab::nic::Nic;

#[tokio::test]
async fn cards_are_as_they_are_told_to_be() -> Result<()> {
    let Some(lab) = Lab::enter("hardware").await? else { return Ok(()) };
    let machine = lab.vm("hardware").nic(Nic::Wire).nic(Nic::SlowWire).nic(Nic::Wire).start().await?;
    let mut host = Alone::on(machine).await?;
    host.start_agent().await?;
    rates::are_kept_to(&host).await.context("rates")?;
    nics::are_set(&host).await.context("NICs")?;

    let (queueing, settings) = (rates::queueing(&host).await?, nics::settings(&host).await?);
    host.stop_agent().await?;
    host.machine.reboot().await?;
    host.start_agent().await?;
    rates::until_restored(&host).await?;
    let restored = rates::queueing(&host).await?;
    ensure!(restored == queueing, "before a reboot:\n{queueing}\nafter it:\n{restored}");
    nics::until_as(&host, &settings).await.context("after a reboot")?;
    nics::return_to_what_they_were(&host).await.context("giving back")
}

//! What a host is when something fails: as it was before, or as it was to be, and never between.

mod agent;
mod confirmation;
mod disk;
mod engine;
mod libvirt;
mod local;
mod restore;

use std::time::Duration;

use anyhow::Result;
use integration_tests::fleet::story::Story;
use integration_tests::fleet::{Fleet, Options, in_checkout};
use integration_tests::lab::Lab;

/// How long hosts may take to become what is wanted, on a busy machine.
pub(crate) const SETTLE: Duration = Duration::from_secs(90);
/// How long a host of this story waits for its confirmation.
pub(crate) const CONNECTIVITY_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_host_is_never_left_between() -> Result<()> {
    let Some(lab) = Lab::enter("faults").await? else { return Ok(()) };
    let options = Options { connectivity_timeout: CONNECTIVITY_TIMEOUT, collector: None };
    let mut story = Story::begin("a host is never left between");
    let mut fleet = Box::pin(Fleet::boot(&lab, &options)).await?;
    let told = Box::pin(tell(&mut story, &mut fleet)).await;
    story.end(&fleet, told).await
}

async fn tell(story: &mut Story, fleet: &mut Fleet) -> Result<()> {
    story.need("both hosts run the example", begin(fleet)).await?;
    story.tell("a local change is confirmed by its client", confirmation::a_local_change_is_confirmed(fleet)).await;
    story.tell("a repeated request changes nothing", confirmation::a_repeated_request_changes_nothing(fleet)).await;
    story.tell("a change that nobody confirms is undone", confirmation::an_unconfirmed_change_is_undone(fleet)).await;
    story.tell("a network that cuts a host off is undone", confirmation::a_cut_off_host_returns(fleet)).await;
    story.tell("a right management network is confirmed", confirmation::a_right_management_network_holds(fleet)).await;
    story.tell("an agent killed while it applies leaves no trace", agent::killed_while_applying(fleet)).await;
    story.tell("an agent killed while it waits leaves no trace", agent::killed_while_waiting(fleet)).await;
    story.tell("an agent that stops in order leaves its networks", agent::stopped_in_order(fleet)).await;
    story.tell("a libvirt that hangs is told and hurts nothing", libvirt::hangs(fleet)).await;
    story.tell("a change that libvirt dies in is undone", libvirt::killed_while_applying(fleet)).await;
    story.tell("a disk that is read-only refuses changes", disk::is_read_only_for_a_while(fleet)).await;
    story.tell("agents keep their hosts while the engine is down", engine::is_down(fleet)).await;
    story.tell("sessions return to an engine that was killed", engine::is_killed(fleet)).await;
    story.tell("a reboot restores what was committed and no more", restore::after_a_reboot(fleet)).await;
    story.tell("a power cut while a change waits restores the same", restore::after_a_power_cut(fleet)).await;
    Ok(())
}

async fn begin(fleet: &mut Fleet) -> Result<()> {
    fleet.start_hosts().await?;
    fleet.ctl.apply(&std::fs::read_to_string(in_checkout("deploy/examples/fleet.yaml"))?).await?;
    fleet.until_all_in_sync(SETTLE).await
}

//! The main job, end to end: an engine and two hosts with a real kernel and a real libvirt, driven by the command line
//! and by clients that have never seen Trestle's files.

mod bonds;
mod clients;
mod collector;
mod identity;
mod input;
mod networks;
mod rules;
mod trace;
mod vnics;

use std::time::Duration;

use anyhow::Result;
use integration_tests::fleet::story::Story;
use integration_tests::fleet::{Fleet, Options};
use integration_tests::lab::Lab;

use crate::collector::Collector;

/// How long hosts may take to become what is wanted, on a busy machine.
pub(crate) const SETTLE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_fleet_becomes_what_it_is_told() -> Result<()> {
    let Some(lab) = Lab::enter("story").await? else { return Ok(()) };
    let collector = Collector::start().await?;
    let options = Options { connectivity_timeout: Duration::from_secs(30), collector: Some(collector.address) };
    let mut story = Story::begin("a fleet becomes what it is told");
    let mut fleet = Box::pin(Fleet::boot(&lab, &options)).await?;
    let told = Box::pin(tell(&mut story, &mut fleet, &collector)).await;
    story.end(&fleet, told).await
}

async fn tell(story: &mut Story, fleet: &mut Fleet, collector: &Collector) -> Result<()> {
    story.need("libvirt and the agents answer on both hosts", fleet.start_hosts()).await?;
    story.need("an applied file brings both hosts in sync", networks::a_file_is_applied(fleet)).await?;
    story.tell("kernel and libvirt run what was applied", networks::kernel_and_libvirt_have_it(fleet)).await;
    story.tell("a guest's port is closed and its MAC is static", networks::a_guest_is_managed(fleet)).await;
    story.tell("capabilities report the MAC table", networks::capabilities_report_it(fleet)).await;
    story
        .tell(
            "the engine sees who plugged a guest and what it breaks, and mends it",
            vnics::the_engine_mends_a_guest(fleet, "guest-1", networks::GUEST_MAC),
        )
        .await;
    story.tell("a second apply changes nothing", networks::a_second_apply_changes_nothing(fleet)).await;
    story.tell("an edit reaches both hosts and the guest stays", networks::an_edit_arrives(fleet)).await;
    story.tell("a VLAN network carries traffic between the hosts", networks::a_vlan_carries_traffic(fleet)).await;
    story
        .tell("a guest that moves to another host is heard at once", networks::a_guest_moves_between_hosts(fleet))
        .await;
    story.tell("vNICs are plugged into guests that are off and that run", vnics::guests_are_plugged(fleet)).await;
    story.tell("a vNIC has all that it can have, and no more", vnics::a_vnic_has_everything(fleet)).await;
    story
        .tell("a filter stops a guest that spoofs, and no filter does not", vnics::a_filter_stops_a_real_spoofer(fleet))
        .await;
    story.tell("MAC tables are switched on and off", networks::mac_tables_are_switched(fleet)).await;
    story.tell("a removed network is gone", networks::a_removed_network_is_gone(fleet)).await;
    // Of several commands: on a busy machine, one may not be rid of its spans within the two seconds that it gives them.
    story.tell("one trace reaches from the command line to each step", trace::is_one(collector)).await;
    story
        .tell(
            "a network without bridge keeps the flag, without effect",
            rules::a_bridgeless_network_keeps_the_flag(fleet),
        )
        .await;
    story.tell("a profile that lets guests spoof is refused", rules::spoofing_is_refused_from_both_sides(fleet)).await;
    story.tell("Open vSwitch is refused", rules::open_vswitch_is_refused_from_both_sides(fleet)).await;
    story.tell("contradicting bridge options are refused", rules::contradicting_options_are_refused(fleet)).await;
    story.tell("a dry run tells and changes nothing", rules::a_dry_run_changes_nothing(fleet)).await;
    story.tell("grpcurl lists, describes and calls", clients::grpcurl_needs_no_files(fleet)).await;
    story.tell("Python does by reflection what trestlectl does", clients::python_needs_no_files(fleet)).await;
    story.tell("an agent speaks for its own host only", identity::an_agent_speaks_for_itself(fleet)).await;
    story.tell("strangers are refused", identity::strangers_are_refused(fleet)).await;
    story.tell("bad input is refused with field paths", input::is_refused_with_paths(fleet)).await;
    story.tell("bad files are refused before anything is sent", input::bad_files_are_refused(fleet)).await;
    story.tell("a bond takes the networks of its NICs along", bonds::a_bond_takes_its_networks_along(fleet)).await;
    Ok(())
}

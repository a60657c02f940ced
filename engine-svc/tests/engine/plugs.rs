//! What hosts are asked for of their guests' interfaces, and what comes of it.

use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_filter::Choice;
use trestle_proto::finding::v1::{Finding, Severity};
use trestle_proto::host::v1::{
    Domain, DomainInterface, DomainState, SetDomainInterfacesRequest, SetDomainInterfacesResponse,
};
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::command::Kind as CommandKind;
use trestle_proto::session::v1::command_result::End;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{Command, CommandResult, Refusal};
use trestle_proto::status::reason_of;

use super::plugging::{World, domain, interface};
use super::vnics::{GUESTS, VM, managed, put, vnic};

const GUARD: Option<&str> = Some("no-mac-spoofing");

impl World {
    /// Hears the next command, which is about interfaces; acknowledgements of results are passed over.
    async fn asked(&mut self) -> (String, SetDomainInterfacesRequest) {
        loop {
            let heard = self.agent.hear().await.unwrap();
            if let EngineKind::Command(Command { command_id, kind: Some(kind), .. }) = heard {
                let CommandKind::SetDomainInterfaces(asked) = kind else { panic!("{kind:?} is not about interfaces") };
                return (command_id, asked);
            }
        }
    }

    /// Hears the next command, and returns its id.
    pub(crate) async fn command(&mut self) -> String {
        self.asked().await.0
    }

    async fn ends(&self, command: &str, end: End) {
        self.agent.say(AgentKind::Result(CommandResult { command_id: command.to_owned(), end: Some(end) })).await;
    }

    async fn done(&self, command: &str) {
        self.ends(command, End::SetDomainInterfaces(SetDomainInterfacesResponse::default())).await;
    }

    async fn becomes_plugging(&self, wanted: wire::PlugState) -> wire::Plugging {
        let status = self.vnic_becomes(|status| status.plugging.as_ref().unwrap().state() == wanted).await;
        status.plugging.unwrap()
    }

    fn with(&self, interfaces: Vec<DomainInterface>) -> Vec<Domain> {
        vec![domain("web", VM, interfaces)]
    }

    async fn change(&self, change: impl FnOnce(&mut wire::VnicSpec)) -> Result<wire::Vnic, tonic::Status> {
        let mut vnic = vnic("eth0", GUESTS);
        change(vnic.spec.as_mut().unwrap());
        put(&self.engine, vnic).await
    }
}

fn refused(field: &str) -> End {
    let finding = Finding {
        code: "STEP_FAILED".to_owned(),
        severity: Severity::Error.into(),
        field: field.to_owned(),
        message: "libvirt said no".to_owned(),
        ..Default::default()
    };
    End::Refusal(Refusal { code: 9, message: "refused".to_owned(), findings: vec![finding] })
}

#[tokio::test]
async fn a_vnic_is_plugged_changed_and_unplugged_by_its_host() {
    let mut world = World::furnish().await;
    world.report(world.with(Vec::new())).await;
    let (id, asked) = world.asked().await;
    assert_eq!((asked.domain.as_str(), asked.remove.len(), asked.set.len()), (VM, 0, 1));
    let wanted = &asked.set[0];
    assert_eq!((wanted.mac.as_str(), wanted.network.as_str(), wanted.model.as_str()), (&*world.mac, "blue", "virtio"));
    assert_eq!((wanted.linked, wanted.filter.as_ref().unwrap().name.as_str()), (Some(true), "no-mac-spoofing"));
    world.becomes_plugging(wire::PlugState::UnderWay).await;
    world.done(&id).await;
    world.becomes_plugging(wire::PlugState::Pending).await;
    world.report(world.with(vec![interface(&world.mac, GUARD)])).await;
    let status = world.vnic_becomes(|status| status.sync() == wire::PlugSync::InSync).await;
    assert_eq!(status.plugging.unwrap().state(), wire::PlugState::None);

    world.change(|spec| spec.linked = Some(false)).await.unwrap();
    let (id, asked) = world.asked().await;
    assert_eq!((asked.set.len(), asked.set[0].linked), (1, Some(false)));
    let down = DomainInterface { linked: false, ..interface(&world.mac, GUARD) };
    world.report(world.with(vec![down])).await;
    world.done(&id).await;

    world.change(|spec| spec.plugged = Some(false)).await.unwrap();
    let (id, asked) = world.asked().await;
    assert_eq!((asked.set.len(), asked.remove.as_slice()), (0, std::slice::from_ref(&world.mac)));
    world.done(&id).await;
    world.report(world.with(Vec::new())).await;
    world.vnic_becomes(|status| status.sync() == wire::PlugSync::InSync && status.seen.is_none()).await;
}

/// Gives the profile of guests no filter, or the default one.
async fn filtered(world: &World, on: bool) -> Result<(), tonic::Status> {
    let network_filter = (!on).then_some(wire::NetworkFilter { choice: Some(Choice::None(true)) });
    let spec = wire::VnicProfileSpec { network_filter, ..Default::default() };
    let profile = wire::VnicProfile { name: GUESTS.to_owned(), spec: Some(spec), ..Default::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["spec.network_filter".to_owned()] });
    let update = wire::UpdateVnicProfileRequest { vnic_profile: Some(profile), update_mask, ..Default::default() };
    world.engine.profiles().update_vnic_profile(update).await.map(drop)
}

impl World {
    async fn manage(&self) -> Result<(), String> {
        let written = self.engine.networks().update_network(managed(true)).await;
        written.map(drop).map_err(|refused| reason_of(&refused).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_network_is_not_managed_while_a_guest_is_just_being_plugged_without_a_filter() {
    let conflict = || Err("MAC_SPOOF_CONFLICT".to_owned());
    let mut world = World::furnish().await;
    filtered(&world, false).await.unwrap();
    world.report(world.with(Vec::new())).await;
    let (plug, asked) = world.asked().await;
    assert_eq!(asked.set[0].filter, None);
    // The host has not answered, and nothing but the command tells of a guest that may spoof.
    filtered(&world, true).await.unwrap();
    assert_eq!(world.manage().await, conflict());
    world.done(&plug).await;
    assert!(matches!(world.agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    assert_eq!(world.manage().await, conflict(), "the host has not said yet what it is");

    world.report(world.with(vec![interface(&world.mac, None)])).await;
    let (mend, asked) = world.asked().await;
    assert_eq!(asked.set[0].filter.as_ref().unwrap().name, "no-mac-spoofing");
    assert_eq!(world.manage().await, conflict(), "the guest is plugged, and may spoof");
    world.done(&mend).await;
    world.report(world.with(vec![interface(&world.mac, GUARD)])).await;
    world.vnic_becomes(|status| status.sync() == wire::PlugSync::InSync).await;
    world.manage().await.unwrap();
}

#[tokio::test]
async fn a_plug_that_its_host_refused_is_in_nobodys_way() {
    let mut world = World::furnish().await;
    filtered(&world, false).await.unwrap();
    world.report(world.with(Vec::new())).await;
    let (plug, _) = world.asked().await;
    filtered(&world, true).await.unwrap();
    world.ends(&plug, refused("set[0]")).await;
    // What is wanted now is something else, and asked for at once: the refused one is then forgotten.
    let (_, asked) = world.asked().await;
    assert_eq!(asked.set[0].filter.as_ref().unwrap().name, "no-mac-spoofing");
    world.manage().await.unwrap();
}

#[tokio::test]
async fn a_plug_whose_session_broke_may_still_be_carried_out() {
    let mut world = World::furnish().await;
    filtered(&world, false).await.unwrap();
    world.report(world.with(Vec::new())).await;
    world.asked().await;
    world.dial_again().await;
    filtered(&world, true).await.unwrap();
    world.report(world.with(Vec::new())).await;
    world.asked().await;
    assert_eq!(world.manage().await, Err("MAC_SPOOF_CONFLICT".to_owned()));
}

#[tokio::test]
async fn a_refusal_is_told_and_what_changed_is_asked_for_at_once() {
    let mut world = World::furnish().await;
    let other = || DomainInterface { linked: false, ..interface("", GUARD) };
    let with_mac = |world: &World| vec![DomainInterface { mac: world.mac.clone(), ..other() }];
    world.report(world.with(with_mac(&world))).await;
    let (id, _) = world.asked().await;
    world.ends(&id, refused("set[0]")).await;
    let plugging = world.becomes_plugging(wire::PlugState::Failed).await;
    assert_eq!((plugging.findings.len(), plugging.findings[0].code.as_str()), (1, "STEP_FAILED"));
    assert!(plugging.retry_time.is_some());
    let status = world.engine.wait_for("host-a", |status| status.plug_counts.unwrap().failed == 1).await;
    assert_eq!(status.plug_counts, Some(wire::PlugCounts { pending: 0, failed: 1, withheld: 0 }));

    // The guest stops: the same is asked of its definition, without waiting for another try.
    let mut stopped = world.with(with_mac(&world));
    stopped[0].state = DomainState::ShutOff.into();
    world.report(stopped).await;
    let (_, again) = world.asked().await;
    assert_eq!(again.set[0].linked, Some(true));
}

#[tokio::test]
async fn a_vnic_that_its_host_refuses_holds_up_no_other_of_its_vm() {
    let mut world = World::furnish().await;
    put(&world.engine, vnic("eth1", GUESTS)).await.unwrap();
    world.report(world.with(Vec::new())).await;
    let (id, asked) = world.asked().await;
    let macs = |asked: &SetDomainInterfacesRequest| asked.set.iter().map(|set| set.mac.clone()).collect::<Vec<_>>();
    let [refused_mac, other] = macs(&asked).try_into().unwrap();
    assert_eq!(refused_mac, world.mac);
    world.ends(&id, refused("set[0].filter.name")).await;
    let (id, asked) = world.asked().await;
    assert_eq!(macs(&asked), std::slice::from_ref(&other));
    let plugging = world.becomes_plugging(wire::PlugState::Failed).await;
    let told: Vec<_> = plugging.findings.iter().map(|one| (one.code.as_str(), one.field.as_str())).collect();
    assert_eq!(told, [("STEP_FAILED", "spec.profile")], "the field is the vNIC's, not that of the host's request");
    assert_eq!(plugging.findings[0].subject, format!("vms/{VM}/vnics/eth0"));
    world.done(&id).await;
    world.report(world.with(vec![interface(&other, GUARD)])).await;
    let counts = wire::PlugCounts { pending: 0, failed: 1, withheld: 0 };
    world.engine.wait_for("host-a", |status| status.plug_counts == Some(counts)).await;
    let status = world.vnic().await;
    assert_eq!((status.sync(), status.plugging.unwrap().state()), (wire::PlugSync::Absent, wire::PlugState::Failed));
}

#[tokio::test]
async fn a_command_whose_session_broke_is_made_anew_from_the_next_report() {
    let mut world = World::furnish().await;
    world.report(world.with(Vec::new())).await;
    let (id, asked) = world.asked().await;
    world.dial_again().await;
    // What the agent did meanwhile is told, and does no harm.
    world.done(&id).await;
    world.report(world.with(Vec::new())).await;
    let (anew, again) = world.asked().await;
    assert!(anew != id && again == asked, "{again:?}");
}

#[tokio::test]
async fn a_vnic_does_not_let_go_of_an_interface_unnoticed() {
    let world = World::furnish().await;
    world.report(world.with(vec![interface(&world.mac, GUARD)])).await;
    world.vnic_becomes(|status| status.seen.is_some()).await;
    let refused = world.change(|spec| spec.mac = "02:00:00:00:00:77".to_owned()).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("VNIC_STILL_PLUGGED"));
    let name = format!("vms/{VM}/vnics/eth0");
    let delete = wire::DeleteVnicRequest { name, ..Default::default() };
    let refused = world.engine.vnics().delete_vnic(delete.clone()).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("VNIC_STILL_PLUGGED"));
    let acknowledged = vec!["VNIC_STILL_PLUGGED".to_owned()];
    let delete = wire::DeleteVnicRequest { acknowledge_warnings: acknowledged, ..delete };
    world.engine.vnics().delete_vnic(delete).await.unwrap();
    world.engine.wait_for("host-a", |status| status.unmanaged_interface_count == 1).await;
}

#[tokio::test]
async fn a_cluster_whose_guests_somebody_else_plugs_is_left_alone() {
    let world = World::furnish().await;
    let spec = wire::ClusterSpec { vnic_policy: wire::VnicPolicy::Report.into(), ..Default::default() };
    let cluster = wire::Cluster { name: "clusters/lab".to_owned(), spec: Some(spec), ..Default::default() };
    let mask = prost_types::FieldMask { paths: vec!["spec.vnic_policy".to_owned()] };
    let update = wire::UpdateClusterRequest { cluster: Some(cluster), update_mask: Some(mask), ..Default::default() };
    world.engine.clusters().update_cluster(update).await.unwrap();
    world.report(world.with(Vec::new())).await;
    let plugging = world.becomes_plugging(wire::PlugState::Withheld).await;
    assert_eq!(plugging.findings[0].code, "VNIC_NOT_PLUGGABLE");
    let status = world.engine.wait_for("host-a", |_| true).await;
    assert_eq!(status.plug_counts, Some(wire::PlugCounts { pending: 0, failed: 0, withheld: 1 }));
}

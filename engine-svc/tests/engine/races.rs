//! A hundred clients race for the same resources.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_filter::Choice;
use trestle_proto::engine::v1::network_service_client::NetworkServiceClient;
use trestle_proto::engine::v1::vnic_profile_service_client::VnicProfileServiceClient;
use trestle_proto::engine::v1::vnic_service_client::VnicServiceClient;
use trestle_serve::Connection;

use super::harness::Running;
use super::vnics::{furnish, vnic};

const CLIENTS: usize = 100;
const PROFILE: &str = "networks/blue/vnicProfiles/guests";

/// What a client wants, by its number: the network managed or not, the profile with or without a filter, or a vNIC; what
/// nobody said before makes a change of the latter two.
async fn wish(
    number: usize,
    said: String,
    connection: Connection,
    etags: &Etags,
) -> Result<&'static str, tonic::Status> {
    let all = Some(prost_types::FieldMask { paths: vec!["*".to_owned()] });
    match number % 3 {
        0 => {
            let spec = wire::NetworkSpec { manage_macs_with_libvirt: number.is_multiple_of(2), ..Default::default() };
            let (name, etag) = ("networks/blue".to_owned(), etags.network.clone());
            let network = Some(wire::Network { name, etag, spec: Some(spec), ..Default::default() });
            let request = wire::UpdateNetworkRequest { network, update_mask: all, ..Default::default() };
            NetworkServiceClient::new(connection).update_network(request).await.map(|_| "network")
        }
        1 => {
            let choice = (number.is_multiple_of(2)).then_some(Choice::None(true));
            let network_filter = choice.map(|choice| wire::NetworkFilter { choice: Some(choice) });
            let spec = wire::VnicProfileSpec { network_filter, description: said, ..Default::default() };
            let (name, etag) = (PROFILE.to_owned(), etags.profile.clone());
            let vnic_profile = Some(wire::VnicProfile { name, etag, spec: Some(spec), ..Default::default() });
            let request = wire::UpdateVnicProfileRequest { vnic_profile, update_mask: all, ..Default::default() };
            VnicProfileServiceClient::new(connection).update_vnic_profile(request).await.map(|_| "profile")
        }
        _ => {
            let mut vnic = wire::Vnic { etag: etags.vnic.clone(), ..vnic("eth0", PROFILE) };
            vnic.spec.as_mut().unwrap().description = said;
            let request = wire::UpdateVnicRequest { vnic: Some(vnic), update_mask: all, ..Default::default() };
            VnicServiceClient::new(connection).update_vnic(request).await.map(|_| "vnic")
        }
    }
}

#[derive(Clone)]
struct Etags {
    network: String,
    profile: String,
    vnic: String,
}

async fn etags(engine: &Running) -> (Etags, bool) {
    let name = "networks/blue".to_owned();
    let network = engine.networks().get_network(wire::GetNetworkRequest { name }).await.unwrap().into_inner();
    let name = PROFILE.to_owned();
    let profile = engine.profiles().get_vnic_profile(wire::GetVnicProfileRequest { name }).await.unwrap().into_inner();
    let name = vnic("eth0", "").name;
    let vnic = engine.vnics().get_vnic(wire::GetVnicRequest { name }).await.unwrap().into_inner();
    let (network, profile) = (network.network.unwrap(), profile.vnic_profile.unwrap());
    let managed = network.spec.unwrap().manage_macs_with_libvirt;
    let spoofs = profile.spec.unwrap().network_filter.and_then(|filter| filter.choice) == Some(Choice::None(true));
    let etags = Etags { network: network.etag, profile: profile.etag, vnic: vnic.vnic.unwrap().etag };
    (etags, managed && spoofs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_break_nothing_and_losers_learn_the_current_etag() {
    let engine = Running::start().await;
    furnish(&engine).await;
    // A VM that runs would make each switch a warning.
    let vm = wire::Vm {
        name: vnic("", "").name.trim_end_matches("/vnics/").to_owned(),
        spec: Some(wire::VmSpec { cluster: "clusters/lab".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let all = Some(prost_types::FieldMask { paths: vec!["*".to_owned()] });
    let stopped = wire::UpdateVmRequest { vm: Some(vm), update_mask: all, ..Default::default() };
    engine.vms().update_vm(stopped).await.unwrap();
    let made = wire::UpdateVnicRequest { vnic: Some(vnic("eth0", PROFILE)), allow_missing: true, ..Default::default() };
    engine.vnics().update_vnic(made).await.unwrap();
    for round in 0..5 {
        let (before, broken) = etags(&engine).await;
        assert!(!broken, "round {round}: a spoofing profile is on a managed network");
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (connection, before) = (engine.connection.clone(), before.clone());
            let said = format!("{round}/{number}");
            clients.spawn(async move { wish(number + round, said, connection, &before).await });
        }
        let mut ended = BTreeMap::<String, usize>::new();
        let mut told = BTreeSet::new();
        while let Some(client) = clients.join_next().await {
            let word = match client.unwrap() {
                Ok(kind) => format!("{kind} written"),
                Err(status) if status.code() == Code::Aborted => {
                    let details = status.get_error_details();
                    let info = details.error_info().unwrap();
                    assert_eq!(info.reason, "ETAG_MISMATCH");
                    told.insert((info.metadata["subject"].clone(), info.metadata["etag"].clone()));
                    "aborted".to_owned()
                }
                Err(status) => {
                    let details = status.get_error_details();
                    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
                    assert_eq!((status.code(), reason.as_str()), (Code::FailedPrecondition, "MAC_SPOOF_CONFLICT"));
                    "refused".to_owned()
                }
            };
            *ended.entry(word).or_default() += 1;
        }
        let (after, broken) = etags(&engine).await;
        assert!(!broken, "round {round}: a spoofing profile is on a managed network");
        for kind in ["network", "profile", "vnic"] {
            let written = ended.get(&format!("{kind} written")).copied().unwrap_or_default();
            assert!(written <= 1 || kind == "network", "round {round}: {written} clients won {kind}: {ended:?}");
        }
        let current =
            [("networks/blue", &after.network), (PROFILE, &after.profile), (&vnic("eth0", "").name, &after.vnic)];
        for (name, etag) in told {
            assert!(current.contains(&(name.as_str(), &etag)), "round {round}: {name} is told to be {etag}");
        }
        assert!(ended.contains_key("aborted"), "round {round}: nobody lost: {ended:?}");
    }
}

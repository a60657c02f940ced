//! Rules for vNIC profiles.

use trestle_model::fleet::{EntityId, Fleet, GuestTagging, Network, VnicProfile};
use trestle_model::{Code, Finding};

use crate::matrix::{self, Risk};
use crate::spot::Spot;

const NAME: &str = "vnic_profile.name";

/// Evaluates a new or changed profile. Its network is part of its name, so it cannot change.
pub(crate) fn put(profile: &VnicProfile, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::VnicProfile(profile.network.clone(), profile.id.clone()));
    let network_name = EntityId::Network(profile.network.clone());
    let Some(network) = fleet.networks().get(&profile.network) else {
        return vec![spot.missing(NAME, &network_name)];
    };
    if !network.vm_network {
        let message = format!("network {} has no bridge, so no vNIC can use it", network.id);
        let finding = spot.error(Code::BridgeAttributeOnBridgeless, NAME, message).related([network_name.to_string()]);
        return vec![finding.remedy("make it a VM network first")];
    }
    let before = fleet.profiles().get(&(profile.network.clone(), profile.id.clone()));
    if matrix::is_managed(network) {
        on_managed(profile, before, network, &spot)
    } else {
        let new_risk = |risk: &Risk| !before.is_some_and(|before| matrix::risks(before).any(|old| old == *risk));
        let weakened = matrix::risks(profile).filter(new_risk);
        weakened.filter_map(|risk| matrix::still_managed(fleet, network, &spot, risk)).collect()
    }
}

fn on_managed(profile: &VnicProfile, before: Option<&VnicProfile>, network: &Network, spot: &Spot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = matrix::risks(profile).map(|risk| risk.refusal(spot, network)).collect();
    let unknown = |profile: &VnicProfile| profile.guest_tagging == GuestTagging::Unspecified;
    if unknown(profile) && !before.is_some_and(unknown) {
        let message = format!(
            "it is not known whether guests of this profile tag their traffic; managed network {} will drop tags",
            network.id
        );
        findings.push(
            spot.warning(Code::GuestTaggingUnknown, Risk::Tagging.field(), message)
                .related([EntityId::Network(network.id.clone()).to_string()])
                .remedy("set the profile's guest tagging to none once it is known that no guest tags"),
        );
    }
    findings
}

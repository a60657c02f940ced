//! What is said of NICs' settings.

use trestle_model::{FeatureName, NicChange, NicSpec, Offload, RingSizes};

use super::*;

fn request(nics: Vec<wire::Nic>) -> wire::SetupNetworksRequest {
    wire::SetupNetworksRequest { nics, ..wire::SetupNetworksRequest::default() }
}

fn eth0() -> wire::Nic {
    wire::Nic { name: "eth0".to_owned(), ..wire::Nic::default() }
}

#[test]
fn a_nic_is_read_with_its_offloads_by_field_and_by_name() {
    let offloads = wire::NicOffloads {
        tx_checksum: Some(true),
        generic_receive: Some(false),
        features: [("tx-udp-segmentation".to_owned(), false)].into(),
        ..wire::NicOffloads::default()
    };
    let rings = Some(wire::NicRings { rx: Some(512), tx: None });
    let nic = wire::Nic { rings, offloads: Some(offloads), sriov_vfs: Some(4), ..eth0() };
    let named = Offload::Feature(FeatureName::parse("tx-udp-segmentation").unwrap());
    let spec = NicSpec {
        name: IfName::parse("eth0").unwrap(),
        rings: RingSizes { rx: Some(512), tx: None },
        vfs: Some(4),
        offloads: [(Offload::TxChecksum, true), (Offload::GenericReceive, false), (named, false)].into(),
    };
    assert_eq!(parse_setup(&request(vec![nic]), LOCAL).unwrap().nics, [NicChange::Set(spec)]);
}

#[test]
fn every_violation_of_a_nic_has_its_field() {
    let check = |nics: Vec<wire::Nic>, expected: &[&str]| {
        assert_eq!(violations(parse_setup(&request(nics), LOCAL)), expected);
    };
    check(vec![wire::Nic::default()], &["FIELD_MISSING nics[0].name"]);
    check(vec![wire::Nic { name: "a b".to_owned(), ..eth0() }], &["NAME_INVALID nics[0].name"]);
    check(vec![eth0(), eth0()], &["DUPLICATE nics[1].name"]);
    let features = [("TSO please".to_owned(), true)].into();
    let offloads = Some(wire::NicOffloads { features, ..wire::NicOffloads::default() });
    check(vec![wire::Nic { offloads, ..eth0() }], &["NAME_INVALID nics[0].offloads.features"]);
    let rings = Some(wire::NicRings { rx: Some(1), tx: None });
    check(vec![wire::Nic { remove: true, rings, ..eth0() }], &["REMOVE_WITH_ATTRIBUTES nics[0].remove"]);
    let persistent = wire::SetupNetworksRequest { scope: wire::Scope::Persistent.into(), ..request(vec![eth0()]) };
    assert_eq!(parse_setup(&persistent, LOCAL).unwrap_err().0[0].code, Code::FieldConflict);
}

use super::*;

fn source(text: &str) -> Source {
    Source { name: "fleet.yaml".to_owned(), text: text.to_owned() }
}

fn refused(text: &str) -> String {
    resources(&[source(text)]).unwrap_err().to_string()
}

#[test]
fn documents_are_read_in_both_spellings_and_put_in_order() {
    let text = "\
kind: NetworkAttachment
name: hosts/host-a/networkAttachments/blue
spec:
  nic: eth1
  ipv4: {static: {addresses: [10.10.0.1/24]}}
---
kind: Network
name: networks/blue
labels: {tier: gold}
spec:
  vlan_id: 10
  manageMacsWithLibvirt: true
---
---
kind: cluster
name: clusters/lab
";
    let documents = resources(&[source(text)]).unwrap();
    let names: Vec<_> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["clusters/lab", "networks/blue", "hosts/host-a/networkAttachments/blue"]);

    let network: trestle_proto::engine::v1::Network = schema::typed(&documents[1].resource);
    assert_eq!(network.labels.get("tier").map(String::as_str), Some("gold"));
    let spec = network.spec.unwrap();
    assert_eq!((spec.vlan_id, spec.manage_macs_with_libvirt, spec.mtu), (Some(10), true, None));
    let cluster: trestle_proto::engine::v1::Cluster = schema::typed(&documents[0].resource);
    assert!(cluster.spec.is_some(), "a spec of defaults is sent");
}

#[test]
fn refusals_name_file_line_resource_and_path() {
    let check = |text: &str, expected: &str| assert_eq!(refused(text), expected);
    check(
        "kind: Network\nname: networks/blue\nspec:\n  vlanIdd: 10\n",
        "fleet.yaml:4: networks/blue: spec.vlanIdd: unrecognized field name 'vlanIdd'",
    );
    check(
        "kind: Network\nname: networks/blue\nspec:\n  bridgeOptions:\n    priority: high\n",
        "fleet.yaml:5: networks/blue: spec.bridgeOptions.priority: invalid digit found in string",
    );
    check(
        "kind: NetworkAttachment\nname: hosts/a/networkAttachments/blue\nspec:\n  ipv4:\n    static:\n      addresses:\n      - 10.0.0.1/24\n      - 7\n",
        "fleet.yaml:8: hosts/a/networkAttachments/blue: spec.ipv4.static.addresses[1]: invalid type: integer `7`, expected a string",
    );
    check(
        "kind: Network\nname: networks/blue\nspec:\n  stp: maybe\n",
        "fleet.yaml:4: networks/blue: spec.stp: invalid type: string \"maybe\", expected a boolean",
    );
    check(
        "kind: Cluster\nname: clusters/lab\nspec:\n  switchType: VALE\n",
        "fleet.yaml:4: clusters/lab: spec.switchType: unrecognized enum value 'VALE'",
    );
    check(
        "kind: VnicProfile\nname: networks/blue/vnicProfiles/open\nspec:\n  networkFilter:\n    none: true\n    named: clean-traffic\n",
        "fleet.yaml:6: networks/blue/vnicProfiles/open: spec.networkFilter.named: multiple fields provided for oneof 'choice'",
    );
}

#[test]
fn refuses_a_document_that_is_no_resource() {
    let check = |text: &str, expected: &str| assert_eq!(refused(text), expected);
    check("[1, 2]\n", "fleet.yaml:1: a document is a mapping with kind, name and spec");
    check("name: networks/blue\n", "fleet.yaml:1: networks/blue: kind is missing");
    check("kind: Network\nspec: {}\n", "fleet.yaml:1: name is missing");
    check(
        "kind: Nic\nname: nics/n\n",
        "fleet.yaml:1: nics/n: kind: \"Nic\" is no kind of resource: it is one of MacPool, Cluster, Network, \
         ClusterNetwork, VnicProfile, Host, Bond, NetworkAttachment, Vm, Vnic",
    );
    check(
        "kind: Network\nname: clusters/lab\n",
        "fleet.yaml:2: clusters/lab: name: \"clusters/lab\" is no name of a Network: it has the form networks/{network}",
    );
    check(
        "kind: Network\nname: networks/blue\nuid: 7\n",
        "fleet.yaml:3: networks/blue: uid: unknown field; a document has kind, name, labels, etag, spec",
    );
    check(
        "kind: Host\nname: hosts/a\nstatus: {}\n",
        "fleet.yaml:3: hosts/a: status: unknown field; a document has kind, name, labels, etag, spec",
    );
}

#[test]
fn refuses_names_and_keys_that_are_there_twice() {
    let twice = "kind: Network\nname: networks/blue\n---\nkind: Network\nname: networks/blue\n";
    assert_eq!(refused(twice), "fleet.yaml:4: networks/blue: is there already, at fleet.yaml:1");
    let key = refused("kind: Network\nname: networks/blue\nname: networks/green\n");
    assert!(key.starts_with("fleet.yaml:3: ") && key.contains("duplicate"), "{key}");
}

#[test]
fn refuses_files_without_documents_and_files_that_are_no_yaml() {
    for text in ["", "# nothing\n", "---\n---\n"] {
        assert_eq!(refused(text), "fleet.yaml: holds no documents");
    }
    let broken = refused("kind: Network\nname: [\n");
    assert!(broken.starts_with("fleet.yaml:"), "{broken}");
}

#[test]
fn every_bad_document_is_named_at_once() {
    let text = "kind: Network\nname: networks/blue\nspec: {a: 1}\n---\nkind: Host\nname: hosts/a\nspec: {b: 1}\n";
    assert_eq!(refused(text).lines().count(), 2);
}

#[test]
fn networks_bonds_and_nics_of_a_host_are_read_and_refused_with_path_and_line() {
    let text = "bonds:\n- name: bond0\n  nics: [eth1, eth2]\n  mode: BOND_MODE_LACP\n  options: {lacpRate: BOND_LACP_RATE_FAST}\n";
    let bonds = host_setup(&source(text)).unwrap().bonds;
    assert_eq!((bonds[0].nics.len(), bonds[0].mode, bonds[0].options.clone().unwrap().lacp_rate), (2, 5, 2));
    let networks = host_setup(&source("networks:\n- name: blue\n  nic: eth1\n  vlanId: 10\n")).unwrap().networks;
    assert_eq!((networks[0].name.as_str(), networks[0].vlan_id), ("blue", Some(10)));
    let nics = "nics:\n- name: eth0\n  rings: {rx: 512}\n  offloads: {genericReceive: false, features: {tx-udp-segmentation: true}}\n";
    let nics = host_setup(&source(nics)).unwrap().nics;
    let offloads = nics[0].offloads.clone().unwrap();
    assert_eq!((nics[0].rings.unwrap().rx, offloads.generic_receive), (Some(512), Some(false)));
    assert_eq!(offloads.features, [("tx-udp-segmentation".to_owned(), true)].into());
    let check = |text: &str, expected: &str| {
        assert_eq!(host_setup(&source(text)).unwrap_err().to_string(), expected);
    };
    check("networks:\n- name: blue\n  vlan: 10\n", "fleet.yaml:3: networks[0].vlan: unrecognized field name 'vlan'");
    check(
        "networks:\n- {name: blue, nic: eth1, bond: bond0}\n",
        "fleet.yaml:2: networks[0].bond: multiple fields provided for oneof 'southbound'",
    );
    check("network: []\n", "fleet.yaml:1: network: unknown field; networks, bonds or nics is expected");
    check("{}\n", "fleet.yaml:1: networks, bonds and nics are missing");
    check("", "fleet.yaml: has to hold one document");
    check("networks: []\n---\nnetworks: []\n", "fleet.yaml: has to hold one document");
}

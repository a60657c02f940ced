//! `get` and `status`.

use serde_json::Value;
use trestle_model::{Code, Finding};
use trestle_proto::engine::v1 as wire;
use trestle_proto::finding_wire;
use trestle_proto::host::v1::{DomainInterface, DomainState, FilterReference};

use crate::fleet::{Behaviour, Fleet};
use crate::harness::{Running, run};

const FLEET: &str = include_str!("../../../deploy/examples/fleet.yaml");
const GUESTS: &str = include_str!("../../../deploy/examples/guests.yaml");
const VM: &str = "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";

async fn applied(fleet: &Fleet) -> (Running, String) {
    let engine = fleet.start().await;
    let server = format!("http://{}", engine.address);
    let hosts: String = ('c'..='f')
        .map(|host| format!("---\nkind: Host\nname: hosts/host-{host}\nspec: {{cluster: clusters/lab}}\n"))
        .collect();
    let ran = run(&server, &["apply", "-f", "-", "--timeout", "1s"], &format!("{FLEET}{hosts}")).await;
    assert!(matches!(ran.code, 0 | 5), "{}", ran.stderr);
    (engine, server)
}

#[tokio::test]
async fn lists_go_through_every_page_and_every_parent() {
    let (_engine, server) = applied(&Fleet::new()).await;
    let check = async |words: &[&str], expected: &str| {
        let ran = run(&server, words, "").await;
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, expected, ""), "{words:?}");
    };
    let hosts = "hosts/host-a\nhosts/host-b\nhosts/host-c\nhosts/host-d\nhosts/host-e\nhosts/host-f\n";
    check(&["get", "hosts", "-o", "name"], hosts).await;
    let attachments = "hosts/host-a/networkAttachments/blue\nhosts/host-b/networkAttachments/blue\n";
    check(&["get", "networkattachments", "-o", "name"], attachments).await;
    check(&["get", "networkattachments", "hosts/host-c", "-o", "name"], "").await;
    check(&["get", "vnicprofiles", "networks/blue", "-o", "name"], "networks/blue/vnicProfiles/default\n").await;
    check(&["get", "clusters", "lab", "-o", "name"], "clusters/lab\n").await;
    let table = "\
NAME            VM NETWORK  VLAN      MTU      STP  MACS BY LIBVIRT  DESCRIPTION
networks/blue   yes         10        default  no   yes              Guests, MAC tables managed by libvirt
networks/green  yes         untagged  default  no   no               Guests, untagged, bridges that learn
";
    check(&["get", "networks"], table).await;
}

#[tokio::test]
async fn a_filter_narrows_lists_and_is_refused_with_the_place_of_what_is_wrong() {
    let (_engine, server) = applied(&Fleet::new()).await;
    let check = async |words: &[&str], code: i32, stdout: &str, stderr: &str| {
        let ran = run(&server, words, "").await;
        assert_eq!((ran.code, ran.stdout.as_str()), (code, stdout), "{words:?}");
        assert!(ran.stderr.contains(stderr), "{}", ran.stderr);
    };
    let letters = "name = *a OR name = *c";
    check(&["get", "hosts", "-o", "name", "--filter", letters], 0, "hosts/host-a\nhosts/host-c\n", "").await;
    check(&["get", "networks", "-o", "name", "--filter", "spec.vlanId = 10"], 0, "networks/blue\n", "").await;
    let profiles = ["get", "vnicprofiles", "networks/blue", "-o", "name", "--filter", "name:default"];
    check(&profiles, 0, "networks/blue/vnicProfiles/default\n", "").await;
    let wrong = "error FILTER_INVALID: at character 6: \"vlan\" is no field of NetworkSpec";
    check(&["get", "networks", "--filter", "spec.vlan = 10"], 1, "", wrong).await;
    check(&["get", "network", "blue", "--filter", "name:b"], 2, "", "a filter is for lists").await;
    check(&["get", "networks", "--watch", "--filter", "name:b"], 2, "", "cannot be used with").await;
}

#[tokio::test]
async fn json_is_protojson_and_yaml_is_what_apply_takes() {
    let (_engine, server) = applied(&Fleet::new()).await;
    let one = run(&server, &["get", "network", "blue", "-o", "json"], "").await;
    let one: Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!((&one["name"], &one["spec"]["vlanId"]), (&"networks/blue".into(), &10.into()));
    assert_eq!(one["spec"]["manageMacsWithLibvirt"], true);
    let all = run(&server, &["get", "networks", "-o", "json"], "").await;
    let all: Value = serde_json::from_str(&all.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);

    for kind in ["clusters", "networks", "clusternetworks", "vnicprofiles", "hosts", "networkattachments"] {
        let yaml = run(&server, &["get", kind, "-o", "yaml"], "").await;
        let back = run(&server, &["apply", "--no-wait", "-f", "-"], &yaml.stdout).await;
        assert_eq!(back.code, 0, "{}", back.stderr);
        assert!(back.stdout.lines().all(|line| line.ends_with(" unchanged")), "{}", back.stdout);
    }
}

#[tokio::test]
async fn what_is_not_there_or_has_no_such_name_is_said() {
    let (_engine, server) = applied(&Fleet::new()).await;
    let check = async |words: &[&str], code: i32, expected: &str| {
        let ran = run(&server, words, "").await;
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (code, "", expected), "{words:?}");
    };
    check(&["get", "networks", "red"], 1, "trestlectl: networks/red: not found\n").await;
    check(&["get", "vnicprofiles", "networks/red"], 1, "trestlectl: networks/red: not found\n").await;
    check(&["status", "host-z"], 1, "trestlectl: hosts/host-z: not found\n").await;
    let shape = "trestlectl: \"default\" is no name of a VnicProfile: it has the form networks/{network}/vnicProfiles/{profile}\n";
    check(&["get", "vnicprofiles", "default"], 2, shape).await;
}

#[tokio::test]
async fn status_shows_connection_sync_and_differences() {
    let fleet = Fleet::new();
    fleet.behave("hosts/host-b", Behaviour::Hangs);
    let (_engine, server) = applied(&fleet).await;
    let ran = run(&server, &["status"], "").await;
    let lines: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
        .collect();
    assert_eq!(lines[0], ["HOST", "STATE", "SINCE", "CONNECTION", "SYNC", "LAST SEEN", "LAST RESULT"]);
    assert_eq!(lines[1], ["host-a", "-", "never", "connected", "in sync", "never", "-"]);
    assert_eq!(lines[2], ["host-b", "-", "never", "connected", "pending", "never", "-"]);
    assert!(lines.contains(&vec!["host-a", "blue", "in sync", "left alone: two guests share a MAC"]), "{lines:?}");
    assert!(lines.contains(&vec!["host-b", "blue", "pending", "is not on the host"]), "{lines:?}");

    let json = run(&server, &["status", "host-b", "-o", "json"], "").await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["status"]["sync"], "SYNC_PENDING");
}

#[tokio::test]
async fn a_watch_prints_changes_until_its_time_is_over() {
    let fleet = Fleet::new();
    let (_engine, server) = applied(&fleet).await;
    let ran = run(&server, &["status", "--watch", "--timeout", "1s"], "").await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.lines().any(|line| line == "host-a  -, connected, in sync"), "{}", ran.stdout);
}

fn seen(domain: &str, filter: Option<&str>) -> wire::SeenInterface {
    wire::SeenInterface {
        host: "hosts/host-a".to_owned(),
        domain: domain.to_owned(),
        state: DomainState::Running.into(),
        interface: Some(DomainInterface {
            mac: "52:54:00:00:00:09".to_owned(),
            bridge: "blue".to_owned(),
            filter: filter.map(|name| FilterReference { name: name.to_owned(), parameters: Vec::new() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn spoofs() -> trestle_proto::finding::v1::Finding {
    let finding = Finding::error(Code::MacSpoofConflict, "", "guest db may send with a foreign MAC");
    finding_wire::build(&finding.about("hosts/host-a"))
}

/// What a table's lines have in their cells.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect()).collect()
}

#[tokio::test]
async fn what_is_seen_of_guests_is_shown_beside_what_is_wanted() {
    let fleet = Fleet::new();
    let (_engine, server) = applied(&fleet).await;
    assert_eq!(run(&server, &["apply", "-f", "-", "--no-wait"], GUESTS).await.code, 0);
    let (vm, vnic) = (VM, format!("{VM}/vnics/eth0"));
    let difference = |field: &str, expected: &str, actual: &str| wire::PlugDifference {
        field: field.to_owned(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    };
    let status = wire::VnicStatus {
        mac: "52:54:00:10:00:00".to_owned(),
        sync: wire::PlugSync::Different.into(),
        differences: vec![difference("link", "up", "down"), difference("filter", "no-mac-spoofing", "")],
        seen: Some(seen("web", None)),
        violations: vec![spoofs()],
        plugging: Some(wire::Plugging {
            state: wire::PlugState::Failed.into(),
            findings: vec![spoofs()],
            ..Default::default()
        }),
    };
    fleet.observe(&vnic, "trestle.engine.v1.VnicStatus", &status);
    let domain = wire::SeenDomain {
        host: "hosts/host-a".to_owned(),
        domain: "web".to_owned(),
        state: DomainState::Paused.into(),
        ..Default::default()
    };
    let status = wire::VmStatus {
        sync: wire::PlugSync::InSync.into(),
        seen: vec![domain],
        unmanaged_interface_count: 2,
        ..Default::default()
    };
    fleet.observe(vm, "trestle.engine.v1.VmStatus", &status);

    let vnics = run(&server, &["get", "vnic", &vnic], "").await.stdout;
    let heads = ["NAME", "MAC", "PROFILE", "MODEL", "PLUGGED", "LINKED", "EXTRA MACS", "SEEN ON", "SEEN", "BREAKS"];
    let differs = "link up, is down; filter no-mac-spoofing, is nothing (failed: MAC_SPOOF_CONFLICT)";
    assert_eq!(cells(&vnics)[0], heads);
    assert_eq!(cells(&vnics)[1][7..], ["host-a", differs, "MAC_SPOOF_CONFLICT"]);
    let vms = run(&server, &["get", "vms"], "").await.stdout;
    assert_eq!(cells(&vms)[0], ["NAME", "DISPLAY NAME", "CLUSTER", "HOST", "SEEN ON", "SEEN", "DESCRIPTION"]);
    assert_eq!(cells(&vms)[1][3..], ["-", "host-a (paused)", "in sync, 2 interfaces of no vNIC's"]);
}

#[tokio::test]
async fn what_guests_break_is_in_the_status_and_what_is_nobodys_is_listed() {
    let fleet = Fleet::new();
    let (_engine, server) = applied(&fleet).await;
    let status = wire::HostStatus {
        unmanaged_interface_count: 2,
        violations: vec![spoofs()],
        violation_count: 70,
        plug_counts: Some(wire::PlugCounts { pending: 2, failed: 0, withheld: 1 }),
        ..Default::default()
    };
    fleet.observe("hosts/host-c", "trestle.engine.v1.HostStatus", &status);
    let shown = run(&server, &["status", "host-c"], "").await.stdout;
    let lines = cells(&shown);
    assert!(lines.contains(&vec!["HOST", "GUESTS BREAK", "WEIGHT", "WHAT"]), "{shown}");
    assert!(
        lines.contains(&vec!["host-c", "MAC_SPOOF_CONFLICT", "error", "guest db may send with a foreign MAC"]),
        "{shown}"
    );
    assert!(shown.contains("host-c: 1 of 70 violations are shown\n"), "{shown}");
    let plugs = "host-c: vNICs that are not plugged as wanted: 2 pending, 1 withheld: trestlectl get vnics\n";
    assert!(shown.contains(plugs), "{shown}");
    assert!(shown.contains("host-c: 2 interfaces are no vNIC's: trestlectl unmanaged host-c\n"), "{shown}");

    let one = |domain: &str, filter, violations| wire::UnmanagedInterface {
        seen: Some(seen(domain, filter)),
        violations,
        ..Default::default()
    };
    fleet.plug(vec![one("db", None, vec![spoofs()]), one("mail", Some("clean-traffic"), Vec::new())]);
    let listed = run(&server, &["unmanaged"], "").await.stdout;
    assert_eq!(
        cells(&listed),
        [
            vec!["HOST", "DOMAIN", "STATE", "MAC", "WIRED TO", "FILTER", "BREAKS"],
            vec!["host-a", "db", "running", "52:54:00:00:00:09", "bridge blue", "-", "MAC_SPOOF_CONFLICT"],
            vec!["host-a", "mail", "running", "52:54:00:00:00:09", "bridge blue", "clean-traffic", "-"],
        ]
    );
    let json = run(&server, &["unmanaged", "hosts/host-a", "-o", "json"], "").await.stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[1]["seen"]["domain"]), (2, &"mail".into()));
    let none = run(&server, &["unmanaged", "host-b", "-o", "json"], "").await.stdout;
    assert_eq!(none, "[]\n");
}

#[tokio::test]
async fn a_hosts_state_is_shown_with_every_reason() {
    let fleet = Fleet::new();
    let (_engine, server) = applied(&fleet).await;
    let reason = |code, message: &str| finding_wire::build(&Finding::error(code, "", message));
    let status = wire::HostStatus {
        state: wire::HostState::NonOperational.into(),
        state_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        state_reasons: vec![
            reason(Code::NetworkOutOfSync, "network blue is gone"),
            reason(Code::UplinkDown, "eth1 is down"),
        ],
        ..Default::default()
    };
    fleet.observe("hosts/host-c", "trestle.engine.v1.HostStatus", &status);
    let shown = run(&server, &["status", "host-c"], "").await.stdout;
    let lines = cells(&shown);
    assert_eq!(lines[1][..3], ["host-c", "non-operational", "2023-11-14T22:13:20Z"]);
    assert!(lines.contains(&vec!["HOST", "WHY", "WHAT"]), "{shown}");
    assert!(lines.contains(&vec!["host-c", "NETWORK_OUT_OF_SYNC", "network blue is gone"]), "{shown}");
    assert!(lines.contains(&vec!["host-c", "UPLINK_DOWN", "eth1 is down"]), "{shown}");
    let hosts = run(&server, &["get", "hosts"], "").await.stdout;
    assert_eq!(cells(&hosts)[0][..4], ["NAME", "CLUSTER", "STATE", "CONNECTION"]);
    assert_eq!(cells(&hosts)[3][..3], ["hosts/host-c", "clusters/lab", "non-operational"]);
}

#[tokio::test]
async fn roles_are_shown_with_who_stands_in() {
    let fleet = Fleet::new();
    let (_engine, server) = applied(&fleet).await;
    let holder = |role: wire::NetworkRole, network: &str, by_default| wire::RoleHolder {
        role: role.into(),
        network: network.to_owned(),
        by_default,
    };
    let roles = vec![
        holder(wire::NetworkRole::Management, "networks/blue", false),
        holder(wire::NetworkRole::Migration, "networks/green", false),
        holder(wire::NetworkRole::Display, "networks/blue", true),
    ];
    fleet.observe("clusters/lab", "trestle.engine.v1.ClusterStatus", &wire::ClusterStatus { roles });
    let shown = run(&server, &["get", "clusters"], "").await.stdout;
    let heads = ["NAME", "SWITCH", "MANAGEMENT", "MIGRATION", "DISPLAY", "DEFAULT ROUTE", "DESCRIPTION"];
    assert_eq!(cells(&shown)[0], heads);
    assert_eq!(cells(&shown)[1][2..6], ["blue", "green", "(blue)", "-"]);

    let roles =
        "{kind: ClusterNetwork, name: clusters/lab/clusterNetworks/blue, spec: {management: true, display: true}}";
    assert_eq!(run(&server, &["apply", "-f", "-", "--no-wait"], roles).await.code, 0);
    let shown = run(&server, &["get", "clusternetworks", "clusters/lab"], "").await.stdout;
    assert_eq!(cells(&shown)[0], ["NAME", "REQUIRED", "ROLES"]);
    assert_eq!(cells(&shown)[1], ["clusters/lab/clusterNetworks/blue", "yes", "management, display"]);
    assert_eq!(cells(&shown)[2][1..], ["no", "-"]);
}

#[tokio::test]
async fn placements_are_shown_of_a_vm_and_of_one_that_does_not_exist_yet() {
    let fleet = Fleet::new();
    let (_engine, server) = applied(&fleet).await;
    let heads = vec!["HOST", "VERDICT", "REASONS"];
    let eligible = |host| vec![host, "eligible", "-"];
    let all = run(&server, &["placement", VM], "").await.stdout;
    assert_eq!(cells(&all)[..3], [heads.clone(), eligible("host-a"), eligible("host-b")]);
    assert_eq!(cells(&all).len(), 7, "one a page, and all pages: {all}");
    let some = run(&server, &["placement", VM, "--host", "host-c", "--host", "hosts/host-a"], "").await.stdout;
    assert_eq!(cells(&some), [heads.clone(), eligible("host-a"), eligible("host-c")]);

    let profile = "networks/blue/vnicProfiles/default";
    let words = ["placement", "--cluster", "lab", "--profile", profile, "--host", "host-b"];
    let new = run(&server, &words, "").await.stdout;
    let reason = format!("NETWORK_OUT_OF_SYNC: clusters/lab: nothing for {profile}");
    assert_eq!(cells(&new), [heads, vec!["host-b", "not eligible", &reason]]);
    let json = run(&server, &["placement", VM, "-o", "json"], "").await.stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[2]["host"]), (6, &"hosts/host-c".into()));
    assert_eq!(run(&server, &["placement"], "").await.code, 2);
    assert_eq!(run(&server, &["placement", VM, "--cluster", "lab"], "").await.code, 2);
}

//! `get` and `status`.

use serde_json::Value;

use crate::fleet::{Behaviour, Fleet};
use crate::harness::{Running, run};

const FLEET: &str = include_str!("../../../deploy/examples/fleet.yaml");

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
    assert_eq!(lines[0], ["HOST", "CONNECTION", "SYNC", "LAST SEEN", "LAST RESULT"]);
    assert_eq!(lines[1], ["host-a", "connected", "in sync", "never", "-"]);
    assert_eq!(lines[2], ["host-b", "connected", "pending", "never", "-"]);
    assert!(lines.contains(&vec!["host-a", "blue", "in sync", "-"]), "{lines:?}");
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
    assert!(ran.stdout.lines().any(|line| line == "host-a  connected, in sync"), "{}", ran.stdout);
}

//! `apply` and `check`.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::fleet::{Behaviour, Fleet};
use crate::harness::{Running, run, run_in};

const FLEET: &str = include_str!("../../../deploy/examples/fleet.yaml");
const CONFLICT: &str = include_str!("../../../deploy/examples/conflict.yaml");
const GUESTS: &str = include_str!("../../../deploy/examples/guests.yaml");

fn server(running: &Running) -> String {
    format!("http://{}", running.address)
}

#[tokio::test]
async fn applies_in_order_waits_for_hosts_and_changes_nothing_the_second_time() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let first = run(&server(&engine), &["apply", "-f", "-"], FLEET).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    let expected = "\
clusters/lab created
networks/blue created
networks/green created
clusters/lab/clusterNetworks/blue created
clusters/lab/clusterNetworks/green created
networks/blue/vnicProfiles/default created
hosts/host-a created
hosts/host-b created
hosts/host-a/networkAttachments/blue created
hosts/host-b/networkAttachments/blue created
";
    assert_eq!(first.stdout, expected);
    for line in
        ["host-a  1/1 create bridge blue", "host-a  in sync", "host-b  1/1 create bridge blue", "host-b  in sync"]
    {
        assert!(first.stderr.lines().any(|found| found == line), "{line} in {}", first.stderr);
    }

    let second = run(&server(&engine), &["apply", "-f", "-"], FLEET).await;
    assert_eq!((second.code, second.stdout), (0, expected.replace("created", "unchanged")));

    let changed = FLEET.replace("vlanId: 10", "vlanId: 11");
    let third = run(&server(&engine), &["apply", "-f", "-", "--no-wait"], &changed).await;
    assert_eq!(third.code, 0);
    let changed: Vec<_> = third.stdout.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert_eq!((changed, third.stdout.lines().count()), (vec!["networks/blue changed"], 10));

    let ids = fleet.request_ids();
    let distinct: BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (30, 30), "every write has a request id of its own");
}

#[tokio::test]
async fn a_bond_is_applied_before_the_networks_that_stand_on_it() {
    const BONDED: &str = "\
kind: NetworkAttachment
name: hosts/host-b/networkAttachments/green
spec:
  bond: bond0
  ipv4: {static: {addresses: [10.20.0.2/24], gateway: 10.20.0.1}}
  defaultRoute: true
  dns: {nameservers: [10.20.0.53], searchDomains: [lab.example]}
  routes: [{destination: 198.51.100.0/24, nextHop: 10.20.0.254}]
---
kind: Bond
name: hosts/host-b/bonds/bond0
spec:
  nics: [eth2, eth3]
  mode: BOND_MODE_LACP
  options: {lacpRate: BOND_LACP_RATE_FAST}
";
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    assert_eq!(run(&server(&engine), &["apply", "-f", "-", "--no-wait"], FLEET).await.code, 0);
    let checked = run(&server(&engine), &["check", "-f", "-"], BONDED).await;
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    let ran = run(&server(&engine), &["apply", "-f", "-"], BONDED).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, "hosts/host-b/bonds/bond0 created\nhosts/host-b/networkAttachments/green created\n");
    assert!(ran.stderr.lines().any(|line| line == "host-b  in sync"), "{}", ran.stderr);
    let bonds = run(&server(&engine), &["get", "bonds", "hosts/host-b"], "").await;
    assert_eq!(bonds.stdout, "NAME                      MODE  NICS\nhosts/host-b/bonds/bond0  lacp  eth2,eth3\n");
    let green = run(&server(&engine), &["get", "networkattachment", "hosts/host-b/networkAttachments/green"], "").await;
    let row = "hosts/host-b/networkAttachments/green  bond0      10.20.0.2/24  yes            -";
    assert_eq!(green.stdout.lines().last(), Some(row), "{}", green.stdout);
}

#[tokio::test]
async fn a_refusal_shows_its_findings_and_stops_there() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    assert_eq!(run(&server(&engine), &["apply", "-f", "-", "--no-wait"], FLEET).await.code, 0);
    let before = fleet.log().len();
    let both = format!("{CONFLICT}---\nkind: Host\nname: hosts/host-c\nspec: {{cluster: clusters/lab}}\n");
    let refused = run(&server(&engine), &["apply", "-f", "-"], &both).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    let expected = "\
trestlectl: networks/blue/vnicProfiles/open: refused
  error MAC_SPOOF_CONFLICT: lets guests spoof MACs on a network whose MACs libvirt manages
    subject  networks/blue/vnicProfiles/open
    field    vnic_profile.spec.network_filter
    related  networks/blue
    remedy   keep the default filter
";
    assert!(refused.stderr.ends_with(expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("not sent: hosts/host-c"), "{}", refused.stderr);
    assert_eq!(fleet.log().len(), before, "nothing was written");
}

#[tokio::test]
async fn check_tells_every_finding_and_writes_nothing() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let empty = run(&server(&engine), &["check", "-f", "-"], FLEET).await;
    assert_eq!(empty.code, 0, "{}", empty.stderr);
    let lines: Vec<_> = empty.stdout.lines().collect();
    assert!(lines.iter().all(|line| line.ends_with(" would be created")), "{lines:?}");
    assert_eq!(lines.len(), 10);
    assert_eq!(fleet.log(), [""; 0]);

    assert_eq!(run(&server(&engine), &["apply", "-f", "-", "--no-wait"], FLEET).await.code, 0);
    let before = fleet.log().len();
    for words in [&["check", "-f", "-"][..], &["apply", "--dry-run", "-f", "-"]] {
        let refused = run(&server(&engine), words, &format!("{FLEET}---\n{CONFLICT}")).await;
        assert_eq!(refused.code, 1);
        assert!(refused.stdout.contains("networks/blue/vnicProfiles/open would be refused"), "{}", refused.stdout);
        assert!(
            refused.stdout.contains("hosts/host-a/networkAttachments/blue would stay as it is"),
            "{}",
            refused.stdout
        );
        assert!(refused.stderr.contains("error MAC_SPOOF_CONFLICT: "), "{}", refused.stderr);
    }
    assert_eq!(fleet.log().len(), before);

    let changed = run(&server(&engine), &["check", "-f", "-"], &FLEET.replace("vlanId: 10", "vlanId: 11")).await;
    assert!(changed.stdout.contains("networks/blue would be changed\n"), "{}", changed.stdout);
}

#[tokio::test]
async fn a_bad_document_stops_everything_before_it_is_sent() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let home = TempDir::new().unwrap();
    let text = FLEET.replace("vlanId: 10", "vlan: 10");
    std::fs::write(home.path().join("fleet.yaml"), &text).unwrap();
    let refused = run_in(home.path(), &server(&engine), &["apply", "-f", "fleet.yaml"], "").await;
    assert_eq!(refused.code, 2);
    let line = 1 + text.lines().position(|line| line.contains("vlan: 10")).unwrap();
    let expected = format!("trestlectl: fleet.yaml:{line}: networks/blue: spec.vlan: unrecognized field name 'vlan'\n");
    assert_eq!(refused.stderr, expected);
    assert_eq!(fleet.traces().len(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_folder_is_read_whole() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let home = TempDir::new().unwrap();
    let folder = home.path().join("fleet");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("b.yaml"), "kind: Cluster\nname: clusters/b\n").unwrap();
    std::fs::write(folder.join("a.json"), "{\"kind\": \"Cluster\", \"name\": \"clusters/a\"}").unwrap();
    std::fs::write(folder.join("notes.txt"), "not for apply").unwrap();
    let ran = run_in(home.path(), &server(&engine), &["apply", "-f", "fleet"], "").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "clusters/a created\nclusters/b created\n"));
}

#[tokio::test]
async fn hosts_that_fail_hang_or_are_away_end_the_wait_in_their_own_ways() {
    let check = async |behaviour, words: &[&str], code, expected: &str| {
        let fleet = Fleet::new();
        fleet.behave("hosts/host-b", behaviour);
        let engine = fleet.start().await;
        let words = [&["apply", "-f", "-"], words].concat();
        let ran = run(&server(&engine), &words, FLEET).await;
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{expected} in {}", ran.stderr);
        assert!(ran.stderr.contains("host-a  in sync"), "{}", ran.stderr);
    };
    check(Behaviour::Fails, &[], 4, "host-b  failed: rolled back: NOT_FOUND: nobody confirmed\n").await;
    check(Behaviour::Fails, &[], 4, "trestlectl: not in sync: host-b\n").await;
    let late = "hosts take too long:\n  host-b  not yet in sync: networks/blue: is not on the host\n";
    check(Behaviour::Hangs, &["--timeout", "2s"], 5, late).await;
    check(Behaviour::Away, &[], 0, "host-b  owed: not connected\n").await;
    check(Behaviour::Away, &["--require-all", "--timeout", "2s"], 5, "  host-b  owed: not connected\n").await;
}

#[tokio::test]
async fn an_engine_that_is_away_for_a_moment_is_asked_again() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    fleet.be_absent(2);
    let ran = run(&server(&engine), &["apply", "--no-wait", "-f", "-"], "kind: Cluster\nname: clusters/lab\n").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "clusters/lab created\n"));

    fleet.be_absent(1000);
    let ran = run(&server(&engine), &["get", "clusters"], "").await;
    assert_eq!(ran.code, 3);
}

#[tokio::test]
async fn all_calls_of_a_command_belong_to_one_trace() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    assert_eq!(run(&server(&engine), &["apply", "-f", "-"], FLEET).await.code, 0);
    let traces = fleet.traces();
    let distinct: BTreeSet<_> = traces.iter().collect();
    assert!(traces.len() > 20 && traces[0].len() == 32, "{traces:?}");
    assert_eq!(distinct.len(), 1, "{distinct:?}");
}

#[tokio::test]
async fn applies_what_guests_need_and_shows_it() {
    const VNIC: &str = "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f/vnics/eth0";
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    assert_eq!(run(&server(&engine), &["apply", "-f", "-", "--no-wait"], FLEET).await.code, 0);
    let applied = run(&server(&engine), &["apply", "-f", "-", "--no-wait"], GUESTS).await;
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let vm = VNIC.trim_end_matches("/vnics/eth0");
    let expected = format!("macPools/lab created\nclusters/lab changed\n{vm} created\n{VNIC} created\n");
    assert_eq!(applied.stdout, expected);

    let shown = run(&server(&engine), &["get", "vnics", vm], "").await;
    assert!(shown.stdout.contains(VNIC) && shown.stdout.contains("networks/blue/vnicProfiles/default"), "{shown:?}");
    let yaml = run(&server(&engine), &["get", "vnic", VNIC, "-o", "yaml"], "").await;
    let again = run(&server(&engine), &["apply", "-f", "-", "--no-wait"], &yaml.stdout).await;
    assert_eq!((again.code, again.stdout), (0, format!("{VNIC} unchanged\n")));
    let pools = run(&server(&engine), &["get", "macpools"], "").await;
    assert!(pools.stdout.contains("52:54:00:10:00:00 to 52:54:00:10:ff:ff"), "{pools:?}");
}

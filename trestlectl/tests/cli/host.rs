//! `host`.

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::harness::{Ran, Running, run};

const NETWORKS: &str = include_str!("../../../deploy/examples/host-networks.yaml");

struct Host {
    agent: Agent,
    target: String,
    _running: Running,
    _folder: TempDir,
}

impl Host {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let target = format!("unix:{}", folder.path().join("agent.sock").display());
        let agent = Agent::default();
        let running = agent.start(&target).await;
        Self { agent, target, _running: running, _folder: folder }
    }

    async fn run(&self, words: &[&str], input: &str) -> Ran {
        let words = [&["host"], words, &["--agent", &self.target]].concat();
        run("http://127.0.0.1:1", &words, input).await
    }
}

#[tokio::test]
async fn a_setup_is_confirmed_and_shows_its_steps() {
    let host = Host::start().await;
    let ran = host.run(&["setup", "-f", "-", "--commit"], NETWORKS).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "applied and made persistent\n"));
    let expected = "accepted: 1 steps\n1/1 create bridge blue\nwaits 30 s for the confirmation\nconfirmed\n";
    assert_eq!(ran.stderr, expected);
    assert_eq!(host.agent.confirmations(), 1);
}

#[tokio::test]
async fn a_setup_without_a_check_is_not_confirmed() {
    let host = Host::start().await;
    let ran = host.run(&["setup", "-f", "-", "--check", "none"], NETWORKS).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "applied\n"));
    assert_eq!(host.agent.confirmations(), 0);
}

#[tokio::test]
async fn a_setup_that_is_put_back_or_refused_says_so_by_its_exit_code() {
    let host = Host::start().await;
    let refused = host.run(&["setup", "-f", "-"], &NETWORKS.replace("eth1", "missing0")).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("error NIC_NOT_FOUND: the host has no such device"), "{}", refused.stderr);

    host.agent.refuse_confirmation();
    let back = host.run(&["setup", "-f", "-"], NETWORKS).await;
    assert_eq!((back.code, back.stdout.as_str()), (4, ""));
    assert!(back.stderr.contains("CONFIRMATION_REFUSED"), "{}", back.stderr);
    assert!(back.stderr.ends_with("trestlectl: rolled back\n"), "{}", back.stderr);
}

#[tokio::test]
async fn a_store_that_fails_is_not_taken_for_a_lost_connection() {
    let host = Host::start().await;
    let ran = host.run(&["setup", "-f", "-"], &NETWORKS.replace("eth1", "full0")).await;
    assert_eq!((ran.code, host.agent.refusals()), (3, 1));
    assert!(
        ran.stderr.contains("setup: STORE_FAILED: store in /data cannot be used: no storage space"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("connection"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_dry_run_prints_the_plan() {
    let host = Host::start().await;
    let ran = host.run(&["setup", "-f", "-", "--dry-run"], NETWORKS).await;
    let plan = "1. create bridge blue (blue is asked for); may interrupt traffic\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (0, plan));
}

#[tokio::test]
async fn a_host_is_written_as_a_file_that_setup_takes() {
    let host = Host::start().await;
    let file = host.run(&["list", "-o", "yaml"], "").await;
    assert_eq!((file.code, file.stdout.as_str()), (0, "networks:\n- manageMacsWithLibvirt: true\n  name: blue\n"));
    let ran = host.run(&["setup", "-f", "-", "--remove-others", "--dry-run"], &file.stdout).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[tokio::test]
async fn a_bridge_without_a_managed_table_is_said_to_be_none() {
    let host = Host::start().await;
    let every = host.run(&["macs"], "").await;
    assert_eq!(every.code, 0, "{}", every.stderr);
    let one = host.run(&["macs", "blue"], "").await;
    assert_eq!((one.code, one.stdout.as_str()), (2, ""));
    assert!(one.stderr.contains("no bridge blue"), "{}", one.stderr);
}

#[tokio::test]
async fn capabilities_are_shown_for_people_and_for_programs() {
    let host = Host::start().await;
    let table = host.run(&["capabilities"], "").await;
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains("bridge_vlan_filtering  present"), "{}", table.stdout);
    let json = host.run(&["capabilities", "-o", "json"], "").await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["networks"][0]["manageMacsWithLibvirt"], true);
    let masked = host.run(&["capabilities", "-o", "json", "--fields", "features"], "").await;
    let masked: Value = serde_json::from_str(&masked.stdout).unwrap();
    assert_eq!(masked["networks"], Value::Null);
}

#[tokio::test]
async fn counters_are_shown_for_people_and_for_programs() {
    let host = Host::start().await;
    let table = host.run(&["statistics", "eth0", "eth1"], "").await;
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains("eth1") && table.stdout.contains("1234"), "{}", table.stdout);
    let json = host.run(&["statistics", "eth0", "-o", "json"], "").await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["interfaces"][0]["rxBytes"], "1234");
}

#[tokio::test]
async fn a_watch_is_shown_line_by_line() {
    let host = Host::start().await;
    let lines = host.run(&["watch", "--kinds", "bridge,port"], "").await;
    let expected =
        "bridge blue up, no carrier, mtu 1500\n-- that is all there is; what follows are changes\nport vnet0 is gone\n";
    assert_eq!((lines.code, lines.stdout.as_str()), (0, expected), "{}", lines.stderr);
    let json = host.run(&["watch", "-o", "json"], "").await.stdout;
    let news: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (news.len(), &news[0]["object"]["bridge"]["name"], &news[3]["resumeToken"]),
        (4, &"blue".into(), &"r.1".into())
    );
    let old = host.run(&["watch", "--resume", "x.1"], "").await;
    assert!(old.code != 0 && old.stderr.contains("RESUME_TOKEN_EXPIRED"), "{}", old.stderr);
}

#[tokio::test]
async fn commit_and_confirm_are_commands_of_their_own() {
    let host = Host::start().await;
    assert_eq!(host.run(&["commit"], "").await.stdout, "persistent c0ffee\n");
    let id = "0190f5fe-0000-7000-8000-000000000000";
    assert_eq!(host.run(&["confirm", id], "").await.stdout, format!("{id} confirmed\n"));
    assert_eq!(host.agent.confirmations(), 1);
}

#[tokio::test]
async fn the_history_is_shown_page_by_page_newest_first() {
    let host = Host::start().await;
    let table = host.run(&["history"], "").await;
    assert_eq!(table.code, 0, "{}", table.stderr);
    let rows: Vec<Vec<&str>> = table.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let row = |end, network, id| vec![end, "user/ada", "applied,", "persistent", network, "0", id, "-"];
    let expected = [row("2023-11-14T22:13:22Z", "-net2", "id2"), row("2023-11-14T22:13:21Z", "net1", "id1")];
    assert_eq!(rows, expected, "{}", table.stdout);
    let json = host.run(&["history", "-o", "json", "--limit", "1"], "").await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[0]["result"]["outcome"]), (1, &"OUTCOME_APPLIED".into()));
}

#[tokio::test]
async fn an_interface_is_plugged_and_unplugged() {
    const MAC: &str = "52:54:00:00:00:01";
    let host = Host::start().await;
    let plug =
        ["plug", "web", MAC, "blue", "--link", "down", "--filter", "clean-traffic", "--parameter", "IP=192.0.2.7"];
    let table = host.run(&plug, "").await;
    assert!(table.stdout.contains("plugged") && table.stdout.contains("network blue"), "{}", table.stdout);
    let json = host.run(&[&plug[..], &["-o", "json"]].concat(), "").await;
    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    let interface = &answer["domain"]["interfaces"][0];
    assert!(interface.get("linked").is_none_or(|linked| linked == false), "{answer}");
    assert_eq!(interface["filter"]["parameters"][0]["value"], "192.0.2.7", "{answer}");
    let gone = host.run(&["unplug", "web", MAC], "").await;
    assert!(gone.code == 0 && gone.stdout.contains("unplugged"), "{}", gone.stdout);
}

#[tokio::test]
async fn an_interface_that_is_refused_says_why() {
    let host = Host::start().await;
    let plug = ["plug", "web", "52:54:00:00:00:01", "blue"];
    let refused = host.run(&[&plug[..], &["--model", "e1000"]].concat(), "").await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("REPLUG_NEEDED"), "{}", refused.stderr);
    let loose = host.run(&[&plug[..], &["--parameter", "IP=192.0.2.7"]].concat(), "").await;
    assert!(loose.code != 0 && loose.stderr.contains("--filter"), "{}", loose.stderr);
}

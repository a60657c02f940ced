use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use trestle_model::{NetworkChange, Outcome, Severity};

use super::*;
use crate::transaction::{Answer, End, Refusal};
use crate::trial::{Bench, essence, host, network, remove, report, set};

const SHORT: Duration = Duration::from_millis(300);

/// What was said to the hooks of one folder.
#[derive(Debug, Default, Clone)]
struct Heard(Arc<Mutex<Vec<(String, Value)>>>);

/// A folder of hooks; they end with the value.
struct Playground {
    folder: TempDir,
    heard: Heard,
    hooks: JoinSet<()>,
}

impl Playground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BEFORE)).unwrap();
        std::fs::create_dir(folder.path().join(AFTER)).unwrap();
        Self { folder, heard: Heard::default(), hooks: JoinSet::new() }
    }

    /// Lets a hook listen that answers every call with `answer`.
    fn answers(&mut self, phase: &str, name: &str, answer: impl Into<String>) {
        let listener = UnixListener::bind(self.folder.path().join(phase).join(format!("{name}.sock"))).unwrap();
        let (answer, heard, name) = (answer.into(), self.heard.clone(), format!("{phase}/{name}"));
        self.hooks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut call = String::new();
                stream.read_to_string(&mut call).await.unwrap();
                heard.0.lock().unwrap().push((name.clone(), serde_json::from_str(&call).unwrap()));
                // Who asked may have given up.
                let _gone = stream.write_all(answer.as_bytes()).await;
            }
        });
    }

    /// Lets a hook listen that never answers.
    fn is_silent(&mut self, phase: &str, name: &str) {
        let listener = UnixListener::bind(self.folder.path().join(phase).join(format!("{name}.sock"))).unwrap();
        self.hooks.spawn(async move {
            let mut kept = Vec::new();
            loop {
                kept.push(listener.accept().await.unwrap());
            }
        });
    }

    fn hooks(&self) -> Hooks {
        Hooks::new(self.folder.path().to_owned(), SHORT, HostName::parse("host-a").unwrap())
    }

    fn heard(&self) -> Vec<(String, Value)> {
        self.heard.0.lock().unwrap().clone()
    }
}

fn findings(refused: Result<Answer, Refusal>) -> Vec<(Code, String, String)> {
    let findings = refused.unwrap_err().findings().0;
    findings.into_iter().map(|finding| (finding.code, finding.subject, finding.field)).collect()
}

#[tokio::test]
async fn hooks_are_asked_and_told_in_the_order_of_their_names() {
    let mut playground = Playground::new();
    playground.answers(BEFORE, "20-second", " {}\n");
    playground.answers(BEFORE, "10-first", "{}");
    playground.answers(AFTER, "10-witness", "whatever");
    let bench = Bench::with_hooks(host(), playground.hooks()).await;
    let request = set(network("blue", "eth1"));
    let report = bench.apply(request.clone()).await;

    let heard = playground.heard();
    let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["before/10-first", "before/20-second", "after/10-witness"]);
    let [first, _, witness] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(first.1["phase"], "HOOK_PHASE_BEFORE");
    assert_eq!((&first.1["host"], &first.1["actor"]), (&json!("host-a"), &json!("local")));
    assert_eq!(first.1["request"]["networks"][0]["name"], "blue");
    assert_eq!(first.1["request"]["requestId"], request.options.transaction.to_string());
    assert_eq!(first.1["result"], Value::Null);
    assert_eq!(witness.1["phase"], "HOOK_PHASE_AFTER");
    assert_eq!(witness.1["result"]["outcome"], "OUTCOME_APPLIED");
    assert_eq!(witness.1["result"]["runningHash"], report.running_hash);
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn what_a_hook_changes_is_carried_out_and_told_and_seen_by_the_next() {
    let mut playground = Playground::new();
    let wider = r#"{"changed": {"networks": [{"name": "blue", "nic": "eth1", "mtu": 9000}]}}"#;
    playground.answers(BEFORE, "10-wider", wider);
    playground.answers(BEFORE, "20-next", "{}");
    playground.answers(AFTER, "10-witness", "");
    let bench = Bench::with_hooks(host(), playground.hooks()).await;
    let request = set(network("blue", "eth1"));
    let first = bench.apply(request.clone()).await;

    let codes: Vec<(Code, Severity, &str)> =
        first.findings.iter().map(|finding| (finding.code, finding.severity, finding.subject.as_str())).collect();
    assert_eq!(codes, [(Code::HookChanged, Severity::Info, "hook 10-wider")]);
    let capabilities = bench.capabilities().await;
    assert_eq!(u32::from(capabilities.networks[0].configured.spec.mtu), 9000);
    let heard = playground.heard();
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[1].1["request"]["networks"][0]["mtu"], 9000);
    assert_eq!(heard[2].1["request"]["networks"][0]["mtu"], 9000);

    // The same request again is the same request, whatever the hooks made of it; they are not asked again.
    assert_eq!(bench.apply(request).await, first);
    assert_eq!(playground.heard().len(), 3);
}

#[tokio::test]
async fn a_hook_may_ask_for_bonds() {
    let mut playground = Playground::new();
    let bonded = r#"{"changed": {"networks": [{"name": "blue", "bond": "bond0"}],
        "bonds": [{"name": "bond0", "nics": ["eth0", "eth1"], "mode": "BOND_MODE_ACTIVE_BACKUP"}]}}"#;
    playground.answers(BEFORE, "10-bonded", bonded);
    let bench = Bench::with_hooks(host(), playground.hooks()).await;
    bench.apply(set(network("blue", "eth1"))).await;
    let bonds = bench.capabilities().await.bonds;
    assert_eq!(
        bonds.iter().map(|bond| bond.configured.as_ref().map(|entry| entry.spec.nics.len())).collect::<Vec<_>>(),
        [Some(2)]
    );
}

#[tokio::test]
async fn a_hook_may_make_another_removal_of_it() {
    let mut playground = Playground::new();
    let bench = Bench::with_hooks(host(), playground.hooks()).await;
    bench.apply(set(network("blue", "eth1"))).await;
    playground.answers(BEFORE, "10-spare", r#"{"changed": {"networks": []}}"#);
    let kept = bench.apply(remove("blue")).await;
    assert_eq!(kept.outcome, Outcome::Unchanged);
    assert_eq!(bench.capabilities().await.networks.len(), 1);
}

#[tokio::test]
async fn a_hook_refuses() {
    let mut playground = Playground::new();
    playground.answers(BEFORE, "10-gate", r#"{"refusal": "not before midnight"}"#);
    playground.answers(BEFORE, "20-never", "");
    playground.answers(AFTER, "10-witness", "");
    let host = host();
    let before = essence(&host);
    let bench = Bench::with_hooks(host.clone(), playground.hooks()).await;
    let refusal = bench.set_up(set(network("blue", "eth1"))).await.unwrap_err();
    let [finding] = &refusal.findings().0[..] else { panic!("{refusal:?}") };
    assert_eq!((finding.code, finding.subject.as_str()), (Code::HookRefused, "hook 10-gate"));
    assert_eq!(finding.message, "not before midnight");
    assert_eq!((host.writes(), essence(&host)), (0, before));
    assert_eq!(playground.heard().len(), 1, "nobody else is asked, and nothing has ended");
}

#[tokio::test]
async fn what_a_hook_changes_is_validated_like_any_request() {
    // Malformed on the wire, and well formed but wrong for this host.
    for (answer, code, field) in [
        (
            r#"{"changed": {"networks": [{"name": "blue", "vlanId": 5000}]}}"#,
            Code::VlanOutOfRange,
            "networks[0].vlan_id",
        ),
        (r#"{"changed": {"networks": [{"name": "blue", "nic": "eth9"}]}}"#, Code::NicNotFound, "networks[0].nic"),
    ] {
        let mut playground = Playground::new();
        playground.answers(BEFORE, "10-wrong", answer);
        let host = host();
        let bench = Bench::with_hooks(host.clone(), playground.hooks()).await;
        let found = findings(bench.set_up(set(network("blue", "eth1"))).await);
        assert!(found.iter().any(|(found, _, at)| (*found, at.as_str()) == (code, field)), "{found:?}");
        assert!(found.iter().any(|(_, subject, _)| subject == "hook 10-wrong"), "{found:?}");
        assert_eq!(host.writes(), 0);
    }
}

#[tokio::test]
async fn a_hook_that_does_not_answer_as_it_should_stops_the_request() {
    let mut cases: Vec<(&str, Playground)> = Vec::new();
    for (words, answer) in
        [("HookAnswer", ""), ("HookAnswer", "no JSON"), ("HookAnswer", r#"{"changes": {}}"#), ("HookAnswer", "{} {}")]
    {
        let mut playground = Playground::new();
        playground.answers(BEFORE, "10-odd", answer);
        cases.push((words, playground));
    }
    let mut playground = Playground::new();
    playground.answers(BEFORE, "10-odd", "x".repeat(MAX_RECEIVE_BYTES + 1));
    cases.push(("longer than", playground));
    let mut playground = Playground::new();
    playground.is_silent(BEFORE, "10-odd");
    cases.push(("no answer within", playground));
    let playground = Playground::new();
    drop(UnixListener::bind(playground.folder.path().join("before/10-odd.sock")).unwrap());
    cases.push(("does not take the call", playground));
    let playground = Playground::new();
    std::fs::write(playground.folder.path().join("before/10-odd"), "#!/bin/sh").unwrap();
    cases.push(("is no socket", playground));

    for (words, playground) in cases {
        let host = host();
        let bench = Bench::with_hooks(host.clone(), playground.hooks()).await;
        let refusal = bench.set_up(set(network("blue", "eth1"))).await.unwrap_err();
        let [finding] = &refusal.findings().0[..] else { panic!("{refusal:?}") };
        assert_eq!(finding.code, Code::HookFailed);
        assert!(finding.message.contains(words) && !finding.remedy.is_empty(), "{words}: {finding:?}");
        assert_eq!(host.writes(), 0, "{words}");
    }
}

#[tokio::test]
async fn a_hook_that_fails_afterwards_changes_nothing_about_the_end() {
    let mut playground = Playground::new();
    playground.is_silent(AFTER, "10-stuck");
    playground.answers(AFTER, "20-witness", "");
    let bench = Bench::with_hooks(host(), playground.hooks()).await;
    bench.apply(set(network("blue", "eth1"))).await;
    assert_eq!(playground.heard().len(), 1);
}

#[tokio::test]
async fn a_preview_asks_the_hooks_and_tells_none() {
    let mut playground = Playground::new();
    let wider = r#"{"changed": {"networks": [{"name": "blue", "nic": "eth1", "mtu": 9000}]}}"#;
    playground.answers(BEFORE, "10-wider", wider);
    playground.answers(AFTER, "10-witness", "");
    let bench = Bench::with_hooks(host(), playground.hooks()).await;
    let mut preview = set(network("blue", "eth1"));
    preview.options.validate_only = true;
    let answer = bench.set_up(preview).await.unwrap();
    assert!(answer.steps.iter().any(|step| step.step.to_string().contains("9000")), "{:?}", answer.steps);
    let End::Validated(findings) = answer.end else { panic!("{:?}", answer.end) };
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::HookChanged]);
    let heard = playground.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].1["request"]["validateOnly"], true);
}

#[tokio::test]
async fn without_a_folder_there_are_no_hooks() {
    let hooks = Hooks::new(PathBuf::from("/nonexistent"), SHORT, HostName::parse("host-a").unwrap());
    let request = set(network("blue", "eth1"));
    let consulted = hooks.before(&request, "local").await.unwrap();
    assert_eq!(consulted, Consulted { request, notes: Vec::new() });
    let [NetworkChange::Set(_)] = &consulted.request.changes[..] else { panic!("{consulted:?}") };
}

#[tokio::test]
async fn the_end_of_an_undone_transaction_is_told_too() {
    let mut playground = Playground::new();
    playground.answers(AFTER, "10-witness", "");
    let wayward = crate::trial::Wayward { host: host(), ignores: "create bridge" };
    let bench = Bench::with_hooks(wayward, playground.hooks()).await;
    let ended = report(bench.set_up(set(network("blue", "eth1"))).await.unwrap());
    assert!(matches!(ended.outcome, Outcome::RolledBack(_)), "{:?}", ended.outcome);
    assert_eq!(playground.heard()[0].1["result"]["outcome"], "OUTCOME_ROLLED_BACK");
}

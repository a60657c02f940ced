//! The matrix once more, as clients meet it: a write to a store, asked to validate only, and in earnest.

use std::sync::Arc;
use std::time::Duration;

use trestle_model::fleet::{Fleet, Mutation};
use trestle_model::{Code, Finding, Findings, Severity};
use trestle_rules::Fix;
use trestle_store::{Decision, Store, Write};
use uuid::Uuid;

use super::{HostStates, Wish, Writer};
use crate::fixture;

#[path = "../../rules/tests/rules/table.rs"]
mod table;

use table::{Cell, cells, not_held};

#[test]
fn every_cell_of_the_matrix_holds_for_writes_and_refusals_write_nothing() {
    let mut wrong = Vec::new();
    for cell in cells() {
        let store = store_of(&cell);
        wrong.extend(validated_only(&cell, &store));
        wrong.extend(in_earnest(&cell, &store));
    }
    for line in not_held() {
        eprintln!("not held: {line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Leaves out what is told of where a VM gets to, which the writer adds by what it knows of hosts.
fn of_the_matrix(findings: &Findings) -> Vec<Finding> {
    findings.0.iter().filter(|finding| finding.code != Code::HostNotOffered).cloned().collect()
}

fn store_of(cell: &Cell) -> Store {
    let store = Store::in_memory().unwrap();
    let write = Write { request: None, now_ms: 1, uid: Uuid::from_u128(1), actor: "test".to_owned() };
    let mutations = cell.entities.iter().cloned().map(Mutation::Put).collect();
    let decided = store.transact(write, |_| Ok::<_, ()>(Decision { mutations, findings: Findings::default() }));
    decided.unwrap();
    if let Some((host, record)) = &cell.record {
        store.record(host, record.clone()).unwrap();
    }
    store
}

/// Findings are in the answer, and nothing is written, whatever they are.
fn validated_only(cell: &Cell, store: &Store) -> Option<String> {
    let before = state(store);
    let written = write(cell, store, true, &[]).unwrap();
    let moved = (state(store) != before).then(|| format!("{}: validating wrote", cell.place));
    let mut fields = written.findings.0.iter().map(|finding| &finding.field);
    let unknown = fields.find(|field| !is_on_the_wire(field)).map(|field| format!("{}: no field {field}", cell.place));
    cell.differs(&of_the_matrix(&written.findings)).or(moved).or(unknown)
}

/// Tells whether a resource has the field, as `network.spec.mtu`.
fn is_on_the_wire(field: &str) -> bool {
    let mut path = field.split('.');
    let words = path.next().unwrap_or_default().split('_');
    let kind: String = words.map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    let mut message = Some(trestle_proto::schema::message(&format!("trestle.engine.v1.{kind}")));
    let mut known = 0;
    for part in path {
        let Some(found) = message.and_then(|message| message.get_field_by_name(part)) else { return false };
        message = found.kind().as_message().cloned();
        known += 1;
    }
    known > 0
}

#[test]
fn a_field_that_no_resource_has_is_found_out() {
    let asked = ["network.spec.mtu", "network_attachment.name", "network.spec.nothing", "network.name.mtu", "network"];
    assert_eq!(asked.map(is_on_the_wire), [true, true, false, false, false]);
}

/// What is refused writes nothing; what is only warned of is written once it is acknowledged.
fn in_earnest(cell: &Cell, store: &Store) -> Option<String> {
    let before = state(store);
    let findings = match write(cell, store, false, &[]) {
        Ok(written) if written.findings.0.iter().all(|finding| finding.severity == Severity::Info) => written.findings,
        Ok(_) => return Some(format!("{}: was written without an acknowledgement", cell.place)),
        Err(refusal) if state(store) != before => return Some(format!("{}: wrote and refused: {refusal}", cell.place)),
        Err(refusal) => refusal.findings,
    };
    if let Some(difference) = cell.differs(&of_the_matrix(&findings)) {
        return Some(difference);
    }
    let is_error = findings.0.iter().any(|finding| finding.severity == Severity::Error);
    match (write(cell, store, false, Code::ALL), is_error) {
        (Ok(written), false) => {
            let kept = store.read(|fleet| fleet.entity(&cell.change.id()));
            (written.entity != kept).then(|| format!("{}: what was written is not kept", cell.place))
        }
        (Err(_), true) if state(store) == before => None,
        (outcome, _) => Some(format!("{}: acknowledged, it ended as {outcome:?}", cell.place)),
    }
}

fn write(cell: &Cell, store: &Store, only: bool, acknowledge: &[Code]) -> Result<super::Written, super::Refusal> {
    let wish = Wish {
        actor: "test".to_owned(),
        request: None,
        validate_only: only,
        acknowledge: acknowledge.to_vec(),
        fix: Fix::Leave,
    };
    let states = HostStates::new(store.clone(), Default::default(), Duration::from_secs(60));
    let writer = Writer::new(store.clone(), Default::default(), Default::default(), Arc::new(states));
    let change = cell.change.clone();
    writer.write_blocking(wish, |_: &Fleet| Ok(change))
}

/// Everything that a write may change: the revision, the events, and the entities by their names.
fn state(store: &Store) -> (u64, usize, String) {
    let entities = store.read(|fleet| {
        format!(
            "{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
            fleet.clusters(),
            fleet.networks(),
            fleet.cluster_networks(),
            fleet.profiles(),
            fleet.hosts(),
            fleet.attachments(),
            fleet.bonds(),
            fleet.mac_pools(),
            fleet.vms(),
            fleet.vnics()
        )
    });
    (store.revision(), store.events(0, usize::MAX).unwrap().len(), entities)
}

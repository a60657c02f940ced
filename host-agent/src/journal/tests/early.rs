//! A store as the first agents wrote it: records without any field that came later, in the layout of then.
//!
//! A field of a record that is new and has no default is seen here: an agent that cannot read its store after an update
//! leaves the host without its networks.

use serde_json::Value;
use trestle_fake_host::{FakeHost, World};
use trestle_plan::{Host as _, Performer as _, restore_plan, steps_towards, undo_target, verify};

use super::*;

/// An export of such a store, with a change that waits for its confirmation; written by hand from then on.
const EARLY: &str = include_str!("../../../fixtures/early-store.json");

/// Frames a record as schema 1 says: version, length and CRC-32 of the JSON, big-endian, then the JSON.
fn framed(record: &Value) -> Vec<u8> {
    let body = serde_json::to_vec(record).unwrap();
    let mut framed = vec![0, 1];
    framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    framed.extend(crc32fast::hash(&body).to_be_bytes());
    framed.extend(body);
    framed
}

/// Writes the store's database by sled alone.
fn lay_out(folder: &Path, early: &Value) {
    let database = sled::open(folder.join("store")).unwrap();
    for (key, record) in early["contents"].as_object().unwrap() {
        database.insert(key, framed(record)).unwrap();
    }
    let history = early["history"].as_array().unwrap();
    let results = database.open_tree("history").unwrap();
    for (position, past) in (0_u64..).zip(history) {
        results.insert(position.to_be_bytes(), framed(past)).unwrap();
    }
    let account = serde_json::json!({"commits": 7, "oldest": 0, "next": history.len()});
    database.insert("account", framed(&account)).unwrap();
    database.flush().unwrap();
}

#[tokio::test]
async fn an_early_store_is_read_restored_undone_and_written() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), &serde_json::from_str(EARLY).unwrap());
    let journal = reopen(folder.path()).await.unwrap();
    let contents = journal.contents();
    let names: Vec<&str> = contents.persistent.networks.keys().map(trestle_model::NetworkName::as_str).collect();
    assert_eq!(names, ["blue"]);
    assert_eq!(journal.history(None, 50).await.unwrap().past.len(), 1);

    // The host is what it was before the last boot.
    let host = FakeHost::new(World::default().nic("nic0"));
    let restored = restore_plan(&contents.persistent, &host.state());
    assert_eq!(restored.skipped, []);
    for step in restored.bare_steps() {
        host.performer().perform(&step).await.unwrap();
    }
    assert_eq!(verify(&restored.target, &host.state()), []);
    let blue = &host.state().kernel.links[&IfName::parse("blue").unwrap()];
    assert!(blue.addresses.iter().any(|address| address.net == "192.0.2.10/24".parse().unwrap()), "{blue:?}");

    // What was open is known well enough to be undone.
    let open = contents.open.clone().unwrap();
    assert_eq!(open.record.phase, Phase::AwaitingConfirmation);
    let target = undo_target(&open.record.snapshot);
    assert!(target.present().any(|(name, _)| name.as_str() == "blue"), "{target:?}");
    for planned in steps_towards(&target, &host.state()) {
        host.performer().perform(&planned.step).await.unwrap();
    }
    assert_eq!(verify(&target, &host.state()), []);

    journal.write(Change { open: OpenChange::Clear, ..Change::default() }).await.unwrap();
    drop(journal);
    let again = reopen(folder.path()).await.unwrap();
    assert_eq!(*again.contents(), Contents { open: None, ..(*contents).clone() });
}

//! Places in the ledger that clients come back to.
//!
//! A token is opaque to clients: the revision, and a digest of the event that made it. An event never changes, so another
//! store has another one there, as has an older copy of this one that went on by itself.

use trestle_model::{Code, Finding};
use trestle_proto::status::Refusal;
use trestle_store::{Store, StoreError};

const REMEDY: &str = "it is another store, or an older copy of it: begin again without a place to go on from";

/// Refuses a place that the store has not come to.
pub(super) fn ahead(field: &str, asked: u64, head: u64) -> Refusal {
    let message = format!("revision {asked} is ahead of this store, which is at {head}");
    Finding::error(Code::ResumeTokenExpired, field, message).remedy(REMEDY).into()
}

/// Builds the token of a revision that the store has come to.
pub(super) fn token(store: &Store, revision: u64) -> Result<String, StoreError> {
    let digest = store.event_digest(revision)?.unwrap_or_default();
    Ok(format!("{revision:x}-{digest:016x}"))
}

/// Finds the revision of a token, if it is one of this store's history.
///
/// *Errors*: `RESUME_TOKEN_EXPIRED`.
pub(super) fn revision(store: &Store, given: &str) -> Result<Result<u64, Refusal>, StoreError> {
    let parsed = given.split_once('-').and_then(|(revision, _)| u64::from_str_radix(revision, 16).ok());
    let head = store.revision();
    Ok(match parsed {
        Some(revision) if revision > head => Err(ahead("resume_token", revision, head)),
        Some(revision) if token(store, revision)? == given => Ok(revision),
        Some(_) | None => {
            let message = "the resume token is not one of this store's history";
            Err(Finding::error(Code::ResumeTokenExpired, "resume_token", message).remedy(REMEDY).into())
        }
    })
}

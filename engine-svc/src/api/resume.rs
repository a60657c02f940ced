//! Places in the ledger that clients come back to.

use trestle_model::{Code, Finding};
use trestle_proto::status::Refusal;

/// Refuses a place that the store has not come to.
pub(super) fn ahead(field: &str, asked: u64, head: u64) -> Refusal {
    let message = format!("revision {asked} is ahead of this store, which is at {head}");
    Finding::error(Code::ResumeTokenExpired, field, message)
        .remedy("it is another store, or an older copy of it: begin again without a place to go on from")
        .into()
}

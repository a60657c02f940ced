//! The desired state of the fleet, kept for ever, behind verbs.
//!
//! [`Store`] holds the whole [`Fleet`](trestle_model::fleet::Fleet) in memory for reading, and an embedded log of truth
//! on disk. A write runs the caller's pure decision against the fleet, commits it durably, and only then changes the
//! memory: what a caller was told is on the disk, and a failed commit changes nothing. Beside the desired state the
//! store keeps what hosts last reported, an audit event for each revision, and the answers to requests with an id.
//!
//! Only this crate knows the keys and the encoding. It never decides what is allowed, and it reads no clock.

mod change;
mod error;
mod frame;
mod ledger;
mod rehearsal;
mod store;
mod write;

pub use error::{Cause, OpenError, RequestIdReused, StoreError, TransactError};
pub use rehearsal::Rehearsal;
pub use store::Store;
pub use write::{Change, Committed, Decision, Event, Order, RequestKey, Transition, Write};

//! The engine over real connections: its API as clients see it, and its sessions as agents do.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod engine {
    pub(crate) mod api;
    pub(crate) mod harness;
    pub(crate) mod sessions;
}

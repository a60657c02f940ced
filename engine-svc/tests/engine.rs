//! The engine over real connections: its API as clients see it, and its sessions as agents do.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod engine {
    pub(crate) mod api;
    pub(crate) mod benchmark;
    pub(crate) mod bonds;
    pub(crate) mod checks;
    pub(crate) mod copies;
    pub(crate) mod events;
    pub(crate) mod filtered;
    pub(crate) mod guest_ports;
    pub(crate) mod harness;
    pub(crate) mod hostile;
    pub(crate) mod operations;
    pub(crate) mod peers;
    #[path = "../../../serve/tests/server/pki.rs"]
    #[expect(dead_code, reason = "the authority of the server's own tests, of which these need a part")]
    pub(crate) mod pki;
    pub(crate) mod placements;
    pub(crate) mod plugging;
    pub(crate) mod plugs;
    pub(crate) mod races;
    pub(crate) mod raw;
    pub(crate) mod roles;
    pub(crate) mod sessions;
    pub(crate) mod states;
    pub(crate) mod vnics;
    pub(crate) mod watches;
}

//! The words of a write.

use serde::{Deserialize, Serialize};
use trestle_model::fleet::{Entity, EntityId, Mutation};
use trestle_model::{Code, Findings};
use uuid::Uuid;

/// Who writes, when, and under which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What makes the write idempotent; none carries it out each time.
    pub request: Option<RequestKey>,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The unique id of the entity that the write creates; of several, the first has this one and the others follow it.
    pub uid: Uuid,
    /// Who asks, for the audit event.
    pub actor: String,
}

/// What makes a request the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The id that the client made.
    pub id: Uuid,
    /// A digest of the rest of the request.
    pub digest: String,
}

/// What a write is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// The changes, in order. The store fills the common part of an entity but for its labels.
    pub mutations: Vec<Mutation>,
    /// The findings that did not refuse it; those that warn were acknowledged.
    pub findings: Findings,
}

/// What a write has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The store's revision after the write.
    pub revision: u64,
    /// The entities that were put, in order, as they are kept.
    pub entities: Vec<Entity>,
    /// The findings that did not refuse it.
    pub findings: Findings,
    /// Whether this is the answer to an earlier request with the same id.
    pub replayed: bool,
}

/// Who changed what: the audit of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The revision that the write made.
    pub revision: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who asked for it.
    pub actor: String,
    /// What changed, in order.
    pub mutations: Vec<(EntityId, Change)>,
    /// The codes of the warnings that were acknowledged, each once, ordered.
    pub acknowledged: Vec<Code>,
    /// The codes of what was merely told, each once, ordered.
    #[serde(default)]
    pub told: Vec<Code>,
    /// The id of the request, where it had one.
    #[serde(default)]
    pub request_id: Option<Uuid>,
    /// What each of the mutations replaced by what, in their order; empty in events of versions that did not keep it.
    #[serde(default)]
    pub transitions: Vec<Transition>,
}

/// An entity before and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// As it was; none where it was created.
    pub before: Option<Entity>,
    /// As it is; none where it was removed.
    pub after: Option<Entity>,
}

/// In which order events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// What happened to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was made.
    Created,
    /// It was made otherwise.
    Updated,
    /// It was removed.
    Deleted,
}

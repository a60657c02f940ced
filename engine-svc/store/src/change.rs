//! From a decision to what is written: common parts filled in, and what changes nothing left out.

use std::collections::BTreeMap;

use trestle_model::fleet::{Entity, EntityId, Fleet, Meta, Mutation};
use uuid::Uuid;

use crate::write::{Change, Transition};

/// What the store puts into the common part of what it writes.
pub(crate) struct Stamp {
    pub(crate) revision: u64,
    pub(crate) now_ms: u64,
    pub(crate) uid: Uuid,
}

/// A decision, resolved against the fleet.
pub(crate) struct Changes {
    /// The mutations that change something, in order, with their common parts.
    pub(crate) mutations: Vec<Mutation>,
    /// The same in words.
    pub(crate) told: Vec<(EntityId, Change)>,
    /// What each of them replaces by what.
    pub(crate) transitions: Vec<Transition>,
    /// Every entity that was put, in order, as it is kept.
    pub(crate) entities: Vec<Entity>,
}

/// Resolves `mutations` against `fleet`.
///
/// Putting an entity that is already there as it is to be, labels included, and removing one that is not there, change
/// nothing. A mutation sees those before it.
pub(crate) fn resolve(mutations: Vec<Mutation>, fleet: &Fleet, stamp: &Stamp) -> Changes {
    let mut changes =
        Changes { mutations: Vec::new(), told: Vec::new(), transitions: Vec::new(), entities: Vec::new() };
    let mut written: BTreeMap<EntityId, Option<Entity>> = BTreeMap::new();
    let mut uids = stamp.uid.as_u128();
    for mutation in mutations {
        let id = mutation.id();
        let before = written.get(&id).cloned().unwrap_or_else(|| fleet.entity(&id));
        let (mutation, change, transition) = match (mutation, before) {
            (Mutation::Delete(_), None) => continue,
            (Mutation::Delete(id), before @ Some(_)) => {
                written.insert(id.clone(), None);
                (Mutation::Delete(id), Change::Deleted, Transition { before, after: None })
            }
            (Mutation::Put(mut entity), before) => {
                let labels = std::mem::take(&mut entity.meta_mut().labels);
                let (kept, change) = match &before {
                    Some(before) => (before.meta().clone(), Change::Updated),
                    None => {
                        let uid = Uuid::from_u128(uids);
                        uids = uids.wrapping_add(1);
                        (Meta { uid, created_ms: stamp.now_ms, ..Meta::default() }, Change::Created)
                    }
                };
                *entity.meta_mut() = Meta { labels, ..kept };
                if before.as_ref() == Some(&entity) {
                    changes.entities.push(entity);
                    continue;
                }
                entity.meta_mut().revision = stamp.revision;
                entity.meta_mut().updated_ms = stamp.now_ms;
                changes.entities.push(entity.clone());
                written.insert(id.clone(), Some(entity.clone()));
                let transition = Transition { before, after: Some(entity.clone()) };
                (Mutation::Put(entity), change, transition)
            }
        };
        changes.mutations.push(mutation);
        changes.told.push((id, change));
        changes.transitions.push(transition);
    }
    changes
}

//! What the resources have in common, and where they differ.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use trestle_model::fleet::{Entity, EntityId, Meta};

use crate::form::Form;

/// A resource on the wire, and the entity that it stands for.
pub trait Resource: prost::Message + Default + Clone {
    /// The entity's key.
    type Id: Clone;
    /// The entity.
    type Entity: Clone;
    /// The field that carries the resource in requests and answers.
    const FIELD: &'static str;
    /// The message's full name.
    const FULL_NAME: &'static str;
    /// The pattern of the resource's name.
    const PATTERN: &'static str;

    /// Returns the resource's name, as given.
    fn name(&self) -> &str;
    /// Returns the etag, as given; empty where none is.
    fn etag(&self) -> &str;
    /// Returns the labels, as given.
    fn labels(&self) -> &BTreeMap<String, String>;
    /// Builds the resource from its entity; what is observed is left out.
    fn build(entity: &Self::Entity) -> Self;
    /// Makes any entity of this one.
    fn entity(entity: Self::Entity) -> Entity;
    /// Returns the entity, if it is of this kind.
    fn entity_of(entity: Entity) -> Option<Self::Entity>;
    /// Makes any entity's key of this one.
    fn entity_id(id: Self::Id) -> EntityId;
    /// Returns the key, if it is of this kind.
    fn id_of(id: EntityId) -> Option<Self::Id>;
    /// Returns the entity's key and its common part.
    fn parts(entity: &Self::Entity) -> (Self::Id, &Meta);
    /// Reads the resource as the entity `id`, and notes every violation.
    fn read(&self, form: &mut Form, id: Self::Id, meta: Meta) -> Option<Self::Entity>;
}

/// Spells out what every resource's [`Resource`] says in the same words.
macro_rules! shape {
    ($kind:ident, $field:literal, $pattern:literal, $id:ty, $bound:pat => ($($part:ident),+), $build_spec:path $(, $observed:ident: $build_observed:path)?) => {
        type Id = $id;
        type Entity = trestle_model::fleet::$kind;
        const FIELD: &'static str = $field;
        const FULL_NAME: &'static str = concat!("trestle.engine.v1.", stringify!($kind));
        const PATTERN: &'static str = $pattern;

        fn name(&self) -> &str {
            &self.name
        }

        fn etag(&self) -> &str {
            &self.etag
        }

        fn labels(&self) -> &std::collections::BTreeMap<String, String> {
            &self.labels
        }

        fn build(entity: &Self::Entity) -> Self {
            let (id, meta) = Self::parts(entity);
            let common = $crate::engine_wire::resource::Common::of(&Self::entity_id(id), meta);
            Self {
                name: common.name,
                uid: common.uid,
                etag: common.etag,
                labels: common.labels,
                create_time: common.create_time,
                update_time: common.update_time,
                generation: common.generation,
                spec: Some($build_spec(entity)),
                $($observed: $build_observed(entity),)?
            }
        }

        fn entity(entity: Self::Entity) -> trestle_model::fleet::Entity {
            trestle_model::fleet::Entity::$kind(entity)
        }

        fn entity_of(entity: trestle_model::fleet::Entity) -> Option<Self::Entity> {
            if let trestle_model::fleet::Entity::$kind(entity) = entity { Some(entity) } else { None }
        }

        fn entity_id($bound: Self::Id) -> trestle_model::fleet::EntityId {
            trestle_model::fleet::EntityId::$kind($($part),+)
        }

        fn id_of(id: trestle_model::fleet::EntityId) -> Option<Self::Id> {
            if let trestle_model::fleet::EntityId::$kind($($part),+) = id { Some(($($part),+)) } else { None }
        }
    };
}

pub(super) use shape;

/// The common part of a resource, as the wire has it.
pub(super) struct Common {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) etag: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) create_time: Option<Timestamp>,
    pub(super) update_time: Option<Timestamp>,
    pub(super) generation: u64,
}

impl Common {
    pub(super) fn of(id: &EntityId, meta: &Meta) -> Self {
        Self {
            name: id.to_string(),
            uid: if meta.uid.is_nil() { String::new() } else { meta.uid.to_string() },
            etag: etag(meta),
            labels: meta.labels.clone(),
            create_time: (meta.created_ms > 0).then(|| timestamp(meta.created_ms)),
            update_time: (meta.updated_ms > 0).then(|| timestamp(meta.updated_ms)),
            generation: meta.revision,
        }
    }
}

/// Returns an entity's etag: its revision in hexadecimal; empty for an entity that was never stored.
pub fn etag(meta: &Meta) -> String {
    if meta.revision == 0 { String::new() } else { format!("{:x}", meta.revision) }
}

/// Builds a time from milliseconds since the Unix epoch.
pub fn timestamp(ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1000).unwrap_or_default() * 1_000_000,
    }
}

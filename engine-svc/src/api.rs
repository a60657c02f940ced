//! The engine's gRPC services: one file a resource, and the standard methods once for all of them.
//!
//! A handler parses, asks the store or the write use case, and builds the answer. It holds no rule.

mod checks;
mod copies;
mod events;
mod filtered;
mod filters;
mod hosts;
mod kinds;
mod operations;
mod placements;
mod plugging;
mod resources;
mod resume;
mod standard;
mod unmanaged;
mod vnic_field;
mod watch;
mod watches;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use prost::Message;
use prost_types::FieldMask;
use tonic::{Request, Status};
use trestle_model::Findings;
use trestle_model::fleet::{EntityId, Fleet, Meta, Mutation};
use trestle_proto::engine_wire::{self, Resource};
use trestle_proto::filter::Filter;
use trestle_proto::finding::v1::Finding as WireFinding;
use trestle_proto::page::Page;
use trestle_proto::status::Refusal;
use trestle_rules::Fix;
use trestle_serve::MAX_SEND_BYTES;
use trestle_store::{RequestKey, Store};
use uuid::Uuid;

use crate::session::Board;
use crate::states::HostStates;
use crate::write::{Wish, Writer, Written};

use filtered::Filtered;

pub use checks::Checks;
pub use copies::HostCopies;
pub use events::Events;
pub use filters::StockFilters;
pub use hosts::Hosts;
pub use operations::Operations;
pub use resources::{
    Bonds, ClusterNetworks, Clusters, MacPools, NetworkAttachments, Networks, Vms, VnicProfiles, Vnics,
};
pub use watches::Watches;

/// How many bytes of resources a page of a list has: less than a message, so that a page of large ones is only shorter.
const PAGE_BYTES: usize = MAX_SEND_BYTES / 2;

/// What every handler works with.
#[derive(Debug, Clone)]
pub struct Api {
    store: Store,
    writer: Writer,
    board: Arc<Board>,
    states: Arc<HostStates>,
}

/// A resource that the store holds a collection of.
trait Collection: Resource<Id: Ord> {
    /// Returns all of them, by key.
    fn map(fleet: &Fleet) -> &BTreeMap<Self::Id, Self::Entity>;

    /// Returns those below `parent`, ordered by key; none where the kind has no parent.
    fn below<'a>(_fleet: &'a Fleet, _parent: &'a EntityId) -> Box<dyn Iterator<Item = &'a Self::Entity> + 'a> {
        Box::new(std::iter::empty())
    }

    /// Fills in what is observed rather than stored.
    fn fill(self, _api: &Api) -> Self {
        self
    }
}

/// What every write has beside its resource, as it came from the wire.
struct Terms {
    actor: String,
    digest: String,
    request_id: String,
    validate_only: bool,
    acknowledge: Vec<String>,
    fix: Fix,
}

impl Api {
    /// Makes what every handler works with.
    pub const fn new(store: Store, writer: Writer, board: Arc<Board>, states: Arc<HostStates>) -> Self {
        Self { store, writer, board, states }
    }

    fn get<R: Collection>(&self, name: &str) -> Result<R, Status> {
        let id = named::<R>(name)?;
        let found = R::id_of(id.clone()).and_then(|key| self.store.read(|fleet| R::map(fleet).get(&key).cloned()));
        let entity = found.ok_or_else(|| Refusal::from(engine_wire::missing(&id, "name")))?;
        Ok(R::build(&entity).fill(self))
    }

    async fn list<R: Collection + Send + 'static>(
        &self,
        parent: &str,
        size: i32,
        token: &str,
        filter: &str,
    ) -> Result<(Vec<R>, String), Status> {
        let parent_id = match parent {
            "" => None,
            parent => Some(engine_wire::parse_parent_of::<R>(parent).map_err(Refusal::malformed)?),
        };
        let query = format!("{parent}/{}{filter}", R::FIELD);
        let page = Page::parse(size, token, &query).map_err(Refusal::malformed)?;
        let filter = Filter::parse(filter, R::FULL_NAME).map_err(Refusal::malformed)?;
        let after = page.after.as_deref().map(|name| engine_wire::parse_name_of::<R>(name, "page_token"));
        let after = after.transpose().map_err(Refusal::malformed)?;
        if let Some(id) = &parent_id
            && self.store.read(|fleet| fleet.entity(id).is_none())
        {
            return Err(Refusal::from(engine_wire::missing(id, "parent")).into());
        }
        if let Some(filter) = filter {
            return self.list_filtered(Filtered { parent: parent_id, page, query, filter }).await;
        }
        let (found, next) = self.store.read(|fleet| {
            let rest = rest::<R>(fleet, parent_id.as_ref(), after.as_ref());
            let (found, next) = page.cut(&query, rest, |entity| key::<R>(entity).to_string());
            (found.into_iter().map(R::build).collect::<Vec<_>>(), next)
        });
        let (mut shown, mut bytes) = (Vec::<R>::new(), 0);
        for wire in found {
            let wire = wire.fill(self);
            bytes += wire.encoded_len();
            if let Some(last) = shown.last()
                && bytes > PAGE_BYTES
            {
                let next = trestle_proto::page::next_token(&query, last.name());
                return Ok((shown, next));
            }
            shown.push(wire);
        }
        Ok((shown, next))
    }

    async fn create<R: Collection>(
        &self,
        terms: Terms,
        wire: Option<R>,
        parent: &str,
        id: &str,
    ) -> Result<(R, Vec<WireFinding>), Status>
    where
        R::Entity: Clone + Send + 'static,
    {
        let entity = engine_wire::parse_new::<R>(wire.as_ref(), parent, id).map_err(Refusal::malformed)?;
        let written = self.writer.write(terms.wish()?, move |fleet| {
            let key = key::<R>(&entity);
            if fleet.entity(&key).is_some() {
                return Err(engine_wire::existing(&key, &format!("{}_id", R::FIELD)).into());
            }
            Ok(Mutation::Put(R::entity(entity)))
        });
        self.answer(written.await?)
    }

    async fn update<R: Collection + Send + 'static>(
        &self,
        terms: Terms,
        wire: Option<R>,
        mask: Option<FieldMask>,
        allow_missing: bool,
    ) -> Result<(R, Vec<WireFinding>), Status> {
        let decide = updating(wire, mask, allow_missing)?;
        let written = self.writer.write(terms.wish()?, decide);
        self.answer(written.await?)
    }

    async fn delete<R: Collection>(&self, terms: Terms, name: &str, etag: String) -> Result<Vec<WireFinding>, Status> {
        let key = named::<R>(name)?;
        let written = self.writer.write(terms.wish()?, move |fleet| {
            let before = fleet.entity(&key).ok_or_else(|| engine_wire::missing(&key, "name"))?;
            engine_wire::check_etag(&etag, "etag", &key, before.meta())?;
            Ok(Mutation::Delete(key))
        });
        Ok(wire_findings(&written.await?.findings))
    }

    fn answer<R: Collection>(&self, written: Written) -> Result<(R, Vec<WireFinding>), Status> {
        let entity =
            written.entity.and_then(R::entity_of).ok_or_else(|| Status::internal("write without a resource"))?;
        Ok((R::build(&entity).fill(self), wire_findings(&written.findings)))
    }
}

impl Terms {
    /// Reads who asks, and makes the digest that tells a repeated request from another one under the same id.
    fn of<M: Message>(
        request: &Request<M>,
        request_id: &str,
        validate_only: bool,
        acknowledge: &[String],
    ) -> Result<Self, Status> {
        let peer = trestle_serve::identity::peer(request)?;
        peer.require_user()?;
        let kind = std::any::type_name::<M>();
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, &request.get_ref().encode_to_vec());
        Ok(Self {
            actor: peer.to_string(),
            digest: format!("{}:{digest}", kind.rsplit("::").next().unwrap_or(kind)),
            request_id: request_id.to_owned(),
            validate_only,
            acknowledge: acknowledge.to_vec(),
            fix: Fix::Leave,
        })
    }

    /// Mends profiles that are in the way in the same write, where that is wanted.
    fn fixing(self, wanted: bool) -> Self {
        Self { fix: if wanted { Fix::Profiles } else { Fix::Leave }, ..self }
    }

    fn wish(self) -> Result<Wish, Status> {
        let id = engine_wire::parse_request_id(&self.request_id);
        let acknowledge = engine_wire::parse_acknowledged(&self.acknowledge);
        let (id, acknowledge) = match (id, acknowledge) {
            (Ok(id), Ok(acknowledge)) => (id, acknowledge),
            (id, acknowledge) => {
                let faults = id.err().into_iter().chain(acknowledge.err()).flat_map(|findings| findings.0);
                return Err(Refusal::malformed(Findings(faults.collect())).into());
            }
        };
        Ok(Wish {
            actor: self.actor,
            request: id.map(|id| RequestKey { id, digest: self.digest }),
            validate_only: self.validate_only,
            acknowledge,
            fix: self.fix,
        })
    }
}

/// Reads an update, and returns what makes it of the fleet as it is then.
fn updating<R: Collection + Send + 'static>(
    wire: Option<R>,
    mask: Option<FieldMask>,
    allow_missing: bool,
) -> Result<impl Fn(&Fleet) -> Result<Mutation, Refusal> + Send + 'static, Refusal> {
    let (key, etag) = {
        let (key, wire) = engine_wire::target_of::<R>(wire.as_ref()).map_err(Refusal::malformed)?;
        (key, wire.etag().to_owned())
    };
    Ok(move |fleet: &Fleet| {
        let entity = match (fleet.entity(&key), &wire) {
            (Some(before), Some(wire)) => {
                engine_wire::check_etag(&etag, &format!("{}.etag", R::FIELD), &key, before.meta())?;
                let before = R::entity_of(before).ok_or_else(|| engine_wire::missing(&key, "name"))?;
                engine_wire::merge::<R>(&before, wire, mask.as_ref()).map_err(Refusal::malformed)?
            }
            (None, wire) if allow_missing => {
                // Whoever knows a version of it must learn that it was removed.
                engine_wire::check_etag(&etag, &format!("{}.etag", R::FIELD), &key, &Meta::default())?;
                engine_wire::parse_named::<R>(wire.as_ref()).map_err(Refusal::malformed)?
            }
            (Some(_) | None, _) => return Err(engine_wire::missing(&key, &format!("{}.name", R::FIELD)).into()),
        };
        Ok(Mutation::Put(R::entity(entity)))
    })
}

/// Reads the name that a request is about; it has to be one of the resource's kind.
fn named<R: Resource>(name: &str) -> Result<EntityId, Refusal> {
    let id = engine_wire::parse_name_of::<R>(name, "name").map_err(Refusal::malformed)?;
    Ok(R::entity_id(id))
}

fn key<R: Resource>(entity: &R::Entity) -> EntityId {
    R::entity_id(R::parts(entity).0)
}

/// Returns the resources below `parent` (the whole fleet's where there is none) beyond `after`, ordered by key, at the
/// cost of those that are taken.
fn rest<'a, R: Collection>(
    fleet: &'a Fleet,
    parent: Option<&'a EntityId>,
    after: Option<&'a R::Id>,
) -> Box<dyn Iterator<Item = &'a R::Entity> + 'a> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let beyond = R::map(fleet).range((start, Bound::Unbounded)).map(|(_, entity)| entity);
    match (parent, after) {
        (None, _) => Box::new(beyond),
        (Some(parent), None) => R::below(fleet, parent),
        (Some(parent), Some(_)) => {
            let below = format!("{parent}/");
            Box::new(beyond.take_while(move |entity| key::<R>(entity).to_string().starts_with(&below)))
        }
    }
}

/// Lets users of the API pass, for calls that only read.
fn require_user<M>(request: &Request<M>) -> Result<(), Status> {
    trestle_serve::identity::peer(request)?.require_user()
}

fn wire_findings(findings: &Findings) -> Vec<WireFinding> {
    trestle_proto::finding_wire::build_all(&findings.0)
}

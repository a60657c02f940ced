//! Writes: new resources, whole ones, partial updates, and what every write carries.

use prost_types::FieldMask;
use trestle_model::fleet::{EntityId, Meta};
use trestle_model::{Code, Finding, Findings};
use uuid::Uuid;

use super::resource_name::{example_id, read_new};
use super::{Resource, etag, mask, parse_name_of};
use crate::form::{Form, quoted};
use crate::host_wire::read_acknowledged;
use crate::status::Refusal;

/// The most bytes of a resource: far more than an honest one has, and few enough that a page of them fits a message.
const LARGEST: usize = 64 * 1024;

/// Reads a resource that is to be made as `id` in `parent`, which is empty for a resource without one.
///
/// Its own name and the output-only fields are ignored; the common part has labels only.
///
/// *Errors*: every violation, with the path of its field, such as `network.spec.mtu`.
pub fn parse_new<R: Resource>(wire: Option<&R>, parent: &str, id: &str) -> Result<R::Entity, Findings> {
    let mut form = Form::default();
    let key = read_new::<R>(&mut form, parent, id);
    let Some(wire) = wire else {
        form.missing(R::FIELD, "give the resource");
        return form.finish(None);
    };
    // Without a legal key, the rest is read under an example's, for its violations alone.
    let sound = key.is_some();
    let entity = key.or_else(example_id::<R>).and_then(|key| read_sized(&mut form, wire, key, Meta::default()));
    form.finish(entity.filter(|_| sound))
}

/// Reads a whole resource under its own name, as an update does that may create it.
///
/// *Errors*: every violation, with the path of its field.
pub fn parse_named<R: Resource>(wire: Option<&R>) -> Result<R::Entity, Findings> {
    let (key, wire) = key_of(wire)?;
    read_whole(wire, key, Meta::default())
}

/// Reads which resource an update is about.
///
/// *Errors*: `FIELD_MISSING`, `NAME_INVALID`.
pub fn target_of<R: Resource>(wire: Option<&R>) -> Result<(EntityId, &R), Findings> {
    let (key, wire) = key_of(wire)?;
    Ok((R::entity_id(key), wire))
}

/// Merges the fields of an update that its mask names into the entity as it is; the result keeps uid, revision and times.
///
/// An absent mask names the fields that are present in `wire`; `*` names labels and the whole spec.
///
/// *Errors*: `FIELD_MASK_INVALID`; `IMMUTABLE` for another name; every violation of the merged resource.
pub fn merge<R: Resource>(
    existing: &R::Entity,
    wire: &R,
    update_mask: Option<&FieldMask>,
) -> Result<R::Entity, Findings> {
    let (key, meta) = R::parts(existing);
    let name = R::entity_id(key.clone()).to_string();
    if wire.name() != name {
        let message = format!("the name cannot change from {name} to {}", quoted(wire.name()));
        let finding = Finding::error(Code::Immutable, format!("{}.name", R::FIELD), message).about(&name);
        return Err(Findings(vec![finding.remedy("create another resource, and remove this one")]));
    }
    let merged = mask::merge(&R::build(existing), wire, update_mask)?;
    read_whole(&merged, key, meta.clone())
}

/// Checks the etag that a write gives at `field`; an empty one is any.
///
/// *Errors*: `ETAG_MISMATCH` with the current etag.
pub fn check_etag(given: &str, field: &str, id: &EntityId, meta: &Meta) -> Result<(), Refusal> {
    let current = etag(meta);
    if given.is_empty() || given == current {
        return Ok(());
    }
    let finding = Finding::error(Code::EtagMismatch, field, "the resource was changed by somebody else meanwhile");
    let finding = finding.about(id).remedy("read it again, and repeat the change on what it is now");
    Err(Refusal::outdated(finding, current))
}

/// Reads the id that makes a write idempotent; an empty one is none.
///
/// *Errors*: `NAME_INVALID`.
pub fn parse_request_id(text: &str) -> Result<Option<Uuid>, Findings> {
    if text.is_empty() {
        return Ok(None);
    }
    Uuid::parse_str(text).map(Some).map_err(|_| {
        let finding = Finding::error(Code::NameInvalid, "request_id", format!("{} is not a UUID", quoted(text)));
        Findings(vec![finding.remedy("give a UUID, or leave request_id out")])
    })
}

/// Reads the warning codes that do not stop a write.
///
/// *Errors*: `CODE_UNKNOWN` for each text that is no code.
pub fn parse_acknowledged(codes: &[String]) -> Result<Vec<Code>, Findings> {
    let mut form = Form::default();
    let known = read_acknowledged(&mut form, codes);
    form.finish(Some(known))
}

/// Says that there is no such resource; `field` is where its name stands.
pub fn missing(id: &EntityId, field: &str) -> Finding {
    Finding::error(Code::NotFound, field, format!("there is no {id}")).about(id).remedy("check the name")
}

/// Says that there is such a resource already; `field` is where its id stands.
pub fn existing(id: &EntityId, field: &str) -> Finding {
    Finding::error(Code::AlreadyExists, field, format!("there is a resource {id} already"))
        .about(id)
        .remedy("update it, or choose another id")
}

fn key_of<R: Resource>(wire: Option<&R>) -> Result<(R::Id, &R), Findings> {
    let Some(wire) = wire else {
        let mut form = Form::default();
        form.missing(R::FIELD, "give the resource with its name");
        return form.finish(None);
    };
    Ok((parse_name_of::<R>(wire.name(), &format!("{}.name", R::FIELD))?, wire))
}

fn read_whole<R: Resource>(wire: &R, key: R::Id, meta: Meta) -> Result<R::Entity, Findings> {
    let mut form = Form::default();
    let entity = read_sized(&mut form, wire, key, meta);
    form.finish(entity)
}

/// Reads a resource with its labels, and notes when it is larger than one may be; what is observed does not count.
fn read_sized<R: Resource>(form: &mut Form, wire: &R, key: R::Id, meta: Meta) -> Option<R::Entity> {
    let entity = wire.read(form, key, Meta { labels: wire.labels().clone(), ..meta })?;
    let bytes = R::build(&entity).encoded_len();
    if bytes > LARGEST {
        let message = format!("the resource has {bytes} bytes, at most {LARGEST} are kept");
        form.note(Finding::error(Code::TooLong, R::FIELD, message).remedy("shorten the description and the labels"));
    }
    Some(entity)
}

//! Names of resources: `hosts/h1/networkAttachments/blue`.
//!
//! *Source*: AIP-122.

use trestle_model::fleet::EntityId;
use trestle_model::{BadName, Code, Finding, Findings, HostName, IfName, NetworkName, ResourceId, VmId};

use super::Resource;
use crate::form::{Form, quoted};

const PATTERNS: &str = "clusters/{cluster}, networks/{network}, hosts/{host}, macPools/{pool}, vms/{vm}, \
    clusters/{cluster}/clusterNetworks/{network}, networks/{network}/vnicProfiles/{profile}, \
    hosts/{host}/networkAttachments/{network}, hosts/{host}/bonds/{bond} or vms/{vm}/vnics/{vnic}";

/// A UUID of no VM.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Reads the name of any resource; `field` is the path that it stands at.
///
/// *Errors*: `FIELD_MISSING`, `NAME_INVALID` for each segment.
pub fn parse_name(text: &str, field: &str) -> Result<EntityId, Findings> {
    let mut form = Form::default();
    let id = read_name(&mut form, text, field);
    form.finish(id)
}

/// Reads the name of a resource of one kind; `field` is the path that it stands at.
///
/// *Errors*: `FIELD_MISSING`, `NAME_INVALID`, also for the name of a resource of another kind.
pub fn parse_name_of<R: Resource>(text: &str, field: &str) -> Result<R::Id, Findings> {
    R::id_of(parse_name(text, field)?).ok_or_else(|| other_kind(text, field, R::PATTERN))
}

/// Reads the name of the parent in which resources of one kind live, at the field `parent`.
///
/// *Errors*: `FIELD_MISSING`, `NAME_INVALID`, also for the name of a resource of another kind.
pub fn parse_parent_of<R: Resource>(text: &str) -> Result<EntityId, Findings> {
    let id = parse_name(text, "parent")?;
    match parent_pattern::<R>() {
        Some(pattern) if same_shape(text, pattern) => Ok(id),
        Some(pattern) => Err(other_kind(text, "parent", pattern)),
        None => Err(other_kind(text, "parent", "no parent")),
    }
}

/// Reads the key of a resource that is to be made: its parent, and its own id.
pub(super) fn read_new<R: Resource>(form: &mut Form, parent: &str, id: &str) -> Option<R::Id> {
    let id_field = format!("{}_id", R::FIELD);
    let own = if id.is_empty() {
        form.missing(&id_field, "give the last segment of the new resource's name");
        None
    } else if id.contains('/') {
        let finding = Finding::error(Code::NameInvalid, &id_field, format!("{} has a slash", quoted(id)));
        form.note(finding.remedy("give the last segment of the name only"));
        None
    } else {
        let (collection, _) = R::PATTERN.rsplit_once('/')?;
        let collection = collection.rsplit_once('/').map_or(collection, |(_, last)| last);
        Some(format!("{collection}/{id}"))
    };
    let parent = match parent_pattern::<R>() {
        Some(_) => match parse_parent_of::<R>(parent) {
            Ok(parent) => Some(format!("{parent}/")),
            Err(findings) => {
                form.note_all(findings);
                None
            }
        },
        None => Some(String::new()),
    };
    // A parent that is wrong must not hide that the id is, too: the id is then read under an example's.
    let sound = parent.is_some();
    let parent =
        parent.unwrap_or_else(|| parent_pattern::<R>().map(|p| format!("{}/", example(p))).unwrap_or_default());
    let read = read_name(form, &format!("{parent}{}", own?), &id_field)?;
    R::id_of(read).filter(|_| sound)
}

/// Returns a legal key of the kind, that of no resource in particular.
pub(super) fn example_id<R: Resource>() -> Option<R::Id> {
    R::id_of(parse_name(&example(R::PATTERN), "").ok()?)
}

/// Makes a legal name of a pattern: without its braces, and with a UUID for a VM, it is one.
fn example(pattern: &str) -> String {
    pattern.replace("{vm}", NOBODY).replace(['{', '}'], "")
}

fn read_name(form: &mut Form, text: &str, field: &str) -> Option<EntityId> {
    if text.is_empty() {
        form.missing(field, "give the resource's name");
        return None;
    }
    let mut segments = text.split('/');
    let segments: [Option<&str>; 5] = std::array::from_fn(|_| segments.next());
    match segments {
        [Some("clusters"), Some(c), None, ..] => segment(form, field, c, ResourceId::parse).map(EntityId::Cluster),
        [Some("networks"), Some(n), None, ..] => segment(form, field, n, NetworkName::parse).map(EntityId::Network),
        [Some("hosts"), Some(h), None, ..] => segment(form, field, h, HostName::parse).map(EntityId::Host),
        [Some("clusters"), Some(c), Some("clusterNetworks"), Some(n), None] => {
            let cluster = segment(form, field, c, ResourceId::parse);
            let network = segment(form, field, n, NetworkName::parse);
            Some(EntityId::ClusterNetwork(cluster?, network?))
        }
        [Some("networks"), Some(n), Some("vnicProfiles"), Some(p), None] => {
            let network = segment(form, field, n, NetworkName::parse);
            let profile = segment(form, field, p, ResourceId::parse);
            Some(EntityId::VnicProfile(network?, profile?))
        }
        [Some("hosts"), Some(h), Some("networkAttachments"), Some(n), None] => {
            let host = segment(form, field, h, HostName::parse);
            let network = segment(form, field, n, NetworkName::parse);
            Some(EntityId::NetworkAttachment(host?, network?))
        }
        [Some("hosts"), Some(h), Some("bonds"), Some(b), None] => {
            let host = segment(form, field, h, HostName::parse);
            let bond = segment(form, field, b, IfName::parse_bond);
            Some(EntityId::Bond(host?, bond?))
        }
        [Some("macPools"), Some(p), None, ..] => segment(form, field, p, ResourceId::parse).map(EntityId::MacPool),
        [Some("vms"), Some(v), None, ..] => segment(form, field, v, VmId::parse).map(EntityId::Vm),
        [Some("vms"), Some(v), Some("vnics"), Some(n), None] => {
            let vm = segment(form, field, v, VmId::parse);
            let vnic = segment(form, field, n, ResourceId::parse);
            Some(EntityId::Vnic(vm?, vnic?))
        }
        _ => {
            form.note_all(other_kind(text, field, PATTERNS));
            None
        }
    }
}

/// Reads a segment; an empty one is an illegal name, not a missing field.
fn segment<T>(form: &mut Form, field: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, BadName>) -> Option<T> {
    if text.is_empty() {
        let finding = Finding::error(Code::NameInvalid, field, "a segment of the name is empty");
        form.note(finding.remedy("give every segment of the name"));
        return None;
    }
    form.name(field, text, Code::NameInvalid, parse)
}

fn parent_pattern<R: Resource>() -> Option<&'static str> {
    let (collection, _) = R::PATTERN.rsplit_once('/')?;
    collection.rsplit_once('/').map(|(parent, _)| parent)
}

/// Tells whether a legal name is one of `pattern`: as many segments, in the same first collection.
fn same_shape(name: &str, pattern: &str) -> bool {
    name.split('/').count() == pattern.split('/').count() && name.split('/').next() == pattern.split('/').next()
}

fn other_kind(text: &str, field: &str, pattern: &str) -> Findings {
    let finding = Finding::error(Code::NameInvalid, field, format!("{} is not a name expected here", quoted(text)));
    Findings(vec![finding.remedy(format!("write it as {pattern}"))])
}

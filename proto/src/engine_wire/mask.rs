//! Partial updates: which fields of a resource a request changes.
//!
//! Done on the messages themselves, by their descriptors, so that one piece of code serves every resource and field.
//!
//! *Source*: AIP-134, AIP-161.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};
use prost_types::FieldMask;
use trestle_model::{Code, Finding, Findings};

use super::Resource;
use crate::form::quoted;
use crate::schema;

/// The fields of a resource that clients write.
pub(super) const WRITABLE: [&str; 2] = ["labels", "spec"];

/// Merges the fields of `given` that the mask names into `existing`.
///
/// A path names `labels`, `spec`, or a field below `spec`; what it names is replaced whole, and emptied where `given`
/// has nothing there. An absent mask, and one without paths, names the fields of `spec` that are present in `given`, and
/// `labels` if there are any. `*` names all, and stands alone.
///
/// *Errors*: `FIELD_MASK_INVALID` for each path that does not exist or cannot be written.
pub(super) fn merge<R: Resource>(existing: &R, given: &R, mask: Option<&FieldMask>) -> Result<R, Findings> {
    let mut merged = schema::dynamic(R::FULL_NAME, existing);
    let given = schema::dynamic(R::FULL_NAME, given);
    let paths = match mask.map(|mask| mask.paths.as_slice()).unwrap_or_default() {
        [] => present(&given),
        [all] if all == "*" => WRITABLE.map(str::to_owned).to_vec(),
        paths => paths.to_vec(),
    };
    let mut findings = Vec::new();
    for path in &paths {
        match resolve(&schema::message(R::FULL_NAME), path) {
            Some(fields) => replace(&mut merged, Some(&given), &fields),
            None => {
                let message = format!("{} is no field of {} that can be written", quoted(path), R::FIELD);
                let finding = Finding::error(Code::FieldMaskInvalid, "update_mask", message);
                findings.push(finding.remedy("name labels, spec, or fields of spec, such as spec.description"));
            }
        }
    }
    if findings.is_empty() { Ok(schema::typed(&merged)) } else { Err(Findings(findings).sorted()) }
}

fn present(given: &DynamicMessage) -> Vec<String> {
    let mut paths = Vec::new();
    if given.has_field_by_name("labels") {
        paths.push("labels".to_owned());
    }
    if let Some(spec) = given.get_field_by_name("spec")
        && let Some(spec) = spec.as_message()
    {
        paths.extend(spec.fields().map(|(field, _)| format!("spec.{}", field.name())));
    }
    paths
}

fn resolve(resource: &MessageDescriptor, path: &str) -> Option<Vec<FieldDescriptor>> {
    let mut fields = Vec::new();
    let mut message = Some(resource.clone());
    for name in path.split('.') {
        let field = message?.get_field_by_name(name)?;
        let leads_on = !field.is_list() && !field.is_map();
        message = field.kind().as_message().filter(|_| leads_on).cloned();
        fields.push(field);
    }
    let root = fields.first()?;
    WRITABLE.contains(&root.name()).then_some(fields)
}

fn replace(into: &mut DynamicMessage, given: Option<&DynamicMessage>, path: &[FieldDescriptor]) {
    let Some((field, below)) = path.split_first() else { return };
    let value = given.filter(|given| given.has_field(field)).map(|given| given.get_field(field));
    if below.is_empty() {
        match value {
            Some(value) => into.set_field(field, value.into_owned()),
            None => into.clear_field(field),
        }
    } else if (value.is_some() || into.has_field(field))
        && let Some(inner) = into.get_field_mut(field).as_message_mut()
    {
        replace(inner, value.as_deref().and_then(|value| value.as_message()), below);
    }
}

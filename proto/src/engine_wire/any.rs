//! Resources of any kind, and what differs between two of them.

use prost_reflect::{DynamicMessage, MessageDescriptor};
use prost_types::FieldMask;
use trestle_model::fleet::Entity;

use super::Resource as _;
use super::mask::WRITABLE;
use crate::engine::v1 as wire;
use crate::engine::v1::any_resource::Resource;
use crate::schema;

/// Builds the resource of any entity; what is observed is left out.
pub fn build_any(entity: &Entity) -> wire::AnyResource {
    let resource = match entity {
        Entity::Cluster(entity) => Resource::Cluster(wire::Cluster::build(entity)),
        Entity::Network(entity) => Resource::Network(wire::Network::build(entity)),
        Entity::ClusterNetwork(entity) => Resource::ClusterNetwork(wire::ClusterNetwork::build(entity)),
        Entity::VnicProfile(entity) => Resource::VnicProfile(wire::VnicProfile::build(entity)),
        Entity::Host(entity) => Resource::Host(wire::Host::build(entity)),
        Entity::NetworkAttachment(entity) => Resource::NetworkAttachment(wire::NetworkAttachment::build(entity)),
        Entity::Bond(entity) => Resource::Bond(wire::Bond::build(entity)),
        Entity::MacPool(entity) => Resource::MacPool(wire::MacPool::build(entity)),
        Entity::Vm(entity) => Resource::Vm(wire::Vm::build(entity)),
        Entity::Vnic(entity) => Resource::Vnic(wire::Vnic::build(entity)),
    };
    wire::AnyResource { resource: Some(resource) }
}

/// Views the resource that any one is; none where it is none.
pub fn view_any(any: &wire::AnyResource) -> Option<DynamicMessage> {
    let any = schema::dynamic("trestle.engine.v1.AnyResource", any);
    let (_, value) = any.fields().next()?;
    value.as_message().cloned()
}

/// Names the fields of labels and spec that differ between two resources of a kind; one that is absent has none.
///
/// *Shape*: paths as an update's mask takes them, in the order of the definition, down to fields that are no messages; a
/// list or a map is one field, and a message that only one of the two has is, too.
pub fn changed_fields(before: Option<&wire::AnyResource>, after: Option<&wire::AnyResource>) -> FieldMask {
    let (before, after) = (before.and_then(view_any), after.and_then(view_any));
    let mut paths = Vec::new();
    if let Some(kind) = before.as_ref().or(after.as_ref()).map(prost_reflect::ReflectMessage::descriptor) {
        let empty = DynamicMessage::new(kind.clone());
        let (before, after) = (before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty));
        for name in WRITABLE {
            compare(&kind, name, before, after, String::new(), &mut paths);
        }
    }
    FieldMask { paths }
}

/// Notes what differs in the field `name` of two messages of one kind.
fn compare(
    kind: &MessageDescriptor,
    name: &str,
    before: &DynamicMessage,
    after: &DynamicMessage,
    above: String,
    paths: &mut Vec<String>,
) {
    let Some(field) = kind.get_field_by_name(name) else { return };
    let path = format!("{above}{name}");
    let (had, has) = (before.has_field(&field), after.has_field(&field));
    let (old, new) = (before.get_field(&field), after.get_field(&field));
    let leads_on = !field.is_list() && !field.is_map();
    let inner = field.kind().as_message().filter(|_| leads_on).cloned();
    // The spec is looked into also where one side has none.
    if let (Some(inner), Some(old), Some(new)) = (inner, old.as_message(), new.as_message())
        && (had == has || path == "spec")
    {
        for field in inner.fields() {
            compare(&inner, field.name(), old, new, format!("{path}."), paths);
        }
    } else if had != has || old != new {
        paths.push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(spec: wire::NetworkSpec) -> wire::AnyResource {
        let network = wire::Network { spec: Some(spec), etag: "1".to_owned(), ..Default::default() };
        wire::AnyResource { resource: Some(Resource::Network(network)) }
    }

    #[test]
    fn changed_fields_are_those_of_labels_and_spec_down_to_the_last() {
        let check = |before: Option<&wire::AnyResource>, after: Option<&wire::AnyResource>, expected: &[&str]| {
            assert_eq!(changed_fields(before, after).paths, expected);
        };
        let plain = network(wire::NetworkSpec::default());
        let larger =
            network(wire::NetworkSpec { mtu: Some(9000), description: "storage".to_owned(), ..Default::default() });
        check(Some(&plain), Some(&plain), &[]);
        check(Some(&plain), Some(&larger), &["spec.description", "spec.mtu"]);
        check(Some(&larger), Some(&plain), &["spec.description", "spec.mtu"]);
        check(None, Some(&larger), &["spec.description", "spec.mtu"]);
        check(Some(&larger), None, &["spec.description", "spec.mtu"]);
        check(None, None, &[]);

        let labelled = |value: &str| {
            let labels = [("rack".to_owned(), value.to_owned())].into();
            let host = wire::Host { labels, spec: Some(wire::HostSpec::default()), ..Default::default() };
            wire::AnyResource { resource: Some(Resource::Host(host)) }
        };
        check(Some(&labelled("1")), Some(&labelled("2")), &["labels"]);
        let options = |aging| {
            network(wire::NetworkSpec {
                bridge_options: Some(crate::host::v1::BridgeOptions { ageing_time_cs: aging, ..Default::default() }),
                ..Default::default()
            })
        };
        check(Some(&plain), Some(&options(None)), &["spec.bridge_options"]);
        check(Some(&options(Some(1))), Some(&options(Some(2))), &["spec.bridge_options.ageing_time_cs"]);
    }
}

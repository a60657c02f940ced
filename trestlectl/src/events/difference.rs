//! An event as people read it: each resource with what its fields were and are.

use prost_reflect::{DynamicMessage, ReflectMessage as _};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire::view_any;

use super::{time, verb};
use crate::output::or_dash;

/// Spells an event, without a line break at its end.
pub(super) fn text(event: &wire::Event) -> String {
    let parts = [
        ("event", event.revision.to_string()),
        ("time", time(event)),
        ("actor", or_dash(event.actor.clone())),
        ("request", or_dash(event.request_id.clone())),
        ("acknowledged", or_dash(event.acknowledged_codes.join(", "))),
        ("told", or_dash(event.told_codes.join(", "))),
    ];
    let mut text: String = parts.into_iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect();
    for change in &event.changes {
        text.push_str(&format!("\n{} {}\n", verb(change.kind()), change.resource));
        if change.details_omitted {
            text.push_str("  what it was and is was not kept\n");
        }
        for path in change.changed_fields.iter().flat_map(|mask| &mask.paths) {
            text.push_str(&format!("  {path}: {}\n", values(change, path)));
        }
    }
    text.trim_end().to_owned()
}

/// Spells the value of a field before and after, as JSON; of a resource that came or went, the one that there is.
fn values(change: &wire::EventChange, path: &str) -> String {
    let value = |any: &Option<wire::AnyResource>| any.as_ref().and_then(view_any).and_then(|one| value_at(&one, path));
    let side = |any| value(any).unwrap_or_else(|| "(unset)".to_owned());
    match change.kind() {
        wire::ChangeKind::Created => side(&change.after),
        wire::ChangeKind::Deleted => side(&change.before),
        wire::ChangeKind::Updated | wire::ChangeKind::Unspecified => {
            format!("{} -> {}", side(&change.before), side(&change.after))
        }
    }
}

/// Finds the value at a path of fields, as JSON has it; none for a field that is not set.
fn value_at(resource: &DynamicMessage, path: &str) -> Option<String> {
    let (mut message, mut value) = (Some(resource.descriptor()), serde_json::to_value(resource).ok()?);
    for name in path.split('.') {
        let field = message?.get_field_by_name(name)?;
        value = value.get_mut(field.json_name())?.take();
        message = field.kind().as_message().cloned();
    }
    serde_json::to_string(&value).ok()
}

#[cfg(test)]
mod tests {
    use trestle_proto::engine::v1::any_resource::Resource;

    use super::*;

    fn network(mtu: Option<u32>) -> Option<wire::AnyResource> {
        let spec = Some(wire::NetworkSpec { mtu, vm_network: Some(true), ..Default::default() });
        let network = wire::Network { name: "networks/blue".to_owned(), spec, ..Default::default() };
        Some(wire::AnyResource { resource: Some(Resource::Network(network)) })
    }

    #[test]
    fn an_event_is_spelled_field_by_field() {
        let mask = |path: &str| Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
        let changed = wire::EventChange {
            resource: "networks/blue".to_owned(),
            kind: wire::ChangeKind::Updated.into(),
            before: network(None),
            after: network(Some(9000)),
            changed_fields: mask("spec.mtu"),
            details_omitted: false,
        };
        let gone = wire::EventChange {
            kind: wire::ChangeKind::Deleted.into(),
            before: network(Some(9000)),
            after: None,
            changed_fields: mask("spec.vm_network"),
            ..changed.clone()
        };
        let old = wire::EventChange {
            resource: "hosts/h1".to_owned(),
            kind: wire::ChangeKind::Created.into(),
            details_omitted: true,
            ..Default::default()
        };
        let event = wire::Event {
            name: "events/41".to_owned(),
            revision: 41,
            event_time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            actor: "ann".to_owned(),
            changes: vec![changed, gone, old],
            acknowledged_codes: vec!["HOST_UNSUPPORTED".to_owned()],
            ..Default::default()
        };
        let expected = "\
event         41
time          2026-09-21T14:13:20Z
actor         ann
request       -
acknowledged  HOST_UNSUPPORTED
told          -

updated networks/blue
  spec.mtu: (unset) -> 9000

removed networks/blue
  spec.vm_network: true

created hosts/h1
  what it was and is was not kept";
        assert_eq!(text(&event), expected);
    }
}

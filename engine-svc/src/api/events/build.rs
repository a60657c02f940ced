//! Events as the wire has them.

use prost::Message as _;
use trestle_model::Code;
use trestle_model::fleet::EntityId;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire;
use trestle_store::{Change, Event, Transition};

use super::COLLECTION;
use crate::api::PAGE_BYTES;

/// Builds an event. Details for which a message has no room are left out, from the first change on that does not fit.
pub(super) fn event(event: Event) -> wire::Event {
    let Event { revision, at_ms, actor, mutations, acknowledged, told, request_id, transitions } = event;
    let mut transitions = transitions.into_iter();
    let (mut changes, mut bytes) = (Vec::new(), 0_usize);
    for (id, change) in mutations {
        let whole = transitions.next().map(|transition| detailed(&id, change, &transition));
        bytes = bytes.saturating_add(whole.as_ref().map_or(0, wire::EventChange::encoded_len));
        changes.push(whole.filter(|_| bytes <= PAGE_BYTES).unwrap_or_else(|| plain(&id, change)));
    }
    wire::Event {
        name: format!("{COLLECTION}{revision}"),
        revision,
        event_time: Some(engine_wire::timestamp(at_ms)),
        actor,
        request_id: request_id.map(|id| id.to_string()).unwrap_or_default(),
        changes,
        acknowledged_codes: texts(&acknowledged),
        told_codes: texts(&told),
    }
}

fn detailed(id: &EntityId, change: Change, transition: &Transition) -> wire::EventChange {
    let before = transition.before.as_ref().map(engine_wire::build_any);
    let after = transition.after.as_ref().map(engine_wire::build_any);
    let changed_fields = Some(engine_wire::changed_fields(before.as_ref(), after.as_ref()));
    wire::EventChange { before, after, changed_fields, details_omitted: false, ..plain(id, change) }
}

fn plain(id: &EntityId, change: Change) -> wire::EventChange {
    let kind = match change {
        Change::Created => wire::ChangeKind::Created,
        Change::Updated => wire::ChangeKind::Updated,
        Change::Deleted => wire::ChangeKind::Deleted,
    };
    wire::EventChange { resource: id.to_string(), kind: kind.into(), details_omitted: true, ..Default::default() }
}

fn texts(codes: &[Code]) -> Vec<String> {
    codes.iter().map(|code| code.as_str().to_owned()).collect()
}

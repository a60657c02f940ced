//! `events`: who changed what.

mod difference;

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tonic::Status;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::watch_events_response::News;
use trestle_proto::schema;

use crate::arguments::{EventFormat, Events, EventsCommand, EventsShow};
use crate::context::Context;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::output::{self, or_dash};

const EVENT: &str = "trestle.engine.v1.Event";
/// How long to wait before a stream that ended is opened anew.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);
/// How many changes of an event a line of a table has.
const CHANGES_A_LINE: usize = 4;

/// Runs `events` at the time `now`.
///
/// # Errors
/// When the engine is not reached or refuses, or there is no such event. A stream that the timeout ends is no error.
pub(crate) async fn events(context: &Context, arguments: Events, now: Timestamp) -> Result<(), Failure> {
    let engine = Engine::connect(context, context.call_timeout()).await?;
    match &arguments.one {
        Some(EventsCommand::Show(one)) => show(&engine, one).await,
        None if arguments.follow => {
            let following = follow(&engine, &arguments, now);
            match context.timeout {
                Some(limit) => timeout(limit, following).await.unwrap_or(Ok(())),
                None => following.await,
            }
        }
        None => list(&engine, &arguments, now).await,
    }
}

async fn list(engine: &Engine, arguments: &Events, now: Timestamp) -> Result<(), Failure> {
    let asked = wire::ListEventsRequest {
        resource: arguments.resource.clone().unwrap_or_default(),
        actor: arguments.actor.clone().unwrap_or_default(),
        code: arguments.code.clone().unwrap_or_default(),
        start_time: start(arguments, now),
        ..Default::default()
    };
    let events = engine.events(asked, arguments.limit).await?;
    match arguments.output {
        EventFormat::Table => {
            output::table(["TIME", "REVISION", "ACTOR", "WHAT", "ACKNOWLEDGED"], events.iter().map(row))
        }
        EventFormat::Json => {
            output::json_array(&events.iter().map(|event| schema::dynamic(EVENT, event)).collect::<Vec<_>>())
        }
        EventFormat::Yaml => print_documents(&events),
    }
}

async fn show(engine: &Engine, arguments: &EventsShow) -> Result<(), Failure> {
    let revision = arguments.revision.strip_prefix("events/").unwrap_or(&arguments.revision);
    let name = format!("events/{revision}");
    let found = engine.event(&name).await?;
    let event = found.ok_or_else(|| Failure::Findings(format!("{name}: not found")))?;
    match arguments.output {
        EventFormat::Table => output::data(difference::text(&event)),
        EventFormat::Json => output::json(&schema::dynamic(EVENT, &event)),
        EventFormat::Yaml => output::yaml(&schema::dynamic(EVENT, &event)),
    }
}

/// Prints a line for each event, and goes on where the engine was when a stream breaks.
async fn follow(engine: &Engine, arguments: &Events, now: Timestamp) -> Result<(), Failure> {
    let failed = |status: Status| Failure::of_call("events", status);
    let after_revision = if arguments.since.is_some() { Some(before(engine, arguments, now).await?) } else { None };
    let mut asked = wire::WatchEventsRequest {
        after_revision,
        resource: arguments.resource.clone().unwrap_or_default(),
        actor: arguments.actor.clone().unwrap_or_default(),
        code: arguments.code.clone().unwrap_or_default(),
    };
    loop {
        let mut stream = engine.watch_events(&asked).await.map_err(failed)?;
        loop {
            match stream.message().await.map(|answer| answer.and_then(|answer| answer.news)) {
                Ok(Some(News::Event(event))) => {
                    print(arguments.output, &event)?;
                    asked.after_revision = Some(event.revision);
                }
                Ok(Some(News::Bookmark(revision))) => asked.after_revision = Some(revision),
                Ok(None) => break,
                Err(status) if matches!(Failure::of_call("events", status.clone()), Failure::NotReached { .. }) => {
                    break;
                }
                Err(status) => return Err(failed(status)),
            }
        }
        sleep(REOPEN_PAUSE).await;
    }
}

/// Finds the last revision before the time from which on events are wanted.
async fn before(engine: &Engine, arguments: &Events, now: Timestamp) -> Result<u64, Failure> {
    let newest = engine.events(wire::ListEventsRequest::default(), 1).await?;
    let order = wire::EventOrder::OldestFirst.into();
    let asked = wire::ListEventsRequest { start_time: start(arguments, now), order, ..Default::default() };
    let first = engine.events(asked, 1).await?;
    let last_before = first.first().map(|event| event.revision.saturating_sub(1));
    Ok(last_before.or_else(|| newest.first().map(|event| event.revision)).unwrap_or_default())
}

fn start(arguments: &Events, now: Timestamp) -> Option<prost_types::Timestamp> {
    let since = now.checked_sub(arguments.since?).ok()?;
    Some(prost_types::Timestamp { seconds: since.as_second(), nanos: since.subsec_nanosecond() })
}

fn print(format: EventFormat, event: &wire::Event) -> Result<(), Failure> {
    match format {
        EventFormat::Table => {
            let [time, revision, actor, what, _] = row(event);
            let mut line = format!("{time}  {revision}  {actor}  {what}");
            if !event.acknowledged_codes.is_empty() {
                line.push_str(&format!("  acknowledged {}", event.acknowledged_codes.join(",")));
            }
            output::data(line)
        }
        EventFormat::Json => output::data(schema::to_json(EVENT, event)),
        EventFormat::Yaml => {
            output::data("---")?;
            output::yaml(&schema::dynamic(EVENT, event))
        }
    }
}

fn print_documents(events: &[wire::Event]) -> Result<(), Failure> {
    events.iter().try_for_each(|event| print(EventFormat::Yaml, event))
}

fn row(event: &wire::Event) -> [String; 5] {
    let mut changes: Vec<String> = event.changes.iter().take(CHANGES_A_LINE).map(what).collect();
    let more = event.changes.len().saturating_sub(CHANGES_A_LINE);
    if more > 0 {
        changes.push(format!("and {more} more"));
    }
    let codes = or_dash(event.acknowledged_codes.join(","));
    [time(event), event.revision.to_string(), or_dash(event.actor.clone()), changes.join("; "), codes]
}

/// Tells what happened to a resource, and to which of its fields: `updated networks/blue: spec.mtu`.
fn what(change: &wire::EventChange) -> String {
    let verb = verb(change.kind());
    let fields = change.changed_fields.iter().flat_map(|mask| &mask.paths).map(String::as_str).collect::<Vec<_>>();
    if change.kind() == wire::ChangeKind::Updated && !fields.is_empty() {
        format!("{verb} {}: {}", change.resource, fields.join(", "))
    } else {
        format!("{verb} {}", change.resource)
    }
}

const fn verb(kind: wire::ChangeKind) -> &'static str {
    match kind {
        wire::ChangeKind::Created => "created",
        wire::ChangeKind::Updated => "updated",
        wire::ChangeKind::Deleted => "removed",
        wire::ChangeKind::Unspecified => "changed",
    }
}

fn time(event: &wire::Event) -> String {
    let time = event.event_time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    or_dash(time.map(|time| time.to_string()).unwrap_or_default())
}

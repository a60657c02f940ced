//! `events`, against an engine that has three.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource;
use trestle_proto::engine::v1::event_service_server::{EventService, EventServiceServer};
use trestle_proto::engine::v1::watch_events_response::News;

use crate::harness::{Running, run, serve};

#[derive(Clone, Default)]
struct Audit {
    lists: Arc<Mutex<Vec<wire::ListEventsRequest>>>,
    watches: Arc<Mutex<Vec<wire::WatchEventsRequest>>>,
}

fn network(mtu: u32) -> Option<wire::AnyResource> {
    let spec = Some(wire::NetworkSpec { mtu: Some(mtu), ..Default::default() });
    let network = wire::Network { name: "networks/blue".to_owned(), spec, ..Default::default() };
    Some(wire::AnyResource { resource: Some(Resource::Network(network)) })
}

fn event(revision: u64) -> wire::Event {
    let change = wire::EventChange {
        resource: "networks/blue".to_owned(),
        kind: wire::ChangeKind::Updated.into(),
        before: network(1500),
        after: network(9000),
        changed_fields: Some(prost_types::FieldMask { paths: vec!["spec.mtu".to_owned()] }),
        details_omitted: false,
    };
    wire::Event {
        name: format!("events/{revision}"),
        revision,
        event_time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
        actor: "ann".to_owned(),
        changes: vec![change],
        acknowledged_codes: vec!["HOST_UNSUPPORTED".to_owned()],
        ..Default::default()
    }
}

#[tonic::async_trait]
impl EventService for Audit {
    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<wire::WatchEventsResponse, Status>> + Send>>;

    async fn get_event(
        &self,
        request: Request<wire::GetEventRequest>,
    ) -> Result<Response<wire::GetEventResponse>, Status> {
        match request.get_ref().name.as_str() {
            "events/3" => Ok(Response::new(wire::GetEventResponse { event: Some(event(3)) })),
            _ => Err(Status::not_found("")),
        }
    }

    /// One a page.
    async fn list_events(
        &self,
        request: Request<wire::ListEventsRequest>,
    ) -> Result<Response<wire::ListEventsResponse>, Status> {
        let wish = request.into_inner();
        let revision = wish.page_token.parse().unwrap_or(3);
        let next_page_token = if revision > 1 { (revision - 1).to_string() } else { String::new() };
        self.lists.lock().unwrap().push(wish);
        Ok(Response::new(wire::ListEventsResponse { events: vec![event(revision)], next_page_token }))
    }

    /// The first stream breaks after one event; the next is refused, so that the program ends.
    async fn watch_events(
        &self,
        request: Request<wire::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let mut watches = self.watches.lock().unwrap();
        watches.push(request.into_inner());
        if watches.len() > 1 {
            return Err(Status::permission_denied("enough"));
        }
        let news = wire::WatchEventsResponse { news: Some(News::Event(event(4))) };
        Ok(Response::new(Box::pin(stream::iter([Ok(news), Err(Status::unavailable("restarting"))]))))
    }
}

impl Audit {
    async fn start(&self) -> (Running, String) {
        let server = EventServiceServer::new(self.clone());
        let running = serve("127.0.0.1:0", |services| services.with(server)).await;
        let target = format!("http://{}", running.address);
        (running, target)
    }
}

#[tokio::test]
async fn lists_page_by_page_what_was_asked_for() {
    let audit = Audit::default();
    let (_running, target) = audit.start().await;
    let listed = run(&target, &["events", "--resource", "networks/blue", "--actor", "ann", "--since", "2h"], "").await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let lines: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TIME", "REVISION", "ACTOR", "WHAT", "ACKNOWLEDGED"]);
    let row = ["2026-09-21T14:13:20Z", "3", "ann", "updated", "networks/blue:", "spec.mtu", "HOST_UNSUPPORTED"];
    assert_eq!((lines[1].as_slice(), lines.len()), (row.as_slice(), 4));
    let asked = audit.lists.lock().unwrap()[0].clone();
    assert_eq!((asked.resource.as_str(), asked.actor.as_str()), ("networks/blue", "ann"));
    assert!(asked.start_time.is_some());

    let limited = run(&target, &["events", "--limit", "2", "-o", "json"], "").await;
    let values: serde_json::Value = serde_json::from_str(&limited.stdout).unwrap();
    assert_eq!((values.as_array().unwrap().len(), &values[1]["name"]), (2, &"events/2".into()));
}

#[tokio::test]
async fn shows_what_was_before_and_what_after() {
    let (_running, target) = Audit::default().start().await;
    for revision in ["3", "events/3"] {
        let shown = run(&target, &["events", "show", revision], "").await;
        assert!(shown.stdout.ends_with("\nupdated networks/blue\n  spec.mtu: 1500 -> 9000\n"), "{}", shown.stdout);
    }
    let yaml = run(&target, &["events", "show", "3", "-o", "yaml"], "").await;
    assert!(yaml.stdout.contains("mtu: 9000"), "{}", yaml.stdout);
    let missing = run(&target, &["events", "show", "9"], "").await;
    assert_eq!((missing.code, missing.stderr.as_str()), (1, "trestlectl: events/9: not found\n"));
}

#[tokio::test]
async fn follows_and_goes_on_behind_the_last_event_when_the_stream_breaks() {
    let audit = Audit::default();
    let (_running, target) = audit.start().await;
    let followed = run(&target, &["events", "--follow", "--resource", "networks"], "").await;
    assert_eq!(followed.code, 1, "{}", followed.stderr);
    let line = "2026-09-21T14:13:20Z  4  ann  updated networks/blue: spec.mtu  acknowledged HOST_UNSUPPORTED\n";
    assert_eq!(followed.stdout, line);
    let watches = audit.watches.lock().unwrap().clone();
    let places: Vec<_> = watches.iter().map(|watch| watch.after_revision).collect();
    assert_eq!(places, [None, Some(4)]);
    assert!(watches.iter().all(|watch| watch.resource == "networks"));
}

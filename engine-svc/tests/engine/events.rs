//! The audit as clients see it: pages, one event, and events as they come.

use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource;
use trestle_proto::engine::v1::watch_events_response::News;

use super::harness::{PATIENCE, Running};

const REQUEST: &str = "0193c0de-0000-7000-8000-000000000001";

async fn list(engine: &Running, wish: wire::ListEventsRequest) -> Result<(Vec<u64>, String), Status> {
    let page = engine.events().list_events(wish).await?.into_inner();
    Ok((page.events.into_iter().map(|event| event.revision).collect(), page.next_page_token))
}

async fn describe(engine: &Running, network: &str, description: &str) {
    let name = format!("networks/{network}");
    let spec = wire::NetworkSpec { description: description.to_owned(), ..Default::default() };
    let network = Some(wire::Network { name, spec: Some(spec), ..Default::default() });
    let request = wire::UpdateNetworkRequest { network, request_id: REQUEST.to_owned(), ..Default::default() };
    engine.networks().update_network(request).await.unwrap();
}

async fn watch(engine: &Running, wish: wire::WatchEventsRequest) -> Streaming<wire::WatchEventsResponse> {
    engine.events().watch_events(wish).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<wire::WatchEventsResponse>) -> News {
    let heard = tokio::time::timeout(PATIENCE, stream.message()).await.expect("the engine says nothing");
    heard.unwrap().expect("the engine hung up").news.unwrap()
}

/// Takes the revisions of events, and of bookmarks as negative numbers.
async fn told(stream: &mut Streaming<wire::WatchEventsResponse>, most: usize) -> Vec<i64> {
    let mut told = Vec::new();
    for _ in 0..most {
        told.push(match next(stream).await {
            News::Event(event) => i64::try_from(event.revision).unwrap(),
            News::Bookmark(revision) => -i64::try_from(revision).unwrap(),
        });
    }
    told
}

#[tokio::test]
async fn an_event_tells_who_under_which_request_and_each_resource_before_and_after() {
    let engine = Running::start().await;
    engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    describe(&engine, "blue", "storage").await;
    let request = wire::DeleteNetworkRequest { name: "networks/blue".to_owned(), ..Default::default() };
    engine.networks().delete_network(request).await.unwrap();
    let engine = engine.restart().await;

    let event = |revision: u64| {
        let mut client = engine.events();
        async move {
            let request = wire::GetEventRequest { name: format!("events/{revision}") };
            client.get_event(request).await.map(|answer| answer.into_inner().event.unwrap())
        }
    };
    let changed = event(2).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.revision, changed.request_id.as_str()), ("events/2", 2, REQUEST));
    assert!(!changed.actor.is_empty() && changed.event_time.is_some());
    let [change] = changed.changes.as_slice() else { panic!("{changed:?}") };
    assert_eq!((change.resource.as_str(), change.kind()), ("networks/blue", wire::ChangeKind::Updated));
    assert_eq!(change.changed_fields.as_ref().unwrap().paths, ["spec.description"]);
    let description = |any: &Option<wire::AnyResource>| match any.clone().and_then(|any| any.resource) {
        Some(Resource::Network(network)) => Some((network.spec.unwrap().description, network.generation)),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    assert_eq!(description(&change.before), Some((String::new(), 1)));
    assert_eq!(description(&change.after), Some(("storage".to_owned(), 2)));

    let gone = event(3).await.unwrap().changes.remove(0);
    assert_eq!((gone.kind(), description(&gone.after)), (wire::ChangeKind::Deleted, None));
    assert_eq!(description(&gone.before), Some(("storage".to_owned(), 2)));
    assert_eq!(event(4).await.unwrap_err().code(), Code::NotFound);
    for name in ["events/", "events/01", "events/-1", "event/1", "events/1/x"] {
        let refused = engine.events().get_event(wire::GetEventRequest { name: name.to_owned() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
    }
}

#[tokio::test]
async fn lists_events_in_pages_by_resource_actor_code_and_time() {
    let engine = Running::start().await;
    for network in ["blue", "blue2", "green"] {
        engine.create_network(network, wire::NetworkSpec::default()).await.unwrap();
    }
    let event = engine.events().get_event(wire::GetEventRequest { name: "events/3".to_owned() }).await.unwrap();
    let event = event.into_inner().event.unwrap();
    let unfiltered = wire::ListEventsRequest::default();
    let check = async |wish: wire::ListEventsRequest, expected: &[u64]| {
        let (revisions, next) = list(&engine, wish.clone()).await.unwrap();
        assert_eq!((revisions.as_slice(), next.as_str()), (expected, ""), "{wish:?}");
    };
    check(unfiltered.clone(), &[3, 2, 1]).await;
    let oldest_first = i32::from(wire::EventOrder::OldestFirst);
    check(wire::ListEventsRequest { order: oldest_first, ..unfiltered.clone() }, &[1, 2, 3]).await;
    check(wire::ListEventsRequest { resource: "networks/blue".to_owned(), ..unfiltered.clone() }, &[1]).await;
    check(wire::ListEventsRequest { resource: "networks".to_owned(), ..unfiltered.clone() }, &[3, 2, 1]).await;
    check(wire::ListEventsRequest { resource: "hosts".to_owned(), ..unfiltered.clone() }, &[]).await;
    check(wire::ListEventsRequest { actor: event.actor.clone(), ..unfiltered.clone() }, &[3, 2, 1]).await;
    check(wire::ListEventsRequest { actor: "nobody".to_owned(), ..unfiltered.clone() }, &[]).await;
    check(wire::ListEventsRequest { code: "HOST_UNSUPPORTED".to_owned(), ..unfiltered.clone() }, &[]).await;
    let later = prost_types::Timestamp { seconds: event.event_time.unwrap().seconds + 1000, nanos: 0 };
    check(wire::ListEventsRequest { start_time: Some(later), ..unfiltered.clone() }, &[]).await;
    check(wire::ListEventsRequest { end_time: Some(later), ..unfiltered.clone() }, &[3, 2, 1]).await;
    check(wire::ListEventsRequest { end_time: Some(Default::default()), ..unfiltered.clone() }, &[]).await;

    let two = wire::ListEventsRequest { page_size: 2, ..unfiltered.clone() };
    let (first, token) = list(&engine, two.clone()).await.unwrap();
    assert_eq!(first, [3, 2]);
    // What comes meanwhile is before the first page.
    describe(&engine, "green", "x").await;
    check(wire::ListEventsRequest { page_token: token.clone(), ..two.clone() }, &[1]).await;
    for wrong in [
        wire::ListEventsRequest { page_token: token, order: oldest_first, ..unfiltered.clone() },
        wire::ListEventsRequest { order: 9, ..unfiltered.clone() },
        wire::ListEventsRequest { code: "NONE_SUCH".to_owned(), ..unfiltered },
    ] {
        assert_eq!(list(&engine, wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_stream_of_events_misses_nothing_over_a_restart_and_passes_over_what_is_not_wanted() {
    let engine = Running::start().await;
    engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    let mut all = watch(&engine, wire::WatchEventsRequest { after_revision: Some(0), ..Default::default() }).await;
    let mut to_come = watch(&engine, wire::WatchEventsRequest::default()).await;
    let green = wire::WatchEventsRequest { resource: "networks/green".to_owned(), ..Default::default() };
    let mut greens = watch(&engine, green.clone()).await;
    assert_eq!(told(&mut all, 1).await, [1]);
    assert_eq!((told(&mut to_come, 1).await, told(&mut greens, 1).await), (vec![-1], vec![-1]));
    engine.create_network("red", wire::NetworkSpec::default()).await.unwrap();
    assert_eq!((told(&mut all, 1).await, told(&mut to_come, 1).await), (vec![2], vec![2]));
    assert_eq!(told(&mut greens, 1).await, [-2]);
    drop((all, to_come, greens));

    let engine = engine.restart().await;
    engine.create_network("green", wire::NetworkSpec::default()).await.unwrap();
    let mut resumed = watch(&engine, wire::WatchEventsRequest { after_revision: Some(1), ..Default::default() }).await;
    assert_eq!(told(&mut resumed, 2).await, [2, 3]);
    let mut greens = watch(&engine, wire::WatchEventsRequest { after_revision: Some(2), ..green }).await;
    assert_eq!(told(&mut greens, 1).await, [3]);

    let ahead = wire::WatchEventsRequest { after_revision: Some(4), ..Default::default() };
    let refused = engine.events().watch_events(ahead).await.unwrap_err();
    let reason = refused.get_error_details().error_info().unwrap().reason.clone();
    assert_eq!((refused.code(), reason.as_str()), (Code::OutOfRange, "RESUME_TOKEN_EXPIRED"));
}

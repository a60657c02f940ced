//! `get --watch`, against an engine whose watch says what the test says.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource;
use trestle_proto::engine::v1::watch_response::News;
use trestle_proto::engine::v1::watch_service_server::WatchService;

use crate::fleet::Fleet;
use crate::harness::run;

#[tonic::async_trait]
impl WatchService for Fleet {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    /// Tells what is scripted, and breaks; refuses when the script is over, so that the program ends.
    async fn watch(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let news = self.next_script(request.into_inner()).ok_or_else(|| Status::permission_denied("enough"))?;
        let news = news.into_iter().map(|news| Ok(wire::WatchResponse { news: Some(news) }));
        Ok(Response::new(Box::pin(stream::iter(news.chain([Err(Status::unavailable("restarting"))])))))
    }
}

fn network(id: &str) -> News {
    let network = wire::Network { name: format!("networks/{id}"), ..Default::default() };
    News::Resource(wire::AnyResource { resource: Some(Resource::Network(network)) })
}

fn removed(id: &str) -> News {
    News::Removed(wire::RemovedResource { name: format!("networks/{id}"), revision: 9 })
}

fn mark(token: &str) -> News {
    News::Bookmark(wire::WatchMark { revision: 9, resume_token: token.to_owned() })
}

fn networks() -> String {
    ["blue", "green"]
        .map(|id| format!("kind: Network\nname: networks/{id}\nspec: {{description: {id}}}\n"))
        .join("---\n")
}

#[tokio::test]
async fn a_watch_shows_the_list_then_changes_and_goes_on_from_its_token() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let server = format!("http://{}", engine.address);
    assert_eq!(run(&server, &["apply", "--no-wait", "-f", "-"], &networks()).await.code, 0);
    fleet.script(vec![
        vec![network("blue"), network("green"), mark("1-a"), network("green"), mark("2-b")],
        vec![mark("2-b"), removed("red"), network("blue"), mark("3-c")],
    ]);
    let ran = run(&server, &["get", "networks", "--watch"], "").await;
    let lines: Vec<_> = ran.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected = ["NAME", "networks/blue", "networks/green", "networks/green", "networks/red", "networks/blue"];
    assert_eq!(lines, expected, "{}", ran.stdout);
    let (asked, tokens): (Vec<_>, Vec<_>) =
        fleet.watches().into_iter().map(|watch| (watch.collections, watch.resume_token)).unzip();
    assert_eq!(
        (asked[0].as_slice(), tokens.as_slice()),
        (&["networks".to_owned()][..], &["", "2-b", "3-c"].map(str::to_owned)[..])
    );

    fleet.script(vec![vec![network("blue"), network("green"), mark("1-a"), network("blue"), network("green")]]);
    let one = run(&server, &["get", "network", "green", "--watch", "-o", "name"], "").await;
    assert_eq!(one.stdout, "networks/green\nnetworks/green\n");

    fleet.script(vec![vec![network("blue"), mark("1-a"), removed("blue")]]);
    let json = run(&server, &["get", "networks", "--watch", "-o", "json"], "").await;
    let expected = "\
{\"resource\":{\"network\":{\"name\":\"networks/blue\"}}}
{\"bookmark\":{\"revision\":\"9\",\"resumeToken\":\"1-a\"}}
{\"removed\":{\"name\":\"networks/blue\",\"revision\":\"9\"}}
";
    assert_eq!(json.stdout, expected);
}

//! The engine's watch over resources.

use tonic::{Request, Status, Streaming};
use trestle_proto::engine::v1::watch_service_client::WatchServiceClient;
use trestle_proto::engine::v1::{WatchRequest, WatchResponse};

use super::{Engine, retry};

impl Engine {
    /// Is told resources as they are, and then as they change. The stream has no deadline of its own.
    ///
    /// # Errors
    /// The engine's status.
    pub(crate) async fn watch_resources(&self, asked: &WatchRequest) -> Result<Streaming<WatchResponse>, Status> {
        let answer = retry::idempotent(|| async {
            WatchServiceClient::new(self.connection.clone()).watch(Request::new(asked.clone())).await
        });
        answer.await.map(tonic::Response::into_inner)
    }
}

//! The engine's judgement of changes that are not made.

use trestle_proto::engine::v1::check_service_client::CheckServiceClient;
use trestle_proto::engine::v1::{CheckRequest, CheckedChange, PlannedChange};

use super::{Engine, retry};
use crate::failure::Failure;

impl Engine {
    /// Returns what would become of changes, each after those before it.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub(crate) async fn check(
        &self,
        changes: Vec<PlannedChange>,
        acknowledge: &[String],
    ) -> Result<Vec<CheckedChange>, Failure> {
        let asked = CheckRequest { changes, acknowledge_warnings: acknowledge.to_vec() };
        let answer = retry::idempotent(|| async {
            CheckServiceClient::new(self.connection.clone()).check(self.timed(asked.clone())).await
        });
        answer.await.map(|answer| answer.into_inner().results).map_err(|status| Failure::of_call("check", status))
    }
}

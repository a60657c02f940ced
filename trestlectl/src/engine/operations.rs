//! What hosts were told to do, page by page.

use trestle_proto::engine::v1::operation_service_client::OperationServiceClient;
use trestle_proto::engine::v1::{ListOperationsRequest, Operation};

use super::{Engine, retry};
use crate::failure::Failure;

impl Engine {
    /// Returns the first `limit` operations that meet the conditions of `asked`, the newest first.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn operations(&self, mut asked: ListOperationsRequest, limit: usize) -> Result<Vec<Operation>, Failure> {
        let subject = if asked.parent.is_empty() { "operations".to_owned() } else { asked.parent.clone() };
        let mut found = Vec::new();
        while found.len() < limit {
            let answer = retry::idempotent(|| async {
                OperationServiceClient::new(self.connection.clone()).list_operations(self.timed(asked.clone())).await
            });
            let page = answer.await.map_err(|status| Failure::of_call(&subject, status))?.into_inner();
            found.extend(page.operations);
            asked.page_token = page.next_page_token;
            if asked.page_token.is_empty() {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

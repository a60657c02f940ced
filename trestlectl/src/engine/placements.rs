//! Where a virtual machine could be, page by page.

use trestle_proto::engine::v1::vm_service_client::VmServiceClient;
use trestle_proto::engine::v1::{ListPlacementsRequest, Placement};

use super::{Engine, retry};
use crate::failure::Failure;

impl Engine {
    /// Returns all hosts that a question is about, in the order of their names, with what is in the way on each.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn placements(&self, mut asked: ListPlacementsRequest) -> Result<Vec<Placement>, Failure> {
        let subject = if asked.vm.is_empty() { asked.cluster.clone() } else { asked.vm.clone() };
        let mut found = Vec::new();
        loop {
            let answer = retry::idempotent(|| async {
                VmServiceClient::new(self.connection.clone()).list_placements(self.timed(asked.clone())).await
            });
            let page = answer.await.map_err(|status| Failure::of_call(&subject, status))?.into_inner();
            found.extend(page.placements);
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            asked.page_token = page.next_page_token;
        }
    }
}

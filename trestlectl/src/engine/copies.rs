//! Copies of hosts.

use trestle_proto::engine::v1::host_copy_service_client::HostCopyServiceClient;
use trestle_proto::engine::v1::{CopyHostNetworksRequest, CopyHostNetworksResponse};
use uuid::Uuid;

use super::{Engine, retry};
use crate::failure::Failure;

impl Engine {
    /// Gives a host what another has; a repetition changes nothing twice.
    ///
    /// # Errors
    /// When the engine is not reached or refuses; with all findings.
    pub(crate) async fn copy(&self, asked: CopyHostNetworksRequest) -> Result<CopyHostNetworksResponse, Failure> {
        let request_id = if asked.validate_only { String::new() } else { Uuid::now_v7().to_string() };
        let asked = CopyHostNetworksRequest { request_id, ..asked };
        let answer = retry::idempotent(|| async {
            HostCopyServiceClient::new(self.connection.clone()).copy_host_networks(self.timed(asked.clone())).await
        });
        let target = asked.target.clone();
        answer.await.map(tonic::Response::into_inner).map_err(|status| Failure::of_call(&target, status))
    }
}

//! Roles of a cluster's networks as clients see them.

use tonic::{Code, Status};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::NetworkRole;
use trestle_proto::engine::v1::cluster_network_service_client::ClusterNetworkServiceClient;
use trestle_proto::status::reason_of;

use super::harness::Running;

/// Puts a network of the cluster `lab` so.
pub(crate) async fn place(
    engine: &Running,
    network: &str,
    spec: wire::ClusterNetworkSpec,
    acknowledge: &[&str],
) -> Result<wire::UpdateClusterNetworkResponse, Status> {
    let name = format!("clusters/lab/clusterNetworks/{network}");
    let request = wire::UpdateClusterNetworkRequest {
        cluster_network: Some(wire::ClusterNetwork { name, spec: Some(spec), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["*".to_owned()] }),
        allow_missing: true,
        acknowledge_warnings: acknowledge.iter().map(|code| (*code).to_owned()).collect(),
        ..Default::default()
    };
    let mut client = ClusterNetworkServiceClient::new(engine.connection.clone());
    Ok(client.update_cluster_network(request).await?.into_inner())
}

async fn holders(engine: &Running) -> Vec<(NetworkRole, String, bool)> {
    let name = "clusters/lab".to_owned();
    let cluster = engine.clusters().get_cluster(wire::GetClusterRequest { name }).await.unwrap().into_inner().cluster;
    let roles = cluster.unwrap().status.unwrap().roles;
    roles.into_iter().map(|holder| (holder.role(), holder.network, holder.by_default)).collect()
}

#[tokio::test]
async fn a_role_moves_in_one_write_and_both_networks_show_it() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    for network in ["mgmt", "fast"] {
        engine.create_network(network, wire::NetworkSpec::default()).await.unwrap();
    }
    assert_eq!(holders(&engine).await, [], "nobody was given anything");

    let management = wire::ClusterNetworkSpec { management: true, ..Default::default() };
    place(&engine, "mgmt", management, &[]).await.unwrap();
    let mgmt = "networks/mgmt".to_owned();
    let by_default = |role| (role, mgmt.clone(), true);
    let (others, first) = (
        [NetworkRole::Migration, NetworkRole::Display, NetworkRole::DefaultRoute].map(by_default),
        (NetworkRole::Management, mgmt.clone(), false),
    );
    assert_eq!(holders(&engine).await, [vec![first], others.to_vec()].concat());

    let refused = place(&engine, "fast", management, &[]).await.unwrap_err();
    assert_eq!((refused.code(), reason_of(&refused).as_deref()), (Code::FailedPrecondition, Some("ROLE_TAKEN")));
    let moved = place(&engine, "fast", management, &["ROLE_TAKEN"]).await.unwrap();
    assert_eq!(moved.findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), ["ROLE_TAKEN"]);
    assert_eq!(moved.findings[0].related, ["clusters/lab/clusterNetworks/mgmt"]);
    assert_eq!(moved.cluster_network.unwrap().spec.unwrap(), management);
    let name = "clusters/lab/clusterNetworks/mgmt".to_owned();
    let mut client = ClusterNetworkServiceClient::new(engine.connection.clone());
    let relieved = client.get_cluster_network(wire::GetClusterNetworkRequest { name }).await.unwrap().into_inner();
    assert_eq!(relieved.cluster_network.unwrap().spec.unwrap(), wire::ClusterNetworkSpec::default());

    let refused = place(&engine, "fast", wire::ClusterNetworkSpec::default(), &[]).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("IN_USE"), "the cluster has a host");
    assert_eq!(holders(&engine).await[0], (NetworkRole::Management, "networks/fast".to_owned(), false));
}

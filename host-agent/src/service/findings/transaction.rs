//! What becomes of a transaction, whatever it asks for: these rows take time and a second caller.

use super::*;
use crate::trial::host;

/// The codes that are provoked here.
pub(super) const PROVOKED: [Code; 2] = [Code::ConnectivityLost, Code::Busy];

#[tokio::test]
async fn a_confirmation_that_does_not_come_is_told_with_ovirts_10() {
    let mut served = serve(host()).await;
    let unconfirmed = wire::SetupNetworksRequest {
        connectivity_check: ConnectivityCheck::Confirm.into(),
        connectivity_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..request([on("eth1")])
    };
    let result = set_up(&mut served, unconfirmed).await.unwrap();
    let cause = result.cause.clone().unwrap();
    assert_eq!(result.outcome(), wire::Outcome::RolledBack, "{result:?}");
    assert_eq!((cause.code.as_str(), cause.ovirt_code), (Code::ConnectivityLost.as_str(), Some(10)));
}

#[tokio::test]
async fn a_host_that_changes_already_is_told_with_ovirts_40_and_when_to_ask_again() {
    let host = host();
    let mut served = serve(host.clone()).await;
    host.inject(trestle_fake_host::Fault::HangAfter(0));
    let mut waiting = Vec::new();
    let busy = loop {
        match served.client.setup_networks(request([on("eth1")])).await {
            Ok(events) => waiting.push(events),
            Err(status) => break status,
        }
        assert!(waiting.len() < 20, "the queue has no bound");
    };
    let findings = status::findings_of(&busy);
    let told: Vec<_> = findings.iter().map(|found| (found.code.as_str(), found.ovirt_code)).collect();
    assert_eq!((busy.code(), told), (tonic::Code::Unavailable, vec![(Code::Busy.as_str(), Some(40))]));
    assert!(status::retry_delay_of(&busy).is_some_and(|delay| delay > std::time::Duration::ZERO));
}

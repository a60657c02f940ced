//! The fake passes the suite that the real edges pass.

use trestle_fake_host::{FakeHost, World};
use trestle_model::{Feature, IfName};
use trestle_plan::Host;
use trestle_plan::contract::{self, Verdict};

fn nics() -> [IfName; 2] {
    ["eth0", "eth1"].map(|name| IfName::parse(name).expect("a device's name"))
}

#[tokio::test]
async fn passes_the_contract() {
    let host = FakeHost::new(World::default().nic("eth0").nic("eth1"));
    let before = host.observe().await.unwrap();
    contract::check(&host, &nics()).await;
    let results = contract::run(&host, &nics()).await;
    assert!(results.iter().all(|result| result.verdict == Verdict::Passed), "{results:?}");
    assert_eq!(host.observe().await.unwrap(), before);
}

#[tokio::test]
async fn skips_what_the_host_cannot_do_and_says_so() {
    let world = World::default().nic("eth0").nic("eth1").without(Feature::BridgeVlanFiltering, "not built in");
    let results = contract::run(&FakeHost::new(world.without_libvirt()), &nics()).await;
    let skipped = results.iter().filter(|result| matches!(result.verdict, Verdict::Skipped(_))).count();
    assert_eq!(skipped, 6, "{results:?}");
    assert!(!results.iter().any(|result| matches!(result.verdict, Verdict::Failed(_))), "{results:?}");
}

//! DHCP clients over the life of an agent: waited for, resumed and restored.

use trestle_fake_host::{FakeHost, World};
use trestle_model::{Code, Ipv4Config, NetworkSpec, Outcome, Progress};
use trestle_plan::Host as _;

use crate::trial::*;

fn leased(default_route: bool) -> NetworkSpec {
    NetworkSpec { ipv4: Ipv4Config::Dhcp, default_route, ..network("blue", "eth0") }
}

fn served() -> FakeHost {
    FakeHost::new(World::default().nic("eth0").dhcp_server("eth0", "192.0.2.50/24"))
}

fn addresses(host: &FakeHost) -> Vec<String> {
    let links = host.state().kernel.links;
    let ipv4 = links.values().flat_map(|link| &link.addresses).filter(|address| address.net.addr().is_ipv4());
    ipv4.map(|address| address.net.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_default_route_is_not_changed_without_its_lease() {
    let host = FakeHost::new(World::default().nic("eth0").address("eth0", "198.51.100.10/24"));
    let before = essence(&host);
    let bench = Bench::new(host.clone()).await;
    let report = report(bench.set_up(set(leased(true))).await.unwrap());
    assert_eq!(undone_because(&report), Code::VerificationFailed, "{report:?}");
    assert_eq!(essence(&host), before);
    let report = bench.apply(set(leased(false))).await;
    assert_eq!(report.outcome, Outcome::Applied, "no other network waits");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_comes_late_is_waited_for() {
    let host = FakeHost::new(World::default().nic("eth0"));
    let bench = Bench::new(host.clone()).await;
    let mut running = bench.begin(set(leased(true)));
    while let Some(progress) = running.progress.recv().await {
        if matches!(&progress, Progress::Step { text, .. } if text.contains("DHCP")) {
            host.change(|world| {
                world.serve_dhcp("eth0", "192.0.2.50/24");
                world.renew_dhcp();
            });
        }
    }
    let report = report(running.end.await.unwrap().unwrap());
    assert_eq!(report.outcome, Outcome::Applied);
    assert_eq!(addresses(&host), ["192.0.2.50/24"]);
}

#[tokio::test(start_paused = true)]
async fn clients_go_on_with_the_next_agent() {
    let host = served();
    let bench = Bench::new(host.clone()).await;
    bench.apply(set(leased(true))).await;
    let folder = bench.end().await;
    host.change(World::lose_clients);
    assert_eq!(addresses(&host), ["192.0.2.50/24"], "the address stays without an agent");
    host.forget();
    let bench = Bench::start(host.clone(), folder, BOOT).await;
    let performed: Vec<String> = host.performed().iter().map(ToString::to_string).collect();
    assert_eq!(performed, ["start IPv4 DHCP client on blue for the default route"]);
    let blue = bench.capabilities().await.networks.remove(0);
    assert_eq!((blue.drift, blue.dhcp.len()), (Vec::<String>::new(), 1));
}

#[tokio::test(start_paused = true)]
async fn clients_come_back_at_boot() {
    let host = served();
    let bench = Bench::new(host.clone()).await;
    bench.apply(committed(set(leased(true)))).await;
    let folder = bench.end().await;
    host.reboot();
    assert!(host.observe().await.unwrap().dhcp.is_empty());
    let bench = Bench::start(host.clone(), folder, "boot-2").await;
    assert_eq!(addresses(&host), ["192.0.2.50/24"]);
    assert_eq!(bench.capabilities().await.networks.remove(0).drift, Vec::<String>::new());
}

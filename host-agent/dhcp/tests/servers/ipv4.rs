//! DHCPv4.

use trestle_model::{DhcpState, IpFamily};
use trestle_plan::DhcpStep;

use super::scene::{Scene, address, clients, in_scene, start, until};

const UDHCPD: &[&str] = &["ip", "busybox"];

fn serve(scene: &Scene, lease_s: u32) -> super::scene::Server {
    scene.udhcpd(
        "192.0.2.50",
        "192.0.2.50",
        lease_s,
        "option router 192.0.2.1\noption dns 192.0.2.2\noption domain example.org",
    )
}

#[test]
fn gets_a_lease_keeps_it_and_loses_it_when_the_server_is_away() {
    in_scene(UDHCPD, async |scene| {
        scene.at_server("ip address add 192.0.2.1/24 dev w0");
        let server = serve(&scene, 10);
        let dhcp = clients(Vec::new());
        start(&dhcp, IpFamily::Ipv4);
        let client = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        let lease = client.lease.clone().unwrap();
        assert_eq!((lease.address.to_string().as_str(), lease.server.as_str()), ("192.0.2.50/24", "192.0.2.1"));
        assert_eq!(lease.gateways, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(lease.nameservers, ["192.0.2.2".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!((lease.search, lease.lifetime_s), (vec!["example.org".to_owned()], 10));

        let renewed = until(&dhcp, |now| {
            now.state == DhcpState::Bound && now.lease.as_ref().is_some_and(|now| now.expires_ms > lease.expires_ms)
        });
        assert_eq!(address(&renewed.await), "192.0.2.50/24");

        drop(server);
        let lost = until(&dhcp, |client| client.lease.is_none()).await;
        assert_eq!(lost.problem.as_deref(), Some("the lease of 192.0.2.50 is over"));
        assert_eq!(dhcp.kept(), []);
        let _server = serve(&scene, 60);
        until(&dhcp, |client| client.state == DhcpState::Bound).await;
    });
}

#[test]
fn a_refused_lease_is_replaced() {
    in_scene(UDHCPD, async |scene| {
        scene.at_server("ip address add 192.0.2.1/24 dev w0");
        let server = serve(&scene, 3600);
        let dhcp = clients(Vec::new());
        start(&dhcp, IpFamily::Ipv4);
        until(&dhcp, |client| client.state == DhcpState::Bound).await;
        let kept = dhcp.kept();
        dhcp.shutdown().await;
        drop(server);

        scene.at_server("ip address flush dev w0");
        scene.at_server("ip address add 198.51.100.1/24 dev w0");
        let _server = scene.udhcpd("198.51.100.60", "198.51.100.60", 3600, "");
        let dhcp = clients(kept);
        start(&dhcp, IpFamily::Ipv4);
        let first = dhcp.observe().remove(0);
        assert_eq!((first.state, address(&first)), (DhcpState::Verifying, "192.0.2.50/24".to_owned()));
        let refused = until(&dhcp, |client| client.lease.is_none()).await;
        assert_eq!(refused.problem.as_deref(), Some("the lease of 192.0.2.50 was refused by the server"));
        let replaced = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        assert_eq!(address(&replaced), "198.51.100.60/24");
    });
}

#[test]
fn a_lease_outlives_the_agent_and_is_confirmed() {
    in_scene(UDHCPD, async |scene| {
        scene.at_server("ip address add 192.0.2.1/24 dev w0");
        let server = scene.udhcpd("192.0.2.50", "192.0.2.90", 3600, "");
        let dhcp = clients(Vec::new());
        start(&dhcp, IpFamily::Ipv4);
        let before = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        let kept = dhcp.kept();
        dhcp.shutdown().await;
        let dhcp = clients(kept.clone());
        start(&dhcp, IpFamily::Ipv4);
        let after = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        assert_eq!(address(&after), address(&before));

        // Without a server it is used until it is over.
        drop(server);
        dhcp.shutdown().await;
        let dhcp = clients(kept);
        start(&dhcp, IpFamily::Ipv4);
        let doubtful = until(&dhcp, |client| client.problem.is_some()).await;
        assert_eq!((doubtful.state, address(&doubtful)), (DhcpState::Verifying, address(&before)));
    });
}

#[test]
fn a_client_stops_goes_on_and_needs_its_device() {
    in_scene(UDHCPD, async |scene| {
        scene.at_server("ip address add 192.0.2.1/24 dev w0");
        let _server = serve(&scene, 3600);
        let dhcp = clients(Vec::new());
        let mut spec = super::scene::spec(IpFamily::Ipv4);
        for _ in 0..2 {
            start(&dhcp, IpFamily::Ipv4);
        }
        until(&dhcp, |client| client.state == DhcpState::Bound).await;
        spec.default_route = false;
        dhcp.perform(&DhcpStep::Start(spec.clone())).unwrap();
        let told = dhcp.observe().remove(0);
        assert_eq!((told.state, told.spec.default_route), (DhcpState::Bound, false));
        for _ in 0..2 {
            dhcp.perform(&DhcpStep::Stop { link: spec.link.clone(), family: IpFamily::Ipv4 }).unwrap();
        }
        assert_eq!((dhcp.observe(), dhcp.kept().len()), (vec![], 1));
        spec.link = trestle_model::IfName::parse("absent0").unwrap();
        assert!(dhcp.perform(&DhcpStep::Start(spec)).unwrap_err().contains("absent0"));
    });
}

//! DHCPv6.

use trestle_model::{DhcpState, IpFamily};

use super::scene::{address, clients, in_scene, start, until};

#[test]
fn gets_an_address_and_keeps_it_over_a_restart() {
    in_scene(&["ip", "dnsmasq"], async |scene| {
        scene.at_server("ip address add 2001:db8:5::1/64 dev w0 nodad");
        let server = scene.dnsmasq(&["--enable-ra", "--dhcp-range=2001:db8:5::100,2001:db8:5::1ff,64,1h"]);
        let dhcp = clients(Vec::new());
        start(&dhcp, IpFamily::Ipv6);
        let before = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        let lease = before.lease.clone().unwrap();
        assert!(address(&before).starts_with("2001:db8:5::1") && address(&before).ends_with("/128"), "{before:?}");
        assert_eq!((lease.lifetime_s, lease.server.is_empty()), (3600, false));
        let kept = dhcp.kept();
        dhcp.shutdown().await;

        let dhcp = clients(kept.clone());
        start(&dhcp, IpFamily::Ipv6);
        let after = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        assert_eq!(address(&after), address(&before));
        dhcp.shutdown().await;

        // A client that remembers nothing is known by its identity.
        let dhcp = clients(Vec::new());
        start(&dhcp, IpFamily::Ipv6);
        let again = until(&dhcp, |client| client.state == DhcpState::Bound).await;
        assert_eq!(address(&again), address(&before));
        drop(server);
    });
}

//! Addresses: added, told, replaced, removed.

use trestle_model::{Address, AddressOrigin};
use trestle_plan::KernelStep;

use crate::scene::{Scene, in_namespace, name, run, set_up, told};

fn address(net: &str) -> Address {
    let net: ipnet::IpNet = net.parse().unwrap();
    Address { net, origin: AddressOrigin::Static, broadcast: None, label: None, scope: 0, no_prefix_route: false }
}

fn add(address: &Address) -> KernelStep {
    KernelStep::AddAddress { link: name("v0"), address: address.clone() }
}

fn remove(address: &Address) -> KernelStep {
    KernelStep::RemoveAddress { link: name("v0"), address: address.clone() }
}

async fn addresses(scene: &Scene) -> Vec<Address> {
    let addresses = scene.link("v0").await.addresses;
    addresses.into_iter().filter(|address| address.origin != AddressOrigin::Kernel).collect()
}

#[test]
fn adds_addresses_with_all_their_attributes() {
    in_namespace(async |scene| {
        scene.cable("v0", "v1").await;
        let full = Address {
            broadcast: Some("10.0.0.255".parse().unwrap()),
            label: Some("v0:mgmt".to_owned()),
            no_prefix_route: true,
            ..address("10.0.0.5/24")
        };
        let link_scope = Address { scope: 253, ..address("198.51.100.6/24") };
        let plain = address("192.0.2.1/32");
        let six = Address { no_prefix_route: true, ..address("2001:db8::5/64") };
        let seven = address("2001:db8:1::7/64");
        let all = [&full, &link_scope, &plain, &six, &seven];
        scene.perform(&all.map(add)).await;
        let found = addresses(&scene).await;
        // The kernel lists IPv4 addresses of a narrower scope first, and later IPv6 addresses first.
        let four: Vec<_> = found.iter().filter(|a| a.net.addr().is_ipv4()).cloned().collect();
        let six_found: Vec<_> = found.iter().filter(|a| a.net.addr().is_ipv6()).cloned().collect();
        assert_eq!(four, [link_scope.clone(), full.clone(), plain.clone()]);
        assert_eq!(six_found, [seven.clone(), six.clone()]);
        if let Some(told) = told("ip -d -j address show dev v0") {
            let told = told[0]["addr_info"].as_array().unwrap().clone();
            let locals: Vec<_> = told.iter().map(|a| a["local"].as_str().unwrap().to_owned()).collect();
            let ours: Vec<_> = found.iter().map(|a| a.net.addr().to_string()).collect();
            assert_eq!(locals, ours, "iproute2 tells the same addresses in the same order");
            assert_eq!((&told[1]["label"], &told[1]["noprefixroute"]), (&"v0:mgmt".into(), &true.into()));
        }
        scene.perform(&all.map(remove)).await;
        assert_eq!(addresses(&scene).await, []);
    });
}

#[test]
fn finds_an_absent_address_and_an_absent_device_fine_to_remove() {
    in_namespace(async |scene| {
        let four = address("10.0.0.5/24");
        scene.perform(&[remove(&four), remove(&address("2001:db8::5/64"))]).await;
        scene.cable("v0", "v1").await;
        let off = KernelStep::SetIpv6Disabled { link: name("v0"), disabled: true };
        scene.perform(&[remove(&four), remove(&address("2001:db8::5/64")), off]).await;
        let failure = scene.refused(add(&address("2001:db8::5/64"))).await;
        assert!(failure.reason.starts_with("add address 2001:db8::5/64 to v0: "), "{}", failure.reason);
        assert!(failure.reason.contains("(EACCES)"), "{}", failure.reason);
    });
}

#[test]
fn replaces_an_address_whose_attributes_differ() {
    in_namespace(async |scene| {
        scene.cable("v0", "v1").await;
        scene.perform(&[add(&address("10.0.0.5/24")), add(&address("2001:db8::5/64"))]).await;
        let four = Address { broadcast: Some("10.0.0.255".parse().unwrap()), ..address("10.0.0.5/24") };
        let six = Address { no_prefix_route: true, ..address("2001:db8::5/64") };
        scene.perform(&[add(&four), add(&six)]).await;
        assert_eq!(addresses(&scene).await, [four, six]);
    });
}

#[test]
fn keeps_an_address_for_ever_that_had_a_lifetime() {
    in_namespace(async |scene| {
        scene.cable("v0", "v1").await;
        let lifetime = "dev v0 valid_lft 1000 preferred_lft 1000";
        if run(&format!("ip address add 10.0.0.5/24 {lifetime}")).is_none() {
            return;
        }
        run(&format!("ip address add 2001:db8::5/64 {lifetime}"));
        let origins = |found: Vec<Address>| found.into_iter().map(|address| address.origin).collect::<Vec<_>>();
        assert_eq!(origins(addresses(&scene).await), [AddressOrigin::Dynamic; 2]);
        let all = [address("10.0.0.5/24"), address("2001:db8::5/64")];
        scene.perform(&[add(&all[0]), add(&all[1])]).await;
        assert_eq!(addresses(&scene).await, all);
    });
}

#[test]
fn tells_the_kernels_own_addresses_apart() {
    in_namespace(async |scene| {
        scene.cable("v0", "v1").await;
        scene.try_perform(&[set_up("lo", true), set_up("v0", true), set_up("v1", true)]).await.unwrap();
        let lo: Vec<_> = scene.link("lo").await.addresses.iter().map(|a| (a.net.to_string(), a.origin)).collect();
        assert_eq!(
            lo,
            [("127.0.0.1/8".to_owned(), AddressOrigin::Kernel), ("::1/128".to_owned(), AddressOrigin::Kernel)]
        );
        let state = scene.until(|state| !state.links[&name("v0")].addresses.is_empty()).await;
        let link_local = &state.links[&name("v0")].addresses;
        assert_eq!(link_local.len(), 1, "{link_local:?}");
        assert_eq!((link_local[0].origin, link_local[0].scope), (AddressOrigin::Kernel, 253));
        let mine = Address { scope: 253, ..address("fe80::1/64") };
        scene.perform(&[add(&mine)]).await;
        assert_eq!(addresses(&scene).await, [mine]);
    });
}

#[test]
fn a_leased_address_ends_by_itself_and_can_be_given_more_time() {
    in_namespace(async |scene| {
        scene.cable("v0", "v1").await;
        scene.perform(&[set_up("v0", true)]).await;
        let lease = |net: &str, valid_s| {
            let (link, address) = (name("v0"), address(net));
            KernelStep::LeaseAddress { link, address, valid_s, preferred_s: valid_s }
        };
        scene.perform(&[lease("192.0.2.50/24", 3600), lease("2001:db8::50/128", 3600)]).await;
        let origins: Vec<_> = addresses(&scene).await.iter().map(|address| address.origin).collect();
        assert_eq!(origins, [AddressOrigin::Dynamic; 2]);
        scene.perform(&[lease("192.0.2.50/24", u32::MAX)]).await;
        assert_eq!(addresses(&scene).await[0].origin, AddressOrigin::Static);
        scene.insist(&[lease("192.0.2.50/24", 1), lease("2001:db8::50/128", 1)]).await;
        scene.until(|state| state.links[&name("v0")].addresses.iter().all(|a| a.origin == AddressOrigin::Kernel)).await;
    });
}

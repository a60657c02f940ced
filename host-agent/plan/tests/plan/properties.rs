//! What holds of every plan on every host.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trestle_fake_host::World;
use trestle_model::{
    AcceptRa, FdbEntry, FdbState, GuestInterface, HostState, IfName, LinkNames, MacAddr, ResolverNames, VlanRange,
};
use trestle_plan::sample::random::{Meddling, Nic, Round, meddlings, nics, rounds};
use trestle_plan::sample::{Change, acceptable, untouched};
use trestle_plan::{
    AutoconfChange, BridgeChange, Host, KernelStep, Plan, PortChange, Step, losses, ownership, repair_plan,
    steps_towards, undo_target, verify,
};

use super::scene::{Scene, foreign_route, if_name, lines, net, request, settled};

fn world(nics: Vec<Nic>) -> World {
    let resolved = nics.iter().any(|nic| nic.route);
    let mut world = World::default()
        .resolv_conf("search example.org\nnameserver 192.0.2.53\n")
        .foreign_bridge("virbr0")
        .nic("eth9")
        .port("virbr0", "eth9")
        .address("virbr0", "192.168.122.1/24")
        .nic("eth7")
        .nic("eth8")
        .foreign_bond("bond7", &["eth7", "eth8"])
        .guest("other", "52:54:00:00:09:01", "vnet9", "virbr0", None);
    for (number, nic) in (0_u32..).zip(nics) {
        let name = format!("eth{number}");
        world = if nic.up { world.nic(&name) } else { world.idle_nic(&name) };
        world = world.mtu(&name, nic.mtu);
        if nic.deaf {
            let change = AutoconfChange { accept_ra: Some(AcceptRa::Never), ..AutoconfChange::default() };
            world = world.autoconf(&name, change);
        }
        for held in nic.held(number) {
            world = if held.leased { world.leased_address(&name, &held.net) } else { world.address(&name, &held.net) };
        }
        if let Some(gateway) = nic.gateway(number) {
            if nic.default_route {
                world = world.default_route(&name, &gateway, 100 + number);
            }
            if nic.route {
                world = world.route(foreign_route("100.99.0.0/16", &gateway, &name, number));
            }
        }
        if nic.queued {
            world = world.foreign_qdisc(&name, "pfifo");
        }
        if nic.dhcp {
            world = world
                .router(&name, &format!("2001:db8:9{number}::/64"))
                .dhcp_server(&name, &format!("2001:db8:9{number}::77/128"))
                .router(&format!("{name}.10"), &format!("2001:db8:9{number}:10::/64"))
                .dhcp_server(&name, &format!("10.9{number}.0.77/24"))
                .dhcp_server(&format!("{name}.10"), &format!("10.9{number}.10.77/24"));
        }
        if nic.vlan && nic.up {
            world = world.foreign_vlan(&format!("lan{number}"), &name, 99);
        }
    }
    let names = ResolverNames { servers: vec!["192.0.2.53".parse().unwrap()], search: Vec::new() };
    let before = LinkNames::for_all_names(&names);
    if resolved { world.resolved("eth0", before) } else { world }
}

fn start_guests(scene: &Scene, guests: &[u8], round: usize) {
    for (position, number) in guests.iter().enumerate() {
        let bridge = format!("n{number}");
        if scene.try_link(&bridge).is_some_and(|link| ownership::is_ours(&link)) {
            let (domain, tap) = (format!("vm{round}{position}"), format!("vnet{round}{position}"));
            let mac = format!("52:54:00:00:0{round}:0{position}");
            let network = format!("trestle-{bridge}");
            scene.host.change(|world| world.start_guest(&domain, &mac, &tap, &bridge, Some(&network)));
        }
    }
}

fn bare(plan: &Plan) -> Vec<Step> {
    plan.bare_steps()
}

/// Tells whether a plan begins to keep the MAC of a bond: of one of others, or of one that followed its active port's.
fn begins_to_keep_a_mac(scene: &Scene, plan: &Plan) -> bool {
    let links = &plan.snapshot.links;
    let was_there = |name: &IfName| links.get(name).is_some_and(|before| before.link.is_some());
    plan.desired.bonds.iter().any(|(name, bond)| match scene.running.bonds.get(name) {
        None => was_there(name),
        Some(before) => before.mac.is_none() && bond.mac.is_some(),
    })
}

async fn go_back(scene: &Scene, plan: &Plan) {
    let target = undo_target(&plan.snapshot);
    let steps = steps_towards(&target, &scene.host.state());
    scene.perform(&steps).await;
    assert_eq!(verify(&target, &scene.host.state()), [], "after {}", lines(&steps));
    assert_eq!(steps_towards(&target, &scene.host.state()), [], "after {}", lines(&steps));
}

/// Brings back what a stranger, who did a part of some plan, has taken or altered; says that nothing is left to do.
async fn keep(scene: &Scene) {
    let lost = || {
        let losses = losses(&scene.running, &scene.host.state()).into_iter();
        losses.filter(|loss| loss.obstacle.is_none()).map(|loss| loss.thing).collect::<BTreeSet<_>>()
    };
    let mut steps = String::new();
    // Which VLANs ports have lost shows only when their bridge filters again.
    for _ in 0..2 {
        let plan = repair_plan(&scene.running, &scene.host.state(), &lost());
        scene.perform(&plan.steps).await;
        steps.push_str(&lines(&plan.steps));
        assert_eq!(verify(&plan.target, &scene.host.state()), [], "after {steps}");
    }
    let left = losses(&scene.running, &scene.host.state());
    assert_eq!(lost(), BTreeSet::new(), "after {steps}: {left:#?}");
}

/// Does to managed bridges what somebody does, and says that the host becomes what it was.
async fn guard(scene: &Scene, meddlings: &[Meddling]) {
    let scene = scene.fork();
    keep(&scene).await;
    let before = scene.host.state();
    let managed = scene.running.specs().filter(|spec| spec.is_managed());
    let bridges: Vec<_> = managed.filter_map(|spec| Some((spec.bridge()?.name.clone(), spec.uplink()))).collect();
    for meddling in meddlings {
        // Who meddles meets those guests that an earlier one has left in their bridges.
        let now = scene.host.state();
        let guests = now.libvirt.iter().flat_map(|libvirt| &libvirt.guests);
        let guests: Vec<Behind> = guests.filter_map(|guest| behind(guest, &now, &bridges)).collect();
        scene.host.change(|world| meddle(world, *meddling, &bridges, &guests));
    }
    keep(&scene).await;
    if !meddlings.iter().any(|meddling| matches!(meddling, Meddling::Pause(_) | Meddling::ForeignVlan(_))) {
        assert_eq!(settled(scene.host.state()), settled(before), "after {meddlings:?}");
    }
}

/// A guest in a managed bridge.
struct Behind {
    domain: String,
    mac: MacAddr,
    tap: IfName,
    bridge: IfName,
    uplink: Option<IfName>,
}

fn behind(guest: &GuestInterface, state: &HostState, bridges: &[(IfName, Option<IfName>)]) -> Option<Behind> {
    let tap = guest.tap.clone()?;
    let master = state.kernel.links[&tap].master.as_ref();
    let (bridge, uplink) = bridges.iter().find(|(bridge, _)| Some(bridge) == master)?.clone();
    Some(Behind { domain: guest.domain.clone(), mac: guest.mac, tap, bridge, uplink })
}

fn meddle(world: &mut World, meddling: Meddling, bridges: &[(IfName, Option<IfName>)], guests: &[Behind]) {
    let mut must = |step: KernelStep| world.perform(&step.into()).expect("who meddles can");
    let guest = |number: u8| guests.get(usize::from(number));
    let port = |port: &IfName, learning, flood| {
        let change = PortChange { learning: Some(learning), flood: Some(flood), ..PortChange::default() };
        KernelStep::SetPort { port: port.clone(), change }
    };
    let stray = |guest: &Behind, state| {
        let (bridge, mac) = (guest.bridge.clone(), guest.mac);
        let entry = |port| FdbEntry { bridge, port, mac, vlan: Some(1), state, sticky: false };
        guest.uplink.clone().map(entry)
    };
    match meddling {
        Meddling::FilterOff | Meddling::NoDefaultVlan => {
            let default_pvid = matches!(meddling, Meddling::NoDefaultVlan).then_some(0);
            let change = BridgeChange { vlan_filtering: Some(false), default_pvid, ..BridgeChange::default() };
            for (bridge, _) in bridges {
                must(KernelStep::SetBridge { bridge: bridge.clone(), change: change.clone() });
            }
        }
        Meddling::Uplinks => {
            bridges.iter().filter_map(|(_, uplink)| uplink.as_ref()).for_each(|uplink| must(port(uplink, true, false)));
        }
        Meddling::Flush => bridges.iter().for_each(|(bridge, _)| world.flush_entries(bridge.as_str())),
        Meddling::Port(number) => guest(number).into_iter().for_each(|guest| must(port(&guest.tap, true, true))),
        Meddling::Tap(number) => guest(number).into_iter().for_each(|guest| world.attach_again(guest.tap.as_str())),
        Meddling::Stray(number) => guest(number).into_iter().for_each(|guest| {
            must(KernelStep::SetMaster { link: guest.tap.clone(), master: None });
        }),
        Meddling::Roam(number) => {
            guest(number).and_then(|guest| stray(guest, FdbState::Static)).into_iter().for_each(|e| world.learn(e));
        }
        Meddling::Learn(number) => {
            guest(number).and_then(|guest| stray(guest, FdbState::Learned)).into_iter().for_each(|e| world.learn(e));
        }
        Meddling::Vlan(None) => {
            let uplinks = bridges.iter().filter_map(|(_, uplink)| uplink.as_ref());
            uplinks.for_each(|uplink| must(KernelStep::RemoveVlans { port: uplink.clone(), first: 1, last: 1 }));
        }
        Meddling::Vlan(Some(number)) => guest(number).into_iter().for_each(|guest| {
            must(KernelStep::RemoveVlans { port: guest.tap.clone(), first: 1, last: 1 });
        }),
        Meddling::ForeignVlan(number) => guest(number).into_iter().for_each(|guest| {
            must(KernelStep::AddVlans { port: guest.tap.clone(), vlans: VlanRange::tagged(999) });
        }),
        Meddling::Pause(number) => {
            guest(number).into_iter().for_each(|guest| world.set_running(&guest.domain, false));
        }
    }
}

/// Plays the requests, and at each looks at every place where it could have been broken off.
async fn play(world: World, requests: Vec<Round>, meddlings: &[Meddling]) {
    let mut scene = Scene::new(world);
    for (round, (changes, guests)) in requests.into_iter().enumerate() {
        let (request, plan) = acceptable(changes, &scene.running, &scene.host.state());
        let before = scene.host.state();
        let steps = bare(&plan);
        for done in 0..=steps.len() {
            let broken = scene.fork();
            broken
                .host
                .perform(&steps[..done])
                .await
                .unwrap_or_else(|failure| panic!("{failure}\n{}", lines(&plan.steps)));
            let state = broken.host.state();
            assert_eq!(untouched(state, &plan), untouched(before.clone(), &plan), "{}", lines(&plan.steps[..done]));

            if done == steps.len() / 2 {
                keep(&broken.fork()).await;
            }
            let undone = broken.fork();
            go_back(&undone, &plan).await;
            let after = settled(undone.host.state());
            assert_eq!(after, settled(before.clone()), "undone after {}", lines(&plan.steps[..done]));

            let resumed = trestle_plan::plan(&request, &broken.running, &broken.host.state())
                .unwrap_or_else(|findings| panic!("refused after {}: {findings:#?}", lines(&plan.steps[..done])));
            broken.perform(&resumed.steps).await;
            let mut drift = verify(&plan.target, &broken.host.state());
            // Without the journal nobody knows the MAC of such a bond whose ports were out already.
            drift.retain(|drift| !(begins_to_keep_a_mac(&broken, &plan) && drift.field == "mac"));
            assert_eq!(drift, [], "resumed after {}", lines(&plan.steps[..done]));
            if verify(&plan.target, &broken.host.state()).is_empty() {
                assert_eq!(steps_towards(&plan.target, &broken.host.state()), [], "{}", lines(&plan.steps));
            }
        }
        scene.apply(&request).await;
        start_guests(&scene, &guests, round);
        // What a network's rules ask of guests' ports is no matter of libvirt's.
        keep(&scene).await;
        guard(&scene, meddlings).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_arrives_and_any_part_of_it_can_be_undone_or_resumed(
        nics in nics(),
        rounds in rounds(),
        meddlings in meddlings(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(world(nics), rounds, &meddlings));
    }
}

/// What is repaired below a bridge together with the bridge itself must not hold the bridge's MTU as it is.
#[tokio::test]
async fn a_half_moved_bridge_has_its_mtu_back() {
    let world = World::default().idle_nic("eth0").idle_nic("eth2").mtu("eth2", 4000);
    let requests = [
        net("n1").on("eth2").vlan(10).bridgeless().set(),
        net("n2").on("eth2").set(),
        net("n2").on("eth0").mtu(1400).set(),
    ];
    play(world, requests.into_iter().map(|change| (vec![Change::Network(change)], vec![])).collect(), &[]).await;
}

#[test]
fn foreign_devices_are_in_no_target() {
    let world = World::default().nic("eth0").foreign_bridge("virbr0").nic("eth1").port("virbr0", "eth1");
    let scene = Scene::new(world);
    let plan = scene.plan(&request([net("blue").on("eth0").set()]));
    let touched: Vec<&IfName> = plan.target.links.keys().collect();
    assert_eq!(touched, [&if_name("blue"), &if_name("eth0")]);
}

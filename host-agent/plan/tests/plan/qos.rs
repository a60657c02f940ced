//! What networks are given of the device below them.

use std::collections::BTreeSet;

use trestle_fake_host::World;
use trestle_model::{Code, Egress, Feature, HostConfig};
use trestle_plan::{
    KernelStep, Thing, losses, network_reports, plan, repair_plan, restore_plan, steps_towards, undo_target,
};

use super::scene::{Net, Scene, if_name, lines, net, remove, request};

fn world() -> World {
    World::default().nic("eth0").nic("eth1")
}

fn blue() -> Net {
    net("blue").on("eth0").vlan(10)
}

fn egress(scene: &Scene) -> Egress {
    scene.link("eth0").egress
}

#[tokio::test]
async fn every_network_of_a_shaped_device_has_a_class() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("plain").on("eth0").set(), net("other").on("eth0").vlan(20).set()])).await;
    let asked = request([
        blue().qos(30_000, Some(90_000), Some(10_000)).set(),
        net("green").on("eth0").vlan(30).qos(40_000, None, None).set(),
    ]);
    let shaped = scene.apply(&asked).await;
    let steps: Vec<String> =
        lines(&shaped.steps).lines().filter(|line| line.contains("share")).map(str::to_owned).collect();
    assert_eq!(
        steps,
        [
            "queue what leaves eth0 by classes: share 30 Mbit/s",
            "give VLAN 10 on eth0: share 30 Mbit/s, at most 90 Mbit/s, at least 10 Mbit/s",
            "give VLAN 20 on eth0: share 30 Mbit/s",
            "give VLAN 30 on eth0: share 40 Mbit/s",
        ]
    );
    assert_eq!(lines(&scene.plan(&asked).steps), "");
    let undone = scene.fork();
    let steps = steps_towards(&undo_target(&shaped.snapshot), &undone.host.state());
    undone.perform(&steps).await;
    assert_eq!(egress(&undone), Egress::Kernels);

    // A limit that goes takes its class along for a moment; the others stay.
    let loosened = scene.apply(&request([blue().qos(30_000, None, Some(10_000)).set()])).await;
    assert_eq!(
        lines(&loosened.steps),
        "remove the class of VLAN 10 on eth0\ngive VLAN 10 on eth0: share 30 Mbit/s, at least 10 Mbit/s"
    );
    let raised = scene.apply(&request([blue().qos(50_000, Some(60_000), Some(10_000)).set()])).await;
    assert!(lines(&raised.steps).contains("give VLAN 20 on eth0: share 40 Mbit/s"), "{}", lines(&raised.steps));
    assert!(!lines(&raised.steps).contains("remove"));
    scene.apply(&request([remove("blue")])).await;
    scene.apply(&request([remove("green")])).await;
    assert_eq!(egress(&scene), Egress::Kernels);
}

#[tokio::test]
async fn somebody_elses_queueing_is_refused_kept_and_told() {
    let foreign = Scene::new(world().foreign_qdisc("eth0", "htb"));
    let wanted = request([blue().qos(1_000, None, None).set()]);
    let refused = plan(&wanted, &HostConfig::default(), &foreign.host.state()).unwrap_err();
    let finding = &refused.0[0];
    assert_eq!((finding.code, finding.field.as_str()), (Code::ForeignQdisc, "networks[0].host_qos"));
    assert!(plan(&request([blue().set()]), &HostConfig::default(), &foreign.host.state()).is_ok());

    let mut scene = Scene::new(world());
    scene.apply(&wanted).await;
    scene.host.change(|world| world.queue("eth0", "htb"));
    let drift = network_reports(&scene.running, &scene.host.state()).remove(0).drift;
    assert_eq!(drift, ["link eth0 queueing: expected by classes, is htb of somebody else's"]);
    scene.apply(&request([remove("blue")])).await;
    assert_eq!(egress(&scene), Egress::Foreign("htb".to_owned()));
}

#[tokio::test]
async fn a_restore_brings_a_network_up_without_its_rates_where_it_has_to() {
    let mut scene = Scene::new(world());
    scene.apply(&request([blue().qos(1_000, None, None).set()])).await;
    for lacking in [world().foreign_qdisc("eth0", "htb"), world().without(Feature::EgressShaping, "no hfsc")] {
        let host = Scene::new(lacking);
        let restoration = restore_plan(&scene.running, &host.host.state());
        assert_eq!(restoration.skipped.len(), 1, "{:?}", restoration.skipped);
        assert!(!restoration.steps.is_empty());
        host.perform(&restoration.steps).await;
        assert_eq!(trestle_plan::verify(&restoration.target, &host.host.state()), []);
        assert!(restoration.desired.specs().all(|spec| spec.host_qos.is_some()));
    }
}

#[test]
fn refuses_rates_that_cannot_be() {
    let cases = [
        (world(), net("blue").qos(1_000, None, None), Code::QosWithoutSouthbound, "networks[0].host_qos"),
        (
            world(),
            blue().qos(1_000, Some(5_000), Some(6_000)),
            Code::QosInvalid,
            "networks[0].host_qos.committed_rate_bps",
        ),
        (
            world().without(Feature::EgressShaping, "no hfsc"),
            blue().qos(1_000, None, None),
            Code::KernelLacksFeature,
            "networks[0].host_qos",
        ),
    ];
    for (world, network, code, field) in cases {
        let findings =
            plan(&request([network.set()]), &HostConfig::default(), &Scene::new(world).host.state()).unwrap_err();
        assert!(
            findings.0.iter().any(|finding| (finding.code, finding.field.as_str()) == (code, field)),
            "{findings:?}"
        );
    }
}

#[tokio::test]
async fn rates_that_somebody_takes_away_come_back_and_somebody_elses_queueing_is_left() {
    let mut scene = Scene::new(world());
    scene.apply(&request([blue().qos(1_000, None, None).set()])).await;
    let shaped = egress(&scene);
    let lost = |scene: &Scene| -> BTreeSet<Thing> {
        losses(&scene.running, &scene.host.state()).into_iter().map(|loss| loss.thing).collect()
    };
    scene.host.change(|world| {
        let step = KernelStep::UnshapeEgress { link: if_name("eth0") };
        world.perform(&step.into()).unwrap();
    });
    let repair = repair_plan(&scene.running, &scene.host.state(), &lost(&scene));
    scene.perform(&repair.steps).await;
    assert_eq!((egress(&scene), lost(&scene)), (shaped, BTreeSet::new()), "{}", lines(&repair.steps));
    scene.host.change(|world| world.queue("eth0", "htb"));
    assert_eq!(lost(&scene), BTreeSet::new());
}

//! The engine's rules, from every direction: nothing that is refused leaves a trace.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::{Fleet, facts, in_checkout, network};
use integration_tests::lab::script::Status;
use serde_json::json;

const STORAGE: &str = "
kind: Network
name: networks/storage
spec: {vmNetwork: false, manageMacsWithLibvirt: true}
---
kind: ClusterNetwork
name: clusters/lab/clusterNetworks/storage
---
kind: NetworkAttachment
name: hosts/host-a/networkAttachments/storage
spec: {nic: eth2, ipv4: {static: {addresses: [203.0.113.1/24]}}}
";

pub(crate) async fn a_bridgeless_network_keeps_the_flag(fleet: &Fleet) -> Result<()> {
    let said = fleet.ctl.refused(STORAGE).await?;
    ensure!(said.contains("NO_EFFECT_NOT_BRIDGED") && said.contains("--acknowledge"), "{said}");
    let named = json!({"name": "networks/storage"});
    let absent = fleet.caller().await?.refused("trestle.engine.v1.NetworkService/GetNetwork", &named).await?;
    ensure!(absent.code == 5, "a refused network was stored");

    fleet.ctl.apply_with(STORAGE, &["--wait", "--acknowledge", "NO_EFFECT_NOT_BRIDGED"]).await?;
    let address = fleet.a.machine.run("ip -j address show dev eth2").await?;
    ensure!(address.contains("203.0.113.1"), "{address}");
    ensure!(fleet.a.link("eth2").await?["master"].is_null());
    ensure!(!fleet.a.has_link("storage").await? && !facts::libvirt_knows(&fleet.a, "storage").await?);
    let answer = fleet.a.call_inside("trestle.host.v1.HostAgent/GetCapabilities").await?;
    let storage = network(&answer["capabilities"], "storage").context("no storage")?;
    ensure!(storage["manageMacsWithLibvirt"] == true && storage["configured"]["bridged"] == false, "{storage:#}");

    let names = ["hosts/host-a/networkAttachments/storage", "clusters/lab/clusterNetworks/storage", "networks/storage"];
    fleet.ctl.run(&["delete", names[0], names[1], names[2]]).await?;
    fleet.until_in_sync("host-a", crate::SETTLE).await?;
    ensure!(!fleet.a.machine.run("ip -j address show dev eth2").await?.contains("203.0.113.1"));
    Ok(())
}

pub(crate) async fn spoofing_is_refused_from_both_sides(fleet: &Fleet) -> Result<()> {
    // The network is managed, the profile comes.
    let conflict = std::fs::read_to_string(in_checkout("deploy/examples/conflict.yaml"))?;
    let said = fleet.ctl.refused(&conflict).await?;
    ensure!(said.contains("MAC_SPOOF_CONFLICT") && said.contains("networks/blue"), "{said}");
    let caller = fleet.caller().await?;
    let parent = json!({"parent": "networks/blue"});
    let listed = caller.call("trestle.engine.v1.VnicProfileService/ListVnicProfiles", &parent).await?;
    ensure!(!listed.to_string().contains("\"none\": true"), "a refused profile was stored");

    // The same as a foreign client sees it: a precondition, and where it fails.
    let request = json!({"parent": "networks/blue", "vnicProfileId": "open", "vnicProfile": {"spec": {"networkFilter": {"none": true}}}});
    let refusal = caller.refused("trestle.engine.v1.VnicProfileService/CreateVnicProfile", &request).await?;
    ensure!(refusal.code == 9, "{refusal:?}");
    ensure!(
        refusal.detail("PreconditionFailure").is_some_and(|detail| detail.to_string().contains("MAC_SPOOF_CONFLICT")),
        "{refusal:?}"
    );
    ensure!(refusal.detail("ErrorInfo").is_some_and(|detail| detail["reason"] == "MAC_SPOOF_CONFLICT"), "{refusal:?}");

    // The profile is there, the network becomes managed.
    let amber = |managed| format!("kind: Network\nname: networks/amber\nspec: {{manageMacsWithLibvirt: {managed}}}");
    let profile =
        "\n---\nkind: VnicProfile\nname: networks/amber/vnicProfiles/open\nspec: {networkFilter: {none: true}}\n";
    fleet.ctl.apply(&(amber(false) + profile)).await?;
    let said = fleet.ctl.refused(&amber(true)).await?;
    ensure!(said.contains("MAC_SPOOF_CONFLICT") && said.contains("networks/amber/vnicProfiles/open"), "{said}");

    // Guests that tag their own traffic are the same case.
    let tagging =
        "kind: VnicProfile\nname: networks/blue/vnicProfiles/trunk\nspec: {guestTagging: {mode: TAGGING_MODE_ANY}}";
    let said = fleet.ctl.refused(tagging).await?;
    ensure!(said.contains("GUEST_TAGGING_CONFLICT"), "{said}");

    // Without the profile nothing is in the way.
    fleet.ctl.run(&["delete", "networks/amber/vnicProfiles/open"]).await?;
    fleet.ctl.apply(&amber(true)).await?;
    fleet.ctl.run(&["delete", "networks/amber"]).await?;
    Ok(())
}

pub(crate) async fn open_vswitch_is_refused_from_both_sides(fleet: &Fleet) -> Result<()> {
    let said = fleet.ctl.refused("kind: Cluster\nname: clusters/lab\nspec: {switchType: SWITCH_TYPE_OVS}").await?;
    ensure!(said.contains("SWITCH_TYPE_UNSUPPORTED"), "{said}");
    let ovs = "kind: Cluster\nname: clusters/ovs\nspec: {switchType: SWITCH_TYPE_OVS}";
    fleet.ctl.apply(ovs).await?;
    let said = fleet.ctl.refused("kind: ClusterNetwork\nname: clusters/ovs/clusterNetworks/blue").await?;
    ensure!(said.contains("SWITCH_TYPE_UNSUPPORTED"), "{said}");
    fleet.ctl.run(&["delete", "clusters/ovs"]).await?;
    Ok(())
}

pub(crate) async fn contradicting_options_are_refused(fleet: &Fleet) -> Result<()> {
    for options in ["vlanFiltering: false", "defaultPvid: 0"] {
        let blue = format!(
            "kind: Network\nname: networks/blue\nspec: {{vlanId: 10, manageMacsWithLibvirt: true, bridgeOptions: {{{options}}}}}"
        );
        let said = fleet.ctl.refused(&blue).await?;
        ensure!(said.contains("BRIDGE_OPTS_CONFLICT"), "{options}: {said}");
    }
    Ok(())
}

pub(crate) async fn a_dry_run_changes_nothing(fleet: &Fleet) -> Result<()> {
    let before = (fleet.a.picture().await?, fleet.ctl.json(&["get", "network", "blue"]).await?);
    let edit = "kind: Network\nname: networks/blue\nspec: {vlanId: 10, manageMacsWithLibvirt: true, mtu: 1300}";
    fleet.ctl.apply_with(edit, &["--dry-run"]).await?;
    let checked = fleet.ctl.exec_with_input(&["check", "-f", "-"], edit).await?;
    ensure!(checked.status == Status::Exited(0), "{checked:?}");
    let conflict = in_checkout("deploy/examples/conflict.yaml").display().to_string();
    let checked = fleet.ctl.exec(&["check", "-f", &conflict]).await?;
    ensure!(checked.status == Status::Exited(1), "{checked:?}");
    fleet.a.picture().await?.same_as(&before.0)?;
    ensure!(fleet.ctl.json(&["get", "network", "blue"]).await? == before.1);
    Ok(())
}

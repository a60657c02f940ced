//! Cases about devices.

use trestle_model::{Bridge, BridgeNumber, BridgeNumbers, LinkKind};

use super::bench::{Bench, MAC, OTHER_MAC, is_vlan, master, mtu, same, up};
use crate::sample::other_value;
use crate::steps::NEW_BRIDGE;
use crate::{BridgeChange, Host, KernelStep, Step};

pub(super) async fn bridge_comes_and_goes<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let name = &bench.bridge;
    bench.perform([bench.create_bridge(name)]).await?;
    let link = bench.link(name).await?;
    same("alias", &link.alias.as_deref(), &Some("trestle:contract"))?;
    same("MAC", &link.mac, &Some(MAC))?;
    same("up", &link.up, &false)?;
    same("is a bridge", &matches!(link.kind, LinkKind::Bridge(_)), &true)?;
    bench.perform([up(name)]).await?;
    bench.perform([KernelStep::SetMac { link: name.clone(), mac: OTHER_MAC }]).await?;
    bench.perform([KernelStep::SetAlias { link: name.clone(), alias: Some("trestle:other".to_owned()) }]).await?;
    let link = bench.link(name).await?;
    same("up", &link.up, &true)?;
    same("MAC", &link.mac, &Some(OTHER_MAC))?;
    same("alias", &link.alias.as_deref(), &Some("trestle:other"))?;
    bench.perform([KernelStep::SetAlias { link: name.clone(), alias: None }]).await?;
    same("alias", &bench.link(name).await?.alias, &None)?;
    // A bridge that is there is left as it is, but marked.
    bench.perform([bench.create_bridge(name)]).await?;
    let link = bench.link(name).await?;
    same("MAC", &link.mac, &Some(OTHER_MAC))?;
    same("alias", &link.alias.as_deref(), &Some("trestle:contract"))?;
    bench.perform([KernelStep::SetUp { link: name.clone(), up: false }]).await?;
    same("up", &bench.link(name).await?.up, &false)?;
    bench.perform([KernelStep::DeleteLink { name: name.clone() }]).await?;
    same("is there", &bench.state().await?.kernel.links.contains_key(name), &false)
}

pub(super) async fn bridge_attributes_are_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let bridge = bench.bridge.clone();
    bench.perform([bench.create_bridge(&bridge)]).await?;
    let new = bench.bridge_of(&bridge).await?;
    let comparable = Bridge { vlan_filtering: false, default_pvid: NEW_BRIDGE.default_pvid, ..new };
    same("a new bridge", &comparable, &NEW_BRIDGE)?;
    let everywhere = |number: &BridgeNumber| *number != BridgeNumber::VlanStatistics;
    let numbers: BridgeNumbers = BridgeNumber::ALL.into_iter().filter(everywhere).map(other_value).collect();
    let change = BridgeChange {
        stp: Some(true),
        ageing_time_cs: Some(10_000),
        forward_delay_cs: Some(400),
        hello_time_cs: Some(300),
        max_age_cs: Some(1200),
        priority: Some(4096),
        multicast_snooping: Some(false),
        multicast_querier: Some(true),
        group_fwd_mask: Some(8),
        vlan_filtering: None,
        default_pvid: None,
        numbers: numbers.clone(),
    };
    bench.perform([KernelStep::SetBridge { bridge: bridge.clone(), change }]).await?;
    let expected = Bridge {
        stp: true,
        ageing_time_cs: 10_000,
        forward_delay_cs: 400,
        hello_time_cs: 300,
        max_age_cs: 1200,
        priority: 4096,
        multicast_snooping: false,
        multicast_querier: true,
        group_fwd_mask: 8,
        numbers,
        ..new
    };
    same("bridge", &bench.bridge_of(&bridge).await?, &expected)?;
    let change = BridgeChange { stp: Some(false), ..BridgeChange::default() };
    bench.perform([KernelStep::SetBridge { bridge: bridge.clone(), change }]).await?;
    same("bridge", &bench.bridge_of(&bridge).await?, &Bridge { stp: false, ..expected })
}

pub(super) async fn bridge_filters_by_vlan<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let bridge = bench.bridge.clone();
    bench.perform([bench.create_bridge(&bridge)]).await?;
    let new = bench.bridge_of(&bridge).await?;
    same("a new bridge", &new, &NEW_BRIDGE)?;
    for change in [
        BridgeChange { default_pvid: Some(5), ..BridgeChange::default() },
        BridgeChange { vlan_filtering: Some(true), ..BridgeChange::default() },
    ] {
        bench.perform([KernelStep::SetBridge { bridge: bridge.clone(), change }]).await?;
    }
    let expected = Bridge { vlan_filtering: true, default_pvid: 5, ..new.clone() };
    same("bridge", &bench.bridge_of(&bridge).await?, &expected)?;
    let change = BridgeChange { vlan_filtering: Some(false), ..BridgeChange::default() };
    bench.perform([KernelStep::SetBridge { bridge: bridge.clone(), change }]).await?;
    let change = BridgeChange { vlan_filtering: Some(true), default_pvid: Some(1), ..BridgeChange::default() };
    bench.perform([KernelStep::SetBridge { bridge: bridge.clone(), change }]).await?;
    same("bridge", &bench.bridge_of(&bridge).await?, &Bridge { vlan_filtering: true, ..new })
}

pub(super) async fn vlan_device_comes_and_goes<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (name, base, id) = (bench.vlan.clone(), bench.nic.clone(), bench.vlan_id);
    let create =
        KernelStep::CreateVlan { name: name.clone(), base: base.clone(), id, alias: "trestle:contract".to_owned() };
    bench.perform([up(&base), create.into(), up(&name)]).await?;
    let (link, below) = (bench.link(&name).await?, bench.link(&base).await?);
    same("is the VLAN", &is_vlan(&link.kind, &base, id), &true)?;
    same("alias", &link.alias.as_deref(), &Some("trestle:contract"))?;
    same("up", &link.up, &true)?;
    same("MAC", &link.mac, &below.mac)?;
    same("MTU", &link.mtu, &below.mtu)?;
    bench.perform([KernelStep::SetMtu { link: name.clone(), mtu: mtu(1400)? }]).await?;
    same("MTU", &bench.link(&name).await?.mtu, &mtu(1400)?)?;
    let above = KernelStep::SetMtu { link: name.clone(), mtu: mtu(below.mtu.get() + 100)? };
    let refused = bench.perform_once(&[above.into()]).await.is_err();
    same("an MTU above the base's is refused", &refused, &true)?;
    // A base that shrinks takes its VLANs along.
    bench.perform([KernelStep::SetMtu { link: base.clone(), mtu: mtu(1300)? }]).await?;
    same("MTU", &bench.link(&name).await?.mtu, &mtu(1300)?)?;
    bench.perform([KernelStep::DeleteLink { name: name.clone() }]).await?;
    same("is there", &bench.state().await?.kernel.links.contains_key(&name), &false)
}

pub(super) async fn mtu_is_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (bridge, nic) = (bench.bridge.clone(), bench.nic.clone());
    bench.perform([bench.create_bridge(&bridge), master(&nic, Some(&bridge))]).await?;
    bench.perform([KernelStep::SetMtu { link: bridge.clone(), mtu: mtu(1300)? }]).await?;
    bench.perform([KernelStep::SetMtu { link: nic.clone(), mtu: mtu(1400)? }]).await?;
    // A bridge whose MTU was set does not follow its ports'.
    same("MTU of the bridge", &bench.link(&bridge).await?.mtu, &mtu(1300)?)?;
    same("MTU of the port", &bench.link(&nic).await?.mtu, &mtu(1400)?)
}

pub(super) async fn failure_tells_its_position<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (bridge, absent) = (bench.bridge.clone(), bench.other_bridge.clone());
    let steps: [Step; 3] = [bench.create_bridge(&bridge), master(&bench.nic, Some(&absent)), up(&bridge)];
    let failure = bench.perform_once(&steps).await.err().ok_or("a port of a missing bridge was accepted")?;
    same("position", &failure.position, &1)?;
    same("has a reason", &failure.reason.is_empty(), &false)?;
    same("the step after the failure was performed", &bench.link(&bridge).await?.up, &false)?;
    let impossible: [Step; 3] = [
        master(&bridge, Some(&bridge)),
        KernelStep::CreateVlan {
            name: bench.vlan.clone(),
            base: absent.clone(),
            id: bench.vlan_id,
            alias: "trestle:contract".to_owned(),
        }
        .into(),
        KernelStep::SetMtu { link: absent, mtu: mtu(1500)? }.into(),
    ];
    for step in impossible {
        let refused = bench.perform_once(std::slice::from_ref(&step)).await.is_err();
        same(&format!("refused: {step}"), &refused, &true)?;
    }
    Ok(())
}

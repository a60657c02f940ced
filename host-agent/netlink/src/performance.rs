//! One step at a time, exactly as the plan has it.
//!
//! Steps are sent one by one and each answer is awaited: the kernel would go on with later messages of a batch after
//! one of them failed, and a step behind a failed one must not be made.

mod addresses;
mod autoconf;
mod bonds;
mod egress;
mod forwarding;
mod links;
mod routes;
mod rules;
mod settings;
mod vlans;

use trestle_plan::KernelStep;

use crate::device::Devices;
use crate::failure::Failure;

pub(crate) use links::create as create_link;

/// Performs one step.
pub(crate) async fn perform(devices: &mut Devices<'_>, step: &KernelStep) -> Result<(), Failure> {
    match step {
        KernelStep::CreateBridge { name, mac, alias } => links::create_bridge(devices, name, *mac, alias).await,
        KernelStep::CreateBond { name, mode, mac, alias } => {
            bonds::create_bond(devices, name, (*mode, *mac), alias).await
        }
        KernelStep::CreateVlan { name, base, id, alias } => links::create_vlan(devices, name, (base, *id), alias).await,
        KernelStep::DeleteLink { name } => links::delete(devices, name).await,
        KernelStep::SetAlias { link, alias } => links::set_alias(devices, link, alias.as_deref()).await,
        KernelStep::SetMac { link, mac } => links::set_mac(devices, link, *mac).await,
        KernelStep::SetMtu { link, mtu } => links::set_mtu(devices, link, *mtu).await,
        KernelStep::SetUp { link, up } => links::set_up(devices, link, *up).await,
        KernelStep::SetMaster { link, master } => links::set_master(devices, link, master.as_ref()).await,
        KernelStep::SetIpv6Disabled { link, disabled } => links::set_ipv6_disabled(devices, link, *disabled).await,
        KernelStep::SetAutoconf { link, change } => autoconf::set(devices, link, change).await,
        KernelStep::SetBridge { bridge, change } => links::set_bridge(devices, bridge, change).await,
        KernelStep::SetBond { bond, change } => bonds::set_bond(devices, bond, change).await,
        KernelStep::SetPort { port, change } => links::set_port(devices, port, change).await,
        KernelStep::AddVlans { port, vlans } => vlans::add(devices, port, vlans).await,
        KernelStep::RemoveVlans { port, first, last } => vlans::remove(devices, port, *first, *last).await,
        KernelStep::AddAddress { link, address } => addresses::add(devices, link, address).await,
        KernelStep::RemoveAddress { link, address } => addresses::remove(devices, link, address).await,
        KernelStep::LeaseAddress { link, address, valid_s, preferred_s } => {
            addresses::lease(devices, link, address, (*valid_s, *preferred_s)).await
        }
        KernelStep::AddRoute { route } => routes::add(devices, route).await,
        KernelStep::RemoveRoute { route } => routes::remove(devices, route).await,
        KernelStep::AddRule { rule } => rules::add(devices, rule).await,
        KernelStep::RemoveRule { rule } => rules::remove(devices, rule).await,
        KernelStep::SetRings { link, sizes } => settings::set_rings(devices, link, *sizes).await,
        KernelStep::SetVirtualFunctions { link, count } => settings::set_virtual_functions(devices, link, *count).await,
        KernelStep::SetFeatures { link, features } => settings::set_features(devices, link, features).await,
        KernelStep::ShapeEgress { link, rest } => egress::shape(devices, link, rest).await,
        KernelStep::UnshapeEgress { link } => egress::unshape(devices, link).await,
        KernelStep::SetTrafficClass { link, class, qos } => egress::set_class(devices, link, *class, qos).await,
        KernelStep::RemoveTrafficClass { link, class } => egress::remove_class(devices, link, *class).await,
        KernelStep::ReplaceFdb { entry } => forwarding::replace(devices, entry).await,
        KernelStep::RemoveFdb { entry } => forwarding::remove(devices, entry).await,
        KernelStep::ForgetLearned { port } => links::forget_learned(devices, port).await,
    }
}

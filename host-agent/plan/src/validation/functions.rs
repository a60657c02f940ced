//! Virtual functions that would go: the kernel takes another number only from none, so every change removes all.

use trestle_model::{AddressOrigin, Code, Finding, HostConfig, HostState, IfName, LinkKind, VirtualFunction};

/// Returns what keeps a NIC from having `count` virtual functions: those that it has, where something uses one.
pub(crate) fn obstacle(nic: &IfName, count: u32, configs: &[&HostConfig], state: &HostState) -> Option<Finding> {
    let vfs = state.kernel.links.get(nic)?.settings.vfs.as_ref().filter(|vfs| vfs.count() != count)?;
    let mut users = Vec::new();
    for (number, function) in vfs.functions.iter().enumerate() {
        if function.is_passed_on() {
            let address = function.bus_address.as_deref().unwrap_or("somewhere");
            let who = match function.driver.as_deref() {
                Some(driver) if driver != VirtualFunction::GUESTS_DRIVER => format!("whoever has it by {driver}"),
                Some(_) | None => "a guest".to_owned(),
            };
            users.push(format!("{who}, of function {number} at {address}"));
        }
        if let Some(device) = &function.device {
            users.extend(users_of(device, configs, state));
        }
        users.extend(function.uppers.iter().map(|upper| format!("device {upper}")));
    }
    if users.is_empty() {
        return None;
    }
    users.sort();
    users.dedup();
    let finding = Finding::error(Code::VfsInUse, "", format!("virtual functions of {nic} are used"));
    Some(finding.about(nic).related(users).remedy("free them first, or leave their number as it is"))
}

fn users_of(device: &IfName, configs: &[&HostConfig], state: &HostState) -> Vec<String> {
    let mut users = Vec::new();
    for config in configs {
        let stands_on = |spec: &&trestle_model::NetworkSpec| {
            spec.southbound.as_ref().is_some_and(|southbound| southbound.device() == device)
        };
        users.extend(config.specs().filter(stands_on).map(|spec| format!("network {}", spec.name)));
        let bonds = config.bonds.iter().filter(|(_, entry)| entry.spec.nics.contains(device));
        users.extend(bonds.map(|(name, _)| format!("bond {name}")));
    }
    let links = &state.kernel.links;
    // The host's own, which nothing would bring back: an address of the link itself comes with the device.
    let addresses = links.get(device).into_iter().flat_map(|link| &link.addresses);
    let given = addresses.filter(|address| address.origin != AddressOrigin::Kernel);
    users.extend(given.map(|address| format!("address {} of {device}", address.net)));
    let routes = state.kernel.routes.iter().filter(|route| route.device == *device && route.gateway.is_some());
    users.extend(routes.map(|route| format!("route to {} through {device}", route.destination)));
    users.extend(links.get(device).and_then(|link| link.master.as_ref()).map(|master| format!("device {master}")));
    let stands_on = |kind: &LinkKind| match kind {
        LinkKind::Vlan { base, .. } => base == device,
        LinkKind::Nic
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Loopback
        | LinkKind::Bridge(_)
        | LinkKind::Bond(_)
        | LinkKind::Other(_) => false,
    };
    users.extend(links.values().filter(|link| stands_on(&link.kind)).map(|link| format!("device {}", link.name)));
    users
}

//! A network as a host is asked to have it.

use trestle_model::{
    BridgeSpec, Code, Finding, Findings, IfName, Ipv6Config, MacTableManager, Mtu, NetworkName, NetworkSpec,
    Southbound, Topology,
};

use super::{
    build_guest_ports, build_ipv4, build_ipv6, build_options, build_qos, build_routes, read_custom, read_guest_ports,
    read_ipv4, read_ipv6, read_nameservers, read_options, read_qos, read_routes, read_search_domains,
};
use crate::form::Form;
use crate::host::v1 as wire;
use crate::host::v1::network::Southbound as WireSouthbound;

/// Reads a network that is to be there; `path` is the message's own path, such as `networks[0]`.
///
/// *Errors*: every violation.
pub fn parse_network(network: &wire::Network, path: &str) -> Result<NetworkSpec, Findings> {
    let mut form = Form::default();
    let spec = read_network(&mut form, path, network);
    if network.remove {
        let finding = Finding::error(Code::FieldConflict, format!("{path}.remove"), "a removal is not expected here");
        form.note(finding.remedy("leave remove out"));
    }
    form.finish(spec)
}

/// Reads the name of a network that is to go.
pub(super) fn read_removal(form: &mut Form, path: &str, network: &wire::Network) -> Option<NetworkName> {
    let bare = wire::Network { name: network.name.clone(), remove: true, ..wire::Network::default() };
    if *network != bare {
        let message = "a removal carries attributes beside the name";
        let finding = Finding::error(Code::RemoveWithAttributes, format!("{path}.remove"), message);
        form.note(finding.remedy("give only name and remove, or leave remove out"));
    }
    form.name(&format!("{path}.name"), &network.name, Code::NameInvalid, NetworkName::parse)
}

/// Reads a network that is to be there, and notes every violation.
pub(super) fn read_network(form: &mut Form, path: &str, network: &wire::Network) -> Option<NetworkSpec> {
    let name = form.name(&format!("{path}.name"), &network.name, Code::NameInvalid, NetworkName::parse);
    let southbound = network.southbound.as_ref().map(|southbound| match southbound {
        WireSouthbound::Nic(nic) => {
            form.name(&format!("{path}.nic"), nic, Code::NameInvalid, IfName::parse).map(Southbound::Nic)
        }
        WireSouthbound::Bond(bond) => {
            form.name(&format!("{path}.bond"), bond, Code::BondNameInvalid, IfName::parse).map(Southbound::Bond)
        }
    });
    let vlan = form.vlan(&format!("{path}.vlan_id"), network.vlan_id);
    if network.vlan_id.is_some() && southbound.is_none() {
        let message = "a VLAN is given for a network that stands on nothing";
        let finding = Finding::error(Code::VlanWithoutSouthbound, format!("{path}.vlan_id"), message);
        form.note(finding.remedy("name the NIC that carries the VLAN, or leave vlan_id out"));
    }
    let mtu = form.mtu(&format!("{path}.mtu"), network.mtu);
    let ipv4 = read_ipv4(form, &format!("{path}.ipv4"), network.ipv4.as_ref());
    let ipv6 = read_ipv6(form, &format!("{path}.ipv6"), network.ipv6.as_ref());
    if ipv6 != Ipv6Config::None && mtu < Mtu::IPV6_LEAST {
        let message = format!("MTU {mtu} is less than the {} that IPv6 needs", Mtu::IPV6_LEAST);
        let finding = Finding::error(Code::MtuOutOfRange, format!("{path}.mtu"), message);
        form.note(finding.remedy("give an MTU of 1280 bytes or more, or leave the IPv6 configuration out"));
    }
    let routes = read_routes(form, &format!("{path}.routes"), &network.routes);
    let nameservers = read_nameservers(form, &format!("{path}.nameservers"), &network.nameservers);
    let search_domains = read_search_domains(form, &format!("{path}.search_domains"), &network.search_domains);
    let given = [
        ("nameservers", "name servers", network.nameservers.is_empty()),
        ("search_domains", "search domains", network.search_domains.is_empty()),
    ];
    for (name, what, _) in given.into_iter().filter(|(_, _, is_empty)| !is_empty && !network.default_route) {
        let message = format!("{what} are given for a network that does not own the default route");
        let finding = Finding::error(Code::NameserversOffDefaultRoute, format!("{path}.{name}"), message);
        form.note(finding.remedy(format!("claim default_route, or leave the {what} out")));
    }
    check_switch_type(form, &format!("{path}.switch_type"), network.switch_type);
    let host_qos = read_qos(form, &format!("{path}.host_qos"), network.host_qos.as_ref());
    let guest_ports = read_guest_ports(form, &format!("{path}.guest_ports"), network.guest_ports.as_ref());
    let custom = read_custom(form, &format!("{path}.custom"), network.custom.iter());
    let topology = if network.bridged.unwrap_or(true) {
        read_bridge(form, path, network, name.as_ref()).map(Topology::Bridged)
    } else {
        check_bridgeless(form, path, network, southbound.is_some());
        Some(Topology::Bridgeless)
    };
    Some(NetworkSpec {
        name: name?,
        southbound: match southbound {
            Some(read) => Some(read?),
            None => None,
        },
        vlan,
        mtu,
        topology: topology?,
        mac_table_manager: manager(network.manage_macs_with_libvirt),
        ipv4,
        ipv6,
        default_route: network.default_route,
        routes,
        nameservers,
        search_domains,
        port_isolation: network.port_isolation,
        guest_ports,
        host_qos,
        custom,
    })
}

/// Builds the wire's form of a network; every value that has a default is said.
pub fn build_network(spec: &NetworkSpec) -> wire::Network {
    let (bridge_name, stp, bridge_options) = match spec.bridge() {
        Some(bridge) => (bridge.name.to_string(), bridge.stp, build_options(&bridge.options)),
        None => (String::new(), false, None),
    };
    wire::Network {
        name: spec.name.to_string(),
        bridge_name,
        southbound: spec.southbound.as_ref().map(|southbound| match southbound {
            Southbound::Nic(nic) => WireSouthbound::Nic(nic.to_string()),
            Southbound::Bond(bond) => WireSouthbound::Bond(bond.to_string()),
        }),
        vlan_id: spec.vlan.map(u32::from),
        bridged: Some(spec.bridge().is_some()),
        mtu: Some(spec.mtu.get()),
        stp,
        bridge_options,
        manage_macs_with_libvirt: spec.mac_table_manager == MacTableManager::Libvirt,
        ipv4: build_ipv4(&spec.ipv4),
        ipv6: build_ipv6(&spec.ipv6),
        default_route: spec.default_route,
        remove: false,
        routes: build_routes(&spec.routes),
        nameservers: spec.nameservers.iter().map(ToString::to_string).collect(),
        port_isolation: spec.port_isolation,
        guest_ports: build_guest_ports(&spec.guest_ports),
        host_qos: spec.host_qos.as_ref().map(build_qos),
        custom: spec.custom.clone().into_iter().collect(),
        search_domains: spec.search_domains.iter().map(ToString::to_string).collect(),
        switch_type: wire::SwitchType::LinuxBridge.into(),
    }
}

/// Returns who manages a MAC table, as the wire's flag says.
pub(crate) const fn manager(manage_macs_with_libvirt: bool) -> MacTableManager {
    if manage_macs_with_libvirt { MacTableManager::Libvirt } else { MacTableManager::Kernel }
}

fn read_bridge(
    form: &mut Form,
    path: &str,
    network: &wire::Network,
    network_name: Option<&NetworkName>,
) -> Option<BridgeSpec> {
    let name = match network.bridge_name.as_str() {
        "" => network_name.map(IfName::for_bridge),
        text => form.name(&format!("{path}.bridge_name"), text, Code::BridgeNameInvalid, IfName::parse_bridge),
    };
    let options = read_options(form, &format!("{path}.bridge_options"), network.bridge_options.as_ref());
    Some(BridgeSpec { name: name?, stp: network.stp, options })
}

/// Notes a switch that hosts have not: the model knows none but the kernel's bridge.
fn check_switch_type(form: &mut Form, path: &str, number: i32) {
    match form.known(path, number) {
        Some(wire::SwitchType::Ovs) => {
            let message = "hosts switch frames with the kernel's bridge alone";
            let finding = Finding::error(Code::SwitchTypeUnsupported, path, message);
            form.note(finding.remedy("give SWITCH_TYPE_LINUX_BRIDGE, or leave switch_type out"));
        }
        Some(wire::SwitchType::Unspecified | wire::SwitchType::LinuxBridge) | None => {}
    }
}

fn check_bridgeless(form: &mut Form, path: &str, network: &wire::Network, stands_on_something: bool) {
    if !stands_on_something {
        let message = "a network without a bridge has nothing to stand on";
        let finding = Finding::error(Code::BridgelessWithoutSouthbound, format!("{path}.bridged"), message);
        form.note(finding.remedy("name a NIC, or let the network be bridged"));
    }
    let has_options = network.bridge_options.is_some_and(|options| options != wire::BridgeOptions::default());
    let given = [
        ("bridge_name", !network.bridge_name.is_empty()),
        ("stp", network.stp),
        ("bridge_options", has_options),
        ("port_isolation", network.port_isolation),
    ];
    check_no_bridge_attribute(form, path, given);
}

/// Notes each attribute of a bridge that is given where there is none.
pub(crate) fn check_no_bridge_attribute(form: &mut Form, path: &str, given: [(&str, bool); 4]) {
    for (field, _) in given.iter().filter(|(_, given)| *given) {
        let message = format!("{field} is given for a network without a bridge");
        let finding = Finding::error(Code::BridgeAttributeOnBridgeless, format!("{path}.{field}"), message);
        form.note(finding.remedy(format!("leave {field} out, or let the network be bridged")));
    }
}

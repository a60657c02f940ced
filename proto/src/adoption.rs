//! A bridge of somebody else's, described as the network that it is to become.
//!
//! The network is described from what the agent reports of the bridge, its ports and its routes, and asked for like any
//! other; the plan shows what of the bridge would become another. Both command lines ask for it.

use crate::host::v1::network::Southbound;
use crate::host::v1::{
    AddressOrigin, AddressReport, Advertised, BridgeDevice, BridgeOptions, BridgeReport, Capabilities, Ipv4Config,
    Ipv6Config, Network, Owner, RouteReport, StaticAddresses, ipv4_config, ipv6_config,
};

/// The least forward delay that a network can ask for; a bridge without the spanning tree protocol often has less.
const LEAST_FORWARD_DELAY_CS: u32 = 200;
/// The protocol number of routes that routers advertise, which nobody asks for.
const PROTOCOL_ADVERTISED: u32 = 9;

/// The parts of a host's capabilities that an adoption is made from.
pub const READ: [&str; 4] = ["bridges", "vlans", "nics", "routes"];

/// What is to be adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The bridge's device.
    pub bridge: &'a str,
    /// The network's name; the bridge's where none is said.
    pub network: Option<&'a str>,
    /// The port that is the way out, where several could be.
    pub uplink: Option<&'a str>,
}

/// A request's parts that adopt a bridge.
#[derive(Debug, Clone, PartialEq)]
pub struct Adoption {
    /// The bridge as a network.
    pub network: Network,
    /// The devices that become Trestle's: the bridge, and the VLAN device that it stands on.
    pub adopt_devices: Vec<String>,
    /// What will not stay as it is, for people.
    pub notes: Vec<String>,
}

/// Says why a bridge cannot be adopted. The caller must ask for another, or say more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptionError {
    /// There is no such bridge.
    #[error("the host has no bridge {0}")]
    NoBridge(String),
    /// The bridge is not somebody else's.
    #[error("{0} is Trestle's already; host list shows whose")]
    Ours(String),
    /// The port that was said is none of the bridge's that can be the way out.
    #[error("{uplink} is no NIC and no VLAN device in {bridge}")]
    NotAnUplink {
        /// The port.
        uplink: String,
        /// The bridge.
        bridge: String,
    },
    /// Several ports could be the way out.
    #[error("{bridge} has several ports that could be the way out; say which with --uplink: {}", .ports.join(", "))]
    SeveralUplinks {
        /// The bridge.
        bridge: String,
        /// The ports.
        ports: Vec<String>,
    },
}

/// Describes the bridge as a network.
///
/// *Errors*: [`AdoptionError`].
pub fn adoption(capabilities: &Capabilities, wanted: Wanted<'_>) -> Result<Adoption, AdoptionError> {
    let Wanted { bridge: name, network, uplink } = wanted;
    let bridge = capabilities.bridges.iter().find(|bridge| bridge.name == name);
    let bridge = bridge.ok_or_else(|| AdoptionError::NoBridge(name.to_owned()))?;
    match bridge.owner() {
        Owner::Foreign => {}
        Owner::Trestle | Owner::Unspecified => return Err(AdoptionError::Ours(name.to_owned())),
    }
    let Below { nic, vlan_id, device } = below(capabilities, bridge, uplink)?;
    let mut notes = Vec::new();
    let dynamic = bridge.addresses.iter().find(|address| address.origin() == AddressOrigin::Dynamic);
    if let Some(address) = dynamic {
        notes.push(format!("{} came from outside and will go; give the network an address", address.address));
    }
    let gateway = |of_family: fn(&str) -> bool| {
        let mut routes =
            capabilities.routes.iter().filter(|route| route.device == name && of_family(&route.destination));
        routes.find(|route| is_default(&route.destination) && route.protocol != PROTOCOL_ADVERTISED)
    };
    let (ipv4_gateway, ipv6_gateway) = (gateway(|text| !is_ipv6(text)), gateway(is_ipv6));
    let of = |wanted: bool, gateway: Option<String>| {
        let given = bridge.addresses.iter().filter(|address| is_static(address) && is_ipv6(&address.address) == wanted);
        let addresses: Vec<String> = given.map(|address| address.address.clone()).collect();
        (!addresses.is_empty()).then_some(StaticAddresses { addresses, gateway })
    };
    let next_hop =
        |route: Option<&RouteReport>| route.map(|route| route.gateway.clone()).filter(|gateway| !gateway.is_empty());
    let has_router = capabilities
        .routes
        .iter()
        .any(|route| route.device == name && is_default(&route.destination) && route.protocol == PROTOCOL_ADVERTISED);
    let is_auto = bridge.addresses.iter().any(|address| address.origin() == AddressOrigin::Auto);
    let ipv6 = match of(true, next_hop(ipv6_gateway)) {
        Some(given) => Some(ipv6_config::Method::Static(given)),
        None => is_auto.then_some(ipv6_config::Method::Auto(Advertised {})),
    };
    if has_router && matches!(ipv6, Some(ipv6_config::Method::Static(_))) {
        notes.push("the default router advertises itself and will go; give the network a gateway".to_owned());
    }
    let is_routed = has_router && matches!(ipv6, Some(ipv6_config::Method::Auto(_)));
    let options = bridge.options.unwrap_or_default();
    let network = Network {
        name: network.unwrap_or(name).to_owned(),
        bridge_name: name.to_owned(),
        southbound: nic.map(Southbound::Nic),
        vlan_id,
        mtu: Some(bridge.mtu),
        stp: options.stp,
        bridge_options: Some(kept(&options)),
        ipv4: of(false, next_hop(ipv4_gateway))
            .map(|given| Ipv4Config { method: Some(ipv4_config::Method::Static(given)) }),
        ipv6: ipv6.map(|method| Ipv6Config { method: Some(method) }),
        default_route: is_routed || next_hop(ipv4_gateway).or_else(|| next_hop(ipv6_gateway)).is_some(),
        ..Network::default()
    };
    let adopt_devices = [name.to_owned()].into_iter().chain(device).collect();
    Ok(Adoption { network, adopt_devices, notes })
}

/// What a bridge stands on.
#[derive(Clone, Default)]
struct Below {
    nic: Option<String>,
    vlan_id: Option<u32>,
    /// The VLAN device, which is adopted, too.
    device: Option<String>,
}

/// Finds what the bridge stands on.
fn below(capabilities: &Capabilities, bridge: &BridgeDevice, uplink: Option<&str>) -> Result<Below, AdoptionError> {
    let nics = capabilities.nics.iter().filter(|nic| !nic.missing);
    let nics = nics.map(|nic| (&nic.name, Below { nic: Some(nic.name.clone()), ..Below::default() }));
    let vlans = capabilities.vlans.iter().map(|vlan| {
        let (nic, device) = (Some(vlan.base.clone()), Some(vlan.name.clone()));
        (&vlan.name, Below { nic, vlan_id: Some(vlan.vlan_id), device })
    });
    let is_port = |name: &str| bridge.ports.iter().any(|port| port.device == name);
    let mut candidates: Vec<_> = nics.chain(vlans).filter(|(name, _)| is_port(name)).collect();
    if let Some(uplink) = uplink {
        candidates.retain(|(name, _)| *name == uplink);
        if candidates.is_empty() {
            return Err(AdoptionError::NotAnUplink { uplink: uplink.to_owned(), bridge: bridge.name.clone() });
        }
    }
    match candidates.as_slice() {
        [] => Ok(Below::default()),
        [(_, below)] => Ok(below.clone()),
        [_, ..] => {
            let ports = candidates.iter().map(|(name, _)| (*name).clone()).collect();
            Err(AdoptionError::SeveralUplinks { bridge: bridge.name.clone(), ports })
        }
    }
}

/// Returns the options that keep a bridge as it is.
fn kept(is: &BridgeReport) -> BridgeOptions {
    BridgeOptions {
        ageing_time_cs: Some(is.ageing_time_cs),
        forward_delay_cs: Some(is.forward_delay_cs).filter(|delay| *delay >= LEAST_FORWARD_DELAY_CS),
        hello_time_cs: Some(is.hello_time_cs),
        max_age_cs: Some(is.max_age_cs),
        priority: Some(is.priority),
        multicast_snooping: Some(is.multicast_snooping),
        multicast_querier: Some(is.multicast_querier),
        group_fwd_mask: Some(is.group_fwd_mask),
        // A bridge that does not filter has no use for them, and a kernel without VLAN filtering takes neither.
        vlan_filtering: is.vlan_filtering.then_some(true),
        default_pvid: is.vlan_filtering.then_some(is.default_pvid),
        ..is.options.unwrap_or_default()
    }
}

fn is_static(address: &AddressReport) -> bool {
    address.origin() == AddressOrigin::Static
}

fn is_ipv6(text: &str) -> bool {
    text.contains(':')
}

fn is_default(destination: &str) -> bool {
    destination == "0.0.0.0/0" || destination == "::/0"
}

#[cfg(test)]
mod tests;

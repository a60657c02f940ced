//! `copy`: gives a host the networks of another.

use std::collections::BTreeMap;
use std::net::IpAddr;

use trestle_proto::engine::v1::{AnyResource, CopyHostNetworksRequest, HostAddresses};
use trestle_proto::engine_wire::view_any;
use trestle_proto::host::v1::{Dhcp, Ipv4Config, Ipv6Config, StaticAddresses, ipv4_config, ipv6_config};

use crate::apply::{CALL_TIMEOUT, follower};
use crate::arguments::Copy;
use crate::context::Context;
use crate::engine::{Engine, name_of};
use crate::failure::{Failure, findings_text};
use crate::get::whole;
use crate::kind::Kind;
use crate::output;

/// Runs `copy`.
///
/// # Errors
/// When the engine is not reached or refuses; when the target fails or takes too long.
pub(crate) async fn copy(context: &Context, arguments: Copy) -> Result<(), Failure> {
    let named = |host: &str| if Kind::Host.names(host) { Ok(host.to_owned()) } else { whole(Kind::Host, host) };
    let target = named(&arguments.target)?;
    let asked = CopyHostNetworksRequest {
        source: named(&arguments.source)?,
        target: target.clone(),
        devices: arguments.device.iter().map(|pair| read_pair(pair)).collect::<Result<_, _>>()?,
        addresses: read_addresses(&arguments.address)?,
        remove_others: arguments.remove_others,
        validate_only: arguments.writing.dry_run,
        acknowledge_warnings: arguments.writing.acknowledge,
        ..CopyHostNetworksRequest::default()
    };
    let is_dry = asked.validate_only;
    let engine = Engine::connect(context, CALL_TIMEOUT).await?;
    let follower = if is_dry { None } else { follower(context, &engine, &arguments.waiting).await? };
    let done = engine.copy(asked).await?;
    let would = if is_dry { "would be " } else { "" };
    for name in &done.removed {
        output::data(format_args!("{name} {would}removed"))?;
    }
    for resource in done.resources.iter().filter_map(resource_name) {
        output::data(format_args!("{resource} {would}written"))?;
    }
    output::notes(&findings_text(&done.findings));
    match follower {
        Some(follower) => follower.settled(vec![target], Vec::new()).await,
        None => Ok(()),
    }
}

fn resource_name(any: &AnyResource) -> Option<String> {
    view_any(any).map(|resource| name_of(&resource).to_owned())
}

fn read_pair(text: &str) -> Result<(String, String), Failure> {
    let bad = || Failure::Usage(format!("{text:?} is no pair of devices: write SOURCE=TARGET"));
    text.split_once('=').map(|(from, to)| (from.to_owned(), to.to_owned())).ok_or_else(bad)
}

/// What is given of a network.
#[derive(Default)]
struct Given {
    ipv4: StaticAddresses,
    ipv6: StaticAddresses,
    dhcp: bool,
}

/// Reads `NETWORK=ADDRESS/PREFIX[@GATEWAY]` and `NETWORK=dhcp`; several of one network are put together.
fn read_addresses(texts: &[String]) -> Result<Vec<HostAddresses>, Failure> {
    let mut networks: BTreeMap<String, Given> = BTreeMap::new();
    for text in texts {
        let bad = || {
            let form = "write NETWORK=ADDRESS/PREFIX[@GATEWAY] or NETWORK=dhcp";
            Failure::Usage(format!("{text:?} is no address: {form}"))
        };
        let (network, given) = text.split_once('=').ok_or_else(bad)?;
        let name = if Kind::Network.names(network) { network.to_owned() } else { whole(Kind::Network, network)? };
        let network = networks.entry(name).or_default();
        if given == "dhcp" {
            network.dhcp = true;
            continue;
        }
        let (address, gateway) = match given.split_once('@') {
            Some((address, gateway)) => (address, Some(gateway.to_owned())),
            None => (given, None),
        };
        let ip: IpAddr = address.split('/').next().and_then(|ip| ip.parse().ok()).ok_or_else(bad)?;
        let statics = if ip.is_ipv4() { &mut network.ipv4 } else { &mut network.ipv6 };
        statics.addresses.push(address.to_owned());
        statics.gateway = gateway.or_else(|| statics.gateway.take());
    }
    Ok(networks.into_iter().map(build).collect())
}

fn build((network, Given { ipv4, ipv6, dhcp }): (String, Given)) -> HostAddresses {
    let is_given = |statics: &StaticAddresses| !statics.addresses.is_empty();
    let v4 = match dhcp {
        true => Some(ipv4_config::Method::Dhcp(Dhcp {})),
        false => is_given(&ipv4).then_some(ipv4_config::Method::Static(ipv4)),
    };
    let v6 = is_given(&ipv6).then_some(ipv6_config::Method::Static(ipv6));
    HostAddresses {
        network,
        ipv4: v4.map(|method| Ipv4Config { method: Some(method) }),
        ipv6: v6.map(|method| Ipv6Config { method: Some(method) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Vec<HostAddresses>, Failure> {
        read_addresses(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn statics(addresses: &[&str], gateway: Option<&str>) -> StaticAddresses {
        StaticAddresses {
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            gateway: gateway.map(str::to_owned),
        }
    }

    #[test]
    fn addresses_of_one_network_are_put_together() {
        let given = ["blue=192.0.2.5/24@192.0.2.1", "networks/blue=192.0.2.6/24", "blue=2001:db8::5/64", "red=dhcp"];
        let read = read(&given).unwrap();
        let [blue, red] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(blue.network, "networks/blue");
        let expected = ipv4_config::Method::Static(statics(&["192.0.2.5/24", "192.0.2.6/24"], Some("192.0.2.1")));
        assert_eq!(blue.ipv4.as_ref().unwrap().method, Some(expected));
        let expected = ipv6_config::Method::Static(statics(&["2001:db8::5/64"], None));
        assert_eq!(blue.ipv6.as_ref().unwrap().method, Some(expected));
        assert_eq!(red.ipv4.as_ref().unwrap().method, Some(ipv4_config::Method::Dhcp(Dhcp {})));
        assert_eq!(red.ipv6, None);
    }

    #[test]
    fn what_is_no_address_is_refused_before_anything_is_sent() {
        for bad in ["blue", "blue=", "blue=auto", "blue=999.0.0.1/24"] {
            assert!(matches!(read(&[bad]), Err(Failure::Usage(_))), "{bad}");
        }
        assert!(matches!(read_pair("eth1"), Err(Failure::Usage(_))));
    }
}

//! IPv4 and IPv6 configurations.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};
use trestle_model::{BadIpConfig, Code, Finding, Ipv4Config, Ipv6Config, StaticIpv4, StaticIpv6};

use crate::form::{Form, quoted};
use crate::host::v1 as wire;
use crate::host::v1::{ipv4_config, ipv6_config};

/// Reads an IPv4 configuration; absent, and without a method, is none.
pub(crate) fn read_ipv4(form: &mut Form, path: &str, config: Option<&wire::Ipv4Config>) -> Ipv4Config {
    match config.and_then(|config| config.method.as_ref()) {
        None => Ipv4Config::None,
        Some(ipv4_config::Method::Static(given)) => {
            let path = format!("{path}.static");
            IPV4.read(form, &path, given).map_or(Ipv4Config::None, Ipv4Config::Static)
        }
        Some(ipv4_config::Method::Dhcp(wire::Dhcp {})) => Ipv4Config::Dhcp,
    }
}

/// Reads an IPv6 configuration; absent, and without a method, is none.
pub(crate) fn read_ipv6(form: &mut Form, path: &str, config: Option<&wire::Ipv6Config>) -> Ipv6Config {
    match config.and_then(|config| config.method.as_ref()) {
        None => Ipv6Config::None,
        Some(ipv6_config::Method::Static(given)) => {
            let path = format!("{path}.static");
            IPV6.read(form, &path, given).map_or(Ipv6Config::None, Ipv6Config::Static)
        }
        Some(ipv6_config::Method::Auto(wire::Advertised {})) => Ipv6Config::Auto,
        Some(ipv6_config::Method::Dhcp(wire::Dhcp {})) => Ipv6Config::Dhcp,
        Some(ipv6_config::Method::AutoAndDhcp(wire::AdvertisedAndDhcp {})) => Ipv6Config::AutoAndDhcp,
    }
}

/// Builds an IPv4 configuration; none is absent.
pub(crate) fn build_ipv4(config: &Ipv4Config) -> Option<wire::Ipv4Config> {
    match config {
        Ipv4Config::None => None,
        Ipv4Config::Dhcp => Some(wire::Ipv4Config { method: Some(ipv4_config::Method::Dhcp(wire::Dhcp {})) }),
        Ipv4Config::Static(given) => {
            let addresses = build_static(given.addresses(), given.gateway());
            Some(wire::Ipv4Config { method: Some(ipv4_config::Method::Static(addresses)) })
        }
    }
}

/// Builds an IPv6 configuration; none is absent.
pub(crate) fn build_ipv6(config: &Ipv6Config) -> Option<wire::Ipv6Config> {
    let method = match config {
        Ipv6Config::None => return None,
        Ipv6Config::Static(given) => ipv6_config::Method::Static(build_static(given.addresses(), given.gateway())),
        Ipv6Config::Auto => ipv6_config::Method::Auto(wire::Advertised {}),
        Ipv6Config::Dhcp => ipv6_config::Method::Dhcp(wire::Dhcp {}),
        Ipv6Config::AutoAndDhcp => ipv6_config::Method::AutoAndDhcp(wire::AdvertisedAndDhcp {}),
    };
    Some(wire::Ipv6Config { method: Some(method) })
}

fn build_static<N: Display, G: Display>(addresses: &[N], gateway: Option<G>) -> wire::StaticAddresses {
    wire::StaticAddresses {
        addresses: addresses.iter().map(N::to_string).collect(),
        gateway: gateway.map(|gateway| gateway.to_string()),
    }
}

/// Checks addresses and a gateway together.
type Make<N, G, T> = fn(Vec<N>, Option<G>) -> Result<T, Vec<BadIpConfig>>;

/// What differs between the two families: prefixes `N`, addresses `G`, and the static configuration `T`.
struct Family<N, G, T> {
    name: &'static str,
    example: &'static str,
    host: fn(&N) -> G,
    make: Make<N, G, T>,
}

const IPV4: Family<Ipv4Net, Ipv4Addr, StaticIpv4> =
    Family { name: "IPv4", example: "192.0.2.10/24", host: Ipv4Net::addr, make: StaticIpv4::new };

const IPV6: Family<Ipv6Net, Ipv6Addr, StaticIpv6> =
    Family { name: "IPv6", example: "2001:db8::10/64", host: Ipv6Net::addr, make: StaticIpv6::new };

impl<N: Copy + Display + FromStr, G: Copy + Display + FromStr + Ord, T> Family<N, G, T> {
    fn read(&self, form: &mut Form, path: &str, given: &wire::StaticAddresses) -> Option<T> {
        let gateway_path = format!("{path}.gateway");
        let gateway = given.gateway.as_deref().map(|text| self.gateway(form, &gateway_path, text));
        if given.addresses.is_empty() {
            form.note(if given.gateway.is_some() {
                Finding::error(Code::GatewayWithoutAddress, gateway_path, "a gateway is given without an address")
                    .remedy("give the address that reaches the gateway, or leave the gateway out")
            } else {
                let path = format!("{path}.addresses");
                Finding::error(Code::BadAddress, path, BadIpConfig::NoAddress.to_string())
                    .remedy(format!("give an address such as {}, or leave the whole configuration out", self.example))
            });
            return None;
        }
        let mut nets = Vec::new();
        let mut seen = BTreeSet::new();
        for (position, text) in given.addresses.iter().enumerate() {
            let path = format!("{path}.addresses[{position}]");
            let Some(net) = self.address(form, &path, text) else { continue };
            if !seen.insert((self.host)(&net)) {
                let message = BadIpConfig::Twice(net.to_string()).to_string();
                form.note(Finding::error(Code::BadAddress, path, message).remedy("give each address once"));
                continue;
            }
            nets.push(net);
        }
        // A gateway is only measured against addresses that are all good.
        let gateway = match gateway {
            Some(None) => return None,
            Some(Some(gateway)) => Some(gateway),
            None => None,
        };
        if nets.len() < given.addresses.len() {
            return None;
        }
        (self.make)(nets, gateway).map_err(|faults| self.note(form, path, &gateway_path, &faults)).ok()
    }

    fn address(&self, form: &mut Form, path: &str, text: &str) -> Option<N> {
        let Ok(net) = text.parse::<N>() else {
            let message = format!("{} is not an {} address with a prefix length", quoted(text), self.name);
            let finding = Finding::error(Code::BadAddress, path, message);
            form.note(finding.remedy(format!("write it as {}", self.example)));
            return None;
        };
        (self.make)(vec![net], None).map_err(|faults| self.note(form, path, path, &faults)).ok().map(|_| net)
    }

    fn gateway(&self, form: &mut Form, path: &str, text: &str) -> Option<G> {
        text.parse::<G>()
            .map_err(|_| {
                let message = format!("gateway {} is not an {} address", quoted(text), self.name);
                form.note(
                    Finding::error(Code::BadAddress, path, message).remedy("give an address without prefix length"),
                );
            })
            .ok()
    }

    fn note(&self, form: &mut Form, path: &str, gateway_path: &str, faults: &[BadIpConfig]) {
        for fault in faults {
            let (code, path, remedy) = match fault {
                BadIpConfig::NoAddress => (Code::BadAddress, path, "give at least one address"),
                BadIpConfig::NotAnInterfaceAddress(_) => {
                    (Code::BadAddress, path, "give a unicast address that is neither its network's first nor last one")
                }
                BadIpConfig::Twice(_) => (Code::BadAddress, path, "give each address once"),
                BadIpConfig::GatewayNotOnLink(_) => {
                    (Code::GatewayNotOnLink, gateway_path, "give a gateway inside one of the addresses' prefixes")
                }
            };
            form.note(Finding::error(code, path, fault.to_string()).remedy(remedy));
        }
    }
}

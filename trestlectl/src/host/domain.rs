//! Domains of libvirt, for people.

use trestle_proto::host::v1::{Domain, DomainInterface, DomainState};

use crate::output::or_dash;

/// What the columns of a table of interfaces tell.
pub(super) const HEADS: [&str; 8] = ["DOMAIN", "STATE", "MAC", "WIRED TO", "TAP", "MODEL", "FILTER", "LINK"];

/// Returns a line for each interface of a domain, and one for a domain that has none.
pub(super) fn rows(domain: &Domain) -> Vec<[String; 8]> {
    let row = |interface: &DomainInterface| {
        let filter = interface.filter.clone().unwrap_or_default().name;
        let link = if interface.linked { "up" } else { "down" };
        [
            domain.name.clone(),
            state(domain.state()).to_owned(),
            interface.mac.clone(),
            place(interface),
            or_dash(interface.tap.clone()),
            or_dash(interface.model.clone()),
            or_dash(filter),
            link.to_owned(),
        ]
    };
    if domain.interfaces.is_empty() {
        let dash = || "-".to_owned();
        let state = state(domain.state()).to_owned();
        return vec![[domain.name.clone(), state, dash(), dash(), dash(), dash(), dash(), dash()]];
    }
    domain.interfaces.iter().map(row).collect()
}

/// Says in short where an interface is wired to.
pub(super) fn wiring(interface: &DomainInterface) -> String {
    let link = if interface.linked { "" } else { ", link down" };
    format!("{} to {}{link}", interface.mac, place(interface))
}

/// Says what a domain does.
pub(crate) const fn state(state: DomainState) -> &'static str {
    match state {
        DomainState::Unspecified => "unknown",
        DomainState::Running => "running",
        DomainState::Paused => "paused",
        DomainState::ShutOff => "shut off",
        DomainState::Other => "other",
    }
}

/// Says what an interface is wired to.
pub(crate) fn place(interface: &DomainInterface) -> String {
    match (interface.network.as_str(), interface.bridge.as_str()) {
        ("", "") => interface.attachment.clone(),
        ("", bridge) => format!("bridge {bridge}"),
        (network, "") => format!("network {network}"),
        (network, bridge) => format!("network {network}, bridge {bridge}"),
    }
}

#[cfg(test)]
mod tests {
    use trestle_proto::host::v1::FilterReference;

    use super::*;

    #[test]
    fn shows_each_interface_on_a_line_and_domains_without() {
        let interface = DomainInterface {
            mac: "52:54:00:00:00:01".to_owned(),
            attachment: "bridge".to_owned(),
            network: "trestle-blue".to_owned(),
            bridge: "blue".to_owned(),
            tap: "vnet0".to_owned(),
            model: "virtio".to_owned(),
            filter: Some(FilterReference { name: "clean-traffic".to_owned(), parameters: Vec::new() }),
            linked: true,
            ..DomainInterface::default()
        };
        let direct = DomainInterface { attachment: "direct".to_owned(), ..DomainInterface::default() };
        let state = DomainState::Running.into();
        let web = Domain { name: "web".to_owned(), state, interfaces: vec![interface, direct], ..Domain::default() };
        let bare = Domain { name: "bare".to_owned(), state: DomainState::ShutOff.into(), ..Domain::default() };
        let lines: Vec<String> = [web, bare].iter().flat_map(rows).map(|row| row.join("|")).collect();
        assert_eq!(
            lines,
            [
                "web|running|52:54:00:00:00:01|network trestle-blue, bridge blue|vnet0|virtio|clean-traffic|up",
                "web|running||direct|-|-|-|down",
                "bare|shut off|-|-|-|-|-|-",
            ]
        );
    }
}

//! What tables show of each kind.

use prost_reflect::DynamicMessage;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_filter::Choice;
use trestle_proto::engine::v1::{NetworkRole, SwitchType, TaggingMode, VnicModel};
use trestle_proto::host::v1::{ipv4_config, ipv6_config};
use trestle_proto::schema;

use crate::host::{capabilities, domain};
use crate::kind::{Kind, id_of};
use crate::output::{self, or_dash, yes};
use crate::status::{connection_text, state_text, sync_text};

/// Writes a table of resources of a kind.
pub(super) fn text(kind: Kind, resources: &[DynamicMessage]) -> String {
    match kind {
        Kind::Cluster => {
            let heads = ["NAME", "SWITCH", "MANAGEMENT", "MIGRATION", "DISPLAY", "DEFAULT ROUTE", "DESCRIPTION"];
            output::table_text(heads, resources.iter().map(cluster))
        }
        Kind::Network => {
            let heads = ["NAME", "VM NETWORK", "VLAN", "MTU", "STP", "MACS BY LIBVIRT", "DESCRIPTION"];
            output::table_text(heads, resources.iter().map(network))
        }
        Kind::ClusterNetwork => {
            output::table_text(["NAME", "REQUIRED", "ROLES"], resources.iter().map(cluster_network))
        }
        Kind::VnicProfile => {
            output::table_text(["NAME", "FILTER", "GUEST TAGGING", "DESCRIPTION"], resources.iter().map(vnic_profile))
        }
        Kind::Host => {
            let heads = ["NAME", "CLUSTER", "STATE", "CONNECTION", "SYNC", "MAINTENANCE", "DESCRIPTION"];
            output::table_text(heads, resources.iter().map(host))
        }
        Kind::NetworkAttachment => {
            let heads = ["NAME", "STANDS ON", "ADDRESSES", "DEFAULT ROUTE", "LABEL"];
            output::table_text(heads, resources.iter().map(network_attachment))
        }
        Kind::Bond => output::table_text(["NAME", "MODE", "NICS"], resources.iter().map(bond)),
        Kind::MacPool => {
            output::table_text(["NAME", "RANGES", "FREE", "DUPLICATES", "DESCRIPTION"], resources.iter().map(mac_pool))
        }
        Kind::Vm => output::table_text(
            ["NAME", "DISPLAY NAME", "CLUSTER", "HOST", "SEEN ON", "SEEN", "DESCRIPTION"],
            resources.iter().map(vm),
        ),
        Kind::Vnic => {
            let heads =
                ["NAME", "MAC", "PROFILE", "MODEL", "PLUGGED", "LINKED", "EXTRA MACS", "SEEN ON", "SEEN", "BREAKS"];
            output::table_text(heads, resources.iter().map(vnic))
        }
    }
}

/// Writes the line of a table for one resource, without the heads.
pub(super) fn line(kind: Kind, resource: &DynamicMessage) -> String {
    let text = text(kind, std::slice::from_ref(resource));
    text.split_once('\n').map(|(_, line)| line.to_owned()).unwrap_or_default()
}

fn cluster(resource: &DynamicMessage) -> [String; 7] {
    let wire::Cluster { name, spec, status, .. } = schema::typed(resource);
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    // In parentheses what nobody said: the management network stands in.
    let holder = |role| {
        let holder = status.roles.iter().find(|holder| holder.role() == role);
        let network = holder.map(|holder| (id_of(&holder.network), holder.by_default));
        network
            .map_or_else(|| "-".to_owned(), |(id, stands_in)| if stands_in { format!("({id})") } else { id.to_owned() })
    };
    let [management, migration, display, default_route] =
        [NetworkRole::Management, NetworkRole::Migration, NetworkRole::Display, NetworkRole::DefaultRoute].map(holder);
    let switch = match spec.switch_type() {
        SwitchType::Unspecified | SwitchType::LinuxBridge => "Linux bridge",
        SwitchType::Ovs => "Open vSwitch",
    };
    [name, switch.to_owned(), management, migration, display, default_route, spec.description]
}

fn network(resource: &DynamicMessage) -> [String; 7] {
    let wire::Network { name, spec, .. } = schema::typed(resource);
    let spec = spec.unwrap_or_default();
    let vlan = spec.vlan_id.map_or_else(|| "untagged".to_owned(), |vlan| vlan.to_string());
    let mtu = spec.mtu.map_or_else(|| "default".to_owned(), |mtu| mtu.to_string());
    let macs = yes(spec.manage_macs_with_libvirt);
    [name, yes(spec.vm_network.unwrap_or(true)), vlan, mtu, yes(spec.stp), macs, spec.description]
}

fn cluster_network(resource: &DynamicMessage) -> [String; 3] {
    let wire::ClusterNetwork { name, spec, .. } = schema::typed(resource);
    let spec = spec.unwrap_or_default();
    let given = [
        (spec.management, "management"),
        (spec.migration, "migration"),
        (spec.display, "display"),
        (spec.default_route, "default route"),
    ];
    let roles: Vec<_> = given.into_iter().filter_map(|(given, role)| given.then_some(role)).collect();
    [name, yes(spec.required || spec.management), or_dash(roles.join(", "))]
}

fn vnic_profile(resource: &DynamicMessage) -> [String; 4] {
    let wire::VnicProfile { name, spec, .. } = schema::typed(resource);
    let spec = spec.unwrap_or_default();
    let filter = match spec.network_filter.and_then(|filter| filter.choice) {
        Some(Choice::None(true)) => "none".to_owned(),
        Some(Choice::Named(filter)) => filter,
        Some(Choice::None(false)) | None => "default".to_owned(),
    };
    let tagging = spec.guest_tagging.unwrap_or_default();
    let tagging = match tagging.mode() {
        TaggingMode::Unspecified | TaggingMode::None => "no".to_owned(),
        TaggingMode::List => tagging.vlan_ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        TaggingMode::Any => "any".to_owned(),
        TaggingMode::Unknown => "unknown".to_owned(),
    };
    [name, filter, tagging, spec.description]
}

fn host(resource: &DynamicMessage) -> [String; 7] {
    let wire::Host { name, spec, status, .. } = schema::typed(resource);
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let (connection, sync) = (connection_text(status.connection()).to_owned(), sync_text(status.sync()).to_owned());
    let state = state_text(status.state()).to_owned();
    [name, spec.cluster, state, connection, sync, yes(spec.maintenance), spec.description]
}

fn network_attachment(resource: &DynamicMessage) -> [String; 5] {
    let wire::NetworkAttachment { name, spec, status, .. } = schema::typed(resource);
    let spec = spec.unwrap_or_default();
    let v4 = spec.ipv4.and_then(|config| config.method).map(|method| match method {
        ipv4_config::Method::Static(given) => given.addresses,
        ipv4_config::Method::Dhcp(_) => vec!["dhcp".to_owned()],
    });
    let v6 = spec.ipv6.and_then(|config| config.method).map(|method| match method {
        ipv6_config::Method::Static(given) => given.addresses,
        ipv6_config::Method::Auto(_) => vec!["auto".to_owned()],
        ipv6_config::Method::Dhcp(_) => vec!["dhcpv6".to_owned()],
        ipv6_config::Method::AutoAndDhcp(_) => vec!["auto".to_owned(), "dhcpv6".to_owned()],
    });
    let addresses: Vec<_> = v4.into_iter().chain(v6).flatten().collect();
    let device = if spec.bond.is_empty() { spec.nic } else { spec.bond };
    [
        name,
        or_dash(device),
        or_dash(addresses.join(",")),
        yes(spec.default_route),
        or_dash(status.unwrap_or_default().nic_label),
    ]
}

fn bond(resource: &DynamicMessage) -> [String; 3] {
    let wire::Bond { name, spec, .. } = schema::typed(resource);
    let spec = spec.unwrap_or_default();
    [name, capabilities::mode(spec.mode()), or_dash(spec.nics.join(","))]
}

fn mac_pool(resource: &DynamicMessage) -> [String; 5] {
    let wire::MacPool { name, spec, status, .. } = schema::typed(resource);
    let spec = spec.unwrap_or_default();
    let ranges: Vec<_> = spec.ranges.iter().map(|range| format!("{} to {}", range.first, range.last)).collect();
    let free = status.map_or_else(|| "-".to_owned(), |status| format!("{} of {}", status.free, status.size));
    [name, ranges.join("\n"), free, yes(spec.allow_duplicates), spec.description]
}

fn vm(resource: &DynamicMessage) -> [String; 7] {
    let wire::Vm { name, spec, status, .. } = schema::typed(resource);
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let mut seen = plug_text(status.sync(), &status.differences);
    if status.unmanaged_interface_count > 0 {
        seen = format!("{seen}, {} interfaces of no vNIC's", status.unmanaged_interface_count);
    }
    let place = |domain: &wire::SeenDomain| format!("{} ({})", id_of(&domain.host), domain::state(domain.state()));
    let places: Vec<_> = status.seen.iter().map(place).collect();
    [name, spec.display_name, spec.cluster, or_dash(spec.host), or_dash(places.join(", ")), seen, spec.description]
}

fn vnic(resource: &DynamicMessage) -> [String; 10] {
    let wire::Vnic { name, spec, status, .. } = schema::typed(resource);
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let model = match spec.model() {
        VnicModel::Unspecified | VnicModel::Virtio => "virtio",
        VnicModel::E1000e => "e1000e",
        VnicModel::E1000 => "e1000",
        VnicModel::Rtl8139 => "rtl8139",
    };
    let plugging = status.plugging.as_ref().map(plugging_text).unwrap_or_default();
    let seen = format!("{}{plugging}", plug_text(status.sync(), &status.differences));
    let codes: Vec<_> = status.violations.iter().map(|finding| finding.code.as_str()).collect();
    let (breaks, mac) = (or_dash(codes.join(", ")), or_dash(status.mac));
    let place = status.seen.map(|seen| id_of(&seen.host).to_owned()).unwrap_or_default();
    let (plugged, linked) = (yes(spec.plugged.unwrap_or(true)), yes(spec.linked.unwrap_or(true)));
    let extra = or_dash(spec.extra_macs.join(","));
    [name, mac, or_dash(spec.profile), model.to_owned(), plugged, linked, extra, or_dash(place), seen, breaks]
}

/// Tells whether what is seen of a guest is what is wanted, and what differs: `network: networks/blue, is bridge br0`.
fn plug_text(sync: wire::PlugSync, differences: &[wire::PlugDifference]) -> String {
    let name = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
    let difference =
        |it: &wire::PlugDifference| format!("{} {}, is {}", it.field, name(&it.expected), name(&it.actual));
    match sync {
        wire::PlugSync::Unspecified | wire::PlugSync::Unknown => "unknown".to_owned(),
        wire::PlugSync::InSync => "in sync".to_owned(),
        wire::PlugSync::Absent => "absent".to_owned(),
        wire::PlugSync::Different => differences.iter().map(difference).collect::<Vec<_>>().join("; "),
    }
}

/// Tells what is done about a difference: ` (pending)`, ` (failed: REPLUG_NEEDED)`.
fn plugging_text(plugging: &wire::Plugging) -> String {
    let codes: Vec<_> = plugging.findings.iter().map(|finding| finding.code.as_str()).collect();
    let codes = codes.join(", ");
    match plugging.state() {
        wire::PlugState::Unspecified | wire::PlugState::None => String::new(),
        wire::PlugState::Pending => " (pending)".to_owned(),
        wire::PlugState::UnderWay => " (under way)".to_owned(),
        wire::PlugState::Failed => format!(" (failed: {codes})"),
        wire::PlugState::Withheld => format!(" (withheld: {codes})"),
    }
}

//! What is set on NICs, in words.

use trestle_proto::host::v1::{
    Nic, NicOffloads, NicReport, VirtualFunctionLink, VirtualFunctionReport, VirtualFunctionVlan,
};

use super::drift;
use crate::output::or_dash;

/// The columns of [`row`].
pub(super) const HEADS: [&str; 6] = ["NIC", "RX RING", "TX RING", "VFS", "SET", "DRIFT"];

/// Describes a NIC of which something can be set, or is to be; none where neither is so.
pub(super) fn row(report: &NicReport) -> Option<[String; 6]> {
    let rings = report.settings.as_ref().and_then(|settings| settings.rings);
    let sriov = report.settings.as_ref().and_then(|settings| settings.sriov.as_ref());
    if rings.is_none() && sriov.is_none() && report.configured.is_none() {
        return None;
    }
    let (rx, tx) = match rings {
        Some(rings) => (format!("{} of {}", rings.rx, rings.rx_max), format!("{} of {}", rings.tx, rings.tx_max)),
        None => (String::new(), String::new()),
    };
    Some([
        report.name.clone(),
        or_dash(rx),
        or_dash(tx),
        or_dash(sriov.map(|sriov| format!("{} of {}", sriov.vfs.len(), sriov.vfs_max)).unwrap_or_default()),
        or_dash(report.configured.as_ref().map(described).unwrap_or_default()),
        or_dash(drift::described(&report.drift, &report.repairs)),
    ])
}

/// The columns of [`functions`].
pub(super) const FUNCTION_HEADS: [&str; 9] =
    ["NIC", "VF", "DEVICE", "DRIVER", "MAC", "VLAN", "LINK", "SPOOF CHECK", "TRUST"];

/// Describes the virtual functions of a NIC.
pub(super) fn functions(report: &NicReport) -> Vec<[String; 9]> {
    let sriov = report.settings.as_ref().and_then(|settings| settings.sriov.as_ref());
    let functions = sriov.map_or(&[][..], |sriov| sriov.vfs.as_slice());
    let switch = |on: Option<bool>| on.map_or("", |on| if on { "on" } else { "off" }).to_owned();
    let row = |(number, function): (usize, &VirtualFunctionReport)| {
        let set = function.set.clone();
        let link = set.as_ref().map_or("", |set| match set.link() {
            VirtualFunctionLink::Unspecified => "",
            VirtualFunctionLink::Auto => "auto",
            VirtualFunctionLink::Enabled => "enabled",
            VirtualFunctionLink::Disabled => "disabled",
        });
        let set = set.unwrap_or_default();
        [
            report.name.clone(),
            number.to_string(),
            or_dash(function.device.clone()),
            or_dash(function.driver.clone()),
            or_dash(set.mac),
            or_dash(set.vlan.map(vlan).unwrap_or_default()),
            or_dash(link.to_owned()),
            or_dash(switch(set.spoof_check)),
            or_dash(switch(set.trusted)),
        ]
    };
    functions.iter().enumerate().map(row).collect()
}

fn vlan(vlan: VirtualFunctionVlan) -> String {
    let VirtualFunctionVlan { id, priority, service_tag } = vlan;
    let priority = if priority == 0 { String::new() } else { format!(" priority {priority}") };
    format!("{id}{priority}{}", if service_tag { " 802.1ad" } else { "" })
}

/// Says what is to be set; empty where nothing is.
pub(super) fn described(nic: &Nic) -> String {
    let rings = nic.rings.unwrap_or_default();
    let lengths = [("rx ring", rings.rx), ("tx ring", rings.tx), ("virtual functions", nic.sriov_vfs)];
    let lengths = lengths.into_iter().filter_map(|(name, length)| Some(format!("{name} {}", length?)));
    lengths.chain(nic.offloads.iter().flat_map(switches)).collect::<Vec<_>>().join(", ")
}

/// Names the offloads as `ethtool -k` does.
fn switches(offloads: &NicOffloads) -> Vec<String> {
    let named = [
        ("rx-checksumming", offloads.rx_checksum),
        ("tx-checksumming", offloads.tx_checksum),
        ("scatter-gather", offloads.scatter_gather),
        ("tcp-segmentation-offload", offloads.tcp_segmentation),
        ("generic-segmentation-offload", offloads.generic_segmentation),
        ("generic-receive-offload", offloads.generic_receive),
        ("large-receive-offload", offloads.large_receive),
        ("rx-vlan-offload", offloads.rx_vlan),
        ("tx-vlan-offload", offloads.tx_vlan),
        ("receive-hashing", offloads.rx_hash),
        ("ntuple-filters", offloads.ntuple),
    ];
    let named = named.into_iter().filter_map(|(name, on)| Some((name, on?)));
    let features = offloads.features.iter().map(|(name, on)| (name.as_str(), *on));
    let mut switches: Vec<(&str, bool)> = features.collect();
    switches.sort_unstable();
    named.chain(switches).map(|(name, on)| format!("{name} {}", if on { "on" } else { "off" })).collect()
}

#[cfg(test)]
mod tests {
    use trestle_proto::host::v1::{NicRings, NicRingsReport, NicSettings, NicSriovReport, VirtualFunctionSettings};

    use super::*;

    #[test]
    fn a_nic_is_told_with_its_rings_and_what_is_to_be_set() {
        let offloads = NicOffloads {
            generic_receive: Some(false),
            features: [("tx-udp-segmentation".to_owned(), true)].into(),
            ..NicOffloads::default()
        };
        let rings = NicRings { rx: Some(512), tx: None };
        let nic = Nic { rings: Some(rings), offloads: Some(offloads), ..Nic::default() };
        let is = NicRingsReport { rx: 512, rx_max: 1024, tx: 256, tx_max: 256 };
        let settings = NicSettings { rings: Some(is), ..NicSettings::default() };
        let report = NicReport {
            name: "eth0".to_owned(),
            settings: Some(settings),
            configured: Some(nic),
            ..NicReport::default()
        };
        let set = "rx ring 512, generic-receive-offload off, tx-udp-segmentation on";
        assert_eq!(row(&report).unwrap(), ["eth0", "512 of 1024", "256 of 256", "-", set, "-"]);
        assert_eq!(row(&NicReport::default()), None);
    }

    #[test]
    fn virtual_functions_are_told_with_what_was_set_for_them() {
        let set = VirtualFunctionSettings {
            mac: "52:54:00:00:00:01".to_owned(),
            vlan: Some(VirtualFunctionVlan { id: 100, priority: 5, service_tag: true }),
            link: VirtualFunctionLink::Disabled.into(),
            spoof_check: Some(true),
            trusted: None,
        };
        let function =
            VirtualFunctionReport { driver: "vfio-pci".to_owned(), set: Some(set), ..VirtualFunctionReport::default() };
        let sriov = NicSriovReport { vfs_max: 7, vfs: vec![function, VirtualFunctionReport::default()] };
        let settings = NicSettings { sriov: Some(sriov), ..NicSettings::default() };
        let report = NicReport { name: "eth0".to_owned(), settings: Some(settings), ..NicReport::default() };
        let told = ["eth0", "0", "-", "vfio-pci", "52:54:00:00:00:01", "100 priority 5 802.1ad", "disabled", "on", "-"];
        assert_eq!(functions(&report), [told, ["eth0", "1", "-", "-", "-", "-", "-", "-", "-"]]);
        assert!(functions(&NicReport::default()).is_empty());
    }
}

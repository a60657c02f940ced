//! What is set on NICs, in words.

use trestle_proto::host::v1::{Nic, NicOffloads, NicReport};

use super::capabilities::or_dash;
use super::drift;

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
    use trestle_proto::host::v1::{NicRings, NicRingsReport, NicSettings};

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
}

//! The rules of guests' ports.

use trestle_model::{BridgeWired, Code, Finding, GuestNic, GuestPorts, MacAddr, SourceMacs, VlanId};

use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// Reads the rules, and notes every violation.
pub(crate) fn read_guest_ports(form: &mut Form, path: &str, ports: Option<&wire::GuestPorts>) -> GuestPorts {
    let Some(ports) = ports else { return GuestPorts::default() };
    let mut read = GuestPorts {
        source_macs: if ports.lock_source_macs { SourceMacs::Locked } else { SourceMacs::Any },
        bridge_wired: bridge_wired(form, &format!("{path}.bridge_wired"), ports.bridge_wired),
        ..GuestPorts::default()
    };
    limit(form, &format!("{path}.nics"), ports.nics.len(), GuestPorts::MOST_NICS, "NICs");
    for (position, nic) in ports.nics.iter().take(GuestPorts::MOST_NICS).enumerate() {
        let path = format!("{path}.nics[{position}]");
        let rules = read_nic(form, &path, nic);
        let Some(mac) = read_mac(form, &format!("{path}.mac"), &nic.mac) else { continue };
        if read.nics.insert(mac, rules).is_some() {
            let finding = Finding::error(Code::Duplicate, format!("{path}.mac"), format!("{mac} is given twice"));
            form.note(finding.remedy("name each NIC once, with all that it may have"));
        }
    }
    if read.entries() > GuestPorts::MOST_ENTRIES {
        let most = GuestPorts::MOST_ENTRIES;
        let message = format!("the MACs and VLANs come to {} forwarding entries, more than {most}", read.entries());
        let finding = Finding::error(Code::TooLong, format!("{path}.nics"), message);
        form.note(finding.remedy("allow fewer NICs fewer MACs or VLANs"));
    }
    read
}

/// Builds the wire's form; none where nothing is said.
pub(crate) fn build_guest_ports(ports: &GuestPorts) -> Option<wire::GuestPorts> {
    let nic = |(mac, nic): (&MacAddr, &GuestNic)| wire::GuestNic {
        mac: mac.to_string(),
        extra_macs: nic.extra_macs.iter().map(ToString::to_string).collect(),
        vlan_ids: nic.vlans.iter().copied().map(u32::from).collect(),
    };
    let bridge_wired = match ports.bridge_wired {
        BridgeWired::Convert => wire::BridgeWired::Convert,
        BridgeWired::Refuse => wire::BridgeWired::Refuse,
    };
    (!ports.is_default()).then(|| wire::GuestPorts {
        lock_source_macs: ports.source_macs == SourceMacs::Locked,
        nics: ports.nics.iter().map(nic).collect(),
        bridge_wired: bridge_wired.into(),
    })
}

fn bridge_wired(form: &mut Form, path: &str, number: i32) -> BridgeWired {
    match form.known(path, number) {
        Some(wire::BridgeWired::Refuse) => BridgeWired::Refuse,
        Some(wire::BridgeWired::Unspecified | wire::BridgeWired::Convert) | None => BridgeWired::Convert,
    }
}

fn read_nic(form: &mut Form, path: &str, nic: &wire::GuestNic) -> GuestNic {
    let mut read = GuestNic::default();
    let (macs, vlans) = (format!("{path}.extra_macs"), format!("{path}.vlan_ids"));
    limit(form, &macs, nic.extra_macs.len(), GuestPorts::MOST_EXTRA_MACS, "MACs");
    for (position, text) in nic.extra_macs.iter().take(GuestPorts::MOST_EXTRA_MACS).enumerate() {
        let path = format!("{macs}[{position}]");
        let Some(mac) = read_mac(form, &path, text) else { continue };
        if !read.extra_macs.insert(mac) {
            let finding = Finding::error(Code::Duplicate, path, format!("{mac} is given twice"));
            form.note(finding.remedy("give each MAC once"));
        }
    }
    limit(form, &vlans, nic.vlan_ids.len(), GuestPorts::MOST_VLANS, "VLANs");
    for (position, number) in nic.vlan_ids.iter().take(GuestPorts::MOST_VLANS).enumerate() {
        let path = format!("{vlans}[{position}]");
        let Some(id) = VlanId::try_from(*number).ok().filter(|id| id.get() > 0) else {
            let message = format!("VLAN {number} is out of range 1..4094");
            form.note(Finding::error(Code::VlanOutOfRange, path, message).remedy("give a VLAN from 1 to 4094"));
            continue;
        };
        if !read.vlans.insert(id) {
            let finding = Finding::error(Code::Duplicate, path, format!("VLAN {id} is given twice"));
            form.note(finding.remedy("give each VLAN once"));
        }
    }
    read
}

fn read_mac(form: &mut Form, path: &str, text: &str) -> Option<MacAddr> {
    let read = text.parse::<MacAddr>().ok().filter(|mac| !mac.is_multicast() && !mac.is_zero());
    if read.is_none() {
        let message = format!("{} is no MAC of a station", quoted(text));
        let remedy = "give a MAC of the form 52:54:00:12:34:56 that is neither zero nor multicast";
        form.note(Finding::error(Code::BadAddress, path, message).remedy(remedy));
    }
    read
}

fn limit(form: &mut Form, path: &str, count: usize, most: usize, what: &str) {
    if count > most {
        let message = format!("{count} {what} are more than {most}");
        form.note(Finding::error(Code::TooLong, path, message).remedy("leave some out"));
    }
}

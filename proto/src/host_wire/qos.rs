//! What networks are given of devices, and what queues what leaves those.

use std::collections::BTreeMap;

use trestle_model::{BitRate, Code, Egress, Finding, HostQos, Shaping, TrafficClass};

use crate::form::Form;
use crate::host::v1 as wire;

/// Reads a network's rates; absent are none.
pub(crate) fn read_qos(form: &mut Form, path: &str, qos: Option<&wire::HostQos>) -> Option<HostQos> {
    let qos = qos?;
    let mut rate = |name: &str, bits: u64| {
        let path = format!("{path}.{name}");
        let read = BitRate::try_from(bits);
        read.map_err(|bad| {
            let remedy = "give bit/s: 1000 to 34359738000, a multiple of 1000";
            form.note(Finding::error(Code::QosInvalid, path, bad.to_string()).remedy(remedy));
        })
        .ok()
    };
    let link_share = rate("link_share_bps", qos.link_share_bps);
    let upper_limit = qos.upper_limit_bps.map(|bits| rate("upper_limit_bps", bits));
    let committed_rate = qos.committed_rate_bps.map(|bits| rate("committed_rate_bps", bits));
    Some(HostQos {
        link_share: link_share?,
        upper_limit: transposed(upper_limit)?,
        committed_rate: transposed(committed_rate)?,
    })
}

/// Builds the wire's form of rates.
pub(crate) fn build_qos(qos: &HostQos) -> wire::HostQos {
    wire::HostQos {
        link_share_bps: qos.link_share.get(),
        upper_limit_bps: qos.upper_limit.map(u64::from),
        committed_rate_bps: qos.committed_rate.map(u64::from),
    }
}

/// Reads what queues what leaves a device.
pub(crate) fn read_egress(form: &mut Form, path: &str, egress: Option<&wire::EgressReport>) -> Egress {
    let Some(egress) = egress else { return Egress::Kernels };
    if !egress.foreign.is_empty() {
        return Egress::Foreign(egress.foreign.clone());
    }
    let mut classes = BTreeMap::new();
    for (position, class) in egress.classes.iter().enumerate() {
        let path = format!("{path}.classes[{position}]");
        let vlan = form.vlan(&format!("{path}.vlan_id"), class.vlan_id);
        if let Some(qos) = read_qos(form, &format!("{path}.qos"), class.qos.as_ref()) {
            classes.insert(vlan.map_or(TrafficClass::Rest, TrafficClass::Vlan), qos);
        }
    }
    Egress::Shaped(Shaping(classes))
}

/// Builds the wire's form of what queues what leaves a device.
pub(crate) fn build_egress(egress: &Egress) -> Option<wire::EgressReport> {
    match egress {
        Egress::Kernels => None,
        Egress::Foreign(kind) => Some(wire::EgressReport { foreign: kind.clone(), classes: Vec::new() }),
        Egress::Shaped(Shaping(classes)) => {
            let class = |(class, qos): (&TrafficClass, &HostQos)| wire::TrafficClassReport {
                vlan_id: match class {
                    TrafficClass::Rest => None,
                    TrafficClass::Vlan(id) => Some((*id).into()),
                },
                qos: Some(build_qos(qos)),
            };
            Some(wire::EgressReport { foreign: String::new(), classes: classes.iter().map(class).collect() })
        }
    }
}

/// Returns a value that may be left out; `None` where it was given and could not be read.
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

//! What a network is given of the device below it: what contradicts itself, and what the host cannot do.

use trestle_model::{Code, Egress, Feature, Finding, HostConfig, HostState, IfName, NetworkSpec, Support};

use super::error;
use crate::census::Census;
use crate::composition::shaping;

/// Finds rates that contradict each other, or stand on nothing.
pub(super) fn wish(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    let Some(qos) = spec.host_qos else { return };
    if spec.southbound.is_none() {
        let message = "a network that stands on nothing has nothing to share";
        let finding = error(spec, Code::QosWithoutSouthbound, field, "host_qos", message);
        findings.push(finding.remedy("name a NIC or a bond, or leave host_qos out"));
    }
    if let (Some(limit), Some(rate)) = (qos.upper_limit, qos.committed_rate)
        && rate > limit
    {
        let message = format!("{rate} are committed, and the network may send {limit} at most");
        let finding = error(spec, Code::QosInvalid, field, "host_qos.committed_rate_bps", message);
        findings.push(finding.remedy(format!("commit {limit} at most, or raise the upper limit")));
    }
}

/// Finds what keeps the device below a network from being shaped, where that is to be.
pub(super) fn surroundings(
    spec: &NetworkSpec,
    field: &str,
    desired: &HostConfig,
    census: &Census<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(southbound) = &spec.southbound else { return };
    if shaping(desired, southbound.device()).is_some()
        && let Some(finding) = obstacle(southbound.device(), census.state)
    {
        findings.push(Finding { field: super::sub(field, "host_qos"), ..finding.about(&spec.name) });
    }
}

/// Returns what keeps a device from being shaped, if anything does; it says nothing of field and subject.
pub(crate) fn obstacle(device: &IfName, observed: &HostState) -> Option<Finding> {
    if let Support::Absent(reason) | Support::Unknown(reason) = observed.features.support(Feature::EgressShaping) {
        let message = format!("the kernel lacks {}: {reason}", Feature::EgressShaping);
        let finding =
            Finding::error(Code::KernelLacksFeature, "", message).related([Feature::EgressShaping.to_string()]);
        return Some(finding.remedy(format!("use a host that has {}, or leave host_qos out", Feature::EgressShaping)));
    }
    match &observed.kernel.links.get(device)?.egress {
        Egress::Kernels | Egress::Shaped(_) => None,
        Egress::Foreign(kind) => {
            let message = format!("{device} has a queueing discipline {kind} that is not Trestle's");
            let finding = Finding::error(Code::ForeignQdisc, "", message).related([device.to_string()]);
            Some(finding.remedy(format!("remove it (tc qdisc del dev {device} root), or leave host_qos out")))
        }
    }
}

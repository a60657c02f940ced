//! DHCP clients and their leases.

use prost_types::Timestamp;
use trestle_model::{Code, DhcpClient, DhcpClientSpec, DhcpState, Finding, IpFamily, Lease, LeaseRoute};

use super::parse::{read_all, read_required, read_text, unsaid};
use crate::engine_wire::timestamp;
use crate::form::Form;
use crate::host::v1 as wire;

pub(super) fn build_client(client: &DhcpClient) -> wire::DhcpReport {
    let family = match client.spec.family {
        IpFamily::Ipv4 => wire::IpFamily::Ipv4,
        IpFamily::Ipv6 => wire::IpFamily::Ipv6,
    };
    let state = match client.state {
        DhcpState::Searching => wire::DhcpState::Searching,
        DhcpState::Verifying => wire::DhcpState::Verifying,
        DhcpState::Bound => wire::DhcpState::Bound,
        DhcpState::Renewing => wire::DhcpState::Renewing,
    };
    wire::DhcpReport {
        device: client.spec.link.to_string(),
        family: family.into(),
        segment: client.spec.segment.to_string(),
        default_route: client.spec.default_route,
        state: state.into(),
        lease: client.lease.as_ref().map(build_lease),
        problem: client.problem.clone().unwrap_or_default(),
        source_table: client.spec.source_table,
        nameservers: client.spec.nameservers,
        search_domains: client.spec.search_domains,
    }
}

fn build_lease(lease: &Lease) -> wire::LeaseReport {
    let route = |route: &LeaseRoute| wire::LeaseRoute {
        destination: route.destination.to_string(),
        next_hop: route.next_hop.map(|hop| hop.to_string()).unwrap_or_default(),
    };
    wire::LeaseReport {
        address: lease.address.to_string(),
        server: lease.server.clone(),
        gateways: lease.gateways.iter().map(ToString::to_string).collect(),
        routes: lease.routes.iter().map(route).collect(),
        nameservers: lease.nameservers.iter().map(ToString::to_string).collect(),
        search_domains: lease.search.clone(),
        expire_time: lease.expires_ms.map(timestamp),
        lifetime_s: lease.lifetime_s,
        renew_s: lease.renew_s,
        preferred_s: lease.preferred_s,
    }
}

pub(super) fn read_client(form: &mut Form, path: &str, client: &wire::DhcpReport) -> Option<DhcpClient> {
    let link = read_required(form, &format!("{path}.device"), &client.device, Code::NameInvalid);
    let segment = read_required(form, &format!("{path}.segment"), &client.segment, Code::NameInvalid);
    let family = match form.known(&format!("{path}.family"), client.family) {
        Some(wire::IpFamily::Ipv4) => Some(IpFamily::Ipv4),
        Some(wire::IpFamily::Ipv6) => Some(IpFamily::Ipv6),
        Some(wire::IpFamily::Unspecified) => unsaid(form, format!("{path}.family")),
        None => None,
    };
    let state = match form.known(&format!("{path}.state"), client.state) {
        Some(wire::DhcpState::Searching) => Some(DhcpState::Searching),
        Some(wire::DhcpState::Verifying) => Some(DhcpState::Verifying),
        Some(wire::DhcpState::Bound) => Some(DhcpState::Bound),
        Some(wire::DhcpState::Renewing) => Some(DhcpState::Renewing),
        Some(wire::DhcpState::Unspecified) => unsaid(form, format!("{path}.state")),
        None => None,
    };
    let lease = match &client.lease {
        Some(lease) => Some(read_lease(form, &format!("{path}.lease"), lease)?),
        None => None,
    };
    let problem = Some(client.problem.clone()).filter(|problem| !problem.is_empty());
    let spec = DhcpClientSpec {
        link: link?,
        family: family?,
        segment: segment?,
        default_route: client.default_route,
        source_table: client.source_table,
        nameservers: client.nameservers,
        search_domains: client.search_domains,
    };
    Some(DhcpClient { spec, state: state?, lease, problem })
}

fn read_lease(form: &mut Form, path: &str, lease: &wire::LeaseReport) -> Option<Lease> {
    let address = read_required(form, &format!("{path}.address"), &lease.address, Code::BadAddress);
    let hosts = |form: &mut Form, name: &str, given: &[String]| {
        let path = format!("{path}.{name}");
        read_all(form, &path, given, |form, path, host| read_required(form, path, host, Code::BadAddress))
    };
    let gateways = hosts(form, "gateways", &lease.gateways);
    let nameservers = hosts(form, "nameservers", &lease.nameservers);
    let routes = read_all(form, &format!("{path}.routes"), &lease.routes, |form, path, route: &wire::LeaseRoute| {
        let destination = read_required(form, &format!("{path}.destination"), &route.destination, Code::BadAddress);
        let next_hop = read_text(form, &format!("{path}.next_hop"), &route.next_hop, Code::BadAddress);
        Some(LeaseRoute { destination: destination?, next_hop })
    });
    let expires_ms = match &lease.expire_time {
        Some(time) => Some(read_time(form, &format!("{path}.expire_time"), time)?),
        None => None,
    };
    Some(Lease {
        address: address?,
        server: lease.server.clone(),
        gateways,
        routes,
        nameservers,
        search: lease.search_domains.clone(),
        expires_ms,
        lifetime_s: lease.lifetime_s,
        renew_s: lease.renew_s,
        preferred_s: lease.preferred_s,
    })
}

/// Reads a time after 1970 as milliseconds since then.
pub(super) fn read_time(form: &mut Form, path: &str, time: &Timestamp) -> Option<u64> {
    let seconds = u64::try_from(time.seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
    let nanos = u64::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let ms = seconds.zip(nanos).and_then(|(ms, nanos)| ms.checked_add(nanos / 1_000_000));
    if ms.is_none() {
        form.note(Finding::error(Code::FieldConflict, path, "the time is out of range"));
    }
    ms
}

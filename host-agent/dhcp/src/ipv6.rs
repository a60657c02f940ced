//! DHCPv6 (RFC 8415): one address that is not temporary; the conversations, and what a server's words come to.
//!
//! mozim 0.3 takes no notice of a server that no longer knows the lease, and asks more and more often rather than less.
//! Both end with the limit of a conversation: the client asks anew then, after a rest.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use mozim::{
    DhcpError, DhcpV6Client, DhcpV6Config, DhcpV6Duid, DhcpV6DuidUuid, DhcpV6IaType, DhcpV6Lease, DhcpV6Mode,
    DhcpV6State, ErrorKind,
};
use tokio::time::timeout;
use trestle_model::{DhcpClientSpec, Lease};
use uuid::Uuid;

use crate::device::Device;
use crate::exchange::{ACQUIRE_LIMIT, Answer, expiry_ms, silence};

/// `OPTION_SERVERID`.
const SERVER_ID: u16 = 2;
const LEAST_LIFETIME_S: u32 = 10;
/// When mozim asks the lease's server, and when every server, in seconds.
const RENEWAL_S: (u32, u32) = (1, 6);

pub(crate) async fn acquire(spec: &DhcpClientSpec, device: &Device, duid: Uuid) -> Result<Lease, String> {
    let conversation = async {
        let mut client = client(spec, device, duid).await?;
        granted(&mut client).await
    };
    match timeout(ACQUIRE_LIMIT, conversation).await {
        Ok(Ok(given)) => lease(&given),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(silence(device, spec)),
    }
}

pub(crate) async fn renew(spec: &DhcpClientSpec, device: &Device, duid: Uuid, held: &Lease) -> Answer {
    let conversation = async {
        let mut client = client(spec, device, duid).await?;
        client.done(as_given(spec, duid, held)?)?;
        // The first run waits until it is due.
        client.run().await?;
        granted(&mut client).await
    };
    match timeout(ACQUIRE_LIMIT, conversation).await {
        Ok(Ok(given)) => match lease(&given) {
            Ok(lease) => Answer::Confirmed(lease),
            Err(reason) => Answer::None(reason),
        },
        Ok(Err(error)) => Answer::None(error.to_string()),
        Err(_) => Answer::None(silence(device, spec)),
    }
}

async fn granted(client: &mut DhcpV6Client) -> Result<DhcpV6Lease, DhcpError> {
    loop {
        if let DhcpV6State::Done(given) = client.run().await? {
            return Ok(*given);
        }
    }
}

async fn client(spec: &DhcpClientSpec, device: &Device, duid: Uuid) -> Result<DhcpV6Client, DhcpError> {
    let own = device.link_local.ok_or_else(|| DhcpError::new(ErrorKind::IoError, silence(device, spec)))?;
    let mut config = DhcpV6Config::new(spec.link.as_str(), DhcpV6Mode::NonTemporaryAddresses);
    config.set_iface_index(device.index);
    config.set_link_local_ip(own);
    config.set_duid(host_duid(duid));
    config.set_iaid(iaid(spec));
    DhcpV6Client::init(config, None).await
}

/// Returns the host's identity (RFC 6355), the same on all its devices.
fn host_duid(duid: Uuid) -> DhcpV6Duid {
    DhcpV6Duid::UUID(DhcpV6DuidUuid::new(duid.as_u128()))
}

/// Returns the number of the place that the address is for: FNV-1a of its name, 32 bits.
fn iaid(spec: &DhcpClientSpec) -> u32 {
    let bytes = spec.segment.as_str().bytes();
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Returns a lease in mozim's words, due at once.
fn as_given(spec: &DhcpClientSpec, duid: Uuid, held: &Lease) -> Result<DhcpV6Lease, DhcpError> {
    let invalid = |what: &str| DhcpError::new(ErrorKind::InvalidArgument, what.to_owned());
    let IpAddr::V6(address) = held.address.addr() else { return Err(invalid("an IPv4 lease")) };
    let server = bytes_of(&held.server).ok_or_else(|| invalid("a lease without its server"))?;
    let mut given = DhcpV6Lease::default();
    given.address = address;
    given.iaid = iaid(spec);
    given.ia_type = Some(DhcpV6IaType::NonTemporaryAddresses);
    given.cli_duid = host_duid(duid);
    given.srv_duid = DhcpV6Duid::Raw(server);
    (given.t1_sec, given.t2_sec) = RENEWAL_S;
    (given.preferred_time_sec, given.valid_time_sec) = (3600, 3600);
    Ok(given)
}

/// Reads what a server gave; the error says for people what is wrong with it.
fn lease(given: &DhcpV6Lease) -> Result<Lease, String> {
    let host = given.address;
    let is_usable =
        !(host.is_unspecified() || host.is_multicast() || host.is_loopback() || host.is_unicast_link_local());
    let net = Ipv6Net::new(host, 128).ok().filter(|_| is_usable);
    let net = net.ok_or_else(|| format!("a server gave {host}"))?;
    let lifetime_s = given.valid_time_sec.max(LEAST_LIFETIME_S);
    Ok(Lease {
        address: IpNet::V6(net),
        server: given
            .get_option_raw(SERVER_ID)
            .and_then(|all| all.first().map(|duid| text_of(duid)))
            .unwrap_or_default(),
        gateways: Vec::new(),
        routes: Vec::new(),
        nameservers: given.dns_srvs.iter().copied().map(IpAddr::V6).collect(),
        search: given.domain_list.clone(),
        expires_ms: expiry_ms(lifetime_s),
        lifetime_s,
        renew_s: given.t1_sec.clamp(LEAST_LIFETIME_S / 2, lifetime_s),
        preferred_s: given.preferred_time_sec.min(lifetime_s),
    })
}

/// Returns bytes as hexadecimal digits.
fn text_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads [`text_of`]'s text; `None` for anything else, and for none.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let whole = !digits.is_empty() && digits.len().is_multiple_of(2);
    whole.then(|| digits.chunks(2).map(pair).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use trestle_model::{IfName, IpFamily};

    use super::*;

    fn spec(segment: &str) -> DhcpClientSpec {
        let (link, segment) = (IfName::parse("blue").unwrap(), IfName::parse(segment).unwrap());
        DhcpClientSpec {
            link,
            family: IpFamily::Ipv6,
            segment,
            default_route: false,
            source_table: None,
            nameservers: false,
            search_domains: false,
        }
    }

    #[test]
    fn a_server_is_kept_as_text() {
        assert_eq!(bytes_of(&text_of(&[0, 1, 0xfe])), Some(vec![0, 1, 0xfe]));
        for bad in ["", "0", "0g", "é0"] {
            assert_eq!(bytes_of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn each_place_has_a_number_of_its_own_that_stays() {
        assert_eq!(iaid(&spec("eth0")), iaid(&spec("eth0")));
        assert_ne!(iaid(&spec("eth0")), iaid(&spec("eth0.10")));
    }

    #[test]
    fn reads_what_a_server_gives() {
        let mut given = DhcpV6Lease::default();
        given.address = "2001:db8::50".parse().unwrap();
        (given.t1_sec, given.t2_sec) = (1800, 2880);
        (given.preferred_time_sec, given.valid_time_sec) = (3600, 7200);
        let read = lease(&given).unwrap();
        assert_eq!(read.address.to_string(), "2001:db8::50/128");
        assert_eq!((read.renew_s, read.preferred_s, read.lifetime_s), (1800, 3600, 7200));
        given.address = "fe80::1".parse().unwrap();
        assert!(lease(&given).is_err());
    }
}

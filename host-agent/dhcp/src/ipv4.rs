//! DHCPv4 (RFC 2131): the conversations, and what a server's words come to.
//!
//! mozim 0.3 takes no notice of a refusal (DHCPNAK) while it renews. So a renewal is one unicast wish with a short limit,
//! and what is not granted then is verified by a broadcast as after a reboot, where a refusal is heard.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use mozim::{DhcpError, DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State};
use tokio::time::timeout;
use trestle_model::{DhcpClientSpec, Lease, LeaseRoute};

use crate::device::Device;
use crate::exchange::{ACQUIRE_LIMIT, Answer, CONFIRM_LIMIT, expiry_ms, silence};

/// A lease that is shorter is taken for this long: nobody can keep one by asking several times a second.
const LEAST_LIFETIME_S: u32 = 10;
/// How long mozim takes a lease for that is to be renewed at once.
const RENEWAL_S: (u32, u32, u32) = (1, 3600, 7200);

pub(crate) async fn acquire(spec: &DhcpClientSpec, device: &Device) -> Result<Lease, String> {
    let conversation = async {
        let mut client = client(spec, device, None).await?;
        granted(&mut client).await
    };
    match timeout(ACQUIRE_LIMIT, conversation).await {
        Ok(Ok(given)) => lease(&given),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(silence(device, spec)),
    }
}

pub(crate) async fn verify(spec: &DhcpClientSpec, device: &Device, held: &Lease) -> Answer {
    let conversation = async {
        let mut client = client(spec, device, Some(as_given(held)?)).await?;
        client.run().await
    };
    match timeout(CONFIRM_LIMIT, conversation).await {
        Ok(Ok(DhcpV4State::Done(given))) => confirmed(&given),
        // It gives a lease up at a refusal, or after more silence than fits in the limit.
        Ok(Ok(DhcpV4State::InitReboot | DhcpV4State::Selecting | DhcpV4State::Renewing | DhcpV4State::Rebinding)) => {
            Answer::Refused
        }
        Ok(Err(error)) => Answer::None(error.to_string()),
        Err(_) => Answer::None(silence(device, spec)),
    }
}

pub(crate) async fn renew(spec: &DhcpClientSpec, device: &Device, held: &Lease) -> Answer {
    let conversation = async {
        let mut client = client(spec, device, None).await?;
        let (t1, t2, lifetime) = RENEWAL_S;
        let mut due = as_given(held)?;
        (due.t1_sec, due.t2_sec, due.lease_time_sec) = (t1, t2, lifetime);
        client.done(due)?;
        granted_anew(&mut client).await
    };
    match timeout(Duration::from_secs(RENEWAL_S.0.into()) + CONFIRM_LIMIT, conversation).await {
        Ok(Ok(given)) => confirmed(&given),
        Ok(Err(error)) => Answer::None(error.to_string()),
        Err(_) => Answer::None(silence(device, spec)),
    }
}

/// Runs a client that has nothing until it has a lease.
async fn granted(client: &mut DhcpV4Client) -> Result<DhcpV4Lease, DhcpError> {
    loop {
        if let DhcpV4State::Done(given) = client.run().await? {
            return Ok(*given);
        }
    }
}

/// Runs a client whose lease is due until it has it anew.
async fn granted_anew(client: &mut DhcpV4Client) -> Result<DhcpV4Lease, DhcpError> {
    // The first run waits until it is due.
    client.run().await?;
    granted(client).await
}

async fn client(spec: &DhcpClientSpec, device: &Device, lease: Option<DhcpV4Lease>) -> Result<DhcpV4Client, DhcpError> {
    let mut config = DhcpV4Config::new(spec.link.as_str());
    config.set_iface_index(device.index);
    config.set_iface_mac_raw(&device.mac.octets())?;
    config.use_mac_as_client_id();
    DhcpV4Client::init(config, lease).await
}

fn confirmed(given: &DhcpV4Lease) -> Answer {
    match lease(given) {
        Ok(lease) => Answer::Confirmed(lease),
        Err(reason) => Answer::None(reason),
    }
}

/// Returns a lease in mozim's words.
fn as_given(held: &Lease) -> Result<DhcpV4Lease, DhcpError> {
    let IpNet::V4(net) = held.address else {
        return Err(DhcpError::new(mozim::ErrorKind::InvalidArgument, "an IPv6 lease".to_owned()));
    };
    let mut given = DhcpV4Lease::default();
    given.yiaddr = net.addr();
    given.subnet_mask = net.netmask();
    given.srv_id = held.server.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    (given.t1_sec, given.t2_sec, given.lease_time_sec) = RENEWAL_S;
    Ok(given)
}

/// Reads what a server gave; the error says for people what is wrong with it.
fn lease(given: &DhcpV4Lease) -> Result<Lease, String> {
    let host = given.yiaddr;
    let is_usable = !(host.is_unspecified() || host.is_multicast() || host.is_broadcast() || host.is_loopback());
    let net = Ipv4Net::with_netmask(host, given.subnet_mask).ok().filter(|net| is_usable && net.prefix_len() > 0);
    let net = net.ok_or_else(|| format!("a server gave {host} with mask {}", given.subnet_mask))?;
    let hop = |router: Ipv4Addr| Some(IpAddr::V4(router)).filter(|_| !router.is_unspecified());
    let route = |given: &mozim::DhcpV4ClasslessRoute| {
        let destination = Ipv4Net::new(given.destination, given.prefix_length).ok()?;
        Some(LeaseRoute { destination: IpNet::V4(destination.trunc()), next_hop: hop(given.router) })
    };
    let lifetime_s = given.lease_time_sec.max(LEAST_LIFETIME_S);
    Ok(Lease {
        address: IpNet::V4(net),
        server: if given.srv_id.is_unspecified() { String::new() } else { given.srv_id.to_string() },
        gateways: given.gateways.iter().flatten().copied().filter_map(hop).collect(),
        routes: given.classless_routes.iter().flatten().filter_map(route).collect(),
        nameservers: given.dns_srvs.iter().flatten().copied().filter_map(hop).collect(),
        search: given.domain_search.clone().unwrap_or_else(|| given.domain_name.iter().cloned().collect()),
        expires_ms: expiry_ms(lifetime_s),
        lifetime_s,
        renew_s: given.t1_sec.clamp(LEAST_LIFETIME_S / 2, lifetime_s),
        preferred_s: lifetime_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(address: [u8; 4], mask: [u8; 4]) -> DhcpV4Lease {
        let mut given = DhcpV4Lease::default();
        (given.yiaddr, given.subnet_mask) = (address.into(), mask.into());
        (given.t1_sec, given.t2_sec, given.lease_time_sec) = (1800, 3000, 3600);
        given.srv_id = [192, 0, 2, 1].into();
        given
    }

    #[test]
    fn reads_what_a_server_gives() {
        let mut given = given([192, 0, 2, 50], [255, 255, 255, 0]);
        given.gateways = Some(vec![[192, 0, 2, 1].into(), Ipv4Addr::UNSPECIFIED]);
        given.domain_name = Some("example.org".to_owned());
        let read = lease(&given).unwrap();
        assert_eq!((read.address.to_string().as_str(), read.server.as_str()), ("192.0.2.50/24", "192.0.2.1"));
        assert_eq!(read.gateways, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((read.renew_s, read.lifetime_s), (1800, 3600));
        assert_eq!(read.search, ["example.org"]);
        assert_eq!(as_given(&read).unwrap().yiaddr, given.yiaddr);
    }

    #[test]
    fn refuses_what_no_interface_can_have() {
        for (address, mask) in [
            ([0, 0, 0, 0], [255, 255, 255, 0]),
            ([224, 0, 0, 1], [255, 255, 255, 0]),
            ([127, 0, 0, 1], [255, 0, 0, 0]),
            ([192, 0, 2, 50], [0, 0, 0, 0]),
            ([192, 0, 2, 50], [255, 0, 255, 0]),
        ] {
            assert!(lease(&given(address, mask)).is_err(), "{address:?} {mask:?}");
        }
    }

    #[test]
    fn a_lease_for_ever_never_ends_and_a_hectic_one_is_slowed_down() {
        let mut forever = given([192, 0, 2, 50], [255, 255, 255, 0]);
        forever.lease_time_sec = u32::MAX;
        assert_eq!(lease(&forever).unwrap().expires_ms, None);
        let mut hectic = given([192, 0, 2, 50], [255, 255, 255, 0]);
        (hectic.t1_sec, hectic.t2_sec, hectic.lease_time_sec) = (1, 2, 3);
        let read = lease(&hectic).unwrap();
        assert_eq!((read.renew_s, read.lifetime_s), (5, 10));
    }
}

//! Cases about DHCP clients; nobody has to answer them.

use trestle_model::{DhcpClientSpec, IfName, IpFamily};

use super::bench::{Bench, same, up};
use crate::{DhcpStep, Host};

pub(super) async fn clients_come_and_go<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let client = |link: &IfName, default_route| DhcpClientSpec {
        link: link.clone(),
        family: IpFamily::Ipv4,
        segment: bench.nic.clone(),
        default_route,
        source_table: None,
        nameservers: false,
        search_domains: false,
    };
    let stop = |link: &IfName| DhcpStep::Stop { link: link.clone(), family: IpFamily::Ipv4 };
    let (nic, other) = (&bench.nic, &bench.other_nic);
    bench.perform([up(nic), up(other)]).await?;
    bench.perform([DhcpStep::Start(client(nic, false)), DhcpStep::Start(client(other, false))]).await?;
    same("clients", &clients(bench).await?, &[client(nic, false), client(other, false)].into())?;
    bench.perform([DhcpStep::Start(client(nic, true))]).await?;
    same("clients", &clients(bench).await?, &[client(nic, true), client(other, false)].into())?;
    bench.perform([stop(nic)]).await?;
    same("clients", &clients(bench).await?, &[client(other, false)].into())?;
    bench.perform([stop(other), stop(&bench.bridge)]).await?;
    same("clients", &clients(bench).await?, &Vec::new())?;
    let refused = bench.perform_once(&[DhcpStep::Start(client(&bench.bridge, false)).into()]).await.is_err();
    same("a client on a device that is not there is refused", &refused, &true)
}

/// Returns the clients on the cases' devices, ordered by device.
async fn clients<H: Host>(bench: &Bench<'_, H>) -> Result<Vec<DhcpClientSpec>, String> {
    let clients = bench.state().await?.dhcp.into_iter().map(|client| client.spec);
    let mut clients: Vec<_> = clients.filter(|spec| [&bench.nic, &bench.other_nic].contains(&&spec.link)).collect();
    clients.sort_by_key(|spec| spec.link != bench.nic);
    Ok(clients)
}

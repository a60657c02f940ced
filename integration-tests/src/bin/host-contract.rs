//! Puts the real host, kernel and libvirt, through the contract suite of every host; run by `tests/host_contract.rs` in
//! a machine of the lab, where `eth1` and `eth2` are free for it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use host_agent::bus::Bus;
use host_agent::host::RealHost;
use host_agent::journal::Journal;
use host_agent::leases::Leases;
use host_agent::nameservers::NameServers;
use host_agent::resolver::{RESOLV_CONF, Resolver};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trestle_dhcp::{Dhcp, Routers};
use trestle_model::IfName;
use trestle_netlink::Kernel;
use trestle_plan::contract::{self, Verdict};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let libvirt = trestle_libvirt::Options {
        uri: "qemu:///system".to_owned(),
        call_timeout: Duration::from_secs(30),
        poll_period: Duration::from_secs(1),
    };
    let folder = tempfile::tempdir()?;
    let dhcp = Dhcp::new(Uuid::new_v4(), Vec::new());
    let journal = Journal::open(folder.path()).await?;
    let resolver = NameServers::new(Resolver::new(RESOLV_CONF.into(), Bus::default()), journal.clone());
    let (leases, settlement) =
        Leases::new(dhcp.clone(), Routers::deaf(), Kernel::connect()?, resolver.clone(), journal)?;
    let mut keeping = JoinSet::new();
    keeping.spawn(leases.run(CancellationToken::new()));
    let host = RealHost::connect(release.trim().to_owned(), Some(libvirt), dhcp, settlement, resolver).await?;
    let results = contract::run(&host, &[IfName::parse("eth1")?, IfName::parse("eth2")?]).await;
    for result in &results {
        println!("{result}");
    }
    if let Some(libvirt) = host.libvirt() {
        libvirt.shutdown().await;
    }
    let passed = results.iter().all(|result| result.verdict == Verdict::Passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

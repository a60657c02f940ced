//! A bond of the fleet on a real host: it takes the network that stands on its NIC along, and carries another.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::{Fleet, network};

use crate::SETTLE;

const SHORT: Duration = Duration::from_secs(30);

/// A bond of the NIC that `blue` stands on and of a free one, and a network on it with a route.
const BONDED: &str = "
kind: Bond
name: hosts/host-a/bonds/bond0
spec: {nics: [eth1, eth2], mode: BOND_MODE_ACTIVE_BACKUP, options: {primary: eth1}}
---
kind: Network
name: networks/violet
spec: {vlanId: 200}
---
kind: ClusterNetwork
name: clusters/lab/clusterNetworks/violet
---
kind: NetworkAttachment
name: hosts/host-a/networkAttachments/violet
spec:
  bond: bond0
  ipv4: {static: {addresses: [203.0.113.1/24]}}
  routes: [{destination: 198.51.100.0/24, nextHop: 203.0.113.254}]
  custom: {tier: gold}
";

pub(crate) async fn a_bond_takes_its_networks_along(fleet: &Fleet) -> Result<()> {
    let refused = fleet.ctl.refused(BONDED).await?;
    ensure!(refused.contains("NIC_IN_USE") && refused.contains("hosts/host-a/networkAttachments/blue"), "{refused}");
    fleet.ctl.apply_with(BONDED, &["--acknowledge", "NIC_IN_USE"]).await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    let status = fleet.status("host-a").await?;
    ensure!(status["bonds"][0]["bond"] == "hosts/host-a/bonds/bond0", "{status:#}");
    ensure!(status["bonds"][0]["sync"] == "SYNC_IN_SYNC", "{status:#}");
    ensure!(network(&status, "violet").context("no violet")?["sync"] == "SYNC_IN_SYNC", "{status:#}");

    let host = &fleet.a;
    for (port, master) in [("eth1", "bond0"), ("eth2", "bond0"), ("bond0.10", "blue"), ("bond0.200", "violet")] {
        let link = host.link(port).await?;
        ensure!(link["master"] == master, "{link}");
    }
    let route = host.run("ip route show 198.51.100.0/24").await?;
    ensure!(route.contains("via 203.0.113.254 dev violet"), "{route}");
    host.machine.wait_until("ping -c1 -W2 10.10.0.2", SHORT).await
}

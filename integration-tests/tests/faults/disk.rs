//! The file system of the agent's store becomes read-only, as one does that meets an error of its disk.

use anyhow::{Result, ensure};
use integration_tests::fleet::Fleet;
use serde_json::json;

use crate::SETTLE;
use crate::local::{ask, network_local, reports, until_told};

const STORE: &str = "/var/lib/trestle";

pub(crate) async fn is_read_only_for_a_while(fleet: &mut Fleet) -> Result<()> {
    let host = &fleet.a;
    let before = host.picture().await?;
    let wish = json!({"networks": [network_local()], "connectivityCheck": "CONNECTIVITY_CHECK_NONE"});
    // As the kernel does it by itself when a disk fails; whoever has a file open to write keeps it open.
    host.run("echo u >/proc/sysrq-trigger").await?;
    host.machine.wait_until(&format!("! touch {STORE}/probe"), SETTLE).await?;
    ask(host, &wish).await?;
    let told = until_told(host, "STORE_FAILED\\|OUTCOME_ROLL").await;
    let tells = reports(host, "blue").await;
    let between = host.picture().await;
    host.run(&format!("mount -o remount,rw $(findmnt -n -o SOURCE -T {STORE} | sed 's/\\[.*//')")).await?;
    // A commit that fits what the store's file has on the disk already still reaches it; libvirt's file does not.
    let told = told?;
    ensure!(told.to_lowercase().contains("read-only"), "{told}");
    ensure!(tells?, "the host is not told any more");
    between?.same_as(&before)?;

    host.run(&format!("touch {STORE}/probe")).await?;
    ask(host, &wish).await?;
    until_told(host, "OUTCOME_APPLIED").await?;
    let back = json!({"networks": [{"name": "local", "remove": true}], "connectivityCheck": "CONNECTIVITY_CHECK_NONE"});
    ask(host, &back).await?;
    until_told(host, "OUTCOME_APPLIED").await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    fleet.a.picture().await?.same_as(&before)
}

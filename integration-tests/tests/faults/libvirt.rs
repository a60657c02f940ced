//! libvirtd hangs, or ends, while it is needed.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::host::Host;
use integration_tests::fleet::{Fleet, facts};
use serde_json::{Value, json};

use crate::SETTLE;
use crate::local::{ask, capabilities, network_local, reports, until_told};

/// So many networks that their definitions in libvirt take longer than a signal takes to arrive, of which the first by name
/// is defined first.
const MANY: usize = 20;

pub(crate) async fn hangs(fleet: &mut Fleet) -> Result<()> {
    let host = &fleet.a;
    let before = host.picture().await?;
    host.run("kill -STOP $(cat /run/libvirtd.pid)").await?;
    ask(host, &json!({"networks": [network_local()], "connectivityCheck": "CONNECTIVITY_CHECK_NONE"})).await?;
    until_told(host, "HOST_UNOBSERVABLE").await?;
    let reported = capabilities(host).await?;
    ensure!(reported["libvirt"]["connected"] != true && reported["libvirt"]["fault"].is_string(), "{reported:#}");
    ensure!(reports(host, "blue").await?, "the kernel's part is not told any more");
    host.picture().await?.same_as(&before)?;
    host.run("kill -CONT $(cat /run/libvirtd.pid)").await?;
    fleet.until_in_sync("host-a", SETTLE).await?;
    fleet.a.picture().await?.same_as(&before)
}

pub(crate) async fn killed_while_applying(fleet: &mut Fleet) -> Result<()> {
    let host = &fleet.a;
    let before = host.picture().await?;
    let networks: Vec<Value> = (0..MANY).map(|number| json!({"name": format!("many{number}")})).collect();
    ask(host, &json!({"networks": networks, "connectivityCheck": "CONNECTIVITY_CHECK_NONE"})).await?;
    // In one script in the machine, which begins where libvirt does: what comes from here may come after all is done.
    let defined = format!("/etc/libvirt/qemu/networks/{}.xml", facts::libvirt_name("many0"));
    let kill = format!("until [ -e {defined} ]; do sleep 0.02; done; kill -KILL $(cat /run/libvirtd.pid)");
    host.run(&kill).await?;
    let told = until_told(host, "OUTCOME_ROLL").await?;
    ensure!(told.contains("STEP_FAILED"), "{told}");
    host.picture().await?.same_as(&before).context("the kernel's part is not as before")?;
    host.machine.start_libvirtd().await?;
    left_nothing(host).await?;
    host.picture().await?.same_as(&before)?;
    fleet.until_in_sync("host-a", SETTLE).await.map(drop)
}

/// What libvirt had defined when it died is nobody's wish: it goes as soon as libvirt answers again.
async fn left_nothing(host: &Host) -> Result<()> {
    host.machine
        .wait_until(
            "virsh -c qemu:///system -q net-list --all --name >/run/lab/networks && ! grep many /run/lab/networks",
            SETTLE,
        )
        .await?;
    let history = host.run("trestlectl host history --limit 1").await?;
    ensure!(history.contains("STEP_FAILED"), "{history}");
    Ok(())
}

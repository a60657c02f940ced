//! Rings and offloads of a card, as ethtool shows them.

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::alone::{Alone, LIMIT};
use integration_tests::fleet::picture::difference;
use serde_json::{Value, json};

/// Goes through the cases; the last leaves settings on eth0 that a reboot keeps.
pub(crate) async fn are_set(host: &Alone) -> Result<()> {
    settings_are_made_and_told(host).await.context("making")?;
    an_unconfirmed_change_leaves_no_trace(host).await.context("undoing")?;
    what_the_driver_does_not_take_is_refused(host).await.context("refusing")?;
    what_somebody_alters_comes_back(host).await.context("keeping")
}

/// What shows the card.
const SHOW: &str = "ethtool -g eth0; ethtool -k eth0";

/// Returns what ethtool shows of the card.
pub(crate) async fn settings(host: &Alone) -> Result<String> {
    host.machine.run(SHOW).await
}

/// Checks that ethtool shows of the card what it showed `before`.
async fn are_as(host: &Alone, before: &str) -> Result<()> {
    let after = settings(host).await?;
    let (was, is): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    ensure!(before == after, "the card differs:\n{}", difference(&was, &is));
    Ok(())
}

/// Takes the settings away again.
pub(crate) async fn return_to_what_they_were(host: &Alone) -> Result<()> {
    host.set_up(&json!({"nics": [{"name": "eth0", "remove": true}]}), "--check none --commit").await?;
    is(host, &["RX:\t\t256", "TX:\t\t256"], &["generic-receive-offload: on", "tx-nocache-copy: off"]).await
}

fn wish() -> Value {
    let offloads = json!({"genericReceive": false, "features": {"tx-nocache-copy": true}});
    json!({"nics": [{"name": "eth0", "rings": {"rx": 128, "tx": 64}, "offloads": offloads}]})
}

async fn settings_are_made_and_told(host: &Alone) -> Result<()> {
    is(host, &["RX:\t\t256", "TX:\t\t256"], &["generic-receive-offload: on", "tx-nocache-copy: off"]).await?;
    host.set_up(&wish(), "--check none --commit").await?;
    is(host, &["RX:\t\t128", "TX:\t\t64"], &["generic-receive-offload: off", "tx-nocache-copy: on"]).await?;
    ensure!(host.set_up(&wish(), "--check none").await?.contains("unchanged"), "asking again changes something");
    let nics = host.report("nics").await?;
    let nic = nics.as_array().into_iter().flatten().find(|nic| nic["name"] == "eth0").context("no eth0")?;
    let rings = &nic["settings"]["rings"];
    ensure!(*rings == json!({"rx": 128, "rxMax": 256, "tx": 64, "txMax": 256}), "{rings}");
    let list = host.machine.run(&host.ctl("list")?).await?;
    let set = "rx ring 128, tx ring 64, generic-receive-offload off, tx-nocache-copy on";
    ensure!(list.lines().any(|line| line.starts_with("eth0") && line.contains(set) && line.contains("yes")), "{list}");
    Ok(())
}

async fn an_unconfirmed_change_leaves_no_trace(host: &Alone) -> Result<()> {
    let before = settings(host).await?;
    for wish in [json!({"name": "eth0", "rings": {"rx": 32}}), json!({"name": "eth0", "remove": true})] {
        let told = host.set_up_unconfirmed(&json!({"nics": [wish]})).await?;
        ensure!(told.contains("OUTCOME_ROLLED_BACK") && told.contains("\"verified\""), "{told}");
        are_as(host, &before).await?;
    }
    Ok(())
}

async fn what_the_driver_does_not_take_is_refused(host: &Alone) -> Result<()> {
    let before = settings(host).await?;
    let wishes = [
        (json!({"rings": {"rx": 4096}}), "nics[0].rings.rx"),
        (json!({"offloads": {"largeReceive": true}}), "nics[0].offloads.large_receive"),
        (json!({"offloads": {"features": {"tx-lockless": true}}}), "nics[0].offloads.features[tx-lockless]"),
    ];
    for (mut wish, field) in wishes {
        wish["name"] = "eth0".into();
        host.machine.write("/run/wish.yaml", &json!({"nics": [wish]}).to_string()).await?;
        let refused = host.machine.exec(&host.ctl("setup -f /run/wish.yaml --check none")?, LIMIT).await?;
        ensure!(refused.stderr.contains("NIC_OPTION_UNSUPPORTED") && refused.stderr.contains(field), "{refused:?}");
    }
    are_as(host, &before).await.context("a refusal has changed something")
}

async fn what_somebody_alters_comes_back(host: &Alone) -> Result<()> {
    let before = settings(host).await?;
    for alteration in
        ["ethtool -K eth0 gro on", "ethtool -G eth0 rx 16", "ethtool -K eth0 gro on; ethtool -G eth0 rx 16"]
    {
        host.machine.run(alteration).await?;
        until_as(host, &before).await.context(alteration)?;
    }
    Ok(())
}

/// Waits until ethtool shows of the card what it showed `before`: sooner than the agent's next look that nothing asked for.
pub(crate) async fn until_as(host: &Alone, before: &str) -> Result<()> {
    host.machine.write("/run/settings", before).await?;
    host.machine.wait_until(&format!("({SHOW}) | diff /run/settings -"), LIMIT / 3).await
}

/// Checks that ethtool shows these lines last of rings, and these of features.
async fn is(host: &Alone, rings: &[&str], features: &[&str]) -> Result<()> {
    let told = settings(host).await?;
    let current = told.split_once("Current hardware settings").context("no rings are told")?.1;
    for line in rings.iter().chain(features) {
        ensure!(current.lines().any(|is| is == *line), "{line} is missing in:\n{told}");
    }
    Ok(())
}

//! The story: what happens, in which order, and what each chapter proves.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use integration_tests::fleet::host::Host;
use integration_tests::fleet::{Fleet, Options, facts, network};
use integration_tests::lab::Lab;
use integration_tests::lab::script::{Output, Status};
use serde_json::json;

use crate::control::Place;
use crate::stage::Stage;

/// How long a host of the demo waits for its confirmation.
const CONNECTIVITY_TIMEOUT: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(120);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
const GUEST_MAC: &str = "52:54:00:ab:cd:01";

const FLEET: &str = "deploy/examples/fleet.yaml";
const CONFLICT: &str = "deploy/examples/conflict.yaml";
/// A management network whose address leads nowhere.
const CUT_OFF: &str = "\
kind: Network
name: networks/management
spec: {description: Takes the card that leads to the engine}
---
kind: ClusterNetwork
name: clusters/lab/clusterNetworks/management
---
kind: NetworkAttachment
name: hosts/host-b/networkAttachments/management
spec: {nic: eth0, ipv4: {static: {addresses: [192.0.2.77/24]}}}
";

/// What happens after the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The fleet stays up until Ctrl-C.
    Stay,
    /// The demo ends.
    Leave,
}

/// A performance: the fleet, the stage, and the place where the spectator finds the demo's files.
struct Play<'a> {
    stage: Stage,
    fleet: Fleet,
    place: &'a Place,
    folder: &'a Path,
}

/// Plays the story, and then stays or ends.
pub(crate) async fn play(ending: Ending) -> Result<ExitCode> {
    let lab = Lab::enter_beside().await?;
    let place = Place::claim(lab.folder())?;
    let mut stage = Stage::open();
    stage.chapter("An engine and two hosts");
    stage.say(
        "The engine is a process of this machine. Each host is a virtual machine with Debian's kernel and libvirt;",
    );
    stage.say("eth0 leads to the engine, eth1 is one cable between the hosts. Everybody has a certificate.");
    let options = Options { connectivity_timeout: CONNECTIVITY_TIMEOUT, collector: None };
    let fleet = Box::pin(Fleet::boot(&lab, &options)).await?;
    let mut play = Play { stage, fleet, place: &place, folder: lab.folder() };
    Box::pin(play.story()).await?;
    let all_true = play.stage.sum_up();
    if ending == Ending::Stay {
        play.tell_how_to_poke();
        place.serve(&play.fleet).await?;
    }
    Ok(if all_true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Play<'_> {
    async fn story(&mut self) -> Result<()> {
        Box::pin(self.hosts_come_up()).await?;
        Box::pin(self.a_network_is_applied()).await?;
        Box::pin(self.kernel_and_libvirt_have_it()).await?;
        Box::pin(self.a_guest_starts()).await?;
        Box::pin(self.the_fleet_reports()).await?;
        Box::pin(self.a_conflict_is_refused()).await?;
        Box::pin(self.a_host_is_cut_off()).await?;
        Box::pin(self.a_host_reboots()).await
    }

    async fn hosts_come_up(&mut self) -> Result<()> {
        for host in [&self.fleet.a, &self.fleet.b] {
            let seconds = host.machine.boot_time().as_secs();
            self.stage.say(&format!("{} has booted in {seconds} s; libvirtd and host-agent start", host.name()));
        }
        self.fleet.start_hosts().await?;
        self.in_host(false, "uname -r; libvirtd --version; ip -br link").await?;
        Ok(())
    }

    async fn a_network_is_applied(&mut self) -> Result<()> {
        self.stage.chapter("A network for both hosts, its MAC tables managed by libvirt");
        let applied = self.ctl(&["apply", "-f", FLEET, "--require-all"]).await?;
        self.stage.claim("the engine took it and both hosts became it", applied.status == Status::Exited(0));
        for host in ["host-a", "host-b"] {
            let status = self.fleet.until_in_sync(host, SETTLE).await?;
            let in_sync = network(&status, "blue").is_some_and(|blue| blue["sync"] == "SYNC_IN_SYNC");
            self.stage.claim(&format!("{host} reports blue as in sync"), in_sync);
        }
        Ok(())
    }

    async fn kernel_and_libvirt_have_it(&mut self) -> Result<()> {
        self.stage.chapter("What the kernel and libvirt say");
        self.in_host(
            false,
            "ip -d link show blue | grep -oE 'blue:.*mtu [0-9]+|vlan_filtering [01]|vlan_default_pvid [0-9]+'",
        )
        .await?;
        self.in_host(false, "virsh net-dumpxml trestle-blue").await?;
        self.in_host(true, "ping -c 2 10.10.0.1").await?;
        self.claim_managed(false).await?;
        self.claim_managed(true).await
    }

    async fn a_guest_starts(&mut self) -> Result<()> {
        self.stage.chapter("A guest starts on host-a");
        self.stage.say("It has no operating system: a virtual card on the network is enough for the tables.");
        let host = &self.fleet.a;
        let tap = host.machine.start_guest(&facts::guest("guest-1", GUEST_MAC, "blue")).await?;
        self.in_host(
            false,
            &format!("bridge -d link show dev {tap} | grep -oE '(learning|flood|mcast_flood) (on|off)'"),
        )
        .await?;
        self.in_host(false, &format!("bridge fdb show br blue | grep {GUEST_MAC}")).await?;
        let managed = facts::guest_port_is_managed(&self.fleet.a, "blue", &tap, GUEST_MAC).await;
        self.stage.claim("its port neither learns nor floods, and its MAC is a static entry", managed.is_ok());
        Ok(())
    }

    async fn the_fleet_reports(&mut self) -> Result<()> {
        self.stage.chapter("What the fleet reports");
        self.ctl(&["status"]).await?;
        self.in_host(false, "trestlectl host capabilities --fields networks").await?;
        let method = "trestle.host.v1.HostAgent/GetCapabilities";
        let answer = self.fleet.a.caller()?.call(method, &json!({"readMask": {"paths": ["networks"]}})).await?;
        let reported =
            network(&answer["capabilities"], "blue").is_some_and(|blue| blue["manageMacsWithLibvirt"] == true);
        self.stage.claim("GetCapabilities reports manage_macs_with_libvirt", reported);
        Ok(())
    }

    async fn a_conflict_is_refused(&mut self) -> Result<()> {
        self.stage.chapter("A vNIC profile that lets guests spoof MACs");
        let refused = self.ctl(&["apply", "-f", CONFLICT]).await?;
        self.stage.claim("the engine refused it", refused.status == Status::Exited(1));
        let said = format!("{}{}", refused.stdout, refused.stderr);
        self.stage.claim("and said why: MAC_SPOOF_CONFLICT", said.contains("MAC_SPOOF_CONFLICT"));
        Ok(())
    }

    async fn a_host_is_cut_off(&mut self) -> Result<()> {
        self.stage.chapter("A network that cuts host-b off from the engine");
        let before = self.fleet.b.picture().await?;
        let file = self.folder.join("cut-off.yaml");
        std::fs::write(&file, CUT_OFF)?;
        let file = self.place.typed_words(self.folder, &file.display().to_string());
        self.stage.show("$", &format!("cat {file}"), CUT_OFF);
        self.stage.say(&format!(
            "host-b will not be reached any more, and will put itself back after {CONNECTIVITY_TIMEOUT:?}."
        ));
        let applied = self.ctl(&["apply", "-f", &file]).await?;
        self.stage.claim("trestlectl tells that a host did not become it", applied.status == Status::Exited(4));
        let undone = |status: &serde_json::Value| status["lastResult"]["outcome"] == "OUTCOME_ROLLED_BACK";
        let status = self.fleet.until("host-b", SETTLE, undone).await?;
        let cause = &status["lastResult"]["cause"];
        self.stage.claim("host-b has put itself back: CONNECTIVITY_LOST", cause["code"] == "CONNECTIVITY_LOST");
        let same = self.fleet.b.picture().await?.same_as(&before);
        if let Err(difference) = &same {
            self.stage.show("", "", &difference.to_string());
        }
        self.stage.claim("ip -d -j says the same of host-b as before, byte for byte", same.is_ok());
        self.ctl(&["delete", "-f", &file]).await?;
        self.fleet.until_in_sync("host-b", SETTLE).await?;
        Ok(())
    }

    async fn a_host_reboots(&mut self) -> Result<()> {
        self.stage.chapter("host-a reboots");
        self.fleet.a.reboot().await?;
        let forgotten = !self.fleet.a.has_link("blue").await?;
        self.stage.claim("the kernel has forgotten the bridge", forgotten);
        self.fleet.a.start().await?;
        self.fleet.until_in_sync("host-a", SETTLE).await?;
        self.in_host(false, "bridge link; virsh net-list").await?;
        self.claim_managed(false).await?;
        self.ctl(&["status"]).await?;
        Ok(())
    }

    fn host(&self, is_b: bool) -> &Host {
        if is_b { &self.fleet.b } else { &self.fleet.a }
    }

    /// Runs trestlectl, and shows what a user would type and see.
    async fn ctl(&self, words: &[&str]) -> Result<Output> {
        let output = self.fleet.ctl.exec(words).await?;
        let command = format!("target/debug/trestlectl --context {}/ctl.toml {}", self.place.typed(), words.join(" "));
        self.stage.show("$", &command, &format!("{}{}", output.stderr, output.stdout));
        Ok(output)
    }

    /// Runs a command in a host, and shows it.
    async fn in_host(&self, is_b: bool, command: &str) -> Result<Output> {
        let host = self.host(is_b);
        let output = host.exec(command, COMMAND_LIMIT).await?;
        self.stage.show(&format!("{}#", host.name()), command, &format!("{}{}", output.stdout, output.stderr));
        Ok(output)
    }

    async fn claim_managed(&mut self, is_b: bool) -> Result<()> {
        let host = self.host(is_b);
        let name = host.name().to_owned();
        let filters = facts::filters_vlans(host, "blue").await?;
        let manager = facts::mac_table_manager(host, "blue").await?;
        self.stage.claim(&format!("{name}: the bridge has vlan_filtering 1"), filters);
        self.stage
            .claim(&format!("{name}: libvirt has macTableManager='libvirt'"), manager.as_deref() == Some("libvirt"));
        Ok(())
    }

    fn tell_how_to_poke(&self) {
        let place = self.place.typed();
        let address = self.fleet.engine.address();
        let tls = format!("-cacert {place}/pki/ca.crt -cert {place}/pki/ada.crt -key {place}/pki/ada.key");
        println!("\nThe fleet is up until Ctrl-C. From another terminal, in this folder:\n");
        println!("  target/debug/trestlectl --context {place}/ctl.toml status --watch");
        println!("  target/debug/trestlectl --context {place}/ctl.toml get networks --output yaml");
        println!("  target/venv/bin/grpcurl {tls} {address} list");
        println!("  target/venv/bin/grpcurl {tls} {address} trestle.engine.v1.HostService/ListHosts");
        for host in [&self.fleet.a, &self.fleet.b] {
            if let Ok(agent) = host.caller() {
                println!(
                    "  target/venv/bin/grpcurl {tls} {} trestle.host.v1.HostAgent/GetCapabilities   # {}",
                    agent.address,
                    host.name()
                );
            }
        }
        println!("  target/debug/demo exec host-a 'trestlectl host capabilities'");
        println!(
            "  target/debug/demo exec host-a 'bridge -d link; virsh net-dumpxml trestle-blue; tail /var/log/trestle/host-agent.log'"
        );
        println!("  less {place}/engine/engine-svc.log");
    }
}

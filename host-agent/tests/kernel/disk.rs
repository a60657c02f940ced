//! The real program on a disk that is full.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use trestle_model::Code;
use trestle_proto::host::v1::{self as wire, ConnectivityCheck, Outcome};
use trestle_proto::status::findings_of;

use super::bench::{Agent, BOUND, Bench, REST};
use crate::{network, request};

/// A small disk at the agent's folder, which only programs in this holder's mount namespace see.
pub(crate) struct Disk {
    holder: Child,
    folder: PathBuf,
}

impl Disk {
    pub(crate) async fn new(bench: &Bench) -> Self {
        let folder = bench.folder();
        std::fs::create_dir_all(&folder).unwrap();
        let mount = format!("mount -t tmpfs -o size=4m tmpfs '{}' && exec sleep 1000", folder.display());
        let mut program = Command::new("ip");
        program.args(["netns", "exec", bench.namespace(), "sh", "-c", &mount]);
        let disk = Self { holder: program.stdin(Stdio::null()).spawn().unwrap(), folder };
        let mounted = async {
            while !disk.says("findmnt -n -o FSTYPE -M \"$PWD\"").contains("tmpfs") {
                tokio::time::sleep(REST).await;
            }
        };
        tokio::time::timeout(BOUND, mounted).await.expect("the disk is not mounted");
        disk
    }

    /// Returns the words that run a program where the disk is seen.
    pub(crate) fn entered(&self) -> [String; 5] {
        ["nsenter", "-t", &self.holder.id().to_string(), "-n", "-m"].map(str::to_owned)
    }

    /// Runs a script in the agent's folder, and returns what it printed.
    fn says(&self, script: &str) -> String {
        let [program, arguments @ ..] = self.entered();
        let script = format!("cd '{}' && {{ {script}; }}", self.folder.display());
        let output = Command::new(program).args(arguments).args(["sh", "-c", &script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn fill(&self) {
        assert!(self.says("head -c 64m /dev/zero >fill; df --output=avail . | tail -1").trim() == "0");
    }

    pub(crate) fn become_read_only(&self) {
        assert_eq!(self.says("mount -o remount,ro \"$PWD\" && ! touch probe 2>&- && echo done"), "done\n");
    }

    pub(crate) fn become_writable(&self) {
        assert_eq!(self.says("mount -o remount,rw \"$PWD\" && echo done"), "done\n");
    }

    fn free(&self) {
        self.says("rm fill");
    }

    pub(crate) async fn agent(&self, bench: &Bench) -> Agent {
        bench.agent_within(&self.entered()).await
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = self.holder.kill();
        let _ended = self.holder.wait();
    }
}

/// How many networks' record fits no page that is half full already, however well it packs.
const MANY: usize = 100;

fn others() -> impl Iterator<Item = wire::Network> {
    (0..MANY).map(|number| wire::Network { name: format!("bare{number}"), ..wire::Network::default() })
}

/// Asks for blue to go and for others to come.
fn wide() -> wire::SetupNetworksRequest {
    let blue = wire::Network { name: "blue".to_owned(), remove: true, ..wire::Network::default() };
    let networks = others().chain([blue]).collect();
    wire::SetupNetworksRequest { networks, ..request(wire::Network::default(), ConnectivityCheck::None) }
}

/// Asks for a change that the disk must refuse, and holds that the refusal says why.
async fn is_refused(agent: &mut Agent, asked: wire::SetupNetworksRequest, why: &str) {
    let mut events = agent.client.setup_networks(asked).await.unwrap().into_inner();
    let status = tokio::time::timeout(BOUND, events.message()).await.unwrap().unwrap_err();
    let findings = findings_of(&status);
    assert_eq!(findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), [Code::StoreFailed.as_str()]);
    let message = findings[0].message.to_lowercase();
    assert!(message.contains(why) && message.contains("data"), "{message}");
}

#[tokio::test]
async fn a_full_disk_refuses_changes_until_there_is_room() {
    let Some(bench) = Bench::new("full").await else { return };
    let disk = Disk::new(&bench).await;
    let mut agent = disk.agent(&bench).await;
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let before = bench.settled().await;

    disk.fill();
    for _ in 0..2 {
        is_refused(&mut agent, wide(), "space").await;
    }
    bench.until(&before).await;
    assert_eq!(agent.capabilities().await.networks.len(), 1, "it still tells what the host is");

    disk.free();
    let result = agent.set_up(wide()).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    assert!(!bench.has_link("blue"));
    agent.terminate().await;

    // What the disk was told before and after is what the next start finds.
    let mut agent = disk.agent(&bench).await;
    assert_eq!(agent.capabilities().await.networks.len(), MANY);
    agent.terminate().await;
}

#[tokio::test]
async fn a_change_that_the_disk_cannot_take_over_is_undone() {
    let Some(bench) = Bench::new("adopt").await else { return };
    let disk = Disk::new(&bench).await;
    let before = bench.settled().await;
    let mut agent = disk.agent(&bench).await;

    let mut asked = request(network("192.0.2.20/24"), ConnectivityCheck::Confirm);
    asked.networks.extend(others());
    asked.connectivity_timeout = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    asked.request_id = uuid::Uuid::now_v7().to_string();
    let transaction_id = asked.request_id.clone();
    let _waiting = agent.until_it_waits(asked).await;
    assert!(bench.has_link("blue"));
    disk.fill();
    let confirmation = wire::ConfirmNetworksRequest { transaction_id };
    let answer = tokio::time::timeout(BOUND, agent.client.confirm_networks(confirmation)).await.unwrap();
    let refused = answer.unwrap_err();
    assert!(refused.message().contains(Code::StoreFailed.as_str()), "{refused}");
    // Neither the adoption nor the undo can be noted: the host is put back, and the process ends.
    agent.fails().await;
    bench.until(&before).await;

    disk.free();
    let mut agent = disk.agent(&bench).await;
    assert_eq!(agent.capabilities().await.networks, []);
    bench.until(&before).await;
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    agent.terminate().await;
}

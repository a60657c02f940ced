//! LLDP heard by the real program on the real kernel, with lldpd at the other end of the cable.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trestle_proto::host::v1::{self as wire, ConnectivityCheck, LldpCapability, LldpIdKind, Outcome};

use super::bench::{Agent, BOUND, Bench, REST};
use crate::{network, request};

/// lldpd on the far end of the cable.
struct Speaker {
    process: Child,
    socket: PathBuf,
}

impl Speaker {
    async fn new(bench: &Bench) -> Option<Self> {
        if Command::new("lldpd").arg("-v").output().is_err() {
            eprintln!("skipped: lldpd is not installed (run scripts/setup)");
            return None;
        }
        let socket = bench.folder().with_extension("lldpd");
        let mut program = Command::new("ip");
        program.args(["netns", "exec", bench.namespace(), "lldpd", "-d", "-I", "wire0", "-S", "a switch", "-u"]);
        let process = program.arg(&socket).stderr(Stdio::null()).spawn().unwrap();
        let speaker = Self { process, socket };
        until(|| speaker.told("show interfaces").contains("wire0")).await;
        Some(speaker)
    }

    /// Tells lldpd something, and returns its answer.
    fn told(&self, command: &str) -> String {
        let output = Command::new("lldpcli").arg("-u").arg(&self.socket).args(command.split(' ')).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // At its end it says that it goes.
        let id = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _gone = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ended = self.process.wait();
    }
}

/// Waits until the NIC has as many neighbours, and returns them.
async fn until_heard(agent: &mut Agent, count: usize) -> Vec<wire::LldpNeighbor> {
    let heard = async {
        loop {
            let nics = agent.capabilities().await.nics;
            let nic = nics.into_iter().find(|nic| nic.name == "nic0").unwrap();
            if nic.lldp_neighbors.len() == count {
                return nic.lldp_neighbors;
            }
            tokio::time::sleep(REST).await;
        }
    };
    tokio::time::timeout(BOUND, heard).await.expect("not heard so many neighbours in time")
}

#[tokio::test]
async fn neighbours_are_heard_through_a_bridge_port_until_they_go() {
    let Some(bench) = Bench::new("lldp").await else { return };
    let Some(speaker) = Speaker::new(&bench).await else { return };
    let mut agent = bench.agent().await;

    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    speaker.told("configure lldp tx-interval 1");
    let [neighbor] = &until_heard(&mut agent, 1).await[..] else { panic!("not one neighbour") };
    let (chassis, port) = (neighbor.chassis.clone().unwrap(), neighbor.port.clone().unwrap());
    assert_eq!((chassis.kind(), chassis.value.len()), (LldpIdKind::MacAddress, "02:00:00:00:00:01".len()));
    assert_eq!((port.kind(), &port.value), (LldpIdKind::MacAddress, &chassis.value), "the port is the whole device");
    assert_eq!((&neighbor.port_description[..], &neighbor.system_description[..]), ("wire0", "a switch"));
    assert!(!neighbor.system_name.is_empty(), "{neighbor:?}");
    assert!(neighbor.capabilities.contains(&LldpCapability::Bridge.into()), "{neighbor:?}");

    drop(speaker);
    until_heard(&mut agent, 0).await;
    agent.terminate().await;
}

/// The kernel lets the group through at the NIC only: a network that is removed takes the membership along.
#[tokio::test]
async fn nobody_is_listened_to_on_a_cable_that_carries_no_network() {
    let Some(bench) = Bench::new("lldp-off").await else { return };
    let group = "01:80:c2:00:00:0e";
    let joined = || bench.ip("maddress show dev nic0").contains(group);
    let mut agent = bench.agent().await;
    assert!(!joined());
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    until(joined).await;
    let removal = wire::Network { name: "blue".to_owned(), remove: true, ..wire::Network::default() };
    let result = agent.set_up(request(removal, ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    until(|| !joined()).await;
    agent.terminate().await;
}

async fn until(holds: impl Fn() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(BOUND, reached).await.expect("not in time");
}

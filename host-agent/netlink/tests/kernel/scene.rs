//! What every scenario needs: a namespace, cables in it, and a second reader beside the one under test.

use std::future::Future;
use std::process::Command;
use std::time::Duration;

use futures_util::TryStreamExt;
use rtnetlink::LinkVeth;
use serde_json::Value;
use tokio::task::JoinSet;
use trestle_model::{AddressOrigin, FdbState, Feature, IfName, KernelState, Link, PortFlags, Support};
use trestle_netlink::{Kernel, start_in_scratch_namespace};
use trestle_plan::{KernelStep, StepFailure};

/// Runs a scenario in a network namespace that ends with it.
pub(crate) fn in_namespace<Scenario, Running>(scenario: Scenario)
where
    Scenario: FnOnce(Scene) -> Running + Send + 'static,
    Running: Future<Output = ()>,
{
    let work = async || scenario(Scene { kernel: Kernel::connect().unwrap() }).await;
    match start_in_scratch_namespace(work).blocking_recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("skipped: no network namespace can be made: {error}"),
        Err(_) => panic!("the scenario failed; its own thread says why"),
    }
}

/// A scenario's namespace and the kernel as the crate shows it.
pub(crate) struct Scene {
    pub(crate) kernel: Kernel,
}

impl Scene {
    /// Performs steps that must succeed, twice: the second time nothing may change.
    pub(crate) async fn perform(&self, steps: &[KernelStep]) {
        self.insist(steps).await;
        let once = without_echoes(self.state().await);
        self.insist(steps).await;
        assert_eq!(without_echoes(self.state().await), once, "the second performance changed something");
    }

    /// Performs steps again after each change, as long as they fail for a passing reason.
    pub(crate) async fn insist(&self, steps: &[KernelStep]) {
        let mut watch = self.kernel.watch().unwrap();
        let retry = async {
            while let Err(failure) = self.try_perform(steps).await {
                assert!(failure.transient, "{failure:?}");
                watch.next().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), retry).await.expect("the reason did not pass");
    }

    /// Performs steps once.
    pub(crate) async fn try_perform(&self, steps: &[KernelStep]) -> Result<(), StepFailure> {
        self.kernel.perform(&steps.iter().collect::<Vec<_>>()).await
    }

    /// Performs one step that must fail, and returns the failure.
    pub(crate) async fn refused(&self, step: KernelStep) -> StepFailure {
        self.try_perform(&[step]).await.unwrap_err()
    }

    pub(crate) async fn state(&self) -> KernelState {
        self.kernel.observe().await.unwrap()
    }

    /// Waits until a snapshot is as wanted, and returns it.
    pub(crate) async fn until(&self, wanted: impl Fn(&KernelState) -> bool) -> KernelState {
        let mut watch = self.kernel.watch().unwrap();
        let wait = async {
            loop {
                let state = self.state().await;
                if wanted(&state) {
                    return state;
                }
                watch.next().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("no snapshot was as wanted")
    }

    pub(crate) async fn link(&self, link: &str) -> Link {
        self.state().await.links.remove(&name(link)).unwrap_or_else(|| panic!("{link} is missing"))
    }

    pub(crate) async fn port(&self, link: &str) -> PortFlags {
        self.link(link).await.port.unwrap_or_else(|| panic!("{link} is no port"))
    }

    /// Makes a virtual cable.
    pub(crate) async fn cable(&self, one: &str, other: &str) {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        handle.link().add(LinkVeth::new(one, other).down().build()).execute().await.unwrap();
        let links: Vec<_> = handle.link().get().match_name(one.to_owned()).execute().try_collect().await.unwrap();
        assert_eq!(links.len(), 1);
    }

    /// Makes a bridge `br0` with the ports `p1` and `p2`, the other ends of whose cables are `g1` and `g2`; all are up.
    pub(crate) async fn bridge_with_two_ports(&self) {
        self.cable("p1", "g1").await;
        self.cable("p2", "g2").await;
        let mut steps = vec![create_bridge("br0")];
        steps.extend(["p1", "p2"].map(|port| set_master(port, Some("br0"))));
        steps.extend(["br0", "p1", "p2", "g1", "g2"].map(|link| set_up(link, true)));
        self.try_perform(&steps).await.unwrap();
    }
}

/// Leaves out what follows later and by itself: carriers, and what the kernel and the traffic add on their own.
fn without_echoes(mut state: KernelState) -> KernelState {
    for link in state.links.values_mut() {
        link.carrier = false;
        link.addresses.retain(|address| address.origin != AddressOrigin::Kernel);
    }
    state.routes.retain(|route| route.protocol != 2);
    state.fdb.retain(|entry| entry.state != FdbState::Learned);
    state
}

/// Lets new devices of the namespace use their IPv6 addresses at once, without looking for duplicates.
pub(crate) fn skip_duplicate_detection() {
    std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").unwrap();
}

/// Runs a command of iproute2 in the scenario's namespace, as a second reader or another administrator.
///
/// None, with a printed reason, where the command is not installed.
pub(crate) fn run(command: &str) -> Option<Vec<u8>> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    match Command::new(program).args(words).output() {
        Ok(output) => {
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(error) => {
            eprintln!("skipped: {command}: {error}");
            None
        }
    }
}

/// Returns what a command of iproute2 tells as JSON.
pub(crate) fn told(command: &str) -> Option<Value> {
    run(command).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Tells whether the kernel has a feature, and prints why a scenario is skipped if it does not.
pub(crate) async fn has(feature: Feature) -> bool {
    let support = trestle_netlink::probe().await.remove(&feature).unwrap();
    if support != Support::Present {
        eprintln!("skipped: {feature}: {support:?}");
    }
    support == Support::Present
}

pub(crate) fn name(text: &str) -> IfName {
    IfName::parse(text).unwrap()
}

pub(crate) fn create_bridge(bridge: &str) -> KernelStep {
    KernelStep::CreateBridge { name: name(bridge), mac: None, alias: "trestle:blue".to_owned() }
}

pub(crate) fn set_master(link: &str, master: Option<&str>) -> KernelStep {
    KernelStep::SetMaster { link: name(link), master: master.map(name) }
}

pub(crate) fn set_up(link: &str, up: bool) -> KernelStep {
    KernelStep::SetUp { link: name(link), up }
}

pub(crate) fn delete(link: &str) -> KernelStep {
    KernelStep::DeleteLink { name: name(link) }
}

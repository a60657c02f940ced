//! A client's namespace, a server's namespace, and a cable between them.

use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use trestle_dhcp::Dhcp;
use trestle_model::{DhcpClient, DhcpClientSpec, IfName, IpFamily, KeptLease};
use trestle_netlink::start_in_scratch_namespace;
use trestle_plan::DhcpStep;
use uuid::Uuid;

/// How long a test waits for what must happen.
const BOUND: Duration = Duration::from_secs(45);

/// The two namespaces; the client's is that of the scenario's thread, and has the device `v0`.
pub(crate) struct Scene {
    server: String,
    folder: TempDir,
}

/// A server that ends when it is dropped.
pub(crate) struct Server(Child);

/// Runs a scenario, unless a program that it needs is missing.
pub(crate) fn in_scene<Scenario, Running>(programs: &'static [&'static str], scenario: Scenario)
where
    Scenario: FnOnce(Scene) -> Running + Send + 'static,
    Running: Future<Output = ()>,
{
    let work = async move || {
        for program in programs {
            if Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
                eprintln!("skipped: {program} is not installed (run scripts/setup)");
                return;
            }
        }
        scenario(Scene::new()).await;
    };
    match start_in_scratch_namespace(work).blocking_recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("skipped: no network namespace can be made: {error}"),
        Err(_) => panic!("the scenario failed; its own thread says why"),
    }
}

impl Scene {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = format!("trestle-dhcp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {server}"));
        let scene = Self { server, folder: tempfile::tempdir().unwrap() };
        run(&format!("ip link add v0 address 02:00:00:00:00:01 type veth peer name w0 netns {}", scene.server));
        run("ip link set v0 up");
        scene.at_server("ip link set lo up");
        scene.at_server("ip link set w0 up");
        scene
    }

    pub(crate) fn at_server(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.server));
    }

    /// Starts udhcpd with a range and a lease time; it remembers nothing of an earlier one.
    pub(crate) fn udhcpd(&self, first: &str, last: &str, lease_s: u32, more: &str) -> Server {
        let (config, leases) = (self.file("udhcpd.conf"), self.file("leases"));
        std::fs::write(&leases, "").unwrap();
        let text = format!(
            "start {first}\nend {last}\ninterface w0\nlease_file {}\npidfile {}\nmin_lease 1\noption lease {lease_s}\n\
             option subnet 255.255.255.0\n{more}\n",
            leases.display(),
            self.file("pid").display()
        );
        std::fs::write(&config, text).unwrap();
        self.start(&["busybox", "udhcpd", "-f", config.to_str().unwrap()])
    }

    pub(crate) fn dnsmasq(&self, arguments: &[&str]) -> Server {
        let leases = format!("--dhcp-leasefile={}", self.file("dnsmasq.leases").display());
        let all = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--interface=w0",
            "--no-ping",
            &leases,
        ];
        self.start(&[&all[..], arguments].concat())
    }

    fn start(&self, command: &[&str]) -> Server {
        let log = std::fs::File::create(self.file("log")).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &self.server])
            .args(command)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Server(child.unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["netns", "delete", &self.server]).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) fn spec(family: IpFamily) -> DhcpClientSpec {
    let link = IfName::parse("v0").unwrap();
    DhcpClientSpec {
        segment: link.clone(),
        link,
        family,
        default_route: true,
        source_table: None,
        nameservers: false,
        search_domains: false,
    }
}

/// Begins with the leases of an earlier run.
pub(crate) fn clients(kept: Vec<KeptLease>) -> Dhcp {
    Dhcp::new(Uuid::from_u128(7), kept)
}

pub(crate) fn start(dhcp: &Dhcp, family: IpFamily) {
    dhcp.perform(&DhcpStep::Start(spec(family))).unwrap();
}

/// Waits until the one client is as wanted, doing to the kernel what its lease means.
pub(crate) async fn until(dhcp: &Dhcp, wanted: impl Fn(&DhcpClient) -> bool) -> DhcpClient {
    let mut changes = dhcp.watch();
    let wait = async {
        let mut applied = None;
        loop {
            let client = dhcp.observe().remove(0);
            let address = client.lease.as_ref().map(|lease| lease.address);
            if applied != address {
                applied.iter().for_each(|address| run(&format!("ip address del {address} dev v0")));
                address.iter().for_each(|address| run(&format!("ip address add {address} dev v0")));
                applied = address;
            }
            if wanted(&client) {
                // What was put there is no part of the next wait.
                applied.iter().for_each(|address| run(&format!("ip address del {address} dev v0")));
                return client;
            }
            changes.changed().await.unwrap();
        }
    };
    match tokio::time::timeout(BOUND, wait).await {
        Ok(client) => client,
        Err(_) => panic!("never as wanted: {:?}", dhcp.observe()),
    }
}

pub(crate) fn address(client: &DhcpClient) -> String {
    client.lease.as_ref().map(|lease| lease.address.to_string()).unwrap_or_default()
}

pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{command}: {status}");
}

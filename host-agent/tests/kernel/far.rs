//! The far end of a test's cable, and what runs there.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::bench::Bench;

/// The far end of the cable, in a namespace of its own, and what runs there.
pub(crate) struct Far {
    namespace: String,
    folder: PathBuf,
    server: Option<Child>,
}

/// What the kernel tells of addresses as it changes.
pub(crate) struct Monitor {
    program: Child,
    told: PathBuf,
}

impl Far {
    pub(crate) fn new(bench: &Bench) -> Option<Self> {
        if Command::new("busybox").arg("udhcpd").arg("--help").output().is_err() {
            eprintln!("skipped: busybox is not installed (run scripts/setup)");
            return None;
        }
        let far = Self {
            namespace: format!("{}-far", bench.namespace()),
            folder: bench.folder().with_extension("far"),
            server: None,
        };
        std::fs::create_dir_all(&far.folder).unwrap();
        run(&["netns", "add", &far.namespace]);
        bench.ip(&format!("link set wire0 netns {}", far.namespace));
        run(&["-n", &far.namespace, "link", "set", "wire0", "up"]);
        run(&["-n", &far.namespace, "address", "add", "192.0.2.1/24", "dev", "wire0"]);
        Some(far)
    }

    /// Serves one IPv4 address by udhcpd.
    pub(crate) fn serve(&mut self, address: &str, lease_s: u32) {
        self.silence();
        let path = |name: &str| self.folder.join(name);
        std::fs::write(path("leases"), "").unwrap();
        let text = format!(
            "start {address}\nend {address}\ninterface wire0\nlease_file {}\npidfile {}\nmin_lease 1\noption lease {lease_s}\n\
             option subnet 255.255.255.0\noption router 192.0.2.1\noption dns 192.0.2.2\n",
            path("leases").display(),
            path("pid").display()
        );
        std::fs::write(path("config"), text).unwrap();
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &self.namespace, "busybox", "udhcpd", "-f"]).arg(path("config"));
        self.server = Some(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    /// Advertises a prefix, and serves DHCPv6 and DHCPv4, by dnsmasq; `None`, with the reason, where there is none.
    pub(crate) fn advertise(&mut self, prefix: &str, arguments: &[&str]) -> Option<()> {
        self.silence();
        if Command::new("dnsmasq").arg("--version").output().is_err() {
            eprintln!("skipped: dnsmasq is not installed (run scripts/setup)");
            return None;
        }
        self.ip(&format!("address replace {prefix}1/64 dev wire0 nodad"));
        let leases = format!("--dhcp-leasefile={}", self.folder.join("dnsmasq.leases").display());
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &self.namespace, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"]);
        server.args(["--port=0", "--interface=wire0", "--no-ping", "--enable-ra", "--ra-param=wire0,4", &leases]);
        self.server = Some(server.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        Some(())
    }

    /// Runs a command of `ip` at the far end.
    pub(crate) fn ip(&self, arguments: &str) {
        let all: Vec<&str> = ["-n", self.namespace.as_str()].into_iter().chain(arguments.split(' ')).collect();
        run(&all);
    }

    /// Ends the server.
    pub(crate) fn silence(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.silence();
        let _gone = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
    }
}

impl Monitor {
    pub(crate) fn new(bench: &Bench) -> Self {
        let told = bench.folder().with_extension("told");
        let mut program = Command::new("ip");
        program.args(["-n", bench.namespace(), "monitor", "address"]).stdout(std::fs::File::create(&told).unwrap());
        Self { program: program.spawn().unwrap(), told }
    }

    pub(crate) fn end(mut self) -> String {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
        std::fs::read_to_string(&self.told).unwrap()
    }
}

fn run(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "{arguments:?}");
}

//! A network namespace with a NIC that has an address, and the program in it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio::process::Child;
use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::host_agent_client::HostAgentClient;
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_serve::{ClientOptions, Connection, ServerIdentity, Target, connect};

/// How long a test waits for what must happen.
pub(crate) const BOUND: Duration = Duration::from_secs(30);
pub(crate) const REST: Duration = Duration::from_millis(20);
const PROGRAM: &str = env!("CARGO_BIN_EXE_host-agent");

/// A namespace and a folder; both are gone when it is dropped.
pub(crate) struct Bench {
    namespace: String,
    folder: TempDir,
}

/// The running program.
pub(crate) struct Agent {
    process: Child,
    pub(crate) client: HostAgentClient<Connection>,
}

impl Bench {
    /// Makes the namespace, for an agent that repairs nothing by itself; `None`, with the reason on standard error, where
    /// that takes rights that are not there.
    pub(crate) async fn new(name: &str) -> Option<Self> {
        Self::with(name, "[keeper]\nrepair = []\n").await
    }

    /// Makes the namespace, for an agent with these options besides, as [`Self::new`] does.
    pub(crate) async fn with(name: &str, options: &str) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("skipped: a network namespace takes root");
            return None;
        }
        let bench = Self {
            namespace: format!("trestle-agent-{name}-{}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
        };
        succeed(Command::new("ip").args(["netns", "add", &bench.namespace]));
        for command in [
            "link set lo up",
            "link add nic0 type veth peer name wire0",
            "address add 192.0.2.10/24 dev nic0",
            "link set nic0 up",
            "link set wire0 up",
            "route add 198.51.100.0/24 via 192.0.2.1 dev nic0",
        ] {
            bench.ip(command);
        }
        let config = format!(
            "host = \"host-a\"\ndata_dir = {:?}\nresolv_conf = {:?}\ndaemons_dir = {:?}\n[listen]\nsocket = \"unix:{}\"\n[libvirt]\nuri = \"none\"\n\
             [hooks]\nfolder = {:?}\n[telemetry]\nlog_filter = \"error\"\n{options}",
            bench.folder(),
            bench.resolv_conf(),
            bench.folder(),
            bench.socket().display(),
            bench.hooks(),
        );
        std::fs::write(bench.config(), config).unwrap();
        Some(bench)
    }

    /// Returns the agent's folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the file of name servers that the agent is told to use.
    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }

    /// Starts the program and waits until it serves.
    pub(crate) async fn agent(&self) -> Agent {
        self.connected(self.command(&["run"])).await
    }

    /// Does the same where `entered`, a program and its arguments, leads.
    pub(crate) async fn agent_within(&self, entered: &[String]) -> Agent {
        self.connected(self.within(entered)).await
    }

    /// Runs the program where `entered` leads; it must fail, and what it said is returned.
    pub(crate) fn fail_within(&self, entered: &[String]) -> String {
        failure(&self.within(entered))
    }

    fn within(&self, entered: &[String]) -> Command {
        let [program, arguments @ ..] = entered else { panic!("no program leads anywhere") };
        let mut command = Command::new(program);
        command.args(arguments).args([PROGRAM, "--config"]).arg(self.config()).arg("run");
        command
    }

    async fn connected(&self, command: Command) -> Agent {
        let process = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        Agent { process, client: self.client().await }
    }

    /// Connects to the program anew, as soon as it serves.
    pub(crate) async fn client(&self) -> HostAgentClient<Connection> {
        let target = Target::Unix(self.socket());
        let options = ClientOptions::new(None, ServerIdentity::AnyHost);
        let connected = async {
            loop {
                match connect(&target, &options).await {
                    Ok(connection) => return connection,
                    Err(_) => tokio::time::sleep(REST).await,
                }
            }
        };
        let connection = tokio::time::timeout(BOUND, connected).await.expect("the agent does not serve");
        HostAgentClient::new(connection)
    }

    /// Returns the folder of the hooks; nobody has made it.
    pub(crate) fn hooks(&self) -> PathBuf {
        self.folder.path().join("hooks")
    }

    /// Makes a program a hook, as a unit of systemd does: for each call it is started with the call on its standard
    /// input, and what it prints is its answer.
    pub(crate) async fn hook(&self, phase: &str, name: &str, script: &str) -> Child {
        let folder = self.hooks().join(phase);
        std::fs::create_dir_all(&folder).unwrap();
        let (program, socket) = (folder.join(format!(".{name}")), folder.join(format!("{name}.sock")));
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let mut listener = tokio::process::Command::new("systemd-socket-activate");
        listener.arg("--accept").arg("--inetd").arg(format!("--listen={}", socket.display())).arg(&program);
        let listener = listener.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let until = tokio::time::Instant::now() + BOUND;
        while !socket.exists() {
            assert!(tokio::time::Instant::now() < until, "nobody listens at {}", socket.display());
            tokio::time::sleep(REST).await;
        }
        listener
    }

    /// Runs the program to its end and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Runs the program, which must fail, and returns what it said.
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        failure(&self.command(arguments))
    }

    /// Waits until the kernel has settled, and returns what `ip` tells.
    pub(crate) async fn settled(&self) -> String {
        let state = self.wait(|state| !state.contains("tentative")).await;
        assert!(!state.contains("tentative"), "the kernel does not settle: {state}");
        state
    }

    /// Waits until `ip` tells the same as before.
    pub(crate) async fn until(&self, before: &str) {
        let after = self.wait(|state| state == before).await;
        assert_eq!(after, before);
    }

    /// Waits until `ip` tells the same as before, and returns how long that took.
    pub(crate) async fn back_to(&self, before: &str) -> Duration {
        let began = tokio::time::Instant::now();
        self.until(before).await;
        began.elapsed()
    }

    /// Waits until no device has the address.
    pub(crate) async fn without(&self, address: &str) {
        let state = self.wait(|_| !self.ip("address").contains(address)).await;
        assert!(!self.ip("address").contains(address), "{state}");
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.ip("-j link").contains(&format!("\"ifname\":\"{name}\""))
    }

    /// Asks until `good`, or in vain, and returns the last answer.
    async fn wait(&self, good: impl Fn(&str) -> bool) -> String {
        let until = tokio::time::Instant::now() + BOUND / 3;
        loop {
            let parts =
                ["-d -j address", "-j -4 route show table all", "-j -6 route show table all", "rule", "-6 rule"];
            // One object a line, sorted: equal routes of IPv6 are listed in the order in which they came.
            let state = parts.map(|what| sorted(&self.ip(what).replace("},{", "},\n{"))).concat();
            let state = without_timers(&state);
            if good(&state) || tokio::time::Instant::now() > until {
                return state;
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Runs `ip` in the namespace and returns what it printed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        succeed(Command::new("ip").args(["-n", &self.namespace]).args(arguments.split(' ')))
    }

    /// Runs many commands of `ip` at once, one a line.
    pub(crate) fn ip_batch(&self, commands: &str) {
        let file = self.folder.path().join("batch");
        std::fs::write(&file, commands).unwrap();
        succeed(Command::new("ip").args(["-n", &self.namespace, "-batch"]).arg(file));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, PROGRAM, "--config"]).arg(self.config()).args(arguments);
        command
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("host-agent.toml")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
    }
}

impl Agent {
    pub(crate) async fn set_up(&mut self, request: wire::SetupNetworksRequest) -> wire::SetupNetworksResult {
        self.try_set_up(request).await.unwrap()
    }

    /// Asks for a change that may be refused.
    pub(crate) async fn try_set_up(
        &mut self,
        request: wire::SetupNetworksRequest,
    ) -> Result<wire::SetupNetworksResult, tonic::Status> {
        let mut events = self.client.setup_networks(request).await?.into_inner();
        loop {
            let message = tokio::time::timeout(BOUND, events.message()).await.unwrap()?;
            if let Event::Result(result) = message.expect("no result").event.expect("no event") {
                return Ok(result);
            }
        }
    }

    pub(crate) async fn capabilities(&mut self) -> wire::Capabilities {
        let request = wire::GetCapabilitiesRequest::default();
        self.client.get_capabilities(request).await.unwrap().into_inner().capabilities.unwrap()
    }

    pub(crate) async fn masked(&mut self, fields: &[&str]) -> wire::Capabilities {
        let paths = fields.iter().map(|field| (*field).to_owned()).collect();
        let request = wire::GetCapabilitiesRequest { read_mask: Some(prost_types::FieldMask { paths }) };
        self.client.get_capabilities(request).await.unwrap().into_inner().capabilities.unwrap()
    }

    /// Ends the program as an init system does, and waits for its end.
    pub(crate) async fn terminate(mut self) {
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(BOUND, self.process.wait()).await.expect("the agent does not stop").unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// Asks for a change, and returns its events when it waits for a confirmation.
    pub(crate) async fn until_it_waits(
        &mut self,
        request: wire::SetupNetworksRequest,
    ) -> tonic::Streaming<wire::SetupNetworksResponse> {
        let mut events = self.client.setup_networks(request).await.unwrap().into_inner();
        loop {
            let event = tokio::time::timeout(BOUND, events.message()).await.unwrap().unwrap().unwrap().event;
            if matches!(event, Some(Event::AwaitingConfirmation(_))) {
                return events;
            }
        }
    }

    /// Waits until the program has ended by itself, which it must not have done in order.
    pub(crate) async fn fails(mut self) {
        let ended = tokio::time::timeout(BOUND, self.process.wait()).await.expect("the agent does not end").unwrap();
        assert!(!ended.success(), "{ended}");
    }

    /// Ends the program without a warning.
    pub(crate) async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.process.wait().await.unwrap();
    }

    /// Lets the program stand still, as one that gets no processor.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets the program go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id().expect("the agent runs")).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }
}

/// Leaves out a bridge's running timers, which differ from look to look.
fn without_timers(json: &str) -> String {
    json.split(',').filter(|field| !field.contains("_timer\":")).collect::<Vec<_>>().join(",")
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn failure(command: &Command) -> String {
    let mut bounded = Command::new("timeout");
    bounded.arg(BOUND.as_secs().to_string()).arg(command.get_program()).args(command.get_args());
    let output = bounded.output().unwrap();
    assert!(!output.status.success(), "{command:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(|line| line.trim_matches(['[', ']', ','])).collect();
    lines.sort_unstable();
    lines.join("\n")
}

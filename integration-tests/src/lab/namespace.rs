//! A network namespace of this machine's own kernel, with its own mounts and process ids, for what needs no machine.
//!
//! It is held by a process and has no name, so nothing is left behind, however the test ends: killing the holder kills
//! every process inside, and the kernel removes the links. The machine's own interfaces are out of reach.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::folder::Folder;
use super::keeper;
use super::script::{self, Output};

const START_LIMIT: Duration = Duration::from_secs(10);
const LIBVIRT_LIMIT: Duration = Duration::from_secs(60);

/// What the holder does: sysfs of the new namespace, loopback up, then it waits for the end of its input.
const HOLD: &str = "mount -t sysfs sysfs /sys && ip link set lo up && echo held && cat >/dev/null";

/// A namespace; it ends with the value.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    _input: ChildStdin,
    pid: u32,
}

/// A private libvirtd in a namespace; it ends with the value, its guests with the namespace.
#[derive(Debug)]
pub struct Libvirtd {
    folder: Folder,
    _daemons: [Child; 2],
}

impl Namespace {
    /// Makes a namespace.
    ///
    /// *Errors*: not root, or the kernel has no namespaces.
    pub async fn start() -> Result<Self> {
        let mut command = keeper::mortal("unshare");
        command
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = keeper::start(command).await?;
        let input = holder.stdin.take().context("no input")?;
        let mut said = BufReader::new(holder.stdout.take().context("no output")?).lines();
        let first = tokio::time::timeout(START_LIMIT, said.next_line()).await.context("unshare hangs")??;
        ensure!(first.as_deref() == Some("held"), "unshare failed; are we root?");
        let unshare = holder.id().context("unshare has ended")?;
        let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
        let pid = children.trim().parse().context("unshare has no child")?;
        Ok(Self { holder, _input: input, pid })
    }

    /// The process id of the holder here: `ip link set X netns PID`, `/proc/PID/ns/net`.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A command inside, to be set up further and started by the caller; its process is killed when the `Child` is dropped.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--net", "--mount", "--pid", "--target", &self.pid.to_string()])
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program.as_ref())
            .kill_on_drop(true);
        command
    }

    /// Runs a bash script inside and kills it at `limit`.
    pub async fn exec(&self, script: &str, limit: Duration) -> Result<Output> {
        let mut command = self.command("bash");
        command.args(["-c", script]);
        script::run(command, "", limit).await
    }

    /// Runs a script inside that must succeed within 30 s, and yields its standard output.
    pub async fn run(&self, script: &str) -> Result<String> {
        let output = self.exec(script, Duration::from_secs(30)).await?;
        output.success().with_context(|| script.to_owned())
    }

    /// Joins two namespaces by a veth pair: `near` in this one, `far` in the other, both up.
    pub async fn wire(&self, near: &str, other: &Self, far: &str) -> Result<()> {
        let target = self.pid.to_string();
        let added = Command::new("nsenter")
            .args(["--net", "--target", &target, "ip", "link", "add", near, "type", "veth"])
            .args(["peer", "name", far, "netns", &other.pid.to_string()])
            .status()
            .await?;
        ensure!(added.success(), "no veth pair: {added}");
        self.run(&format!("ip link set {near} up")).await?;
        other.run(&format!("ip link set {far} up")).await?;
        Ok(())
    }

    /// Starts virtlogd and libvirtd with configuration, state and sockets of their own.
    ///
    /// *Errors*: libvirtd is not installed or does not answer within a minute.
    pub async fn start_libvirtd(&self) -> Result<Libvirtd> {
        let folder = Folder::make()?;
        let place = folder.path().display();
        // The socket's folder is the only one shared with the machine.
        self.run(&format!(
            "mount -t tmpfs tmpfs /run && mkdir -p /run/libvirt {place}/sockets && mount --bind {place}/sockets /run/libvirt
             for kept in var/lib/libvirt var/log/libvirt var/cache/libvirt etc/libvirt; do
               mkdir -p {place}/$kept && mount --bind {place}/$kept /$kept
             done
             printf '%s\\n' 'user = \"root\"' 'group = \"root\"' 'security_driver = \"none\"' 'dynamic_ownership = 0' \
               'remember_owner = 0' 'namespaces = []' 'cgroup_controllers = []' >/etc/libvirt/qemu.conf"
        ))
        .await?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut daemons = Vec::new();
        for program in ["/usr/sbin/virtlogd", "/usr/sbin/libvirtd"] {
            let mut command = self.command(program);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
            daemons.push(keeper::start(command).await?);
        }
        let daemons = <[Child; 2]>::try_from(daemons).expect("two were started");
        let libvirtd = Libvirtd { folder, _daemons: daemons };
        let wait = "until virsh -c qemu:///system -q version; do sleep 0.1; done";
        let answered = self.exec(wait, LIBVIRT_LIMIT).await?;
        answered.success().with_context(|| format!("libvirtd does not answer: {}", libvirtd.log()))?;
        Ok(libvirtd)
    }

    /// Ends the namespace and everything inside, and waits until the holder is gone.
    pub async fn stop(mut self) -> Result<()> {
        self.holder.kill().await?;
        Ok(())
    }
}

impl Libvirtd {
    /// The URI by which a client outside the namespace reaches it.
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    /// Its socket, as seen from outside the namespace.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sockets/libvirt-sock")
    }

    /// What the daemons wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

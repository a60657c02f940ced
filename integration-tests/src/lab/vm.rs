//! A virtual machine: Debian's kernel under QEMU's software emulation, on this machine's own root file system.
//!
//! The root is read-only beneath a tmpfs overlay, so the binaries just built are there at the same absolute path, and
//! nothing that the machine writes survives it, but for the folders on its own small disk (`guest-init` lists them).
//! The kernel's view of the shared root is cached: a file that changes here while a machine runs may be stale there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::line::{Line, Socket};
use super::nic::{self, Cards, Nic};
use super::script::{Output, Status};
use super::{Lab, keeper, responder, workspace};

/// A boot takes about 7 s on an idle machine of two cores, one by systemd about 25 s; busy ones take several times as long.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
/// How long a kernel may take to its first process: about 4 s on an idle machine of two cores.
const KERNEL_LIMIT: Duration = Duration::from_secs(60);
/// How often a machine is switched on whose kernel hangs.
const BOOT_TRIES: u32 = 3;
/// What `initramfs-init` says first.
const FIRST_WORDS: &str = "lab: the kernel is up";
const POWER_OFF_LIMIT: Duration = Duration::from_secs(120);
const MONITOR_LIMIT: Duration = Duration::from_secs(20);
/// The limit of [`Vm::run`].
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Describes a machine; see [`Lab::vm`].
#[derive(Debug)]
pub struct Builder {
    lab: Arc<Lab>,
    name: String,
    memory_mib: u32,
    processors: u32,
    disk_mib: u32,
    init: Init,
    nics: Vec<Nic>,
    qemu: Option<PathBuf>,
}

/// The first process of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    /// `guest-init` itself: nothing runs but what a test starts.
    Script,
    /// systemd, with udev, D-Bus and what a test enables.
    Systemd,
}

/// A machine with its disk. The machine is killed and its disk forgotten when the value is dropped.
#[derive(Debug)]
pub struct Vm {
    // First, so that QEMU is killed before the lab's folder and turn are given up.
    running: Option<Running>,
    spec: Builder,
    cards: Cards,
    folder: PathBuf,
    boot_time: Duration,
}

#[derive(Debug)]
struct Running {
    qemu: Child,
    line: Line,
}

/// A process left running in a machine by [`Vm::start_daemon`].
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its process id in the machine, which is also its process group.
    pub pid: u32,
    /// The file in the machine that takes its output.
    pub log: String,
}

impl Builder {
    pub(super) fn new(lab: Arc<Lab>, name: &str) -> Self {
        Self {
            lab,
            name: name.to_owned(),
            memory_mib: 2048,
            processors: 1,
            disk_mib: 256,
            init: Init::Script,
            nics: Vec::new(),
            qemu: None,
        }
    }

    /// Sets the memory in MiB; 2048 unless set.
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Sets the number of processors; 1 unless set. Machines with two on a busy host spend most of their time in waiting for
    /// the one of the two that is not run.
    pub fn processors(mut self, processors: u32) -> Self {
        self.processors = processors;
        self
    }

    /// Sets the size of the persistent disk in MiB; 256 unless set (the file is sparse).
    pub fn disk_mib(mut self, disk_mib: u32) -> Self {
        self.disk_mib = disk_mib;
        self
    }

    /// Lets systemd be the first process. `/etc/systemd/system`, `/etc/systemd/network` and `/etc/NetworkManager/conf.d` begin
    /// empty and survive a reboot; systemd-networkd, systemd-resolved and NetworkManager are installed, not enabled.
    pub fn systemd(mut self) -> Self {
        self.init = Init::Systemd;
        self
    }

    /// Lets the QEMU run it that was unpacked into this folder, see [`Lab::newer_qemu`]; this machine's own unless set.
    pub fn qemu(mut self, root: PathBuf) -> Self {
        self.qemu = Some(root);
        self
    }

    /// Adds a card.
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Makes the machine's disk and boots it.
    ///
    /// *Errors*: QEMU ends or the machine is not ready within four minutes; the error quotes the console.
    pub async fn start(self) -> Result<Vm> {
        let folder = self.lab.folder().join(&self.name);
        std::fs::create_dir(&folder).with_context(|| format!("a second machine named {}", self.name))?;
        let cards = Cards::lay_out(&self.name, &self.nics)?;
        let mut vm = Vm { cards, folder, running: None, boot_time: Duration::ZERO, spec: self };
        vm.make_disk().await?;
        vm.boot().await?;
        Ok(vm)
    }
}

impl Vm {
    /// The machine's host name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The MAC of card `eth{card}`.
    pub fn mac(&self, card: usize) -> String {
        nic::mac(&self.spec.name, card)
    }

    /// Where a TCP port of the machine is reachable from here, when its user-mode card forwards it.
    pub fn forwarded(&self, guest_port: u16) -> Option<SocketAddr> {
        self.cards.forwards.iter().find(|forward| forward.guest_port == guest_port).map(|forward| forward.address)
    }

    /// The `lab` binary; machines see it at the same path.
    pub(super) fn responder(&self) -> &Path {
        &self.spec.lab.responder
    }

    /// How long the last boot took, from QEMU's start to the first script that could run.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// The process id of QEMU, while the machine runs.
    pub fn qemu_pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.qemu.id())
    }

    /// What the machine's processors have cost here since it was switched on: the processor time of the threads that emulate
    /// them, however busy this machine is.
    ///
    /// *Source*: `/proc/PID/task/TID/schedstat`, nanoseconds; QEMU names its threads. *Errors*: the machine is off.
    pub fn processor_time(&self) -> Result<Duration> {
        let pid = self.qemu_pid().context("the machine is off")?;
        let mut sum = Duration::ZERO;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            if std::fs::read_to_string(thread.join("comm"))?.starts_with("CPU ") {
                let told = std::fs::read_to_string(thread.join("schedstat"))?;
                sum += Duration::from_nanos(told.split_whitespace().next().context("no time")?.parse()?);
            }
        }
        Ok(sum)
    }

    /// Runs a bash script in the machine, as root, side by side with others, and kills it at `limit`.
    ///
    /// *Errors*: the machine is off or does not answer; a script that fails or reaches its limit is an [`Output`].
    pub async fn exec(&self, script: &str, limit: Duration) -> Result<Output> {
        self.exec_with_input(script, "", limit).await
    }

    /// Runs a script that must succeed within a minute, and yields its standard output.
    pub async fn run(&self, script: &str) -> Result<String> {
        let output = self.exec(script, RUN_LIMIT).await?;
        output.success().with_context(|| format!("{}: {script}", self.name()))
    }

    /// Runs a condition again and again in the machine until it exits with 0.
    ///
    /// *Errors*: it has not within `limit`; the error quotes what it last wrote.
    pub async fn wait_until(&self, condition: &str, limit: Duration) -> Result<()> {
        let output = self.exec(&format!("until {condition}; do sleep 0.1; done"), limit).await?;
        if output.status != Status::Exited(0) {
            let said = last_lines(&format!("{}{}", output.stdout, output.stderr), 10);
            bail!("{}: not within {limit:?}: {condition}\n{said}", self.name());
        }
        Ok(())
    }

    /// Writes a file in the machine, and the folders above it.
    pub async fn write(&self, path: &str, contents: &str) -> Result<()> {
        let script = format!("mkdir -p \"$(dirname '{path}')\" && cat >'{path}'");
        self.exec_with_input(&script, contents, RUN_LIMIT).await?.success()?;
        Ok(())
    }

    /// Reads a file in the machine.
    pub async fn read(&self, path: &str) -> Result<String> {
        self.run(&format!("cat '{path}'")).await
    }

    /// Starts a command in a session of its own in the machine and leaves it running; its output is appended to `log`.
    pub async fn start_daemon(&self, command: &str, log: &str) -> Result<Daemon> {
        let script = format!(
            "mkdir -p \"$(dirname '{log}')\"; setsid bash -c {} </dev/null >>'{log}' 2>&1 & echo $!",
            quote(&format!("exec {command}"))
        );
        let pid = self.run(&script).await?.trim().parse().context("no process id")?;
        Ok(Daemon { pid, log: log.to_owned() })
    }

    /// What the machine's kernel and init wrote on the console since the last boot.
    pub fn console_log(&self) -> String {
        let bytes = std::fs::read(self.console_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Pulls the cable of card `eth{card}`: the guest sees the carrier go.
    pub async fn unplug(&self, card: usize) -> Result<()> {
        self.monitor(&format!("set_link eth{card} off")).await.map(drop)
    }

    /// Puts the cable of card `eth{card}` back.
    pub async fn plug(&self, card: usize) -> Result<()> {
        self.monitor(&format!("set_link eth{card} on")).await.map(drop)
    }

    /// Ends the machine in order: processes get SIGTERM, the disk is synced, the power goes off.
    pub async fn shut_down(&mut self) -> Result<()> {
        let script = workspace().join("integration-tests/lab/guest-poweroff");
        let order = match self.spec.init {
            Init::Script => format!("setsid bash '{}' $PPID </dev/null >/dev/null 2>&1 &", script.display()),
            Init::Systemd => "systemctl --no-block poweroff".to_owned(),
        };
        let told = self.run(&order).await;
        if self.spec.init == Init::Script {
            // systemd may end the responder before it has answered.
            told?;
        }
        let running = self.running.as_mut().context("the machine is off")?;
        tokio::time::timeout(POWER_OFF_LIMIT, running.qemu.wait())
            .await
            .context("the machine does not power off")??;
        self.running = None;
        Ok(())
    }

    /// Pulls the machine's plug: what its kernel had not written to the disk is lost.
    pub async fn power_cut(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the machine is off")?;
        running.qemu.kill().await?;
        Ok(())
    }

    /// Shuts the machine down and boots it again with the same disk.
    pub async fn reboot(&mut self) -> Result<()> {
        self.shut_down().await?;
        self.boot().await
    }

    /// Boots a machine that is off.
    ///
    /// Now and then a kernel hangs under emulation before its first process, on a loaded machine about once in a thousand
    /// boots. Nothing of ours has run by then: the machine is switched on again, and the standard error output tells of it.
    pub async fn boot(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the machine is on");
        for _ in 0..BOOT_TRIES {
            let begun = Instant::now();
            if let Some(running) = self.switch_on().await? {
                self.running = Some(running);
                self.boot_time = begun.elapsed();
                return Ok(());
            }
        }
        bail!("{}: the kernel hung {BOOT_TRIES} times before its first process", self.name())
    }

    /// `None`: the kernel hangs.
    async fn switch_on(&self) -> Result<Option<Running>> {
        let socket = Socket::bind(&self.line_path())?;
        // Of an earlier boot.
        let _ = std::fs::remove_file(self.console_path());
        let mut qemu = keeper::start(self.qemu()?).await?;
        let line = tokio::select! {
            ready = tokio::time::timeout(BOOT_LIMIT, socket.ready()) => match ready {
                Ok(line) => line,
                Err(_) => Err(anyhow::anyhow!("not ready within {BOOT_LIMIT:?}")),
            },
            ended = qemu.wait() => Err(anyhow::anyhow!("QEMU ended: {:?}", ended)),
            () = self.kernel_hangs() => {
                let registers = self.monitor("info registers -a").await.unwrap_or_else(|error| error.to_string());
                let last_words = self.last_words();
                eprintln!("lab: the kernel of {} hangs under emulation\n{last_words}\n{registers}", self.name());
                qemu.kill().await?;
                return Ok(None);
            }
        };
        let line = line.with_context(|| format!("{} does not boot\n{}", self.name(), self.last_words()))?;
        Ok(Some(Running { qemu, line }))
    }

    /// Ends when the kernel has not come to its first process in time.
    async fn kernel_hangs(&self) {
        tokio::time::sleep(KERNEL_LIMIT).await;
        if self.console_log().contains(FIRST_WORDS) {
            std::future::pending::<()>().await;
        }
    }

    async fn exec_with_input(&self, script: &str, stdin: &str, limit: Duration) -> Result<Output> {
        let running = self.running.as_ref().context("the machine is off")?;
        running
            .line
            .run(script, stdin, limit)
            .await
            .with_context(|| format!("{}: {script}\n{}", self.name(), self.last_words()))
    }

    async fn make_disk(&self) -> Result<()> {
        let file = std::fs::File::create(self.disk_path())?;
        file.set_len(u64::from(self.spec.disk_mib) << 20)?;
        let made =
            Command::new("/sbin/mkfs.ext4").args(["-q", "-F", "-L", "persist"]).arg(self.disk_path()).status().await?;
        ensure!(made.success(), "mkfs.ext4: {made}");
        Ok(())
    }

    /// The QEMU command. `cache=unsafe` spares the machine's disk: a killed QEMU loses nothing that the guest has written.
    fn qemu(&self) -> Result<Command> {
        let Builder { lab, name, memory_mib, processors, .. } = &self.spec;
        let output = std::fs::File::create(self.output_path())?;
        let mut words = vec![
            "console=ttyS0 quiet panic=-1 mitigations=off audit=0 cryptomgr.notests no_timer_check net.ifnames=0"
                .to_owned(),
            format!("lab.init={}/integration-tests/lab/guest-init", workspace().display()),
            format!("lab.name={name}"),
            format!("lab.modules={}", lab.kernel.modules.display()),
            format!("lab.respond={}", lab.responder.display()),
            format!("lab.guest={}", lab.kernel.guest.display()),
        ];
        words.extend(self.cards.kernel.iter().cloned());

        let mut command = match &self.spec.qemu {
            None => keeper::mortal("qemu-system-x86_64"),
            Some(root) => {
                let mut command = keeper::mortal(root.join("usr/bin/qemu-system-x86_64"));
                command.env("QEMU_MODULE_DIR", root.join("usr/lib/x86_64-linux-gnu/qemu"));
                command.arg("-L").arg(root.join("usr/share/qemu"));
                command
            }
        };
        if self.spec.init == Init::Systemd {
            words.push("lab.systemd=yes".to_owned());
            let layer = lab.kernel.layer.display();
            command
                .args([
                    "-fsdev",
                    &format!("local,id=layer,path={layer},security_model=none,readonly=on,multidevs=remap"),
                ])
                .args(["-device", "virtio-9p-pci,fsdev=layer,mount_tag=layer"]);
        }
        command
            .args(["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"])
            .args(["-m", &memory_mib.to_string(), "-smp", &processors.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-serial", &format!("file:{}", self.console_path().display())])
            .args(["-monitor", &format!("unix:{},server=on,wait=off", self.monitor_path().display())])
            .args(["-name", &format!("{name},debug-threads=on"), "-uuid", &self.uuid()])
            .arg("-kernel")
            .arg(&lab.kernel.image)
            .arg("-initrd")
            .arg(&lab.kernel.initramfs)
            .args(["-append", &words.join(" ")])
            .args(["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"])
            .args(["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"])
            .args(["-drive", &format!("file={},format=raw,if=none,id=disk,cache=unsafe", self.disk_path().display())])
            .args(["-device", "virtio-blk-pci,drive=disk"])
            .args(["-chardev", &format!("socket,id=line,path={},server=off", self.line_path().display())])
            .args(["-device", "virtio-serial-pci", "-device"])
            .arg(format!("virtserialport,chardev=line,name={}", responder::PORT_NAME))
            .args(&self.cards.qemu)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(command)
    }

    /// Gives one command to QEMU's human monitor and yields what it says, which ends with its prompt.
    async fn monitor(&self, command: &str) -> Result<String> {
        let exchange = async {
            let mut stream = UnixStream::connect(self.monitor_path()).await?;
            read_prompt(&mut stream).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            read_prompt(&mut stream).await
        };
        let said = tokio::time::timeout(MONITOR_LIMIT, exchange).await.context("QEMU's monitor does not answer")??;
        ensure!(!said.contains("Error") && !said.contains("not found"), "QEMU's monitor: {command}: {said}");
        Ok(said)
    }

    /// The end of what QEMU and the console said, for error messages.
    fn last_words(&self) -> String {
        let qemu = std::fs::read_to_string(self.output_path()).unwrap_or_default();
        let console = self.console_log();
        format!("--- QEMU\n{qemu}--- console\n{}", last_lines(&console, 30))
    }

    /// The host's UUID as firmware tells it (libvirt identifies a host by it): fixed by the name.
    fn uuid(&self) -> String {
        let mac = self.mac(0).replace(':', "");
        format!("7e571ab0-0000-4000-8000-{mac}")
    }

    fn console_path(&self) -> PathBuf {
        self.folder.join("console")
    }

    fn output_path(&self) -> PathBuf {
        self.folder.join("qemu")
    }

    fn disk_path(&self) -> PathBuf {
        self.folder.join("disk")
    }

    fn line_path(&self) -> PathBuf {
        self.folder.join("line")
    }

    fn monitor_path(&self) -> PathBuf {
        self.folder.join("monitor")
    }

    /// The machine's folder here, with its disk, console and sockets.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Reads until the monitor's prompt.
async fn read_prompt(stream: &mut UnixStream) -> Result<String> {
    let mut said = Vec::new();
    while !said.ends_with(b"(qemu) ") {
        ensure!(stream.read_buf(&mut said).await? > 0, "QEMU's monitor hung up");
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The end of a text.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Quotes a text as one shell word.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

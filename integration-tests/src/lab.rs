//! The lab: virtual machines with Debian's kernel, layer-2 segments between them, and network namespaces.
//!
//! A [`Lab`] is one test's place to work: it waits for one of the machine's seats, owns a private folder, and makes the machines and segments. Everything ends with the value that owns it, also after a panic;
//! what a killed test left in its folder is swept by the next one. See `docs/lab.md`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

mod folder;
pub(crate) mod keeper;
pub mod libvirt;
mod line;
pub mod namespace;
pub mod nic;
pub mod probe;
pub mod responder;
pub mod script;
pub mod segment;
pub mod vm;

use folder::Folder;
use segment::Segment;
use vm::Builder;

/// How long one test waits for the machines of another.
const SEAT_LIMIT: Duration = Duration::from_secs(1500);
const SEAT_PERIOD: Duration = Duration::from_millis(100);
/// How many labs a machine serves at a time. A story waits a third of its time: three of them fill two processors.
const SEATS: [&str; 3] = ["trestle-lab-0.lock", "trestle-lab-1.lock", "trestle-lab-2.lock"];

/// One test's place to work, with its seat at the machine.
///
/// Machines share it, so it ends after the last of them.
#[derive(Debug)]
pub struct Lab {
    folder: Folder,
    kernel: Kernel,
    responder: PathBuf,
    _seat: Option<File>,
}

/// What `integration-tests/lab/prepare` made: the kernel, the layer of files that machines booted by systemd see over
/// the shared root, and what guests boot that answer.
#[derive(Debug)]
struct Kernel {
    image: PathBuf,
    initramfs: PathBuf,
    modules: PathBuf,
    layer: PathBuf,
    guest: PathBuf,
}

impl Lab {
    /// Waits for a seat and opens a lab, or prints why `story` is skipped on this machine and yields nothing.
    ///
    /// With `TRESTLE_LAB=required` in the environment a skip is an error instead.
    /// *Errors*: no seat within 25 minutes; the kernel cannot be prepared; the `lab` binary is not built.
    pub async fn enter(story: &str) -> Result<Option<Arc<Self>>> {
        if let Err(reason) = probe::machines() {
            probe::skip(story, &reason)?;
            return Ok(None);
        }
        let seat = take_seat().await?;
        Self::open(Some(seat)).await.map(Some)
    }

    /// Opens a lab beside the others, without waiting for a seat: for a demo that is left running.
    ///
    /// *Errors*: as [`Lab::enter`], and a machine that cannot run a VM.
    pub async fn enter_beside() -> Result<Arc<Self>> {
        probe::machines().map_err(anyhow::Error::msg)?;
        Self::open(None).await
    }

    async fn open(seat: Option<File>) -> Result<Arc<Self>> {
        let checkout = workspace();
        ensure!(
            !checkout.to_string_lossy().contains([' ', ',']),
            "the kernel's command line cannot name {}: move the checkout",
            checkout.display()
        );
        Ok(Arc::new(Self {
            kernel: prepare().await?,
            responder: responder_binary()?,
            folder: Folder::make()?,
            _seat: seat,
        }))
    }

    /// Unpacks a QEMU that is newer than this machine's, or prints why `story` is skipped and yields nothing.
    ///
    /// *Errors*: with `TRESTLE_LAB=required` in the environment, a skip.
    pub async fn newer_qemu(&self, story: &str) -> Result<Option<PathBuf>> {
        match answer_of(&["--qemu"], &["QEMU"]).await {
            Ok([root]) => Ok(Some(root)),
            Err(error) => {
                probe::skip(story, &format!("no newer QEMU: {error:#}"))?;
                Ok(None)
            }
        }
    }

    /// Begins to describe a virtual machine; `name` is its host name and must be unique in the lab.
    pub fn vm(self: &Arc<Self>, name: &str) -> Builder {
        Builder::new(Arc::clone(self), name)
    }

    /// Lays a layer-2 segment.
    pub fn segment(&self, name: &str) -> Result<Segment> {
        Segment::start(&self.folder().join(format!("{name}.segment")))
    }

    /// The lab's private folder; it vanishes with the lab. Machines see it read-only at the same path.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member lies in its workspace").to_owned()
}

/// Waits for one of the machine-wide locks by which the VM tests of all test binaries share the machine.
async fn take_seat() -> Result<File> {
    let open = |name: &str| {
        let path = std::env::temp_dir().join(name);
        File::create(&path).with_context(|| format!("cannot open {}", path.display()))
    };
    let mut seats = SEATS.into_iter().map(open).collect::<Result<Vec<File>>>()?;
    // Tried again and again: a blocking lock could not be given up at the limit.
    let waiting = async {
        let mut tick = tokio::time::interval(SEAT_PERIOD);
        loop {
            tick.tick().await;
            if let Some(free) = seats.iter().position(|seat| !matches!(seat.try_lock(), Err(TryLockError::WouldBlock)))
            {
                return seats.swap_remove(free);
            }
        }
    };
    tokio::time::timeout(SEAT_LIMIT, waiting).await.context("other labs hold the machine for too long")
}

async fn prepare() -> Result<Kernel> {
    let keys = ["KERNEL", "INITRAMFS", "MODULES", "LAYER", "GUEST"];
    let [image, initramfs, modules, layer, guest] = answer_of(&[], &keys).await?;
    Ok(Kernel { image, initramfs, modules, layer, guest })
}

/// Runs the `prepare` script, which does nothing when all is there, and returns the paths that it names.
async fn answer_of<const COUNT: usize>(arguments: &[&str], keys: &[&str; COUNT]) -> Result<[PathBuf; COUNT]> {
    let script = workspace().join("integration-tests/lab/prepare");
    let output = tokio::process::Command::new(&script)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(output.status.success(), "lab/prepare failed: {}", output.status);
    let answer = String::from_utf8(output.stdout)?;
    let mut paths = Vec::with_capacity(COUNT);
    for key in keys {
        let path = answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        paths.push(PathBuf::from(path.with_context(|| format!("lab/prepare did not name {key}"))?));
    }
    paths.try_into().map_err(|_| anyhow::anyhow!("as many paths as keys"))
}

/// The `lab` binary, which every machine runs to take commands; Cargo builds it beside the tests.
fn responder_binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("lab"))
        .find(|path| path.is_file())
        .context("the lab binary is missing; run cargo build -p integration-tests --bins")
}

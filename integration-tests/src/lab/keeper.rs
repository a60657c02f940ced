//! Starts child processes that cannot outlive this one.
//!
//! The kernel kills a child when the *thread* that started it ends (`PR_SET_PDEATHSIG`, set by `setpriv`), so one
//! thread starts them all and lives as long as the process. It does nothing else.

use std::ffi::OsStr;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Errand = Box<dyn FnOnce() + Send>;

static KEEPER: OnceLock<SyncSender<Errand>> = OnceLock::new();

/// A command whose process is killed when the thread that starts it ends.
pub(crate) fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).kill_on_drop(true);
    command
}

/// Starts a command made by [`mortal`]; its process ends with the `Child`, and at the latest with this process.
pub(crate) async fn start(mut command: Command) -> Result<Child> {
    let runtime = Handle::current();
    let (answer, started) = oneshot::channel();
    let errand: Errand = Box::new(move || {
        let _context = runtime.enter();
        let _ = answer.send(command.spawn());
    });
    let keeper = KEEPER.get_or_init(|| {
        let (errands, queue) = sync_channel::<Errand>(16);
        std::thread::spawn(move || queue.into_iter().for_each(|errand| errand()));
        errands
    });
    keeper.send(errand).ok().context("the keeper's thread has ended")?;
    started.await?.context("cannot start a child process")
}

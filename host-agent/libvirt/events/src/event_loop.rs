//! libvirt's own event loop, on a thread of its own.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tracing::error;
use virt::event::{event_register_default_impl, event_run_default_impl};

/// How long the thread rests after a round that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Starts libvirt's event loop; a later call only tells how the first one went.
///
/// Call it before the first connection is opened: libvirt watches only the sockets of connections that are opened
/// afterwards. The loop runs until the process ends: libvirt cannot unregister it, and a connection that is closed is
/// freed by it.
///
/// *Errors*: libvirt took no loop, or the thread could not be started; in words.
pub fn start_loop() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED.get_or_init(start).clone()
}

fn start() -> Result<(), String> {
    event_register_default_impl().map_err(|error| error.message().to_owned())?;
    let thread = thread::Builder::new().name("libvirt-events".to_owned());
    thread.spawn(run).map_err(|error| error.to_string())?;
    Ok(())
}

fn run() {
    loop {
        if let Err(error) = event_run_default_impl() {
            error!(error = error.message(), "round of libvirt's event loop failed");
            thread::park_timeout(RETRY);
        }
    }
}

//! A network namespace of its own, for trying things that nobody on the host is to see.

use std::future::Future;
use std::{io, thread};

use nix::sched::{CloneFlags, unshare};
use tokio::sync::oneshot;

/// Starts `work` on a new thread, in a new network namespace and a tokio runtime of its own, and returns at once.
///
/// The receiver gets the work's result, or why there is no namespace (it takes `CAP_SYS_ADMIN`); it sees a closed
/// channel if the work panicked. The namespace ends with the thread, and all devices that were made in it.
pub fn start_in_scratch_namespace<Work, Running, Value>(work: Work) -> oneshot::Receiver<io::Result<Value>>
where
    Work: FnOnce() -> Running + Send + 'static,
    Running: Future<Output = Value>,
    Value: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let spawned = thread::Builder::new().name("scratch-netns".to_owned()).spawn(move || {
        let result = run(work);
        // Nobody waits any more if the receiver is gone.
        drop(reply.send(result));
    });
    match spawned {
        Ok(_detached) => answer,
        Err(error) => {
            let (reply, answer) = oneshot::channel();
            drop(reply.send(Err(error)));
            answer
        }
    }
}

fn run<Work, Running, Value>(work: Work) -> io::Result<Value>
where
    Work: FnOnce() -> Running,
    Running: Future<Output = Value>,
{
    unshare(CloneFlags::CLONE_NEWNET)?;
    // Only after that: threads of the runtime inherit the namespace of this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work()))
}

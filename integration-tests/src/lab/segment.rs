//! A layer-2 segment between machines: a hub in this process, to which QEMU connects over a unix socket.
//!
//! Every frame goes to every other port, as on a cable, so what a bridge or a card lets through is the machine's own doing.
//! A test can send frames and listen. Frames never leave the process and its machines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Frames that a port may have in its queue; more are dropped, as a switch does.
const PORT_QUEUE: usize = 4096;

/// The largest frame that is taken; QEMU sends no more.
const FRAME_LIMIT: usize = 70_000;

/// A frame as it is on the wire, from the destination's address on, without checksum.
pub type Frame = Arc<[u8]>;

/// The hub; machines lose the carrier's other end when it is dropped.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    hub: Arc<Hub>,
    _tasks: JoinSet<()>,
}

/// Sees every frame on a segment from the moment it was made.
#[derive(Debug)]
pub struct Listener {
    frames: mpsc::Receiver<Frame>,
    port: u64,
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Hub {
    ports: Mutex<Ports>,
}

#[derive(Debug, Default)]
struct Ports {
    next: u64,
    queues: BTreeMap<u64, mpsc::Sender<Frame>>,
}

impl Segment {
    /// Binds the segment's socket and serves it. Must be called within a Tokio runtime.
    pub(super) fn start(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| format!("cannot bind {}", path.display()))?;
        let hub = Arc::new(Hub::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&hub)));
        Ok(Self { path: path.to_owned(), hub, _tasks: tasks })
    }

    /// Sends a frame to every machine on the segment.
    pub fn send(&self, frame: &[u8]) {
        self.hub.spread(u64::MAX, &Frame::from(frame));
    }

    /// Begins to listen.
    pub fn listen(&self) -> Listener {
        let (port, frames) = self.hub.join();
        Listener { frames, port, hub: Arc::clone(&self.hub) }
    }

    /// The socket that QEMU connects to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Listener {
    /// Waits for the next frame that `wanted` accepts, at most for `limit`; `None` when none came.
    pub async fn next(&mut self, limit: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Frame> {
        let search = async {
            loop {
                let frame = self.frames.recv().await?;
                if wanted(&frame) {
                    return Some(frame);
                }
            }
        };
        tokio::time::timeout(limit, search).await.ok().flatten()
    }

    /// Counts the frames that have come so far and that `wanted` accepts; they are consumed.
    pub fn count(&mut self, wanted: impl Fn(&[u8]) -> bool) -> usize {
        std::iter::from_fn(|| self.frames.try_recv().ok()).filter(|frame| wanted(frame)).count()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.leave(self.port);
    }
}

impl Hub {
    fn join(&self) -> (u64, mpsc::Receiver<Frame>) {
        let (queue, frames) = mpsc::channel(PORT_QUEUE);
        let mut ports = self.ports.lock().expect("no holder panics");
        let port = ports.next;
        ports.next += 1;
        ports.queues.insert(port, queue);
        (port, frames)
    }

    fn leave(&self, port: u64) {
        self.ports.lock().expect("no holder panics").queues.remove(&port);
    }

    /// Puts the frame into every queue but its sender's.
    fn spread(&self, from: u64, frame: &Frame) {
        let ports = self.ports.lock().expect("no holder panics");
        for (_, queue) in ports.queues.iter().filter(|(port, _)| **port != from) {
            let _ = queue.try_send(Frame::clone(frame));
        }
    }
}

/// An untagged or tagged frame of the local experimental ethertype 0x88b5, 64 bytes long: nothing answers it.
pub fn test_frame(destination: [u8; 6], source: [u8; 6], vlan: Option<u16>) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    if let Some(vlan) = vlan {
        frame.extend([0x81, 0x00]);
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend([0x88, 0xb5]);
    frame.resize(64, 0);
    frame
}

/// Takes machines onto the segment; their tasks end with this one.
async fn accept(listener: UnixListener, hub: Arc<Hub>) {
    let mut machines = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { machines.spawn(serve(stream, Arc::clone(&hub))); }
                Err(_) => return,
            },
            Some(_) = machines.join_next() => {}
        }
    }
}

/// Serves one machine's card until it is unplugged.
async fn serve(stream: UnixStream, hub: Arc<Hub>) {
    let (port, frames) = hub.join();
    let (reading, writing) = stream.into_split();
    // Either direction's end is the card's end.
    tokio::select! {
        _ = read_frames(reading, port, &hub) => {}
        _ = write_frames(writing, frames) => {}
    }
    hub.leave(port);
}

/// QEMU's framing on a stream: the length in four bytes, most significant first, then the frame.
async fn read_frames(reading: OwnedReadHalf, port: u64, hub: &Hub) -> Result<()> {
    let mut reading = tokio::io::BufReader::new(reading);
    loop {
        let length = usize::try_from(reading.read_u32().await?)?;
        anyhow::ensure!(length <= FRAME_LIMIT, "QEMU sent a frame of {length} bytes");
        let mut frame = vec![0; length];
        reading.read_exact(&mut frame).await?;
        hub.spread(port, &Frame::from(frame));
    }
}

async fn write_frames(mut writing: OwnedWriteHalf, mut frames: mpsc::Receiver<Frame>) -> Result<()> {
    while let Some(frame) = frames.recv().await {
        let mut packet = u32::try_from(frame.len())?.to_be_bytes().to_vec();
        packet.extend_from_slice(&frame);
        writing.write_all(&packet).await?;
    }
    Ok(())
}

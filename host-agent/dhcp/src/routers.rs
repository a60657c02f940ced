//! The routers of IPv6 links: one socket hears what they advertise, and asks them where nothing was heard yet.
//!
//! The kernel makes addresses and the default route of advertisements by itself. What it makes nothing of, name servers
//! and the router of a network that does not own the default route, is told here, for as long as it is in force.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use trestle_model::{Advertised, IfName};

use crate::advertisement;
use crate::heard::Heard;

/// What routers have told this host; clones share it.
#[derive(Debug, Clone)]
pub struct Routers {
    shared: Arc<Shared>,
}

/// Hears routers; made by [`Routers::open`].
#[derive(Debug)]
pub struct RouterEars {
    socket: AsyncFd<Socket>,
    routers: Routers,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Counts the changes of what is in force.
    changes: watch::Sender<u64>,
    /// Counts the questions that are due.
    questions: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    heard: Heard,
    /// What somebody listens to, and what was told of it last.
    attended: BTreeMap<IfName, Place>,
    told: Vec<Advertised>,
}

/// Where a device is.
#[derive(Debug)]
struct Place {
    index: u32,
    segment: IfName,
    /// When its routers are asked next, and how often they are asked still.
    question: Option<(Instant, u32)>,
}

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// A router solicitation without options; the kernel computes its checksum.
///
/// *Source*: RFC 4861, 4.1.
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
/// `MAX_RTR_SOLICITATIONS` and `RTR_SOLICITATION_INTERVAL` of RFC 4861, 10.
const QUESTIONS: u32 = 3;
const QUESTION_REST: Duration = Duration::from_secs(4);
/// What no other router has passed on comes with this many hops left (RFC 4861, 6.1.2).
const HOPS: u32 = 255;
/// Room for an advertisement: what a link's MTU lets through in one piece.
const ROOM: usize = 9216;
/// The rest after the socket failed.
const REST: Duration = Duration::from_secs(1);

impl Routers {
    /// Opens the socket, in the network namespace of this thread, and what it is heard by.
    ///
    /// *Errors*: the kernel's: it has no IPv6, or this process no `CAP_NET_RAW`. *Panics*: outside of a tokio runtime with
    /// I/O and time.
    pub fn open() -> io::Result<(Self, RouterEars)> {
        let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))?;
        socket.set_multicast_hops_v6(HOPS)?;
        socket.set_recv_hoplimit_v6(true)?;
        socket.attach_filter(&only_advertisements())?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe to call, for values that do not own their descriptor; this socket does"
        )]
        let socket = AsyncFd::new(socket)?;
        let routers = Self::deaf();
        Ok((routers.clone(), RouterEars { socket, routers }))
    }

    /// Makes one that nobody tells anything.
    pub fn deaf() -> Self {
        let (changes, questions) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { table: Mutex::default(), changes, questions }) }
    }

    /// Tells what is in force on the devices that are listened to, ordered by device and router.
    pub fn observe(&self) -> Vec<Advertised> {
        self.shared.lock().told.clone()
    }

    /// Returns a channel that tells when something else is in force.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Listens on these devices, each with the device by which it leaves the host, and on no others.
    ///
    /// Where a device leaves the host elsewhere than before, what was heard there is forgotten; where nothing was heard
    /// yet, routers are asked.
    pub fn attend(&self, devices: &BTreeMap<IfName, IfName>) {
        let mut table = self.shared.lock();
        let now = Instant::now();
        let mut attended = BTreeMap::new();
        let mut asks = false;
        for (link, segment) in devices {
            let Ok(index) = if_nametoindex(link.as_str()) else { continue };
            let before = table.attended.remove(link).filter(|before| before.index == index);
            if before.as_ref().is_some_and(|before| before.segment != *segment) {
                table.heard.forget(index);
            }
            let place = before.filter(|before| before.segment == *segment).unwrap_or_else(|| {
                let question = (!table.heard.has_heard(index)).then_some((now, QUESTIONS));
                asks |= question.is_some();
                Place { index, segment: segment.clone(), question }
            });
            attended.insert(link.clone(), place);
        }
        table.attended = attended;
        let changed = table.tell();
        drop(table);
        if changed {
            self.shared.changes.send_modify(|count| *count += 1);
        }
        if asks {
            self.shared.questions.send_modify(|count| *count += 1);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what was heard, and tells of it where something else is in force now.
    fn change(&self, change: impl FnOnce(&mut Table)) {
        let changed = {
            let mut table = self.lock();
            change(&mut table);
            table.tell()
        };
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

impl Table {
    /// Brings up to date what is told; says whether it differs.
    fn tell(&mut self) -> bool {
        let name = |index| self.attended.iter().find(|(_, place)| place.index == index).map(|(link, _)| link.clone());
        // An index can be that of another device by now.
        let is_there = |link: &IfName, index| name_of(index).as_ref() == Some(link);
        let told = self.heard.in_force(|index| name(index).filter(|link| is_there(link, index)));
        let differs = told != self.told;
        self.told = told;
        differs
    }

    /// Returns the devices whose routers are to be asked now.
    fn questions(&mut self, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        for place in self.attended.values_mut() {
            let Some((at, left)) = place.question else { continue };
            if self.heard.has_heard(place.index) {
                place.question = None;
            } else if at <= now {
                due.push(place.index);
                place.question = (left > 1).then_some((now + QUESTION_REST, left.saturating_sub(1)));
            }
        }
        due
    }

    /// Returns when something has to be done.
    fn due(&self) -> Option<Instant> {
        let questions = self.attended.values().filter_map(|place| place.question.map(|(at, _)| at)).min();
        questions.into_iter().chain(self.heard.next_end()).min()
    }
}

impl RouterEars {
    /// Hears routers until `stop` is cancelled.
    ///
    /// *Cancel safety*: safe; what was not heard is advertised again.
    pub async fn run(self, stop: CancellationToken) {
        let shared = Arc::clone(&self.routers.shared);
        let mut questions = shared.questions.subscribe();
        let mut room = vec![0; ROOM];
        loop {
            let now = Instant::now();
            let asked = shared.lock().questions(now);
            for index in asked {
                self.ask(index);
            }
            shared.change(|table| table.heard.end(now));
            let due = shared.lock().due();
            // Cancel safety: waiting for a token, a socket, a channel and a time all are.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                received = self.receive(&mut room) => match received {
                    Ok(Some((index, router, length))) => {
                        let said = room.get(..length).and_then(advertisement::parse);
                        if let Some(said) = said {
                            shared.change(|table| table.heard.take(index, router, said, Instant::now()));
                        }
                    }
                    Ok(None) => {}
                    Err(error) => {
                        debug!(error = %error, "advertisement not received");
                        sleep(REST).await;
                    }
                },
                Ok(()) = questions.changed() => {}
                () = at(due) => {}
            }
        }
    }

    fn ask(&self, index: u32) {
        let routers = SocketAddrV6::new(ALL_ROUTERS, 0, 0, index);
        // A device that is down, or has no address yet, asks by itself when it is up and has one.
        if let Err(error) = self.socket.get_ref().send_to(&SOLICITATION, &routers.into()) {
            debug!(link.index = index, error = %error, "routers not asked");
        }
    }

    /// Receives one message: the device's index, the sender, and how many octets of `room` it fills; `None` for one that a
    /// router of the link has not sent.
    async fn receive(&self, room: &mut [u8]) -> io::Result<Option<(u32, Ipv6Addr, usize)>> {
        let received = self.socket.async_io(Interest::READABLE, |socket| {
            let mut control = nix::cmsg_space!(i32);
            let mut parts = [IoSliceMut::new(room)];
            let message =
                recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
            let has_all_hops =
                |control| matches!(control, ControlMessageOwned::Ipv6HopLimit(hops) if u32::try_from(hops) == Ok(HOPS));
            let is_near = message.cmsgs()?.any(has_all_hops);
            let sender = message.address.filter(|sender| is_near && sender.ip().is_unicast_link_local());
            Ok(sender.map(|sender| (sender.scope_id(), sender.ip(), message.bytes)))
        });
        received.await
    }
}

/// Returns a program for the kernel that lets only router advertisements through: the first octet is the type.
fn only_advertisements() -> [SockFilter; 4] {
    const LOAD_OCTET: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_OCTET, 0, 0, 0),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, advertisement::KIND.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn name_of(index: u32) -> Option<IfName> {
    IfName::parse(if_indextoname(index).ok()?.to_str().ok()?).ok()
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

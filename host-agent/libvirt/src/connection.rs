//! The one connection to libvirt, made when needed and made again when lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use trestle_libvirt_events::Subscription;
use trestle_model::{Feature, LibvirtInfo, Support};
use virt::connect::Connect;

use crate::owner::Teller;
use crate::{Fault, probe, snapshot, step};

/// Pause after the first failure to connect; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a silent daemon is left alone before it is asked for a sign of life, in seconds.
const KEEPALIVE_S: i32 = 5;
/// How many signs of life in a row may fail to come before the connection is given up.
const KEEPALIVES: u32 = 5;

/// A connection that heals: a call on a dead one connects anew, once.
///
/// It stays on the owner's thread: dropping it may block as any other call.
pub(crate) struct Connection {
    uri: String,
    teller: Teller,
    open: Option<Open>,
    /// How many connections there have been.
    opened: u64,
    failure: Option<Failure>,
    probed: BTreeMap<Feature, Support>,
}

/// An open connection. Dropping it closes it, which the crate `virt` leaves to its users.
struct Open {
    connect: Connect,
    /// None where libvirt tells of nothing by itself.
    subscription: Option<Subscription>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.subscription = None;
        let _last = self.connect.close();
    }
}

/// The last failure to connect, and when to try again.
struct Failure {
    reason: String,
    pause: Duration,
    retry_at: Instant,
}

impl Connection {
    pub(crate) const fn new(uri: String, teller: Teller) -> Self {
        Self { uri, teller, open: None, opened: 0, failure: None, probed: BTreeMap::new() }
    }

    /// Tells which of all connections the open one is, the first being 1.
    pub(crate) fn number(&self) -> Option<u64> {
        self.open.is_some().then_some(self.opened)
    }

    /// Tells whether libvirt would tell of a change by itself; asks nothing of the daemon.
    pub(crate) fn is_told(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.subscription.is_some() && open.connect.is_alive().unwrap_or(false))
    }

    /// Runs `work` on a connection. Where a connection that stood before turns out to be dead, and the outcome is still
    /// wanted, connects anew and runs `work` a second time: it must be idempotent.
    pub(crate) fn call<T>(
        &mut self,
        is_wanted: impl Fn() -> bool,
        work: impl Fn(&Connect) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let stood_before = self.open.is_some();
        match self.attempt(&work) {
            Err(Fault::Lost(reason)) if stood_before && is_wanted() => {
                info!(reason, "connecting to libvirt anew");
                self.attempt(&work)
            }
            outcome => outcome,
        }
    }

    /// Tells how the connection is, after asking libvirt itself, and what libvirt's filters do.
    pub(crate) fn info(&mut self) -> LibvirtInfo {
        let version = self.version();
        let (connected, version, fault) = match version {
            Ok(number) => (true, version_text(number), String::new()),
            Err(fault) => (false, String::new(), fault.to_string()),
        };
        let filters = if connected { self.call(|| true, snapshot::filter_effects) } else { Ok(BTreeMap::new()) };
        let filters = filters.unwrap_or_else(|fault| {
            warn!(error = %fault, "network filters not read");
            BTreeMap::new()
        });
        LibvirtInfo { uri: self.uri.clone(), connected, version, fault, filters }
    }

    /// Tells what libvirt can do; tried once for each connection, since trying defines a network for a moment.
    pub(crate) fn probe(&mut self) -> BTreeMap<Feature, Support> {
        // Another daemon may answer by now: ask before trusting what was found earlier.
        if let Err(fault) = self.version() {
            return probe::unknown(&fault);
        }
        if !self.probed.is_empty() {
            return self.probed.clone();
        }
        let features = self.call(|| true, probe::try_features).unwrap_or_else(|fault| probe::unknown(&fault));
        if !features.values().any(|support| matches!(support, Support::Unknown(_))) {
            self.probed.clone_from(&features);
        }
        features
    }

    fn version(&mut self) -> Result<u32, Fault> {
        self.call(|| true, |connect| Ok(connect.get_lib_version()?))
    }

    fn attempt<T>(&mut self, work: &impl Fn(&Connect) -> Result<T, Fault>) -> Result<T, Fault> {
        let connect = self.connected()?;
        let fault = match work(connect) {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        let reason = if let Fault::Lost(reason) = fault {
            reason
        } else if connect.is_alive().unwrap_or(false) {
            return Err(fault);
        } else {
            fault.to_string()
        };
        warn!(uri = self.uri, error = reason, "connection to libvirt lost");
        self.open = None;
        self.probed.clear();
        Err(Fault::Lost(reason))
    }

    fn connected(&mut self) -> Result<&Connect, Fault> {
        if self.open.is_none() {
            let connect = self.connect()?;
            self.opened += 1;
            let subscription = self.subscribe(&connect);
            self.open = Some(Open { connect, subscription });
        }
        Ok(&self.open.as_ref().expect("was made just above").connect)
    }

    fn connect(&mut self) -> Result<Connect, Fault> {
        if let Some(failure) = self.failure.as_ref().filter(|failure| now() < failure.retry_at) {
            return Err(self.unreachable(failure.reason.clone()));
        }
        // By default libvirt's client library prints every error to standard error.
        virt::error::clear_error_callback();
        match Connect::open(Some(&self.uri)) {
            Ok(connect) => {
                info!(uri = self.uri, "connected to libvirt");
                self.failure = None;
                // Guests that somebody else defines may refer to them, before anybody asks for a plug.
                if let Err(fault) = step::guest::define_all(&connect) {
                    warn!(error = %fault, "network filters of ours not defined");
                }
                Ok(connect)
            }
            Err(error) => {
                let reason = error.message().to_owned();
                let pause = match &self.failure {
                    Some(failure) => LONGEST_PAUSE.min(failure.pause * 2),
                    None => {
                        warn!(uri = self.uri, error = reason, "libvirt not reachable");
                        FIRST_PAUSE
                    }
                };
                self.failure = Some(Failure { reason: reason.clone(), pause, retry_at: now() + pause });
                Err(self.unreachable(reason))
            }
        }
    }

    fn subscribe(&self, connect: &Connect) -> Option<Subscription> {
        // libvirt's in-process test driver has no daemon that could fall silent.
        let _kept_alive = connect.set_keep_alive(KEEPALIVE_S, KEEPALIVES);
        let teller = self.teller.clone();
        match Subscription::new(connect, move |notice| teller.tell(notice)) {
            Ok(subscription) => Some(subscription),
            Err(error) => {
                warn!(uri = self.uri, error = error.message(), "libvirt tells of no changes; it is polled for them");
                None
            }
        }
    }

    /// Ends what libvirt was to tell of, and asks for it anew; counts as another connection, since what happened meanwhile was
    /// not told.
    ///
    /// In a libvirtd whose last listener has gone in the moment of a change, that change may stay queued, and while it does
    /// whoever comes next is told nothing at all. The end of all that listen empties the queue.
    ///
    /// *Source*: `virObjectEventStateQueueRemote` in libvirt's `src/conf/object_event.c`, which looks for listeners before it
    /// takes the lock.
    pub(crate) fn subscribe_anew(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        warn!(uri = self.uri, "libvirt did not tell of a change; it is asked anew to tell of them");
        open.subscription = None;
        open.subscription = self.subscribe(&open.connect);
        self.opened += 1;
        self.open = Some(open);
    }

    fn unreachable(&self, reason: String) -> Fault {
        Fault::Unreachable { uri: self.uri.clone(), reason }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge's own clock: pauses between tries and polls, nothing else")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Writes libvirt's number for a version, `major * 1,000,000 + minor * 1,000 + release`, as people do.
fn version_text(number: u32) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::watch;
    use virt::network::Network;

    use super::*;
    use crate::Changes;
    use crate::fingerprint::{Poll, TOLD_WITHIN};

    fn connection(uri: &str) -> Connection {
        Connection::new(uri.to_owned(), Teller::counting(watch::Sender::default()))
    }

    #[test]
    fn version_is_written_as_major_minor_release() {
        assert_eq!(version_text(9_000_000), "9.0.0");
        assert_eq!(version_text(1_002_011), "1.2.11");
    }

    #[test]
    fn pause_between_tries_to_connect_doubles_to_a_limit() {
        let mut connection = connection("qemu+unix:///system?socket=/no/such/socket");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(matches!(connection.call(|| true, |_| Ok(())), Err(Fault::Unreachable { .. })));
            let failure = connection.failure.as_mut().unwrap();
            pauses.push(failure.pause.as_millis());
            failure.retry_at = now();
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn call_on_a_dead_connection_is_repeated_once_while_its_outcome_is_wanted() {
        for (is_wanted, expected) in [(true, 2), (false, 1)] {
            let mut connection = connection("test:///default");
            connection.call(|| true, |_| Ok(())).unwrap();
            let tries = Cell::new(0);
            let outcome = connection.call(
                || is_wanted,
                |_| -> Result<(), Fault> {
                    tries.set(tries.get() + 1);
                    Err(Fault::Lost("cut".to_owned()))
                },
            );
            assert_eq!((outcome, tries.get()), (Err(Fault::Lost("cut".to_owned())), expected));
        }
    }

    #[test]
    fn call_during_a_pause_fails_at_once_with_the_last_reason() {
        let mut connection = connection("qemu+unix:///system?socket=/no/such/socket");
        let first = connection.call(|| true, |_| Ok(())).unwrap_err();
        connection.failure.as_mut().unwrap().retry_at = now() + Duration::from_secs(3600);
        assert_eq!(connection.call(|| true, |_| Ok(())).unwrap_err(), first);
    }

    fn define(connection: &mut Connection, name: &str) {
        let xml = format!("<network><name>{name}</name><forward mode='bridge'/><bridge name='{name}'/></network>");
        let _network = connection.call(|| true, |connect| Ok(Network::define_xml(connect, &xml)?)).unwrap();
    }

    /// Waits until libvirt has told of a network.
    fn wait_until_told(changes: &watch::Sender<Changes>, known: u64) {
        let tries = (0..1000).take_while(|_| changes.borrow().networks == known);
        tries.for_each(|_| std::thread::park_timeout(Duration::from_millis(10)));
        assert!(changes.borrow().networks > known);
    }

    #[test]
    fn who_is_not_told_of_what_polls_find_asks_anew() {
        trestle_libvirt_events::start_loop().unwrap();
        let node = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(node.path(), "<node/>").unwrap();
        let changes = watch::Sender::new(Changes::default());
        let uri = format!("test://{}", node.path().display());
        let mut connection = Connection::new(uri, Teller::counting(changes.clone()));
        let (mut poll, start) = (Poll::default(), now());
        assert!(!poll.run(&mut connection, &changes, start));

        let known = changes.borrow().networks;
        define(&mut connection, "told");
        wait_until_told(&changes, known);
        let polls = (0..3).map(|n| poll.run(&mut connection, &changes, start + TOLD_WITHIN * n));
        assert!(polls.into_iter().all(|is_deaf| !is_deaf), "what was told and found is no reason");

        let open = connection.open.as_mut().unwrap();
        open.subscription = None;
        open.subscription = Some(Subscription::new(&open.connect, |_| {}).unwrap());
        define(&mut connection, "untold");
        assert!(!poll.run(&mut connection, &changes, start), "it may still be on its way");
        assert!(!poll.run(&mut connection, &changes, start + TOLD_WITHIN / 2));
        assert!(poll.run(&mut connection, &changes, start + TOLD_WITHIN));
        connection.subscribe_anew();
        assert!(!poll.knows(&connection));
        assert!(!poll.run(&mut connection, &changes, start + TOLD_WITHIN));
        let known = changes.borrow().networks;
        define(&mut connection, "told-again");
        wait_until_told(&changes, known);
    }
}

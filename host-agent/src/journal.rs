//! What the agent keeps on disk: the configurations, the open transaction, and the results of those that ended.
//!
//! The only module that writes the agent's disk. Every change is one atomic commit that has reached the disk when the
//! call returns, but for those of which the loss would change nothing ([`Durability::Soon`]). There is one writer at a
//! time, on the blocking pool; what is kept is also held in memory, so that reading it never waits for the disk.
//!
//! A database that has failed, as on a full disk, does not work again by itself: it is closed, and opened anew by whoever
//! asks next. What is in memory then outweighs what the failed commit may have left.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};
use trestle_model::{Fence, HostConfig, KeptLease, Outcome, SetupRequest, TransactionId, TransactionReport};
use trestle_plan::PlannedStep;
use trestle_plan::transaction::Record;
use trestle_telemetry::chain;
use uuid::Uuid;

use crate::digest;
use crate::nameservers::LeasedNames;

mod archive;
mod error;
mod frame;
mod store;
mod tally;

pub use archive::Archive;
pub use error::JournalError;

use store::{Hold, Store};

/// How many results are kept; older ones are forgotten.
pub const HISTORY_LIMIT: u64 = 1000;

/// The rests between attempts to open a database again, in milliseconds; its last user lets go of it in threads of its own.
const LETTING_GO_MS: [u64; 6] = [10, 20, 50, 100, 200, 500];

/// Everything that is kept, but the history.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The kernel's boot id when the running configuration was last known to be in force; empty in a new store.
    pub boot_id: String,
    /// What the host was last told to be.
    pub running: HostConfig,
    /// What the host becomes again at boot.
    pub persistent: HostConfig,
    /// The highest place in the engine's history that was seen.
    pub fence: Fence,
    /// The transaction that has begun and not ended.
    pub open: Option<Open>,
    /// The host's identity for DHCPv6; nil before it was first needed.
    #[serde(default)]
    pub duid: Uuid,
    /// DHCP leases, ordered; those that are over may be among them.
    #[serde(default)]
    pub leases: Vec<KeptLease>,
    /// What leases and routers have put in the place of the host's name servers.
    #[serde(default)]
    pub leased_names: Option<LeasedNames>,
}

/// A transaction that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Who asked for it, as in a log: `engine`, `user/ada`, `local`.
    pub actor: String,
    /// When it began, milliseconds since 1970.
    pub began_ms: u64,
    /// The transaction.
    pub record: Record,
}

/// A transaction that has ended: who, when, what, and the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// Who asked for it.
    pub actor: String,
    /// When it began to change the host, milliseconds since 1970; `None` where nothing had to be changed.
    #[serde(default)]
    pub began_ms: Option<u64>,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: u64,
    /// As asked for.
    pub request: SetupRequest,
    /// The plan, as it was carried out or begun.
    pub steps: Vec<PlannedStep>,
    /// How it ended.
    pub report: TransactionReport,
}

/// A part of the history, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistoryPage {
    /// Transactions that ended.
    pub past: Vec<Past>,
    /// The position of the last one, where older ones follow; `None` at the end.
    pub more_before: Option<u64>,
}

/// One atomic change of what is kept; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// A new boot id.
    pub boot_id: Option<String>,
    /// A new running configuration.
    pub running: Option<HostConfig>,
    /// What becomes of the persistent configuration.
    pub persistent: PersistentChange,
    /// A new fence.
    pub fence: Option<Fence>,
    /// What becomes of the open transaction.
    pub open: OpenChange,
    /// A transaction to add to the history.
    pub past: Option<Past>,
    /// A new identity for DHCPv6.
    pub duid: Option<Uuid>,
    /// New DHCP leases, in the place of all that are kept.
    pub leases: Option<Vec<KeptLease>>,
    /// What becomes of a lease's name servers: these, or none any more.
    pub leased_names: Option<Option<LeasedNames>>,
    /// When all this has to have reached the disk.
    pub durability: Durability,
}

/// When a commit has to have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Before the call returns.
    #[default]
    Disk,
    /// Within a second, or with the next commit: for a commit without which the agent would do the same.
    Soon,
}

/// How the last transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The transaction.
    pub transaction: TransactionId,
    /// Who asked for it.
    pub actor: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// Short texts that differ when a configuration does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Of the running one.
    pub running: String,
    /// Of the persistent one.
    pub persistent: String,
}

/// What becomes of the persistent configuration.
#[derive(Debug, Clone, Default)]
pub enum PersistentChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is this.
    Set(HostConfig),
    /// It is what is running, after this change.
    Running,
}

/// What becomes of the open transaction.
#[derive(Debug, Clone, Default)]
pub enum OpenChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is this.
    Set(Box<Open>),
    /// There is none any more.
    Clear,
}

/// The agent's disk; clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    /// None after it has failed.
    store: Mutex<Option<Store>>,
    /// Whether the store may have failed.
    suspect: AtomicBool,
    contents: watch::Sender<Arc<Contents>>,
    /// The last transaction that has ended since the store was opened.
    ended: Mutex<Option<Ended>>,
    /// Of what is kept; `None` before they were asked for. Locked while `contents` is, never the other way round.
    hashes: Mutex<Option<Hashes>>,
    /// Held until the store is closed.
    _hold: Hold,
    /// Told of each commit before anything else happens.
    #[cfg(test)]
    witness: std::sync::OnceLock<Witness>,
    /// Tells which commits fail.
    #[cfg(test)]
    saboteur: std::sync::OnceLock<Saboteur>,
}

#[cfg(test)]
type Witness = Box<dyn Fn(Arc<Contents>) + Send + Sync>;

#[cfg(test)]
type Saboteur = Box<dyn Fn(&Change) -> bool + Send + Sync>;

impl Journal {
    /// Opens the store in `folder`, and makes both where they are missing.
    ///
    /// *Errors*: [`JournalError`]; the folder is in use, cannot be used, or is damaged. *Cancel safety*: safe.
    pub async fn open(folder: &Path) -> Result<Self, JournalError> {
        let folder = folder.to_owned();
        blocking(move || {
            let hold = Hold::take(&folder)?;
            let store = Store::open(&folder)?;
            let (contents, _) = watch::channel(Arc::new(store.contents()?));
            Ok(Self {
                shared: Arc::new(Shared {
                    folder,
                    store: Mutex::new(Some(store)),
                    suspect: AtomicBool::new(false),
                    contents,
                    ended: Mutex::default(),
                    hashes: Mutex::default(),
                    _hold: hold,
                    #[cfg(test)]
                    witness: std::sync::OnceLock::new(),
                    #[cfg(test)]
                    saboteur: std::sync::OnceLock::new(),
                }),
            })
        })
        .await
    }

    /// Returns what is kept, as the last commit left it.
    pub fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.shared.contents.borrow())
    }

    /// Returns a channel that tells when a commit has changed what is kept.
    pub fn watch(&self) -> watch::Receiver<Arc<Contents>> {
        self.shared.contents.subscribe()
    }

    /// Returns the last transaction that has ended since the store was opened.
    pub fn ended(&self) -> Option<Ended> {
        held(&self.shared.ended).clone()
    }

    /// Returns what is kept with the hashes of its configurations, which are made once for each that is new.
    pub fn hashed(&self) -> (Arc<Contents>, Hashes) {
        let contents = self.shared.contents.borrow();
        let hash = || Hashes { running: digest::of(&contents.running), persistent: digest::of(&contents.persistent) };
        let hashes = held(&self.shared.hashes).get_or_insert_with(hash).clone();
        (Arc::clone(&contents), hashes)
    }

    /// Writes a change, and returns when it has reached the disk, if it has to.
    ///
    /// *Errors*: [`JournalError`]; whether the change was written is not known, so the caller takes it as fatal for
    /// what it does. *Cancel safety*: a caller that goes away leaves the change whole or not begun.
    pub async fn write(&self, change: Change) -> Result<(), JournalError> {
        self.with_store(move |store, shared| {
            let change = change.resolved(&shared.contents.borrow().running);
            #[cfg(test)]
            if shared.saboteur.get().is_some_and(|fails| fails(&change)) {
                return Err(JournalError::Io {
                    folder: shared.folder.clone(),
                    source: std::io::ErrorKind::StorageFull.into(),
                });
            }
            store.commit(&change)?;
            if let Some(past) = &change.past {
                *held(&shared.ended) = Some(Ended {
                    transaction: past.report.transaction,
                    actor: past.actor.clone(),
                    outcome: past.report.outcome.clone(),
                });
            }
            shared.contents.send_modify(|contents| {
                if change.running.is_some() || change.persistent().is_some() {
                    held(&shared.hashes).take();
                }
                // Others may hold what was kept so far: a copy is made only where it changes.
                if change.is_of_contents() {
                    change.apply_to(Arc::make_mut(contents));
                }
            });
            #[cfg(test)]
            if let Some(witness) = shared.witness.get() {
                witness(Arc::clone(&shared.contents.borrow()));
            }
            Ok(())
        })
        .await
    }

    /// Returns a transaction that has ended, if it is still remembered.
    ///
    /// *Errors*: [`JournalError`]. *Cancel safety*: safe.
    pub async fn past(&self, transaction: TransactionId) -> Result<Option<Past>, JournalError> {
        self.with_store(move |store, _| store.past(transaction)).await
    }

    /// Returns up to `limit` transactions that ended before the one at position `before`, newest first; the newest where
    /// there is no position. A page ends sooner where it would be larger than a message should be.
    ///
    /// *Errors*: [`JournalError`]. *Cancel safety*: safe.
    pub async fn history(&self, before: Option<u64>, limit: usize) -> Result<HistoryPage, JournalError> {
        self.with_store(move |store, _| store.page(before, limit)).await
    }

    /// Returns everything that is kept, oldest result first.
    ///
    /// *Errors*: [`JournalError`]. *Cancel safety*: safe.
    pub async fn export(&self) -> Result<Archive, JournalError> {
        self.with_store(|store, _| Ok(Archive::new(store.contents()?, store.history()?))).await
    }

    /// Fills an empty store with what was exported from another.
    ///
    /// *Errors*: [`JournalError::NotEmpty`], and all others. *Cancel safety*: the import is whole or did not happen.
    pub async fn import(&self, archive: Archive) -> Result<(), JournalError> {
        self.with_store(move |store, shared| {
            store.fill(&archive)?;
            shared.contents.send_modify(|contents| {
                held(&shared.hashes).take();
                *contents = Arc::new(archive.contents);
            });
            Ok(())
        })
        .await
    }

    /// Lets a test look at the store's folder after each commit, while nobody writes there.
    #[cfg(test)]
    pub(crate) fn witness(&self, witness: impl Fn(Arc<Contents>) + Send + Sync + 'static) {
        assert!(self.shared.witness.set(Box::new(witness)).is_ok(), "one witness is there already");
    }

    /// Lets commits fail as on a full disk.
    #[cfg(test)]
    pub(crate) fn sabotage(&self, fails: impl Fn(&Change) -> bool + Send + Sync + 'static) {
        assert!(self.shared.saboteur.set(Box::new(fails)).is_ok(), "somebody does that already");
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store, &Shared) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.mend().await?;
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut slot = held(&shared.store);
            let store = slot.as_mut().ok_or(JournalError::Stopped)?;
            // It stays so where the work panics, too.
            shared.suspect.store(true, Ordering::Release);
            let done = work(store, &shared);
            if let Err(error) = &done
                && error.is_of_the_store()
            {
                warn!(error = %chain(error), "store failed, and is closed");
                *slot = None;
            } else {
                shared.suspect.store(false, Ordering::Release);
            }
            done
        })
        .await
    }

    /// Opens the store again if it has failed.
    async fn mend(&self) -> Result<(), JournalError> {
        let mut rests = LETTING_GO_MS.into_iter().map(Duration::from_millis);
        while self.shared.suspect.load(Ordering::Acquire) {
            let shared = Arc::clone(&self.shared);
            match (blocking(move || shared.reopen()).await, rests.next()) {
                (Err(JournalError::InUse(_)), Some(rest)) => sleep(rest).await,
                (outcome, _) => return outcome,
            }
        }
        Ok(())
    }
}

/// Waits until what is kept is not `known` any more, and returns it. A result alone, as of a request for what runs already,
/// is told to watchers too, and leaves it as it is.
///
/// *Errors*: the journal has gone. *Cancel safety*: safe.
pub(crate) async fn another(
    kept: &mut watch::Receiver<Arc<Contents>>,
    known: &Arc<Contents>,
) -> Result<Arc<Contents>, watch::error::RecvError> {
    kept.wait_for(|now| !Arc::ptr_eq(now, known)).await.map(|now| Arc::clone(&now))
}

impl Shared {
    fn reopen(&self) -> Result<(), JournalError> {
        let mut slot = held(&self.store);
        // Others may have worked with it, or opened it, meanwhile.
        if !self.suspect.load(Ordering::Acquire) {
            return Ok(());
        }
        *slot = None;
        let mut store = Store::open(&self.folder)?;
        let contents = Arc::clone(&self.contents.borrow());
        if store.contents()? != *contents {
            store.rewrite(&contents)?;
        }
        *slot = Some(store);
        self.suspect.store(false, Ordering::Release);
        info!("store works again");
        Ok(())
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

impl Change {
    /// Puts the running configuration in the place of the words that stand for it.
    fn resolved(mut self, running: &HostConfig) -> Self {
        if matches!(self.persistent, PersistentChange::Running) {
            self.persistent = PersistentChange::Set(self.running.as_ref().unwrap_or(running).clone());
        }
        self
    }

    fn persistent(&self) -> Option<&HostConfig> {
        match &self.persistent {
            PersistentChange::Set(persistent) => Some(persistent),
            PersistentChange::Keep | PersistentChange::Running => None,
        }
    }

    /// Tells whether anything but the history changes.
    const fn is_of_contents(&self) -> bool {
        let Self { boot_id, running, persistent, fence, open, past: _, duid, leases, leased_names, durability: _ } =
            self;
        boot_id.is_some()
            || running.is_some()
            || !matches!(persistent, PersistentChange::Keep)
            || fence.is_some()
            || !matches!(open, OpenChange::Keep)
            || duid.is_some()
            || leases.is_some()
            || leased_names.is_some()
    }

    fn apply_to(self, contents: &mut Contents) {
        let Self { boot_id, running, persistent, fence, open, past: _, duid, leases, leased_names, durability: _ } =
            self;
        if let Some(duid) = duid {
            contents.duid = duid;
        }
        if let Some(leases) = leases {
            contents.leases = leases;
        }
        if let Some(leased_names) = leased_names {
            contents.leased_names = leased_names;
        }
        if let Some(boot_id) = boot_id {
            contents.boot_id = boot_id;
        }
        if let Some(running) = running {
            contents.running = running;
        }
        if let PersistentChange::Set(persistent) = persistent {
            contents.persistent = persistent;
        }
        if let Some(fence) = fence {
            contents.fence = fence;
        }
        match open {
            OpenChange::Keep => {}
            OpenChange::Set(open) => contents.open = Some(*open),
            OpenChange::Clear => contents.open = None,
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(JournalError::Stopped))
}

#[cfg(test)]
mod tests;

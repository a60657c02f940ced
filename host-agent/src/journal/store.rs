//! The database: one writer, commits that reach the disk, and checks when it is opened.
//!
//! Layout of the folder: `lock`, held while the store is open; `commits`, see [`super::tally`]; `store/`, sled's own.
//! sled 0.34's flush does not wait for the disk, so each commit that has to reach it syncs sled's files by handles of its
//! own. A commit that need not is in sled's hands, which writes within half a second; the next one takes it along.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::transaction::{ConflictableTransactionResult, TransactionError, Transactional as _, TransactionalTree};
use trestle_model::TransactionId;

use super::tally::{Counted, Tally};
use super::{Archive, Change, Contents, Durability, HISTORY_LIMIT, HistoryPage, JournalError, OpenChange, Past, frame};

const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// A page of the history ends behind the result that makes it this large; the wire's form is smaller than the record's.
const PAGE_BYTES: usize = 1024 * 1024;

const ACCOUNT: &str = "account";
const BOOT_ID: &str = "boot_id";
const RUNNING: &str = "running";
const PERSISTENT: &str = "persistent";
const FENCE: &str = "fence";
const OPEN: &str = "open";
const DUID: &str = "duid";
const LEASES: &str = "leases";
const LEASED_NAMES: &str = "leased_names";

/// The open database.
pub(super) struct Store {
    folder: PathBuf,
    database: sled::Db,
    history: sled::Tree,
    tally: Tally,
    account: Account,
    positions: BTreeMap<TransactionId, u64>,
    /// The blobs that have reached the disk; sled never writes one again.
    synced: BTreeSet<OsString>,
}

/// Keeps others away from a folder until it is dropped.
pub(super) struct Hold(#[expect(dead_code, reason = "the lock is the file's, for as long as it is open")] File);

/// What the database says of itself; checked against what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Account {
    /// Number of commits so far.
    commits: u64,
    /// Position of the oldest result that is kept.
    oldest: u64,
    /// Position of the next result.
    next: u64,
}

/// Values to write in one commit: framed, or `None` to remove.
type Values = Vec<(&'static str, Option<Vec<u8>>)>;

impl Hold {
    /// Makes the folder where it is missing, and takes hold of it.
    pub(super) fn take(folder: &Path) -> Result<Self, JournalError> {
        let failed = |source| io_error(folder, source);
        fs::create_dir_all(folder).map_err(failed)?;
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock"));
        let file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Store {
    /// Opens the database in a folder that is held, and checks all of it.
    pub(super) fn open(folder: &Path) -> Result<Self, JournalError> {
        let failed = |source| io_error(folder, source);
        let inner = folder.join("store");
        let database = sled::Config::new().path(&inner).cache_capacity(CACHE_BYTES).open();
        let database = database.map_err(|error| opening_error(folder, error))?;
        let history = database.open_tree("history").map_err(|error| sled_error(folder, error))?;
        let tally = Tally::open(&folder.join("commits")).map_err(failed)?;
        for created in [inner.as_path(), folder] {
            File::open(created).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let mut store = Self {
            folder: folder.to_owned(),
            database,
            history,
            tally,
            account: Account::default(),
            positions: BTreeMap::new(),
            synced: BTreeSet::new(),
        };
        store.check()?;
        Ok(store)
    }

    /// Reads everything but the history.
    pub(super) fn contents(&self) -> Result<Contents, JournalError> {
        Ok(Contents {
            boot_id: self.value(BOOT_ID)?.unwrap_or_default(),
            running: self.value(RUNNING)?.unwrap_or_default(),
            persistent: self.value(PERSISTENT)?.unwrap_or_default(),
            fence: self.value(FENCE)?.unwrap_or_default(),
            open: self.value(OPEN)?,
            duid: self.value(DUID)?.unwrap_or_default(),
            leases: self.value(LEASES)?.unwrap_or_default(),
            leased_names: self.value(LEASED_NAMES)?.unwrap_or_default(),
        })
    }

    /// Reads the history, oldest first.
    pub(super) fn history(&self) -> Result<Vec<Past>, JournalError> {
        (self.account.oldest..self.account.next).map(|position| self.past_at(position)).collect()
    }

    /// Reads a part of the history, newest first.
    pub(super) fn page(&self, before: Option<u64>, limit: usize) -> Result<HistoryPage, JournalError> {
        let end = before.unwrap_or(self.account.next).min(self.account.next);
        let mut page = HistoryPage::default();
        let mut bytes = 0;
        for position in (self.account.oldest..end).rev() {
            if page.past.len() >= limit || bytes >= PAGE_BYTES {
                page.more_before = Some(position + 1);
                break;
            }
            let framed = self.framed_past(position)?;
            bytes += frame::unpacked_length(&framed);
            page.past.push(self.unwrapped(position, &framed)?);
        }
        Ok(page)
    }

    pub(super) fn past(&self, transaction: TransactionId) -> Result<Option<Past>, JournalError> {
        self.positions.get(&transaction).map(|position| self.past_at(*position)).transpose()
    }

    /// Writes a change as one commit; its persistent configuration is resolved already.
    pub(super) fn commit(&mut self, change: &Change) -> Result<(), JournalError> {
        let mut values = Values::new();
        put(&mut values, BOOT_ID, change.boot_id.as_ref())?;
        put(&mut values, RUNNING, change.running.as_ref())?;
        put(&mut values, PERSISTENT, change.persistent())?;
        put(&mut values, FENCE, change.fence.as_ref())?;
        put(&mut values, DUID, change.duid.as_ref())?;
        put(&mut values, LEASES, change.leases.as_ref())?;
        put(&mut values, LEASED_NAMES, change.leased_names.as_ref())?;
        match &change.open {
            OpenChange::Keep => {}
            OpenChange::Set(open) => put(&mut values, OPEN, Some(open))?,
            OpenChange::Clear => values.push((OPEN, None)),
        }
        self.write(values, change.past.as_slice(), change.durability)
    }

    /// Fills a store that was never written.
    pub(super) fn fill(&mut self, archive: &Archive) -> Result<(), JournalError> {
        if self.account != Account::default() {
            return Err(JournalError::NotEmpty(self.folder.clone()));
        }
        self.write(all(&archive.contents)?, &archive.history, Durability::Disk)
    }

    /// Writes everything but the history once more, as one commit.
    pub(super) fn rewrite(&mut self, contents: &Contents) -> Result<(), JournalError> {
        self.write(all(contents)?, &[], Durability::Disk)
    }

    fn write(&mut self, mut values: Values, past: &[Past], durability: Durability) -> Result<(), JournalError> {
        let mut account = self.account;
        let mut framed_past = Vec::with_capacity(past.len());
        for entry in past {
            framed_past.push((account.next, entry.report.transaction, framed("a result", entry)?));
            account.next += 1;
        }
        let kept_from = account.next.saturating_sub(HISTORY_LIMIT).max(account.oldest);
        let forgotten = account.oldest..kept_from;
        account.oldest = kept_from;
        account.commits += 1;
        put(&mut values, ACCOUNT, Some(&account))?;

        let transaction =
            |(state, history): &(TransactionalTree, TransactionalTree)| -> ConflictableTransactionResult<(), ()> {
                for (key, value) in &values {
                    match value {
                        Some(value) => drop(state.insert(*key, value.as_slice())?),
                        None => drop(state.remove(*key)?),
                    }
                }
                for (position, _, value) in &framed_past {
                    history.insert(&position.to_be_bytes(), value.as_slice())?;
                }
                for position in forgotten.clone() {
                    history.remove(&position.to_be_bytes())?;
                }
                Ok(())
            };
        (&*self.database, &self.history).transaction(transaction).map_err(
            |error: TransactionError<()>| match error {
                TransactionError::Storage(error) => sled_error(&self.folder, error),
                // Never: the closure has no abort.
                TransactionError::Abort(()) => JournalError::Stopped,
            },
        )?;
        // A blob that a loss of power left out would be a hole in what follows it.
        if durability == Durability::Disk || self.has_unsynced_blobs()? {
            self.sync(account.commits)?;
        }

        self.account = account;
        self.positions.retain(|_, position| *position >= kept_from);
        for (position, transaction, _) in framed_past {
            if position >= kept_from {
                self.positions.insert(transaction, position);
            }
        }
        Ok(())
    }

    /// Makes what sled has written reach the disk, then counts the commit.
    fn sync(&mut self, commits: u64) -> Result<(), JournalError> {
        self.database.flush().map_err(|error| sled_error(&self.folder, error))?;
        let blobs = self.blobs();
        let mut synced = || -> io::Result<()> {
            self.synced = sync_blobs(&blobs, &self.synced)?;
            File::open(self.folder.join("store/db"))?.sync_data()?;
            self.tally.write(commits)
        };
        synced().map_err(|source| io_error(&self.folder, source))
    }

    /// Tells whether sled has made blobs since the last sync.
    fn has_unsynced_blobs(&self) -> Result<bool, JournalError> {
        let names = fs::read_dir(self.blobs())
            .and_then(|blobs| blobs.map(|blob| Ok(blob?.file_name())).collect::<io::Result<BTreeSet<OsString>>>());
        Ok(!names.map_err(|source| io_error(&self.folder, source))?.is_subset(&self.synced))
    }

    /// Returns the folder in which sled keeps each record that is too large for its log in a file of its own.
    fn blobs(&self) -> PathBuf {
        self.folder.join("store/blobs")
    }

    /// Compares what the database says of itself with what is there.
    fn check(&mut self) -> Result<(), JournalError> {
        let found: Option<Account> = self.value(ACCOUNT)?;
        let account = found.unwrap_or_default();
        match self.tally.read().map_err(|source| io_error(&self.folder, source))? {
            Counted::Nothing => {}
            Counted::Commits(counted) if counted <= account.commits => {}
            Counted::Commits(counted) => {
                return Err(self.damaged(format!("it has {} of {counted} commits", account.commits)));
            }
            Counted::Nonsense => return Err(self.damaged("the file commits makes no sense".to_owned())),
        }
        let found: u64 = self.history.iter().keys().fold(0, |count, _| count + 1);
        let expected = account.next.saturating_sub(account.oldest);
        if found != expected {
            return Err(self.damaged(format!("it has {found} of {expected} results")));
        }
        self.account = account;
        for position in account.oldest..account.next {
            let past = self.past_at(position)?;
            self.positions.insert(past.report.transaction, position);
        }
        self.contents().map(drop)
    }

    fn past_at(&self, position: u64) -> Result<Past, JournalError> {
        self.unwrapped(position, &self.framed_past(position)?)
    }

    fn framed_past(&self, position: u64) -> Result<sled::IVec, JournalError> {
        let framed = self.history.get(position.to_be_bytes()).map_err(|error| sled_error(&self.folder, error))?;
        framed.ok_or_else(|| self.damaged(format!("result {position} is missing")))
    }

    fn unwrapped(&self, position: u64, framed: &[u8]) -> Result<Past, JournalError> {
        frame::unwrap(framed).map_err(|bad| self.damaged(format!("result {position}: {bad}")))
    }

    fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JournalError> {
        let framed = self.database.get(key).map_err(|error| sled_error(&self.folder, error))?;
        framed.map(|framed| frame::unwrap(&framed)).transpose().map_err(|bad| self.damaged(format!("{key}: {bad}")))
    }

    fn damaged(&self, what: String) -> JournalError {
        JournalError::Damaged { folder: self.folder.clone(), what }
    }
}

fn all(contents: &Contents) -> Result<Values, JournalError> {
    let Contents { boot_id, running, persistent, fence, open, duid, leases, leased_names } = contents;
    let mut values = Values::new();
    put(&mut values, BOOT_ID, Some(boot_id))?;
    put(&mut values, RUNNING, Some(running))?;
    put(&mut values, PERSISTENT, Some(persistent))?;
    put(&mut values, FENCE, Some(fence))?;
    match open {
        Some(open) => put(&mut values, OPEN, Some(open))?,
        None => values.push((OPEN, None)),
    }
    put(&mut values, DUID, Some(duid))?;
    put(&mut values, LEASES, Some(leases))?;
    put(&mut values, LEASED_NAMES, Some(leased_names))?;
    Ok(values)
}

/// Makes those blobs reach the disk that are not among `synced`, and returns all that are there. sled does not sync them
/// any more than its log.
fn sync_blobs(folder: &Path, synced: &BTreeSet<OsString>) -> io::Result<BTreeSet<OsString>> {
    let mut blobs = BTreeSet::new();
    let mut has_new = false;
    for blob in fs::read_dir(folder)? {
        let name = blob?.file_name();
        if !synced.contains(&name) {
            File::open(folder.join(&name))?.sync_data()?;
            has_new = true;
        }
        blobs.insert(name);
    }
    if has_new {
        File::open(folder)?.sync_all()?;
    }
    Ok(blobs)
}

fn put<T: Serialize>(values: &mut Values, key: &'static str, value: Option<&T>) -> Result<(), JournalError> {
    if let Some(value) = value {
        values.push((key, Some(framed(key, value)?)));
    }
    Ok(())
}

fn framed<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, JournalError> {
    frame::wrap(value).map_err(|error| JournalError::Unwritable(what, error))
}

fn io_error(folder: &Path, source: io::Error) -> JournalError {
    // sled keeps a system's error as its kind, with the rest as a text for programmers.
    let is_sleds = source.raw_os_error().is_none() && source.kind() != io::ErrorKind::Other;
    let source = if is_sleds { io::Error::from(source.kind()) } else { source };
    JournalError::Io { folder: folder.to_owned(), source }
}

fn opening_error(folder: &Path, error: sled::Error) -> JournalError {
    // sled's own words, and not the system's: its lock is held. It lets go a moment after its last user has.
    if let sled::Error::Io(source) = &error
        && source.raw_os_error().is_none()
        && source.kind() == io::ErrorKind::Other
    {
        return JournalError::InUse(folder.to_owned());
    }
    sled_error(folder, error)
}

fn sled_error(folder: &Path, error: sled::Error) -> JournalError {
    match error {
        sled::Error::Io(source) => io_error(folder, source),
        sled::Error::Corruption { .. }
        | sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => JournalError::Damaged { folder: folder.to_owned(), what: error.to_string() },
    }
}

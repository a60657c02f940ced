//! The log of truth on disk: the only place that knows tables, keys and redb.
//!
//! One table for each kind of entity, keyed by the resource's name; one for what hosts reported; one for events by
//! revision; two for remembered requests, by id and by time; one for the store's own numbers. Every commit is on the
//! disk before it returns.

mod opening;
mod snapshot;
mod tables;

use std::path::PathBuf;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};
use trestle_model::fleet::{Entity, EntityId, Fleet, HostRecord, Mutation};
use trestle_model::{Findings, HostName};
use uuid::Uuid;

use crate::error::{Cause, OpenError, StoreError};
use crate::frame;
use crate::write::Event;
pub(crate) use snapshot::Snapshot;
use tables::{EVENTS, OBSERVED, REQUEST_TIMES, REQUESTS, REVISION, STATE};

/// How long an answer is remembered at least: 24 hours.
const REMEMBERED_MS: u64 = 24 * 60 * 60 * 1000;
/// How many answers are remembered at most; beyond, the oldest go first.
const REMEMBERED_MOST: u64 = 1_000_000;
/// How many outdated answers one write removes at most: more than it adds, so that they never pile up.
const PRUNED_A_WRITE: usize = 16;

/// The open file, or the way back to it.
pub(crate) struct Ledger {
    /// `None` after a failure, until the file is opened again.
    database: Option<Database>,
    /// `None` in memory.
    path: Option<PathBuf>,
}

/// What an opened ledger holds.
pub(crate) struct Contents {
    pub(crate) fleet: Fleet,
    pub(crate) revision: u64,
    pub(crate) fencing_epoch: u64,
}

/// One durable write.
pub(crate) struct Commit<'a> {
    pub(crate) revision: u64,
    pub(crate) mutations: &'a [Mutation],
    /// `None` where nothing changes and only the answer is remembered.
    pub(crate) event: Option<&'a Event>,
    pub(crate) answer: Option<(Uuid, &'a Answer)>,
}

/// The remembered answer to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) digest: String,
    pub(crate) at_ms: u64,
    pub(crate) revision: u64,
    pub(crate) entities: Vec<Entity>,
    pub(crate) findings: Findings,
}

impl Ledger {
    /// Opens the file again if an earlier failure closed it, and returns what it holds: the failed write may have
    /// reached the disk or not, and only the disk knows.
    pub(crate) fn reopen(&mut self) -> Result<Option<Contents>, StoreError> {
        if self.database.is_some() {
            return Ok(None);
        }
        let not_reopened = |error: OpenError| StoreError::NotReopened(Box::new(error));
        let Some(path) = &self.path else { return Ok(None) };
        let database = opening::open_again(path).map_err(not_reopened)?;
        let contents = opening::load(&database, path).map_err(not_reopened)?;
        self.database = Some(database);
        Ok(Some(contents))
    }

    /// Writes one commit; it is on the disk when this returns.
    ///
    /// *Errors*: [`StoreError::NotWritten`]; the next [`Ledger::reopen`] tells what is on the disk.
    pub(crate) fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.write(|transaction| {
            for mutation in commit.mutations {
                keep(transaction, mutation)?;
            }
            if let Some(event) = commit.event {
                transaction.open_table(STATE)?.insert(REVISION, commit.revision)?;
                transaction.open_table(EVENTS)?.insert(commit.revision, frame::encode(event)?.as_slice())?;
            }
            if let Some((id, answer)) = commit.answer {
                remember(transaction, id, answer)?;
            }
            Ok(())
        })
    }

    /// Keeps what `host` reported.
    pub(crate) fn record(&mut self, host: &HostName, record: &HostRecord) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(OBSERVED)?.insert(host.as_str(), frame::encode(record)?.as_slice())?;
            Ok(())
        })
    }

    /// Returns the remembered answer to request `id`.
    pub(crate) fn answer(&self, id: Uuid) -> Result<Option<Answer>, StoreError> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(REQUESTS)?;
            let found = table.get(id.as_u128())?;
            Ok(found.map(|bytes| frame::decode(&id.to_string(), bytes.value())).transpose()?)
        })
    }

    /// Returns what the file holds now, to be read while others write.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.read(|database| Ok(Snapshot::new(database.begin_read()?)))
    }

    fn write(&mut self, work: impl FnOnce(&WriteTransaction) -> Result<(), Cause>) -> Result<(), StoreError> {
        let database = self.database.as_ref().ok_or_else(closed).map_err(StoreError::NotWritten)?;
        let written = begin(database).and_then(|transaction| {
            work(&transaction)?;
            Ok(transaction.commit()?)
        });
        written.map_err(|cause| {
            // After a failed write the engine refuses all others until the file is opened anew.
            if self.path.is_some() {
                self.database = None;
            }
            StoreError::NotWritten(cause)
        })
    }

    fn read<R>(&self, work: impl FnOnce(&Database) -> Result<R, Cause>) -> Result<R, StoreError> {
        self.database.as_ref().ok_or_else(closed).and_then(work).map_err(StoreError::NotRead)
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, Cause> {
    Ok(database.begin_write()?)
}

fn closed() -> Cause {
    "the file is closed after an earlier failure".into()
}

fn keep(transaction: &WriteTransaction, mutation: &Mutation) -> Result<(), Cause> {
    match mutation {
        Mutation::Put(entity) => {
            let id = entity.id();
            let bytes = tables::encode(entity)?;
            transaction.open_table(tables::of(&id))?.insert(id.to_string().as_str(), bytes.as_slice())?;
        }
        Mutation::Delete(id) => {
            transaction.open_table(tables::of(id))?.remove(id.to_string().as_str())?;
            if let EntityId::Host(host) = id {
                transaction.open_table(OBSERVED)?.remove(host.as_str())?;
            }
        }
    }
    Ok(())
}

fn remember(transaction: &WriteTransaction, id: Uuid, answer: &Answer) -> Result<(), Cause> {
    let mut answers = transaction.open_table(REQUESTS)?;
    let mut times = transaction.open_table(REQUEST_TIMES)?;
    let crowded = answers.len()? >= REMEMBERED_MOST;
    let outdated = answer.at_ms.saturating_sub(REMEMBERED_MS);
    let mut old = Vec::new();
    for row in times.range(..(outdated, 0))?.take(PRUNED_A_WRITE) {
        old.push(row?.0.value());
    }
    if crowded && let Some((oldest, ())) = times.first()?.map(|(key, value)| (key.value(), value.value())) {
        old.push(oldest);
    }
    for key in old {
        times.remove(key)?;
        answers.remove(key.1)?;
    }
    answers.insert(id.as_u128(), frame::encode(answer)?.as_slice())?;
    times.insert((answer.at_ms, id.as_u128()), ())?;
    Ok(())
}

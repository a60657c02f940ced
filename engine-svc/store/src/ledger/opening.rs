//! Opening a ledger: the file, its checks, and everything in it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError};
use redb::{TableHandle, WriteTransaction};
use serde::de::DeserializeOwned;
use trestle_model::HostName;
use trestle_model::fleet::{Entity, Fleet, Mutation};

use super::tables::{
    self, BONDS, ByName, CLUSTER_NETWORKS, CLUSTERS, FENCING_EPOCH, FORMAT, HOSTS, MAC_POOLS, NETWORK_ATTACHMENTS,
    NETWORKS, OBSERVED, REVISION, STATE, VMS, VNIC_PROFILES, VNICS,
};
use super::{Contents, Ledger};
use crate::error::{Cause, OpenError};
use crate::frame;

/// The newest format of the file that this version knows.
const KNOWN_FORMAT: u64 = 1;

impl Ledger {
    /// Opens the file at `path`, made with its directory where it is missing, and counts the opening.
    ///
    /// Every page is checked against its checksum, so that a damaged file is found now and not at some later read.
    pub(crate) fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        let is_new = !path.exists();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| OpenError::Directory { path: parent.to_path_buf(), source })?;
        }
        let database = checked().create(path).map_err(|error| fault(path, error))?;
        if is_new {
            sync_directory(path).map_err(|cause| OpenError::Io { path: path.to_path_buf(), source: cause })?;
        }
        Self::begin(database, Some(path.to_path_buf()))
    }

    /// Makes an empty ledger that lives as long as the process.
    pub(crate) fn in_memory() -> Result<(Self, Contents), OpenError> {
        let path = Path::new("(memory)");
        let opened = Builder::new().create_with_backend(InMemoryBackend::new());
        Self::begin(opened.map_err(|error| fault(path, error))?, None)
    }

    fn begin(database: Database, path: Option<PathBuf>) -> Result<(Self, Contents), OpenError> {
        let shown = path.clone().unwrap_or_else(|| PathBuf::from("(memory)"));
        check_format(&database, &shown)?;
        prepare(&database).map_err(|source| OpenError::Io { path: shown.clone(), source })?;
        let contents = load(&database, &shown)?;
        Ok((Self { database: Some(database), path }, contents))
    }
}

/// Opens the database file, which exists, and checks every page.
pub(super) fn open_again(path: &Path) -> Result<Database, OpenError> {
    checked().open(path).map_err(|error| fault(path, error))
}

fn checked() -> Builder {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true);
    builder
}

/// Reads everything.
pub(super) fn load(database: &Database, path: &Path) -> Result<Contents, OpenError> {
    read_all(database).map_err(|source| OpenError::Damaged { path: path.to_path_buf(), source })
}

fn fault(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::Locked { path },
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Io { path, source: error.into() }
        }
        damaged @ (DatabaseError::Storage(_)
        | DatabaseError::RepairAborted
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::TransactionInProgress
        | _) => OpenError::Damaged { path, source: damaged.into() },
    }
}

/// Refuses a file of a newer version, and one that is no store of the fleet's, before anything is written.
fn check_format(database: &Database, path: &Path) -> Result<(), OpenError> {
    let damaged = |source: Cause| OpenError::Damaged { path: path.to_path_buf(), source };
    match format(database).map_err(damaged)? {
        Some(found) if found > KNOWN_FORMAT => {
            Err(OpenError::Newer { path: path.to_path_buf(), found, known: KNOWN_FORMAT })
        }
        Some(_) | None => Ok(()),
    }
}

/// Reads the file's format; `None` in an empty file.
fn format(database: &Database) -> Result<Option<u64>, Cause> {
    let transaction = database.begin_read()?;
    let mut names = transaction.list_tables()?.peekable();
    if names.peek().is_none() {
        return Ok(None);
    }
    if !names.any(|table| table.name() == STATE.name()) {
        return Err("it is a database of something else".into());
    }
    let format = transaction.open_table(STATE)?.get(FORMAT)?.map(|number| number.value());
    format.map(Some).ok_or_else(|| "it does not tell its format".into())
}

/// Makes the tables where they are missing, and counts the opening.
fn prepare(database: &Database) -> Result<(), Cause> {
    let transaction: WriteTransaction = database.begin_write()?;
    let desired =
        [CLUSTERS, NETWORKS, CLUSTER_NETWORKS, VNIC_PROFILES, HOSTS, BONDS, NETWORK_ATTACHMENTS, MAC_POOLS, VMS, VNICS];
    for table in desired.into_iter().chain([OBSERVED]) {
        transaction.open_table(table)?;
    }
    transaction.open_table(tables::EVENTS)?;
    transaction.open_table(tables::REQUESTS)?;
    transaction.open_table(tables::REQUEST_TIMES)?;
    {
        let mut state = transaction.open_table(STATE)?;
        let epoch = state.get(FENCING_EPOCH)?.map_or(0, |number| number.value());
        state.insert(FORMAT, KNOWN_FORMAT)?;
        state.insert(FENCING_EPOCH, epoch.saturating_add(1))?;
    }
    Ok(transaction.commit()?)
}

fn read_all(database: &Database) -> Result<Contents, Cause> {
    let transaction = database.begin_read()?;
    let mut fleet = Fleet::default();
    read_kind(&transaction, CLUSTERS, &mut fleet, Entity::Cluster)?;
    read_kind(&transaction, NETWORKS, &mut fleet, Entity::Network)?;
    read_kind(&transaction, CLUSTER_NETWORKS, &mut fleet, Entity::ClusterNetwork)?;
    read_kind(&transaction, VNIC_PROFILES, &mut fleet, Entity::VnicProfile)?;
    read_kind(&transaction, HOSTS, &mut fleet, Entity::Host)?;
    read_kind(&transaction, BONDS, &mut fleet, Entity::Bond)?;
    read_kind(&transaction, NETWORK_ATTACHMENTS, &mut fleet, Entity::NetworkAttachment)?;
    read_kind(&transaction, MAC_POOLS, &mut fleet, Entity::MacPool)?;
    read_kind(&transaction, VMS, &mut fleet, Entity::Vm)?;
    read_kind(&transaction, VNICS, &mut fleet, Entity::Vnic)?;
    for row in transaction.open_table(OBSERVED)?.iter()? {
        let (host, bytes) = row?;
        let key = format!("the report of host {}", host.value());
        fleet.observe(HostName::parse(host.value())?, frame::decode(&key, bytes.value())?);
    }
    let state = transaction.open_table(STATE)?;
    let number = |name: &str| -> Result<u64, Cause> { Ok(state.get(name)?.map_or(0, |number| number.value())) };
    Ok(Contents { fleet, revision: number(REVISION)?, fencing_epoch: number(FENCING_EPOCH)? })
}

fn read_kind<T: DeserializeOwned>(
    transaction: &ReadTransaction,
    table: ByName,
    fleet: &mut Fleet,
    kind: fn(T) -> Entity,
) -> Result<(), Cause> {
    for row in transaction.open_table(table)?.iter()? {
        let (name, bytes) = row?;
        let entity = kind(frame::decode(name.value(), bytes.value())?);
        if entity.id().to_string() != name.value() {
            return Err(format!("{} is kept as {}", entity.id(), name.value()).into());
        }
        fleet.apply(Mutation::Put(entity));
    }
    Ok(())
}

/// Makes a new file's name as durable as its contents.
fn sync_directory(path: &Path) -> Result<(), Cause> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()?)
}

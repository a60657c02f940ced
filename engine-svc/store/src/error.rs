//! What can go wrong, and who must act.

use std::io;
use std::path::PathBuf;

/// The fault below, as the storage engine tells it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Says why a store was not opened: for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file's directory does not exist and cannot be made.
    #[error("directory {} not made; check the permissions above it", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("store {} is open in another process; stop that engine, or give this one a path of its own", path.display())]
    Locked {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is damaged, or is no store at all.
    #[error("store {} is damaged or no store; restore it from a backup, or move it away to start with an empty fleet", path.display())]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// A newer version wrote the file.
    #[error("store {} has format {found}, this version knows {known} at most; run the version that wrote it", path.display())]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The file's format.
        found: u64,
        /// The newest format that this version knows.
        known: u64,
    },
    /// The file cannot be read or written.
    #[error("store {} not opened; check its permissions and the free space", path.display())]
    Io {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
}

/// Says why an open store did not do what it was asked: for the operator; nothing was changed in memory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The write did not reach the disk: full, or failing.
    #[error("store not written")]
    NotWritten(#[source] Cause),
    /// The disk could not be read.
    #[error("store not read")]
    NotRead(#[source] Cause),
    /// After an earlier failure the file could not be opened again.
    #[error("store not reopened after an earlier failure")]
    NotReopened(#[source] Box<OpenError>),
}

/// Says why a write was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum TransactError<E> {
    /// The caller's own decision.
    #[error("write refused")]
    Decided(E),
    /// The request id was used for another request: for the caller.
    #[error("request id was used for another request")]
    RequestIdReused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Says that a request id was used for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request id was used for another request")]
pub struct RequestIdReused;

impl StoreError {
    /// Tells whether the same call may succeed later: it may, once the operator has seen to the disk.
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::NotWritten(_) | Self::NotRead(_) | Self::NotReopened(_) => true,
        }
    }
}

//! What can go wrong with the agent's disk, and the way out.

use std::io;
use std::path::PathBuf;

/// Says why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the store open. The operator must act.
    #[error("store in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The file system refused. The operator must act.
    #[error("store in {} cannot be used", folder.display())]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The store is damaged. The operator must act.
    #[error(
        "store in {} is damaged: {what}; move the folder aside, then either bring a copy back with \
         `host-agent import FILE`, or start with an empty store, which leaves the host as it is until networks are \
         set up again", folder.display()
    )]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An import would overwrite what is there. The operator must act.
    #[error("store in {} is not empty; move the folder aside to import into a new one", .0.display())]
    NotEmpty(PathBuf),
    /// A file is no export of a store that this version understands. The operator must act.
    #[error("file is no export of a store")]
    NotAnArchive(#[source] serde_json::Error),
    /// A file is an export of another version of this program. The operator must act.
    #[error("file has format {found}, and this program reads format {read}: import it with the version that wrote it")]
    OtherFormat {
        /// The file's format.
        found: u32,
        /// What this program reads.
        read: u32,
    },
    /// A value cannot be written as a record: a bug.
    #[error("record of {0} cannot be written")]
    Unwritable(&'static str, #[source] serde_json::Error),
    /// The process is shutting down.
    #[error("store is closed")]
    Stopped,
}

impl JournalError {
    /// Tells whether the database, or the disk below it, is at fault: it has to be opened again.
    pub(super) const fn is_of_the_store(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Damaged { .. } => true,
            Self::InUse(_)
            | Self::NotEmpty(_)
            | Self::NotAnArchive(_)
            | Self::OtherFormat { .. }
            | Self::Unwritable(..)
            | Self::Stopped => false,
        }
    }
}

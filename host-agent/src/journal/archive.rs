//! The store as one readable file: for backups, for support, and for moving to another format.

use serde::{Deserialize, Serialize};

use super::{Contents, JournalError, Past};

/// The version of the file's form.
const FORMAT: u32 = 1;

/// Everything that a store holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    format: u32,
    /// What is kept beside the history.
    pub contents: Contents,
    /// Transactions that ended, oldest first.
    pub history: Vec<Past>,
}

impl Archive {
    pub(super) const fn new(contents: Contents, history: Vec<Past>) -> Self {
        Self { format: FORMAT, contents, history }
    }

    /// Writes the archive as JSON for people.
    ///
    /// *Errors*: [`JournalError::Unwritable`], a bug.
    pub fn to_json(&self) -> Result<String, JournalError> {
        serde_json::to_string_pretty(self).map_err(|error| JournalError::Unwritable("the export", error))
    }

    /// Reads an archive from JSON.
    ///
    /// *Errors*: [`JournalError::NotAnArchive`].
    pub fn from_json(text: &str) -> Result<Self, JournalError> {
        let archive: Self = serde_json::from_str(text).map_err(JournalError::NotAnArchive)?;
        if archive.format == FORMAT {
            return Ok(archive);
        }
        let reason = format!("it has format {}, this program reads {FORMAT}", archive.format);
        Err(JournalError::NotAnArchive(serde::de::Error::custom(reason)))
    }
}

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
    /// *Errors*: [`JournalError::NotAnArchive`]; [`JournalError::OtherFormat`], before anything else of the file is looked
    /// at.
    pub fn from_json(text: &str) -> Result<Self, JournalError> {
        let Format { format } = serde_json::from_str(text).map_err(JournalError::NotAnArchive)?;
        if format != FORMAT {
            return Err(JournalError::OtherFormat { found: format, read: FORMAT });
        }
        serde_json::from_str(text).map_err(JournalError::NotAnArchive)
    }
}

/// What every archive says of itself, whatever else is in it.
#[derive(Debug, Deserialize)]
struct Format {
    format: u32,
}

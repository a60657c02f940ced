//! A private folder under the machine's temporary directory, short enough a path for unix sockets.
//!
//! It vanishes with its value. The folder of a process that was killed is known by its lock, which the kernel has
//! released, and is removed when the next one is made.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "trestle-lab-";

/// The folder and the lock that says that it is in use.
#[derive(Debug)]
pub(super) struct Folder {
    place: TempDir,
    _owner: File,
}

impl Folder {
    /// Sweeps the folders of dead processes and makes a new one.
    pub(super) fn make() -> Result<Self> {
        sweep();
        let place = tempfile::Builder::new().prefix(PREFIX).tempdir().context("cannot make a folder")?;
        let owner = File::create(place.path().join("owner"))?;
        owner.lock()?;
        Ok(Self { place, _owner: owner })
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }
}

fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if File::open(entry.path().join("owner")).is_ok_and(|owner| owner.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

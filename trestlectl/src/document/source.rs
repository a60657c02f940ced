//! Where documents come from: a file, all files of a folder, or standard input.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The endings of a folder's files that are read; JSON is YAML, too.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A text and its name in messages.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's path; `standard input` for `-`.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", .0.display())]
pub struct Unreadable(PathBuf, #[source] io::Error);

impl Source {
    /// Reads a file, each YAML and JSON file of a folder in the order of their names, or standard input for `-`.
    ///
    /// # Errors
    /// When one of them cannot be read, or is no UTF-8.
    pub fn read(path: &Path) -> Result<Vec<Self>, Unreadable> {
        let unreadable = |error| Unreadable(path.to_owned(), error);
        if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(unreadable)?;
            return Ok(vec![Self { name: "standard input".to_owned(), text }]);
        }
        if !path.is_dir() {
            return Ok(vec![Self::file(path)?]);
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
        let mut files: Vec<_> =
            entries.into_iter().map(|entry| entry.path()).filter(|path| is_document(path)).collect();
        files.sort();
        files.iter().map(|path| Self::file(path)).collect()
    }

    fn file(path: &Path) -> Result<Self, Unreadable> {
        let text = fs::read_to_string(path).map_err(|error| Unreadable(path.to_owned(), error))?;
        Ok(Self { name: path.display().to_string(), text })
    }
}

fn is_document(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

//! The count of commits, kept a second time beside the database.
//!
//! A log that was cut short can open as an older or an empty database without an error (sled 0.34). So each commit
//! carries a number, and the number of the last one is also kept in a file of its own, written after the commit. A
//! database that is behind that file has lost commits that were promised.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The file with the number of the last commit.
#[derive(Debug)]
pub(super) struct Tally {
    file: File,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// The file is new.
    Nothing,
    /// The number of the last commit.
    Commits(u64),
    /// The file makes no sense.
    Nonsense,
}

impl Tally {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file })
    }

    pub(super) fn read(&self) -> io::Result<Counted> {
        let mut text = String::new();
        match (&self.file).read_to_string(&mut text) {
            Ok(0) => return Ok(Counted::Nothing),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Counted::Nonsense),
            Err(error) => return Err(error),
        }
        let number = text.split_once(' ').and_then(|(number, _)| number.parse().ok());
        Ok(match number {
            Some(number) if text == line(number) => Counted::Commits(number),
            Some(_) | None => Counted::Nonsense,
        })
    }

    /// Writes the number, always the same count of bytes in place, and waits for the disk.
    pub(super) fn write(&self, commits: u64) -> io::Result<()> {
        self.file.write_all_at(line(commits).as_bytes(), 0)?;
        self.file.sync_data()
    }
}

fn line(commits: u64) -> String {
    format!("{commits:020} {:08x}\n", crc32fast::hash(&commits.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_and_nonsense_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commits");
        assert_eq!(Tally::open(&path).unwrap().read().unwrap(), Counted::Nothing);
        Tally::open(&path).unwrap().write(7).unwrap();
        assert_eq!(Tally::open(&path).unwrap().read().unwrap(), Counted::Commits(7));
        std::fs::write(&path, "00000000000000000008 00000000\n").unwrap();
        assert_eq!(Tally::open(&path).unwrap().read().unwrap(), Counted::Nonsense);
    }
}

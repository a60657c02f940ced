//! The files of certificates and keys.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// A certificate and its key, side by side.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) }
    }

    pub(super) fn read(&self) -> Result<(String, String), Failure> {
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    /// Writes both, the key for its owner only; where one is there already, neither, unless `force`d.
    pub(super) fn write(&self, certificate: &str, key: &str, force: bool) -> Result<(), Failure> {
        let there = [&self.certificate, &self.key].into_iter().find(|path| path.exists());
        if let Some(path) = there.filter(|_| !force) {
            return Err(Failure::Usage(format!("{} is there already; --force replaces it", path.display())));
        }
        if let Some(folder) = self.certificate.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, "made", error))?;
        }
        write(&self.key, key, PRIVATE)?;
        write(&self.certificate, certificate, PUBLIC)
    }
}

/// Puts the authority's certificate beside those that it issued; its key stays where it is.
pub(super) fn copy_authority(from: &Path, to: &Path, force: bool) -> Result<(), Failure> {
    let (source, target) = (Pair::new(from, "ca").certificate, Pair::new(to, "ca").certificate);
    let text = read(&source)?;
    match fs::read_to_string(&target) {
        Ok(there) if there == text => Ok(()),
        Ok(_) if !force => {
            Err(Failure::Usage(format!("{} is another authority's; --force replaces it", target.display())))
        }
        Ok(_) => write(&target, &text, PUBLIC),
        Err(error) if error.kind() == ErrorKind::NotFound => write(&target, &text, PUBLIC),
        Err(error) => Err(failed(&target, "read", error)),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| failed(path, "read", error))
}

/// By way of a new file that takes the place of an old one: an old one's mode and readers do not matter.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let written =
        fs::remove_file(&fresh).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) });
    written
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh))
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|error| failed(path, "written", error))
}

fn failed(path: &Path, what: &str, error: std::io::Error) -> Failure {
    Failure::File(format!("{} cannot be {what}", path.display()), error.into())
}

//! The file of a unix socket: made without a moment of wrong permissions, and removed in the end.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tracing::warn;
use trestle_telemetry::chain;

use super::{BindError, ListenAddress};

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// Removes the socket file when dropped, if it is still the one that was made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// Makes the socket beside its path, sets its mode, and moves it into place, over a stale one.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |error| BindError::Bind(ListenAddress::Unix(path.to_owned()), error);
    refuse_if_taken(path)?;
    let mut new = OsString::from(path);
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&new).map_err(failed)?;
    fs::set_permissions(&new, Permissions::from_mode(MODE)).map_err(failed)?;
    let inode = fs::symlink_metadata(&new).map_err(failed)?.ino();
    fs::rename(&new, path).map_err(failed)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// A socket that nobody answers on is stale and may be replaced; one that answers, or another file, may not.
fn refuse_if_taken(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(BindError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(BindError::InUse(path.to_owned())),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if !ours {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            warn!(error = %chain(&error), path = %self.path.display(), "socket file not removed");
        }
    }
}

//! The file in which programs find their name servers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use trestle_model::ResolverState;

/// The longest text that is a resolver's configuration.
const LIMIT: u64 = 64 * 1024;
/// What daemons keep for themselves.
const DAEMONS: &str = "/run";

/// What was found in the file's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The file, or none, or one of another keeper.
    File(ResolverState),
    /// A link to what systemd-resolved keeps.
    Resolved,
}

/// Reads the file.
///
/// *Shape*: an absent file has no text; one that is a link into `/run`, is no text, or is very long has a keeper.
pub(super) fn read(file: &Path) -> io::Result<Found> {
    let kept = |keeper: String| Ok(Found::File(ResolverState { keeper: Some(keeper), ..ResolverState::default() }));
    if let Ok(link) = fs::read_link(file) {
        let Ok(target) = fs::canonicalize(file) else { return kept(format!("a link to {}", link.display())) };
        if target.starts_with(format!("{DAEMONS}/systemd/resolve")) || target.starts_with("/usr/lib/systemd") {
            return Ok(Found::Resolved);
        }
        if target.starts_with(DAEMONS) {
            return kept(format!("whoever keeps {}", target.display()));
        }
    }
    let length = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::File(ResolverState::default())),
        Err(error) => return Err(error),
    };
    if length > LIMIT {
        return kept(format!("a file of {length} bytes"));
    }
    match String::from_utf8(fs::read(file)?) {
        Ok(text) => Ok(Found::File(ResolverState { text: Some(text), ..ResolverState::default() })),
        Err(_) => kept("a file that is no text".to_owned()),
    }
}

/// Puts `text` in the file's place in one go, or takes the file away; what a link leads to is written, the link stays.
pub(super) fn write(file: &Path, text: Option<&str>) -> io::Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let Some(text) = text else {
        return match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
    };
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".trestle");
    let draft = file.with_file_name(name);
    let mut new = File::create(&draft)?;
    new.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(&file) {
        new.set_permissions(metadata.permissions())?;
    }
    new.sync_all()?;
    match fs::rename(&draft, &file) {
        // A file that is a mount of its own, as in a container, cannot be replaced.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            fs::remove_file(&draft)?;
            let mut old = OpenOptions::new().write(true).truncate(true).open(&file)?;
            old.write_all(text.as_bytes())?;
            old.sync_all()
        }
        Err(error) => {
            let _draft_stays = fs::remove_file(&draft);
            Err(error)
        }
        Ok(()) => file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()),
    }
}

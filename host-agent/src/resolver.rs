//! The resolver's edge: the file in which programs find their name servers.
//!
//! A file that somebody else keeps, systemd-resolved above all, is told as such and never written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use trestle_model::ResolverState;
use trestle_plan::{ObserveError, ResolverStep};

/// `resolv.conf` of this host, or what stands for it.
#[derive(Debug, Clone)]
pub struct Resolver {
    file: PathBuf,
}

/// Where the programs of a host look.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The longest text that is a resolver's configuration.
const LIMIT: u64 = 64 * 1024;
/// What daemons keep for themselves.
const DAEMONS: &str = "/run";

impl Resolver {
    /// Makes the edge of a file.
    pub const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Reads the file.
    ///
    /// *Shape*: an absent file has no text; one that is a link into `/run`, is no text, or is very long has a keeper.
    ///
    /// *Errors*: [`ObserveError::Resolver`]. *Cancel safety*: safe, reading has no effect.
    pub async fn observe(&self) -> Result<ResolverState, ObserveError> {
        let unreadable = |error: &dyn std::fmt::Display| ObserveError::Resolver(error.to_string());
        let read = self.blocking(|file| read(&file)).await;
        read.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))
    }

    /// Performs a step.
    ///
    /// *Errors*: the operating system's, in words. *Cancel safety*: none; the step goes on.
    pub async fn perform(&self, step: &ResolverStep) -> Result<(), String> {
        let ResolverStep::Write { text } = step.clone();
        let written = self.blocking(move |file| write(&file, text.as_deref())).await;
        written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(PathBuf) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || work(file)).await
    }
}

fn read(file: &Path) -> io::Result<ResolverState> {
    let kept = |keeper: String| Ok(ResolverState { keeper: Some(keeper), ..ResolverState::default() });
    if let Ok(link) = fs::read_link(file) {
        let Ok(target) = fs::canonicalize(file) else { return kept(format!("a link to {}", link.display())) };
        if target.starts_with(format!("{DAEMONS}/systemd/resolve")) || target.starts_with("/usr/lib/systemd") {
            return kept("systemd-resolved".to_owned());
        }
        if target.starts_with(DAEMONS) {
            return kept(format!("whoever keeps {}", target.display()));
        }
    }
    let length = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ResolverState::default()),
        Err(error) => return Err(error),
    };
    if length > LIMIT {
        return kept(format!("a file of {length} bytes"));
    }
    match String::from_utf8(fs::read(file)?) {
        Ok(text) => Ok(ResolverState { text: Some(text), ..ResolverState::default() }),
        Err(_) => kept("a file that is no text".to_owned()),
    }
}

/// Puts `text` in the file's place in one go, or takes the file away; what a link leads to is written, the link stays.
fn write(file: &Path, text: Option<&str>) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write_step(text: &str) -> ResolverStep {
        ResolverStep::Write { text: Some(text.to_owned()) }
    }

    #[tokio::test]
    async fn a_file_is_written_with_its_rights_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        let resolver = Resolver::new(file.clone());
        assert_eq!(resolver.observe().await.unwrap(), ResolverState::default());
        resolver.perform(&write_step("a\n")).await.unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        resolver.perform(&write_step("b\n")).await.unwrap();
        assert_eq!(resolver.observe().await.unwrap().text.as_deref(), Some("b\n"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        for _ in 0..2 {
            resolver.perform(&ResolverStep::Write { text: None }).await.unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_link_stays_and_what_it_leads_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("resolv.conf"), folder.path().join("real"));
        fs::write(&file, "a\n").unwrap();
        symlink("real", &link).unwrap();
        let resolver = Resolver::new(link.clone());
        resolver.perform(&write_step("b\n")).await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "b\n");
    }

    #[tokio::test]
    async fn a_daemons_file_and_what_is_no_text_have_a_keeper() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("resolv.conf");
        symlink("/run/systemd/resolve/not-there.conf", &link).unwrap();
        let keeper = Resolver::new(link.clone()).observe().await.unwrap().keeper;
        assert_eq!(keeper.as_deref(), Some("a link to /run/systemd/resolve/not-there.conf"));
        let file = folder.path().join("binary");
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(Resolver::new(file).observe().await.unwrap().keeper.as_deref(), Some("a file that is no text"));
    }
}

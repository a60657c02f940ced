//! The resolver's edge: the file in which programs find their name servers, or systemd-resolved where it keeps that file.
//!
//! A file that somebody else keeps is told as such and never written. systemd-resolved is spoken to only where the file is a
//! link of its own: elsewhere programs do not ask it.

mod file;
mod resolved;

use std::path::PathBuf;

use nix::net::if_::if_nametoindex;
use trestle_model::{IfName, ResolverState};
use trestle_plan::{ObserveError, ResolverStep};

use self::file::Found;
use crate::bus::Bus;

/// `resolv.conf` of this host, or what stands for it, and the bus on which systemd-resolved is found.
#[derive(Debug, Clone)]
pub struct Resolver {
    file: PathBuf,
    bus: Bus,
}

/// Where the programs of a host look.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Resolver {
    /// Makes the edge of a file.
    pub const fn new(file: PathBuf, bus: Bus) -> Self {
        Self { file, bus }
    }

    /// Reads the file, or what systemd-resolved has.
    ///
    /// *Shape*: a file of another has a keeper, and so has a systemd-resolved that does not answer.
    ///
    /// *Errors*: [`ObserveError::Resolver`]. *Cancel safety*: safe, reading has no effect.
    pub async fn observe(&self) -> Result<ResolverState, ObserveError> {
        let unreadable = |error: &dyn std::fmt::Display| ObserveError::Resolver(error.to_string());
        let read = self.blocking(|file| file::read(&file)).await;
        match read.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))? {
            Found::File(state) => Ok(state),
            Found::Resolved => Ok(resolved::observe(&self.bus).await),
        }
    }

    /// Performs a step.
    ///
    /// *Errors*: what the operating system or systemd-resolved said. *Cancel safety*: none; the step goes on.
    pub async fn perform(&self, step: &ResolverStep) -> Result<(), Fault> {
        match step.clone() {
            ResolverStep::Write { text } => {
                let written = self.blocking(move |file| file::write(&file, text.as_deref())).await;
                written.map_err(Fault::lasting)?.map_err(Fault::lasting)
            }
            ResolverStep::SetLink { link, names } => resolved::set(&self.bus, &link, &names).await,
        }
    }

    /// Tells whether there is a device of the name, which alone systemd-resolved can be told of.
    pub fn knows(link: &IfName) -> bool {
        if_nametoindex(link.as_str()).is_ok()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(PathBuf) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || work(file)).await
    }
}

/// Says why a step was not performed.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    /// Why, for people.
    pub reason: String,
    /// Whether it may pass by itself.
    pub transient: bool,
}

impl Fault {
    pub(crate) fn lasting(error: impl std::fmt::Display) -> Self {
        Self { reason: error.to_string(), transient: false }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn resolver(file: &std::path::Path) -> Resolver {
        Resolver::new(file.to_owned(), Bus::default())
    }

    fn write_step(text: &str) -> ResolverStep {
        ResolverStep::Write { text: Some(text.to_owned()) }
    }

    #[tokio::test]
    async fn a_file_is_written_with_its_rights_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        let resolver = resolver(&file);
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
        let resolver = resolver(&link);
        resolver.perform(&write_step("b\n")).await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "b\n");
    }

    #[tokio::test]
    async fn a_daemons_file_and_what_is_no_text_have_a_keeper() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("resolv.conf");
        symlink("/run/systemd/resolve/not-there.conf", &link).unwrap();
        let keeper = resolver(&link).observe().await.unwrap().keeper;
        assert_eq!(keeper.as_deref(), Some("a link to /run/systemd/resolve/not-there.conf"));
        let file = folder.path().join("binary");
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(resolver(&file).observe().await.unwrap().keeper.as_deref(), Some("a file that is no text"));
    }
}

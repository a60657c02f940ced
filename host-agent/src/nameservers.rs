//! The host's name servers: those that are configured, and in their place those of a lease while it is in force.
//!
//! What a lease brings is no plan's: plans see the file as it is without the lease, and what they write is written
//! beneath it. The file is put back byte for byte when the lease goes. What somebody else writes in the meantime stays.

use std::sync::Arc;

use tokio::sync::Mutex;
use tracing::{info, warn};
use trestle_model::{NameServer, ResolverMechanism, ResolverState};
use trestle_plan::{ObserveError, ResolverStep};
use trestle_telemetry::chain;

use crate::journal::{Change, Journal, LeasedNames};
use crate::resolver::{Fault, Resolver};

/// The resolver's edge, with a lease's name servers over what is configured; clones share them.
#[derive(Debug, Clone)]
pub struct NameServers {
    resolver: Resolver,
    /// Where it is remembered what is beneath; nowhere for a host without leases.
    journal: Option<Journal>,
    /// What a lease has put there. The lock is held over a look at the file, or a write, so that nobody sees one half.
    leased: Arc<Mutex<Option<LeasedNames>>>,
}

impl NameServers {
    /// Begins with what an earlier run left.
    pub fn new(resolver: Resolver, journal: Journal) -> Self {
        let leased = Arc::new(Mutex::new(journal.contents().leased_names.clone()));
        Self { resolver, journal: Some(journal), leased }
    }

    /// Makes one for a host without leases.
    pub fn alone(resolver: Resolver) -> Self {
        Self { resolver, journal: None, leased: Arc::default() }
    }

    /// Reads what is configured, and what of a lease stands in its place.
    ///
    /// *Errors*: [`ObserveError::Resolver`]. *Cancel safety*: safe.
    pub async fn observe(&self) -> Result<ResolverState, ObserveError> {
        let leased = self.leased.lock().await;
        let state = self.resolver.observe().await?;
        Ok(match leased.as_ref().filter(|leased| leased.is_in(&state)) {
            Some(leased) => ResolverState { text: leased.beneath.clone(), leased: leased.servers.clone(), ..state },
            None => state,
        })
    }

    /// Performs a step of a plan, beneath what a lease has put there.
    ///
    /// *Errors*: what the operating system or systemd-resolved said. *Cancel safety*: none; the step goes on.
    pub async fn perform(&self, step: &ResolverStep) -> Result<(), Fault> {
        let mut leased = self.leased.lock().await;
        let text = match step {
            ResolverStep::Write { text } => text,
            ResolverStep::SetLink { .. } => return self.resolver.perform(step).await,
        };
        let state = self.resolver.observe().await.map_err(Fault::lasting)?;
        match leased.as_ref().filter(|leased| leased.is_in(&state)).map(|leased| leased.servers.clone()) {
            Some(servers) => self.put(&mut leased, text.clone(), servers).await.map_err(Fault::lasting),
            None => self.resolver.perform(step).await,
        }
    }

    /// Puts a lease's name servers in the place of what is configured; none puts that back. Servers that are there
    /// already are not written again, whatever somebody else has made of the file since.
    ///
    /// *Shape*: tells whether it is done; where the name servers are not in a file, or somebody else keeps it, there is
    /// nothing to do.
    /// *Cancel safety*: none.
    pub(crate) async fn lease(&self, servers: &[NameServer]) -> bool {
        let mut leased = self.leased.lock().await;
        if leased.as_ref().map_or(&[][..], |leased| &leased.servers) == servers {
            return true;
        }
        let state = match self.resolver.observe().await {
            Ok(state) if state.mechanism() != Some(ResolverMechanism::File) => return true,
            Ok(state) => state,
            Err(error) => {
                warn!(error = %chain(&error), "name servers of a lease not set, will be tried again");
                return false;
            }
        };
        let beneath = match leased.as_ref() {
            Some(leased) if leased.is_in(&state) => leased.beneath.clone(),
            Some(_) | None => state.text.clone(),
        };
        let done = if servers.is_empty() {
            let was_in = leased.as_ref().is_some_and(|leased| leased.is_in(&state));
            self.take_away(&mut leased, was_in.then_some(beneath)).await
        } else {
            self.put(&mut leased, beneath, servers.to_vec()).await
        };
        match done {
            Ok(()) => info!(servers = servers.len(), "name servers follow a lease"),
            Err(ref reason) => warn!(reason, "name servers do not follow a lease, will be tried again"),
        }
        done.is_ok()
    }

    /// Writes name servers over a text; what is beneath is on disk before that.
    async fn put(
        &self,
        leased: &mut Option<LeasedNames>,
        beneath: Option<String>,
        servers: Vec<NameServer>,
    ) -> Result<(), String> {
        let written = ResolverState { text: beneath.clone(), ..ResolverState::default() }.with_nameservers(&servers);
        let new = LeasedNames { servers, beneath, written: written.clone() };
        self.remember(Some(new.clone())).await?;
        let done = self.resolver.perform(&ResolverStep::Write { text: Some(written) }).await;
        done.map_err(|fault| fault.to_string())?;
        *leased = Some(new);
        Ok(())
    }

    async fn take_away(&self, leased: &mut Option<LeasedNames>, text: Option<Option<String>>) -> Result<(), String> {
        if let Some(text) = text {
            self.resolver.perform(&ResolverStep::Write { text }).await.map_err(|fault| fault.to_string())?;
        }
        *leased = None;
        self.remember(None).await
    }

    async fn remember(&self, leased_names: Option<LeasedNames>) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let change = Change { leased_names: Some(leased_names), ..Change::default() };
        journal.write(change).await.map_err(|error| chain(&error).to_string())
    }
}

impl LeasedNames {
    /// Tells whether a file is as it was written, so that what is beneath is known.
    fn is_in(&self, state: &ResolverState) -> bool {
        state.keeper.is_none() && state.text.as_ref() == Some(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::bus::Bus;

    const BEFORE: &str = "# mine\nnameserver 198.51.100.53\nsearch example.org";
    const LEASED: &str = "# mine\nnameserver 192.0.2.2\nsearch example.org";

    fn servers(text: &str) -> Vec<NameServer> {
        text.split_whitespace().map(|server| server.parse().unwrap()).collect()
    }

    struct Bench {
        folder: tempfile::TempDir,
        names: NameServers,
    }

    impl Bench {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("resolv.conf"), BEFORE).unwrap();
            let names = Self::started(&folder).await;
            Self { folder, names }
        }

        async fn started(folder: &tempfile::TempDir) -> NameServers {
            let journal = crate::trial::reopen(&folder.path().join("data")).await.unwrap();
            NameServers::new(Resolver::new(folder.path().join("resolv.conf"), Bus::default()), journal)
        }

        async fn again(self) -> Self {
            let Self { folder, names } = self;
            drop(names);
            let names = Self::started(&folder).await;
            Self { folder, names }
        }

        fn text(&self) -> String {
            fs::read_to_string(self.folder.path().join("resolv.conf")).unwrap()
        }

        async fn planned(&self) -> String {
            self.names.observe().await.unwrap().text.unwrap()
        }
    }

    #[tokio::test]
    async fn a_lease_is_over_what_is_configured_and_goes_without_a_trace() {
        let bench = Bench::new().await;
        assert!(bench.names.lease(&servers("192.0.2.2")).await);
        assert_eq!((bench.text(), bench.planned().await), (LEASED.to_owned(), BEFORE.to_owned()));
        // The next agent knows what is beneath.
        let bench = bench.again().await;
        assert_eq!(bench.planned().await, BEFORE);
        assert_eq!(bench.names.observe().await.unwrap().in_force(), ["192.0.2.2"]);
        assert!(bench.names.lease(&[]).await);
        assert_eq!((bench.text(), bench.planned().await), (BEFORE.to_owned(), BEFORE.to_owned()));
    }

    #[tokio::test]
    async fn a_plan_writes_beneath_a_lease() {
        let bench = Bench::new().await;
        bench.names.lease(&servers("192.0.2.2")).await;
        let text = Some("nameserver 203.0.113.53\n".to_owned());
        bench.names.perform(&ResolverStep::Write { text: text.clone() }).await.unwrap();
        assert_eq!(bench.text(), "nameserver 192.0.2.2\n");
        assert_eq!(Some(bench.planned().await), text);
        bench.names.lease(&[]).await;
        assert_eq!(Some(bench.text()), text);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_tried_again() {
        let bench = Bench::new().await;
        let away = bench.folder.path().join("away");
        let names = NameServers::alone(Resolver::new(away.join("resolv.conf"), Bus::default()));
        assert!(!names.lease(&servers("192.0.2.2")).await);
        fs::create_dir(&away).unwrap();
        assert!(names.lease(&servers("192.0.2.2")).await);
        assert_eq!(fs::read_to_string(away.join("resolv.conf")).unwrap(), "nameserver 192.0.2.2\n");
    }

    #[tokio::test]
    async fn what_somebody_else_writes_stays() {
        let bench = Bench::new().await;
        bench.names.lease(&servers("192.0.2.2")).await;
        fs::write(bench.folder.path().join("resolv.conf"), "nameserver 203.0.113.1\n").unwrap();
        assert_eq!(bench.planned().await, "nameserver 203.0.113.1\n");
        assert!(bench.names.lease(&servers("192.0.2.2")).await, "nothing to do");
        assert!(bench.names.lease(&[]).await);
        assert_eq!(bench.text(), "nameserver 203.0.113.1\n");
    }
}

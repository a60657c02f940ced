//! The host's name servers and search domains: those that are configured, and in their place those of leases and routers
//! while they are in force.
//!
//! What these bring is no plan's: plans see the file, or what systemd-resolved has, as it is without them, and what plans
//! write is written beneath. All is put back as it was, the file byte for byte, when they go. What somebody else writes in
//! the meantime stays.

mod overlay;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Mutex;
use tracing::{info, warn};
use trestle_model::{IfName, ResolverState};
use trestle_plan::{NamesMeant, ObserveError, ResolverStep};
use trestle_telemetry::chain;

use crate::journal::{Change, Journal};
use crate::resolver::{Fault, Resolver};

pub use overlay::{LaidOver, LeasedNames, LeasedPlace};

/// The resolver's edge, with names of leases and routers over what is configured; clones share them.
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

    /// Reads what is configured, and what of leases and routers stands in its place.
    ///
    /// *Errors*: [`ObserveError::Resolver`]. *Cancel safety*: safe.
    pub async fn observe(&self) -> Result<ResolverState, ObserveError> {
        let leased = self.leased.lock().await;
        let state = self.resolver.observe().await?;
        Ok(match leased.as_ref() {
            Some(leased) => leased.beneath(state),
            None => state,
        })
    }

    /// Performs a step of a plan, beneath what a lease has put there.
    ///
    /// *Errors*: what the operating system or systemd-resolved said. *Cancel safety*: none; the step goes on.
    pub async fn perform(&self, step: &ResolverStep) -> Result<(), Fault> {
        let mut leased = self.leased.lock().await;
        if leased.is_none() {
            return self.resolver.perform(step).await;
        }
        let observed = self.resolver.observe().await.map_err(Fault::lasting)?;
        match leased.as_ref().and_then(|leased| leased.with_beneath(step, &observed)) {
            Some(over) => self.lay(&mut leased, Some(over), &observed).await,
            None => self.resolver.perform(step).await,
        }
    }

    /// Puts names in the place of what is configured; none puts that back. Names that are there already are not written
    /// again, whatever somebody else has made of them since; what systemd-resolved has lost with a device is.
    ///
    /// *Shape*: `others` are the devices of networks that do not own the default route. Tells whether it is done; where
    /// somebody else keeps the resolver, or the device is not there, there is nothing to do.
    /// *Cancel safety*: none.
    pub(crate) async fn lease(&self, meant: Option<&NamesMeant>, others: &BTreeSet<IfName>) -> bool {
        let mut leased = self.leased.lock().await;
        if leased.is_none() && meant.is_none() {
            return true;
        }
        let observed = match self.resolver.observe().await {
            Ok(observed) => observed,
            Err(error) => {
                warn!(error = %chain(&error), "name servers of a lease not set, will be tried again");
                return false;
            }
        };
        let has = leased
            .as_ref()
            .zip(meant)
            .is_some_and(|(leased, meant)| leased.means(meant, &observed) && !leased.is_lost(&observed));
        let is_away = meant.is_some_and(|meant| observed.links.is_some() && !Resolver::knows(&meant.device));
        if has || is_away || observed.mechanism().is_none() {
            return true;
        }
        let beneath = match leased.as_ref() {
            Some(leased) => leased.beneath(observed.clone()),
            None => observed.clone(),
        };
        let over = meant.and_then(|meant| LeasedNames::over(&beneath, meant, others));
        match self.lay(&mut leased, over, &observed).await {
            Ok(()) => {
                let servers = meant.map_or(0, |meant| meant.names.servers.len());
                info!(servers, "name servers follow a lease or a router");
                true
            }
            Err(fault) => {
                warn!(reason = %fault, "name servers do not follow a lease or a router, will be tried again");
                false
            }
        }
    }

    /// Writes names over what is configured, or puts that back; what is beneath is on disk as long as it may be needed.
    async fn lay(
        &self,
        leased: &mut Option<LeasedNames>,
        over: Option<LeasedNames>,
        observed: &ResolverState,
    ) -> Result<(), Fault> {
        if over.is_some() {
            self.remember(over.clone()).await?;
        }
        for step in overlay::steps(leased.as_ref(), over.as_ref(), observed) {
            match &step {
                // With a device goes what systemd-resolved was told of it.
                ResolverStep::SetLink { link, .. } if !Resolver::knows(link) => {}
                ResolverStep::SetLink { .. } | ResolverStep::Write { .. } => self.resolver.perform(&step).await?,
            }
        }
        let ended = over.is_none();
        *leased = over;
        if ended { self.remember(None).await } else { Ok(()) }
    }

    async fn remember(&self, leased_names: Option<LeasedNames>) -> Result<(), Fault> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let change = Change { leased_names: Some(leased_names), ..Change::default() };
        journal.write(change).await.map_err(|error| Fault::lasting(chain(&error)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use trestle_model::ResolverNames;

    use super::*;
    use crate::bus::Bus;

    const BEFORE: &str = "# mine\nnameserver 198.51.100.53\nsearch example.org";
    const LEASED: &str = "# mine\nnameserver 192.0.2.2\nsearch example.org";

    fn servers(text: &str) -> Option<NamesMeant> {
        let servers = text.split_whitespace().map(|server| server.parse().unwrap()).collect();
        let names = ResolverNames { servers, search: Vec::new() };
        Some(NamesMeant { device: IfName::parse("blue").unwrap(), names })
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
        assert!(bench.names.lease(servers("192.0.2.2").as_ref(), &BTreeSet::new()).await);
        assert_eq!((bench.text(), bench.planned().await), (LEASED.to_owned(), BEFORE.to_owned()));
        // The next agent knows what is beneath.
        let bench = bench.again().await;
        assert_eq!(bench.planned().await, BEFORE);
        assert_eq!(bench.names.observe().await.unwrap().in_force(), ["192.0.2.2"]);
        assert!(bench.names.lease(None, &BTreeSet::new()).await);
        assert_eq!((bench.text(), bench.planned().await), (BEFORE.to_owned(), BEFORE.to_owned()));
    }

    #[tokio::test]
    async fn a_plan_writes_beneath_a_lease() {
        let bench = Bench::new().await;
        bench.names.lease(servers("192.0.2.2").as_ref(), &BTreeSet::new()).await;
        let text = Some("nameserver 203.0.113.53\n".to_owned());
        bench.names.perform(&ResolverStep::Write { text: text.clone() }).await.unwrap();
        assert_eq!(bench.text(), "nameserver 192.0.2.2\n");
        assert_eq!(Some(bench.planned().await), text);
        bench.names.lease(None, &BTreeSet::new()).await;
        assert_eq!(Some(bench.text()), text);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_tried_again() {
        let bench = Bench::new().await;
        let away = bench.folder.path().join("away");
        let names = NameServers::alone(Resolver::new(away.join("resolv.conf"), Bus::default()));
        assert!(!names.lease(servers("192.0.2.2").as_ref(), &BTreeSet::new()).await);
        fs::create_dir(&away).unwrap();
        assert!(names.lease(servers("192.0.2.2").as_ref(), &BTreeSet::new()).await);
        assert_eq!(fs::read_to_string(away.join("resolv.conf")).unwrap(), "nameserver 192.0.2.2\n");
    }

    #[tokio::test]
    async fn what_somebody_else_writes_stays() {
        let bench = Bench::new().await;
        bench.names.lease(servers("192.0.2.2").as_ref(), &BTreeSet::new()).await;
        fs::write(bench.folder.path().join("resolv.conf"), "nameserver 203.0.113.1\n").unwrap();
        assert_eq!(bench.planned().await, "nameserver 203.0.113.1\n");
        assert!(bench.names.lease(servers("192.0.2.2").as_ref(), &BTreeSet::new()).await, "nothing to do");
        assert!(bench.names.lease(None, &BTreeSet::new()).await);
        assert_eq!(bench.text(), "nameserver 203.0.113.1\n");
    }
}

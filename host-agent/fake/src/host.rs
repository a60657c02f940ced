//! The fake as a [`Host`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trestle_model::{DomainKey, DomainWiring, HostState};
use trestle_plan::{Host, ObserveError, Performer, Step, StepFailure};

use crate::World;
use crate::fault::{Effect, Fault, Faults};

/// A host in memory; clones share it.
#[derive(Debug, Clone)]
pub struct FakeHost {
    inner: Arc<Mutex<Inner>>,
}

/// Performs steps on the fake; made by [`Host::performer`].
#[derive(Debug)]
pub struct FakePerformer<'a> {
    host: &'a FakeHost,
}

#[derive(Debug)]
struct Inner {
    world: World,
    faults: Faults,
    performed: Vec<Step>,
    observations: usize,
}

impl FakeHost {
    /// Makes a host of a world.
    pub fn new(world: World) -> Self {
        let inner = Inner { world, faults: Faults::default(), performed: Vec::new(), observations: 0 };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Makes another host in the same state, without this one's faults and counts.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(self.lock().world.clone())
    }

    /// Returns the host's state, past all faults.
    pub fn state(&self) -> HostState {
        self.lock().world.state()
    }

    /// Reads one domain in detail; none where there is none of that name. It counts as an observation.
    ///
    /// *Errors*: an injected fault.
    pub fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        let mut inner = self.lock();
        inner.observations += 1;
        match inner.faults.on_observation() {
            Effect::None | Effect::Hang => Ok(inner.world.wiring(domain)),
            Effect::Fail | Effect::Busy => Err(ObserveError::Libvirt("injected fault".to_owned())),
        }
    }

    /// Returns the names of libvirt's network filters, past all faults.
    pub fn filters(&self) -> BTreeSet<String> {
        self.lock().world.filters()
    }

    /// Changes the world behind everybody's back: what a guest, an administrator or another program does.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        let mut inner = self.lock();
        change(&mut inner.world);
    }

    /// Puts a fault in force, beside those that are.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.0.push(fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.lock().faults.0.clear();
    }

    /// Returns the number of steps that were performed: zero after an operation that wrote nothing.
    pub fn writes(&self) -> usize {
        self.lock().performed.len()
    }

    /// Returns the steps that were performed, in order.
    pub fn performed(&self) -> Vec<Step> {
        self.lock().performed.clone()
    }

    /// Returns the number of observations that were made.
    pub fn observations(&self) -> usize {
        self.lock().observations
    }

    /// Forgets the steps that were performed.
    pub fn forget(&self) {
        self.lock().performed.clear();
    }

    /// Reboots: what is not hardware, and every address and route, is gone; guests are stopped, and libvirt starts the
    /// networks that it starts by itself, as far as it can.
    pub fn reboot(&self) {
        self.lock().world.reboot();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides a step's fate and, where it has an effect, performs it.
    fn step(&self, step: &Step) -> Result<Effect, StepFailure> {
        let mut inner = self.lock();
        match inner.faults.on_step(&step.to_string()) {
            Effect::None => {}
            Effect::Hang => return Ok(Effect::Hang),
            Effect::Fail => {
                let reason = "injected fault".to_owned();
                return Err(StepFailure { position: 0, reason, transient: false });
            }
            Effect::Busy => {
                let reason = format!("{step}: Device or resource busy (EBUSY)");
                return Err(StepFailure { position: 0, reason, transient: true });
            }
        }
        let done = match step {
            Step::Kernel(step) => inner.world.perform_kernel(step),
            Step::Libvirt(step) => inner.world.perform_libvirt(step),
            Step::Dhcp(step) => inner.world.perform_dhcp(step),
            Step::Resolver(step) => inner.world.perform_resolver(step),
            Step::Guest(step) => inner.world.perform_on_guest(step),
        };
        done.map_err(|reason| StepFailure { position: 0, reason, transient: false })?;
        inner.performed.push(step.clone());
        Ok(Effect::None)
    }
}

impl Host for FakeHost {
    type Performer<'a> = FakePerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        let mut inner = self.lock();
        inner.observations += 1;
        match inner.faults.on_observation() {
            Effect::None | Effect::Hang => Ok(inner.world.state()),
            Effect::Fail | Effect::Busy => Err(ObserveError::Kernel("injected fault".to_owned())),
        }
    }

    fn performer(&self) -> FakePerformer<'_> {
        FakePerformer { host: self }
    }
}

impl Performer for FakePerformer<'_> {
    async fn perform(&mut self, step: &Step) -> Result<(), StepFailure> {
        let delay = self.host.lock().faults.delay();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        if self.host.step(step)? == Effect::Hang {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

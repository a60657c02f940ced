//! The health of a server's services, as `grpc.health.v1` tells it.

use std::sync::Arc;

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Stands for the server as a whole.
const WHOLE: &str = "";

/// Sets what health checks are told; cheap to clone.
///
/// A server turns everything to serving when it starts and to not serving when it drains; a program only reports what
/// else makes a service unfit.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
}

impl Health {
    pub(crate) fn new(reporter: HealthReporter, services: &[&'static str]) -> Self {
        Self { reporter, services: services.into() }
    }

    /// Reports that a service, named as `package.Service`, does its work.
    ///
    /// Cancel safety: dropped before it is done, it has done nothing.
    pub async fn serving(&self, service: &str) {
        self.reporter.set_service_status(service, ServingStatus::Serving).await;
    }

    /// Reports that a service, named as `package.Service`, does not do its work for now.
    ///
    /// Cancel safety: dropped before it is done, it has done nothing.
    pub async fn not_serving(&self, service: &str) {
        self.reporter.set_service_status(service, ServingStatus::NotServing).await;
    }

    pub(crate) async fn all_serving(&self) {
        for service in self.all() {
            self.serving(service).await;
        }
    }

    pub(crate) async fn none_serving(&self) {
        for service in self.all() {
            self.not_serving(service).await;
        }
    }

    fn all(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(WHOLE).chain(self.services.iter().copied())
    }
}

//! What a server offers: its own services, and with them always health, and reflection in both versions.

use std::convert::Infallible;

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::health::Health;

/// Says whether a server tells strangers which services it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    /// Reflection v1 and v1alpha are served: newer tools ask for the one, older ones for the other.
    On,
    /// Reflection is not served.
    Off,
}

/// Gathers services before they are served.
#[derive(Debug)]
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    reporter: HealthReporter,
}

impl Services {
    /// Starts with health, and reflection over the given descriptors.
    ///
    /// `descriptors` are encoded `FileDescriptorSet`s; those of health and of `google.rpc`'s error details are added.
    ///
    /// # Errors
    /// When a descriptor set does not decode: a bug of the caller.
    pub fn new(descriptors: &[&[u8]], reflection: Reflection) -> Result<Self, tonic_reflection::server::Error> {
        let mut routes = Routes::builder();
        let (reporter, health) = tonic_health::server::health_reporter();
        routes.add_service(health);
        match reflection {
            Reflection::On => {
                routes.add_service(describe(descriptors).build_v1()?);
                routes.add_service(describe(descriptors).build_v1alpha()?);
            }
            Reflection::Off => {}
        }
        Ok(Self { routes, names: Vec::new(), reporter })
    }

    /// Adds a service, which health then knows by its name.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Returns the handle on the health of the services added so far.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(self.reporter.clone(), &self.names)
    }

    pub(crate) fn into_routes(self) -> Routes {
        self.routes.routes()
    }
}

fn describe<'a>(descriptors: &[&'a [u8]]) -> tonic_reflection::server::Builder<'a> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    descriptors.iter().fold(builder, |builder, descriptors| builder.register_encoded_file_descriptor_set(descriptors))
}

//! The layers around the services, and their order.

use tonic::service::Routes;
use tower::Layer as _;
use trestle_telemetry::rpc;

use crate::around::{Calls, Layered};
use crate::deadline::Deadlines;
use crate::drain::Drain;
use crate::identity::Identify;
use crate::load::Load;
use crate::message::Messages;
use crate::panics::CatchPanics;
use crate::request_id::RequestIds;

/// The services of a server, with what its layers share between all connections.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) routes: Routes,
    pub(crate) deadlines: Deadlines,
    pub(crate) drain: Drain,
    pub(crate) load: Load,
}

impl Stack {
    /// Makes the service of one connection, from the inside out.
    ///
    /// The span is outermost, so that it sees every refusal. The deadline is outside of all that may take time. Panics
    /// are caught outside of everything that runs a handler. A stranger is turned away before it can take a place among
    /// the calls in hand.
    pub(crate) fn service(self, identify: Identify) -> rpc::Server<impl Calls> {
        let service = Layered::new(self.load, self.routes);
        let service = Layered::new(identify, service);
        let service = Layered::new(Messages, service);
        let service = Layered::new(self.drain, service);
        let service = Layered::new(CatchPanics, service);
        let service = Layered::new(self.deadlines, service);
        let service = Layered::new(RequestIds, service);
        rpc::ServerLayer.layer(service)
    }
}

//! Runs services on listeners until it is told to stop, and stops in bounded time.
//!
//! | task | on cancel | on error |
//! | --- | --- | --- |
//! | one per listener | stops accepting, waits for its connections; aborted when they outlast the drain | the server stops |
//! | one per connection | finishes its calls; aborted with its listener | logged; a panic stops the server |

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{error, info, warn};
use trestle_telemetry::chain;

use crate::deadline::{Deadlines, Limits};
use crate::drain::Drain;
use crate::health::Health;
use crate::listener::Listener;
use crate::load::Load;
use crate::services::Services;
use crate::stack::Stack;

mod connection;

use connection::Transport;

/// How long the last answers have to leave after calls are abandoned.
const LAST_GRACE: Duration = Duration::from_millis(250);

/// Says how a server treats its callers.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long calls may take.
    pub deadlines: Limits,
    /// How many connections each listener has open at once; more wait in the system's queue.
    pub most_connections: usize,
    /// How many calls may be in hand at once, over all listeners; more are refused.
    pub most_calls: usize,
    /// How many streams and calls one connection may have open at once; more wait in the client.
    pub most_streams_per_connection: u32,
    /// How long a client may take for the TLS handshake.
    pub handshake_timeout: Duration,
    /// How often an idle connection is probed.
    pub keepalive_interval: Duration,
    /// How long a probe may go unanswered before the connection is closed.
    pub keepalive_timeout: Duration,
    /// How long response streams go on after the drain began.
    pub stream_grace: Duration,
    /// How long unanswered calls may take after the drain began. The whole drain takes a quarter of a
    /// second more at most.
    pub drain_timeout: Duration,
}

/// Serves services on listeners.
#[derive(Debug)]
pub struct Server {
    routes: Routes,
    health: Health,
    options: ServerOptions,
}

/// Tells how a server's drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call was answered and every connection closed.
    Cleanly,
    /// Some calls were abandoned or connections broken off, because they took too long.
    ByForce,
}

/// Says why a server stopped before it was told to: a task of its own panicked, which is a bug, and fatal.
#[derive(Debug, thiserror::Error)]
#[error("server's task died")]
pub struct ServerError(#[source] JoinError);

/// One task per listener; each returns when its connections have ended.
type Listening = JoinSet<Result<(), ServerError>>;

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            deadlines: Limits::default(),
            most_connections: 1024,
            most_calls: 256,
            most_streams_per_connection: 256,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            stream_grace: Duration::from_millis(250),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Server {
    /// Makes a server of the services.
    #[must_use]
    pub fn new(services: Services, options: ServerOptions) -> Self {
        let health = services.health();
        Self { routes: services.into_routes(), health, options }
    }

    /// Serves until `cancel` is cancelled, then drains and returns.
    ///
    /// The drain: health turns to not serving, listeners close, response streams end with `UNAVAILABLE` after their
    /// grace, unanswered calls are ended the same way when the drain has taken too long, and connections that are open
    /// even then are broken off.
    ///
    /// Cancel safety: dropped, it breaks off every connection at once; cancel the token to drain.
    ///
    /// # Errors
    /// When one of its tasks panicked; the drain takes place all the same.
    pub async fn run(self, listeners: Vec<Listener>, cancel: CancellationToken) -> Result<Drained, ServerError> {
        let (begun, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let drain =
            Drain { begun: begun.clone(), abandoned: abandoned.clone(), stream_grace: self.options.stream_grace };
        let stack = Stack {
            routes: self.routes,
            deadlines: Deadlines::new(self.options.deadlines.clone()),
            drain,
            load: Load::new(self.options.most_calls),
        };
        self.health.all_serving().await;
        let mut listening = Listening::new();
        for listener in listeners {
            info!(address = %listener.address(), tls = listener.tls().is_some(), "server listens");
            let transport = Transport::new(listener.tls(), stack.clone(), &self.options);
            listening.spawn(listen(listener, transport, self.options.most_connections, begun.clone()));
        }

        // Cancel safety: both arms only wait.
        let failure = tokio::select! {
            () = cancel.cancelled() => None,
            Some(ended) = listening.join_next() => failure(ended),
        };

        info!("server drains");
        self.health.none_serving().await;
        begun.cancel();
        let drained = end(&mut listening, self.options.drain_timeout, &abandoned).await;
        info!(outcome = ?drained, "server stopped");
        failure.map_or(Ok(drained), Err)
    }
}

/// Accepts connections until the drain begins, then waits for them to end.
async fn listen(
    listener: Listener,
    transport: Transport,
    most_connections: usize,
    begun: CancellationToken,
) -> Result<(), ServerError> {
    let mut connections = JoinSet::new();
    loop {
        // Cancel safety: accepting and joining lose nothing when another arm is taken.
        tokio::select! {
            () = begun.cancelled() => break,
            Some(ended) = connections.join_next() => ended.map_err(ServerError)?,
            stream = listener.accept(), if connections.len() < most_connections => {
                connections.spawn(transport.clone().serve(stream));
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        ended.map_err(ServerError)?;
    }
    Ok(())
}

/// Waits for the listeners' connections to end, with more force each time they take too long.
async fn end(listening: &mut Listening, drain_timeout: Duration, abandoned: &CancellationToken) -> Drained {
    if timeout(drain_timeout, all_ended(listening)).await.is_ok() {
        return Drained::Cleanly;
    }
    warn!("calls abandoned: they outlast the drain");
    abandoned.cancel();
    if timeout(LAST_GRACE, all_ended(listening)).await.is_err() {
        warn!("connections broken off: they outlast the drain");
        listening.shutdown().await;
    }
    Drained::ByForce
}

async fn all_ended(listening: &mut Listening) {
    while let Some(ended) = listening.join_next().await {
        if let Some(error) = failure(ended) {
            error!(error = %chain(&error), "server failed while draining");
        }
    }
}

fn failure(ended: Result<Result<(), ServerError>, JoinError>) -> Option<ServerError> {
    ended.map_err(ServerError).flatten().err()
}

//! One connection: the handshake, who the peer is, and HTTP/2 until it ends.

use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tower::ServiceExt as _;
use tracing::debug;
use trestle_telemetry::chain;

use super::ServerOptions;
use crate::identity::Identify;
use crate::listener::Stream;
use crate::stack::Stack;
use crate::tls::Tls;

/// How the connections of one listener are served.
#[derive(Clone)]
pub(super) struct Transport {
    security: Security,
    http2: http2::Builder<TokioExecutor>,
    stack: Stack,
}

#[derive(Clone)]
enum Security {
    Plaintext,
    MutualTls { acceptor: TlsAcceptor, trust_domain: String, handshake_timeout: Duration },
}

impl Transport {
    pub(super) fn new(tls: Option<&Tls>, stack: Stack, options: &ServerOptions) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(options.keepalive_interval)
            .keep_alive_timeout(options.keepalive_timeout)
            .max_concurrent_streams(options.most_streams_per_connection);
        let security = tls.map_or(Security::Plaintext, |tls| Security::MutualTls {
            acceptor: tls.acceptor(),
            trust_domain: tls.identity().trust_domain.clone(),
            handshake_timeout: options.handshake_timeout,
        });
        Self { security, http2, stack }
    }

    /// Serves a connection until it ends, and lets it end when the drain begins.
    pub(super) async fn serve(self, stream: Stream) {
        match self.security {
            Security::Plaintext => speak(&self.http2, self.stack, Identify::local(), stream).await,
            Security::MutualTls { acceptor, trust_domain, handshake_timeout } => {
                match timeout(handshake_timeout, acceptor.accept(stream)).await {
                    Err(_) => debug!("tls handshake timed out"),
                    Ok(Err(error)) => debug!(error = %chain(&error), "tls handshake failed"),
                    Ok(Ok(stream)) => {
                        let (_, session) = stream.get_ref();
                        let certificate = session.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
                        let identify = Identify::by_certificate(certificate, &trust_domain);
                        speak(&self.http2, self.stack, identify, stream).await;
                    }
                }
            }
        }
    }
}

async fn speak<IO>(http2: &http2::Builder<TokioExecutor>, stack: Stack, identify: Identify, stream: IO)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = stack.drain.begun.clone();
    let service = stack.service(identify).map_request(|request: http::Request<Incoming>| request.map(Body::new));
    let service = TowerToHyperService::new(service);
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));
    // Cancel safety: the connection is only polled here, and goes on below.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = begun.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = %chain(&error), "connection failed");
    }
}

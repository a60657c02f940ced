//! Starts a server for one test and stops it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use trestle_serve::{
    ClientOptions, DOMAIN, Drained, ListenAddress, Listener, Reason, Reflection, Server, ServerError, ServerIdentity,
    ServerOptions, Services, Target, Tls, connect,
};

use crate::probe::{Client, Probe};

/// Longer than anything here takes, on a machine however busy.
const SOON: Duration = Duration::from_secs(20);

/// A server that runs in a task of its own; dropped, it breaks off.
pub(crate) struct Running {
    pub(crate) probe: Probe,
    addresses: Vec<ListenAddress>,
    cancel: CancellationToken,
    tasks: JoinSet<Result<Drained, ServerError>>,
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(SOON, event).await.expect("it happens soon")
}

/// Asserts that a status has the code and the reason that the layers give it.
pub(crate) fn assert_reason(status: &Status, reason: Reason) {
    assert_eq!(status.code(), reason.code(), "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason.as_str(), DOMAIN));
    assert_eq!(details.retry_info().and_then(|info| info.retry_delay), reason.retry_delay());
}

pub(crate) fn loopback() -> ListenAddress {
    "127.0.0.1:0".parse().unwrap()
}

impl Running {
    /// Starts on a free port of loopback, without TLS.
    pub(crate) async fn start(options: ServerOptions) -> Self {
        Self::start_on(&[loopback()], None, options, Reflection::On).await
    }

    pub(crate) async fn start_on(
        addresses: &[ListenAddress],
        tls: Option<&Tls>,
        options: ServerOptions,
        reflection: Reflection,
    ) -> Self {
        let probe = Probe::new();
        let services = Services::new(&[], reflection).unwrap().with(probe.clone());
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.push(Listener::bind(address, tls).await.unwrap());
        }
        let addresses = listeners.iter().map(Listener::address).collect();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(Server::new(services, options).run(listeners, cancel.clone()));
        Self { probe, addresses, cancel, tasks }
    }

    /// Returns the first address.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.addresses[0]
    }

    /// Returns the first address, for a server on TCP.
    pub(crate) fn tcp(&self) -> SocketAddr {
        match self.address() {
            ListenAddress::Tcp(address) => *address,
            ListenAddress::Unix(path) => panic!("the server is on {}", path.display()),
        }
    }

    /// Returns the plaintext target of the first address.
    pub(crate) fn target(&self) -> Target {
        target(self.address())
    }

    pub(crate) fn tls_target(&self) -> Target {
        format!("https://{}", self.address()).parse().unwrap()
    }

    /// Connects to every address.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for address in &self.addresses {
            clients.push(client(&target(address)).await);
        }
        clients
    }

    pub(crate) async fn client(&self) -> Client {
        client(&self.target()).await
    }

    pub(crate) fn begin_drain(&self) {
        self.cancel.cancel();
    }

    /// Waits for the server to return.
    pub(crate) async fn stopped(&mut self) -> Drained {
        soon(self.tasks.join_next()).await.unwrap().unwrap().unwrap()
    }
}

async fn client(target: &Target) -> Client {
    Client(soon(connect(target, &ClientOptions::new(None, ServerIdentity::Engine))).await.unwrap())
}

fn target(address: &ListenAddress) -> Target {
    match address {
        ListenAddress::Tcp(address) => format!("http://{address}").parse().unwrap(),
        ListenAddress::Unix(path) => Target::Unix(path.clone()),
    }
}

/// Asserts that a status has a code.
pub(crate) fn assert_code(status: &Status, code: Code) {
    assert_eq!(status.code(), code, "{status:?}");
}

//! The running agent: its parts, their order at the start, and their end.
//!
//! | task | on cancel | on error |
//! | --- | --- | --- |
//! | writer | finishes or undoes its transaction; aborted when the grace is over, and the next start goes on | stops the process |
//! | server | drains | stops the process |
//! | session | ends its link | none: it dials again |
//! | notices | ends | stops the process |
//! | observer | ends, and with it all watches | none: it looks again |
//! | keeper | ends after the repair that it waits for | none: it looks again |
//! | leases | ends after all others | none: it tries again |
//! | routers | ends after all others | none: it listens again |
//! | carriers | ends after all others | none: leases are renewed by time alone |
//! | neighbors | ends | none: it listens again |
//!
//! A panic in any of them stops the process.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use trestle_dhcp::{Dhcp, RouterEars, Routers};
use trestle_netlink::{ConnectError, Kernel};
use trestle_proto::FILE_DESCRIPTOR_SET;
use trestle_serve::deadline::Limits;
use trestle_serve::{
    BindError, ClientOptions, Listener, Reflection, Server, ServerError, ServerIdentity, ServerOptions, Services,
    Supervisor, Tls, TlsError, TlsOptions,
};
use trestle_telemetry::chain;
use uuid::Uuid;

use crate::bus::Bus;
use crate::carriers::Carriers;
use crate::config::{Config, Engine, LibvirtUri};
use crate::hooks::Hooks;
use crate::host::{HostError, Notices, RealHost};
use crate::journal::{Change, Journal, JournalError};
use crate::keeper::{Keeper, Policy};
use crate::leases::Leases;
use crate::nameservers::NameServers;
use crate::neighbors::{self, Ears};
use crate::observer::{self, Watches};
use crate::other_daemons::OtherDaemons;
use crate::resolver::Resolver;
use crate::service::{PLUG_PATH, SETUP_PATH, Service, WATCH_PATH};
use crate::session::{Options, Session};
use crate::transaction::{Agent, Writer};

/// The part of the stop's grace that calls may take to end.
const DRAIN_SHARE: u32 = 2;

/// What the agent is told of its surroundings; only the program reads them.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The kernel's boot id.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel_release: String,
    /// Who started the agent.
    pub supervisor: Supervisor,
}

/// Says why the agent stopped before it was told to. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The kernel gave no netlink socket.
    #[error(transparent)]
    Kernel(#[from] ConnectError),
    /// The host cannot be reached.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Certificates cannot be used.
    #[error("certificates of {0} are not usable")]
    Tls(&'static str, #[source] TlsError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The service's descriptors do not decode: a bug.
    #[error("service descriptors do not decode")]
    Descriptors(#[from] tonic_reflection::server::Error),
    /// The server stopped.
    #[error("server stopped")]
    Server(#[from] ServerError),
    /// The kernel's notices ended.
    #[error("kernel's notices ended")]
    Notices,
    /// A task panicked: a bug.
    #[error("a task died")]
    Task(#[source] JoinError),
}

type Tasks = JoinSet<Result<(), DaemonError>>;

/// Runs the agent until `stop` is cancelled, then ends it within the configured grace.
///
/// Owed work of an earlier run comes first: nobody is served before it is done. The supervisor is told earlier, when the
/// kernel's networks are up: what it starts then may be libvirt itself, on which the rest of that work waits.
///
/// *Errors*: [`DaemonError`]. *Cancel safety*: none; cancel `stop` instead.
pub async fn run(config: Config, surroundings: Surroundings, stop: CancellationToken) -> Result<(), DaemonError> {
    let journal = Journal::open(&config.data_dir).await?;
    let dhcp = Dhcp::new(identity(&journal).await?, journal.contents().leases.clone());
    let bus = Bus::default();
    let resolver = NameServers::new(Resolver::new(config.resolv_conf.clone(), bus.clone()), journal.clone());
    let (routers, router_ears) = hear_routers();
    let (leases, settlement) =
        Leases::new(dhcp.clone(), routers, Kernel::connect()?, resolver.clone(), journal.clone())?;
    let carriers = Carriers::new(dhcp.clone(), Kernel::connect()?)?;
    let options = libvirt_options(&config);
    let (lldp, ears) = neighbors::open()?;
    let Surroundings { boot_id, kernel_release, supervisor } = surroundings;
    let host = RealHost::connect(kernel_release, options, dhcp.clone(), settlement, resolver).await?;
    let host = host.with_lldp(lldp).with_other_daemons(OtherDaemons::new(config.daemons_dir.clone(), bus));
    let libvirt = host.libvirt();
    let notices = host.notices().await?;
    let (agent, writer) = Agent::new(host, journal, boot_id);
    let mut writer = writer.with_hooks(hooks(&config));

    // It outlives the writer, whose last steps it serves.
    let (mut keeping, kept_until) = (Tasks::new(), CancellationToken::new());
    let token = kept_until.clone();
    keeping.spawn(async move {
        leases.run(token).await;
        Ok(())
    });

    let token = kept_until.clone();
    keeping.spawn(async move {
        carriers.run(token).await;
        Ok(())
    });

    if let Some(ears) = router_ears {
        let token = kept_until.clone();
        keeping.spawn(async move {
            ears.run(token).await;
            Ok(())
        });
    }

    // Cancel safety: an interrupted recovery is owed again at the next start.
    let recovered = tokio::select! {
        recovered = writer.recover(|| supervisor.ready()) => Some(recovered),
        () = stop.cancelled() => None,
    };
    let Some(recovered) = recovered else { return Ok(()) };
    recovered?;

    let mut tasks = Tasks::new();
    start(&config, agent, writer, (notices, ears), &stop, &mut tasks).await?;
    info!(host = %config.host, "agent is ready");

    // Cancel safety: both arms only wait.
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        Some(ended) = tasks.join_next() => outcome(ended),
        Some(ended) = keeping.join_next() => outcome(ended),
    };
    supervisor.stopping();
    stop.cancel();
    let ended = end(&mut tasks, config.stop_timeout.0).await;
    kept_until.cancel();
    let ended = ended.or(end(&mut keeping, config.stop_timeout.0).await);
    dhcp.shutdown().await;
    if let Some(libvirt) = libvirt {
        libvirt.shutdown().await;
    }
    failed.or(ended).map_or(Ok(()), Err)
}

/// Opens what hears IPv6 routers; a host on which nobody can hear them has none, and works.
fn hear_routers() -> (Routers, Option<RouterEars>) {
    match Routers::open() {
        Ok((routers, ears)) => (routers, Some(ears)),
        Err(fault) => {
            warn!(error = %fault, "routers of IPv6 are not heard: the kernel lacks it, or the agent CAP_NET_RAW");
            (Routers::deaf(), None)
        }
    }
}

/// Returns the host's identity for DHCPv6, made where there is none yet.
async fn identity(journal: &Journal) -> Result<Uuid, JournalError> {
    let kept = journal.contents().duid;
    if !kept.is_nil() {
        return Ok(kept);
    }
    let made = Uuid::new_v4();
    journal.write(Change { duid: Some(made), ..Change::default() }).await?;
    Ok(made)
}

async fn start(
    config: &Config,
    agent: Agent<RealHost>,
    writer: Writer<RealHost>,
    (notices, ears): (Notices, Option<Ears>),
    stop: &CancellationToken,
    tasks: &mut Tasks,
) -> Result<(), DaemonError> {
    let (changed_in, changed) = tokio::sync::watch::channel(0);
    let (learned_in, learned) = tokio::sync::watch::channel(0);
    let told = observer::Notices { changed: changed.clone(), learned };
    let (watches, observer) = Watches::new(agent.clone(), told, Uuid::now_v7());
    let server = server(config, agent.clone(), watches)?;
    let listeners = listeners(config).await?;
    let heard = ears.map(|ears| ears.run(changed.clone(), agent.kept(), stop.clone()));
    let keeper = Keeper::new(agent.clone(), policy(config), changed.clone());
    let session = session_options(config)?.map(|options| Session::new(agent, options, changed));

    let token = stop.clone();
    tasks.spawn(async move { Ok(writer.run(token).await?) });
    let token = stop.clone();
    tasks.spawn(async move { Ok(server.run(listeners, token).await.map(drop)?) });
    let token = stop.clone();
    tasks.spawn(async move {
        if notices.run(changed_in, learned_in, token).await { Ok(()) } else { Err(DaemonError::Notices) }
    });
    let token = stop.clone();
    tasks.spawn(async move {
        observer.run(token).await;
        Ok(())
    });
    if let Some(heard) = heard {
        tasks.spawn(async move {
            heard.await;
            Ok(())
        });
    }
    let token = stop.clone();
    tasks.spawn(async move {
        keeper.run(token).await;
        Ok(())
    });
    if let Some(session) = session {
        let token = stop.clone();
        tasks.spawn(async move {
            session.run(token).await;
            Ok(())
        });
    }
    Ok(())
}

fn server(config: &Config, agent: Agent<RealHost>, watches: Watches) -> Result<Server, DaemonError> {
    let services = Services::new(&[FILE_DESCRIPTOR_SET], Reflection::On)?.with(Service::new(agent, watches));
    let deadlines =
        Limits { long_lived: [SETUP_PATH, WATCH_PATH, PLUG_PATH].map(str::to_owned).into(), ..Limits::default() };
    let drain_timeout = config.stop_timeout.0 / DRAIN_SHARE;
    Ok(Server::new(services, ServerOptions { deadlines, drain_timeout, ..ServerOptions::default() }))
}

async fn listeners(config: &Config) -> Result<Vec<Listener>, DaemonError> {
    let mut listeners = vec![Listener::bind(&config.listen.socket, None).await?];
    if let Some(address) = &config.listen.tcp {
        let tls = tls("listen.tls", config.listen.tls.as_ref())?;
        listeners.push(Listener::bind(address, tls.as_ref()).await?);
    }
    Ok(listeners)
}

fn hooks(config: &Config) -> Hooks {
    Hooks::new(config.hooks.folder.clone(), config.hooks.timeout.0, config.host.clone())
}

fn policy(config: &Config) -> Policy {
    Policy { repair: config.keeper.repair.clone(), period: config.keeper.period.0 }
}

fn session_options(config: &Config) -> Result<Option<Options>, DaemonError> {
    let Some(Engine { endpoint, tls: files, report_period }) = &config.engine else {
        warn!("no engine is configured, local clients only");
        return Ok(None);
    };
    let client = ClientOptions::new(tls("engine.tls", files.as_ref())?, ServerIdentity::Engine);
    Ok(Some(Options { host: config.host.clone(), target: endpoint.clone(), client, report_period: report_period.0 }))
}

fn tls(what: &'static str, files: Option<&TlsOptions>) -> Result<Option<Tls>, DaemonError> {
    files.map(Tls::load).transpose().map_err(|error| DaemonError::Tls(what, error))
}

fn libvirt_options(config: &Config) -> Option<trestle_libvirt::Options> {
    match &config.libvirt.uri {
        LibvirtUri::None => None,
        LibvirtUri::At(uri) => Some(trestle_libvirt::Options {
            uri: uri.clone(),
            call_timeout: config.libvirt.call_timeout.0,
            poll_period: config.libvirt.poll_period.0,
        }),
    }
}

/// Waits for all tasks, and returns the first failure; those that outlast the grace are aborted.
async fn end(tasks: &mut Tasks, grace: Duration) -> Option<DaemonError> {
    let mut failed = None;
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            failed = failed.take().or_else(|| outcome(ended));
        }
    };
    if timeout(grace, all).await.is_err() {
        warn!("tasks aborted: they outlast the grace; the next start goes on with what is owed");
        tasks.shutdown().await;
    }
    failed
}

fn outcome(ended: Result<Result<(), DaemonError>, JoinError>) -> Option<DaemonError> {
    let failure = ended.unwrap_or_else(|died| Err(DaemonError::Task(died))).err()?;
    error!(error = %chain(&failure), "task failed");
    Some(failure)
}

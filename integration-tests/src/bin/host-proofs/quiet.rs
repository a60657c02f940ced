//! Asking for what runs already: nothing is written, to the kernel or to libvirt.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_agent::host::RealHost;
use host_agent::journal::Journal;
use host_agent::site::{Part, Site, Survey};
use host_agent::transaction::{Agent, Answer, Caller, End};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use trestle_model::{
    BridgeNumber, BridgeNumbers, BridgeOptions, Code, ConnectivityCheck, DomainKey, DomainWiring, ForeignDhcp,
    HostState, IfName, LinkStatistics, NetworkChange, Outcome, TransactionId,
};
use trestle_plan::sample::kind::kinds;
use trestle_plan::sample::{Change, Net, net, other_value, request};
use trestle_plan::{Host, ObserveError, Performer, Step, StepFailure};
use uuid::Uuid;

use crate::stage;

/// How long the kernel's notices are listened to; they come at once where something is written.
const LISTEN: Duration = Duration::from_millis(500);
/// How often it is asked again until the kernel has nothing to tell.
const TRIES: usize = 4;

/// The host, with every step counted that reaches an edge.
struct Counted {
    host: Arc<RealHost>,
    written: Arc<AtomicUsize>,
}

impl Host for Counted {
    type Performer<'a> = CountedPerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        self.host.observe().await
    }

    fn performer(&self) -> CountedPerformer<'_> {
        CountedPerformer { written: &self.written, inner: self.host.performer() }
    }
}

/// Performs steps and counts them.
struct CountedPerformer<'a> {
    written: &'a AtomicUsize,
    inner: <RealHost as Host>::Performer<'a>,
}

impl Performer for CountedPerformer<'_> {
    async fn perform(&mut self, step: &Step) -> Result<(), StepFailure> {
        self.written.fetch_add(1, Ordering::SeqCst);
        self.inner.perform(step).await
    }
}

impl Site for Counted {
    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        self.host.wiring(domain).await
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        self.host.filters().await
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        self.host.foreign_dhcp().await
    }

    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        self.host.survey(parts).await
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        self.host.statistics(names).await
    }
}

type SetOption = fn(&mut BridgeOptions);

/// Each attribute that a network can have, beside what each kind of plan leads to.
fn wishes() -> Vec<(String, Vec<Change>)> {
    let six = || net("n0").on("eth0").ipv6(&["2001:db8:7::1/64", "2001:db8:7::2/64"], Some("fe80::1")).default_route();
    let options: [(&str, SetOption); 12] = [
        ("ageing time", |options| options.ageing_time_cs = Some(12_300)),
        ("forward delay", |options| options.forward_delay_cs = Some(400)),
        ("hello time", |options| options.hello_time_cs = Some(300)),
        ("max age", |options| options.max_age_cs = Some(1_500)),
        ("priority", |options| options.priority = Some(4_096)),
        ("multicast snooping", |options| options.multicast_snooping = Some(false)),
        ("multicast querier", |options| options.multicast_querier = Some(true)),
        ("group forward mask", |options| options.group_fwd_mask = Some(8)),
        ("VLAN filtering", |options| options.vlan_filtering = Some(true)),
        ("default PVID", |options| {
            options.vlan_filtering = Some(true);
            options.default_pvid = Some(7);
        }),
        ("times that the kernel rounds", |options| {
            options.hello_time_cs = Some(201);
            options.numbers = BridgeNumbers::from_iter([(BridgeNumber::MulticastQueryInterval, 12_301)]);
        }),
        ("the rarer bridge options", |options| {
            options.numbers = BridgeNumber::ALL.into_iter().map(other_value).collect();
        }),
    ];
    let mut plain: Vec<(String, Vec<NetworkChange>)> = vec![
        ("IPv6 with a gateway".to_owned(), vec![six().set()]),
        (
            "IPv4 with a gateway".to_owned(),
            vec![
                net("n0").on("eth0").ipv4(&["192.0.2.10/24", "192.0.2.11/32"], Some("192.0.2.1")).default_route().set(),
            ],
        ),
    ];
    for (name, set) in options {
        let network = |network: Net| network.bridge(|bridge| set(&mut bridge.options)).set();
        plain.push((name.to_owned(), vec![network(net("n0").on("eth0")), network(net("n1"))]));
    }
    let plain = plain.into_iter().map(|(name, changes)| (name, changes.into_iter().map(Change::Network).collect()));
    let mut wishes: Vec<(String, Vec<Change>)> = plain.collect();
    wishes.extend(kinds().into_iter().map(|kind| {
        let mut wanted: std::collections::BTreeMap<_, _> =
            kind.before.into_iter().map(|change| (subject(&change), change)).collect();
        let claims =
            |change: &Change| matches!(change, Change::Network(NetworkChange::Set(spec)) if spec.default_route);
        if kind.asked.iter().any(claims) {
            wanted.retain(|_, change| !claims(change));
        }
        for change in kind.asked {
            match change.sets() {
                true => drop(wanted.insert(subject(&change), change)),
                false => drop(wanted.remove(&subject(&change))),
            }
        }
        (kind.name.to_owned(), wanted.into_values().collect())
    }));
    wishes.retain(|(_, changes)| !changes.is_empty());
    wishes
}

/// Sets each `share`-th wish up, and then asks for it again.
pub(crate) async fn holds(share: usize) -> Result<()> {
    let host = Arc::new(stage::connect().await?);
    let heard = host.notices().await?;
    let (told, mut notices) = tokio::sync::watch::channel(0);
    let (learned, _) = tokio::sync::watch::channel(0);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let token = stop.clone();
    tasks.spawn(async move {
        let _ended = heard.run(told, learned, token).await;
    });
    let mut asked = 0;
    for (name, wish) in wishes().into_iter().step_by(share) {
        stage::clear(&host).await?;
        match is_quiet(&host, &mut notices, wish).await.with_context(|| name.clone())? {
            Some(steps) => {
                asked += 1;
                println!("quiet: {name}: {steps} steps, then none");
            }
            None => println!("quiet: {name}: this host lacks what it takes"),
        }
    }
    stop.cancel();
    stage::clear(&host).await?;
    ensure!(asked > 0, "nothing was asked for");
    println!("quiet: {asked} wishes");
    Ok(())
}

/// Returns the number of steps that the first asking took; `None` where the host refuses it.
async fn is_quiet(
    host: &Arc<RealHost>,
    notices: &mut tokio::sync::watch::Receiver<u64>,
    wish: Vec<Change>,
) -> Result<Option<usize>> {
    let folder = tempfile::tempdir()?;
    let written = Arc::new(AtomicUsize::new(0));
    let site = Counted { host: Arc::clone(host), written: Arc::clone(&written) };
    let (agent, writer) = Agent::new(site, Journal::open(folder.path()).await?, "boot".to_owned());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(writer.run(stop.clone()));
    let first = match ask(&agent, wish.clone()).await? {
        Some(Outcome::Applied) => written.swap(0, Ordering::SeqCst),
        None => return Ok(None),
        other => anyhow::bail!("the first asking ended with {other:?}"),
    };
    stage::settle().await?;
    let before = stage::sorted(host.observe().await?);
    // What the kernel does by itself after a change may still echo.
    for attempt in 1..=TRIES {
        notices.borrow_and_update();
        let again = ask(&agent, wish.clone()).await?;
        ensure!(again == Some(Outcome::Unchanged), "asking again ended with {again:?}");
        let steps = written.load(Ordering::SeqCst);
        ensure!(steps == 0, "{steps} steps reached the edges");
        sleep(LISTEN).await;
        if !notices.has_changed()? {
            break;
        }
        ensure!(attempt < TRIES, "the kernel or libvirt told of a change");
    }
    let after = stage::sorted(host.observe().await?);
    ensure!(before == after, "the host differs");
    stop.cancel();
    tasks.join_next().await.context("the writer is gone")???;
    Ok(Some(first))
}

/// What a change is about.
fn subject(change: &Change) -> String {
    format!("{:?} {:?}", change.network(), change.bond())
}

async fn ask(agent: &Agent<Counted>, changes: Vec<Change>) -> Result<Option<Outcome>> {
    let mut request = request(changes);
    request.options.transaction = TransactionId(Uuid::new_v4());
    request.options.connectivity_check = ConnectivityCheck::None;
    request.options.acknowledge = Code::ALL.to_vec();
    let caller = Caller { actor: "proof".to_owned(), begin_by: None };
    let mut running = agent.setup(request, caller)?;
    while running.progress.recv().await.is_some() {}
    match running.end.await? {
        Ok(Answer { end: End::Finished(report), .. }) => Ok(Some(report.outcome)),
        Ok(Answer { end: End::Validated(findings), .. }) => anyhow::bail!("only validated: {findings:?}"),
        Err(refusal) if lacks(&refusal) => Ok(None),
        Err(refusal) => anyhow::bail!("refused: {:?}", refusal.findings()),
    }
}

/// Tells whether a request is refused for nothing but what the kernel, libvirt or a NIC cannot do.
pub(crate) fn lacks(refusal: &host_agent::transaction::Refusal) -> bool {
    let lacking = [Code::KernelLacksFeature, Code::LibvirtLacksFeature, Code::NicOptionUnsupported];
    let mut findings = refusal.findings().0.into_iter();
    findings.any(|finding| lacking.contains(&finding.code))
}

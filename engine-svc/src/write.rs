//! The one way in which the desired state changes: existence, etag, rules, acknowledgement, commit, wake.

mod check;
mod guests;
mod together;
mod turn;

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{error, info};
use trestle_model::fleet::{ClusterNetwork, Entity, EntityId, Fleet, Mutation};
use trestle_model::{Code, Finding, Findings, HostName};
use trestle_proto::status::Refusal;
use trestle_rules::{Fix, Proposal};
use trestle_store::{Committed, Decision, RequestKey, Store, TransactError, Write};
use trestle_telemetry::{chain, trace_context};
use uuid::Uuid;

use crate::clock;
use crate::reconcile::Wake;
use crate::session::Board;
use crate::states::HostStates;

pub(crate) use check::{Checked, Decide, Planned};
pub(crate) use together::Together;

/// Changes the desired state.
#[derive(Debug, Clone)]
pub struct Writer {
    store: Store,
    board: Arc<Board>,
    wake: Arc<Wake>,
    states: Arc<HostStates>,
}

/// How a client wants its write carried out.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Who asks.
    pub(crate) actor: String,
    /// What makes the write idempotent.
    pub(crate) request: Option<RequestKey>,
    /// Whether only findings are wanted.
    pub(crate) validate_only: bool,
    /// Warning codes that do not stop the write.
    pub(crate) acknowledge: Vec<Code>,
    /// Whether profiles in the way are mended in the same write.
    pub(crate) fix: Fix,
}

/// A write that was carried out, or would have been.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The entity afterwards; `None` for a removal.
    pub(crate) entity: Option<Entity>,
    /// Findings that did not refuse it; with `validate_only`, all.
    pub(crate) findings: Findings,
}

impl Writer {
    /// Makes a writer over `store` that wakes the reconciler for the hosts that a write touches.
    pub const fn new(store: Store, board: Arc<Board>, wake: Arc<Wake>, states: Arc<HostStates>) -> Self {
        Self { store, board, wake, states }
    }

    /// Carries out what `decide` makes of the fleet, if the rules allow it.
    ///
    /// *Errors*: a [`Refusal`] with every finding. *Cancel safety*: the write is finished or not begun.
    pub(crate) async fn write(
        &self,
        wish: Wish,
        decide: impl FnOnce(&Fleet) -> Result<Mutation, Refusal> + Send + 'static,
    ) -> Result<Written, Refusal> {
        let writer = self.clone();
        let span = tracing::Span::current();
        let written = tokio::task::spawn_blocking(move || span.in_scope(|| writer.write_blocking(wish, decide))).await;
        written.unwrap_or_else(|failed| {
            error!(error = %chain(&failed), "write died");
            Err(Finding::error(Code::StoreFailed, "", "the write died; its outcome is in the log").into())
        })
    }

    /// Judges changes that are not made, in their order.
    ///
    /// *Errors*: `CHECK_OVERTAKEN` where the fleet changes faster than they are judged; else only where a rule died, which is a bug.
    /// *Cancel safety*: nothing is ever changed.
    pub(crate) async fn check(&self, changes: Vec<Planned>, acknowledged: Vec<Code>) -> Result<Vec<Checked>, Refusal> {
        let (writer, span) = (self.clone(), tracing::Span::current());
        let work = move || span.in_scope(|| check::check(&writer, &changes, &acknowledged));
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|failed| {
            error!(error = %chain(&failed), "check died");
            Err(Finding::error(Code::StoreFailed, "", "the check died; why is in the log").into())
        })
    }

    fn write_blocking(
        &self,
        wish: Wish,
        decide: impl FnOnce(&Fleet) -> Result<Mutation, Refusal>,
    ) -> Result<Written, Refusal> {
        if wish.validate_only {
            return self.store.read(|fleet| {
                let Proposal { mutations, findings } = self.propose(decide(fleet)?, wish.fix, fleet);
                let entity = mutations.into_iter().next().and_then(|mutation| preview(fleet, mutation));
                Ok(Written { entity, findings })
            });
        }
        let mut touched = BTreeSet::new();
        let write =
            Write { request: wish.request, now_ms: clock::now_ms(), uid: Uuid::now_v7(), actor: wish.actor.clone() };
        let committed = self.store.transact(write, |fleet| {
            let Proposal { mutations, findings } = self.propose(decide(fleet)?, wish.fix, fleet);
            if findings.refuses(&wish.acknowledge) {
                return Err(Refusal::refused(findings));
            }
            touched = mutations.iter().flat_map(|mutation| hosts_touched(fleet, mutation)).collect();
            Ok(Decision { mutations, findings })
        });
        let Committed { revision, entities, findings, .. } = committed.map_err(refusal)?;
        self.changed(revision, &wish.actor, &touched);
        Ok(Written { entity: entities.into_iter().next(), findings })
    }

    /// Tells hosts' reconciler and watchers of a write.
    fn changed(&self, revision: u64, actor: &str, touched: &BTreeSet<HostName>) {
        info!(revision, actor, hosts = touched.len(), "desired state changed");
        let cause = trace_context::current();
        for host in touched {
            let gone = self.store.read(|fleet| !fleet.hosts().contains_key(host));
            if gone {
                self.board.remove(host);
            } else {
                self.wake.host(host, Some(cause.clone()));
                self.board.touch(host);
            }
        }
    }

    /// Completes and evaluates a change, also by what is known of hosts beside their reports.
    fn propose(&self, mutation: Mutation, fix: Fix, fleet: &Fleet) -> Proposal {
        let Proposal { mutations, mut findings } = trestle_rules::propose(mutation, fix, fleet);
        let standing = |host: &HostName| self.states.standing(fleet, host);
        if let Some(Mutation::Put(Entity::Vm(vm))) = mutations.first() {
            findings.0.extend(trestle_rules::not_offered(vm, fleet, standing));
        } else if let Some(Mutation::Put(Entity::NetworkAttachment(attachment))) = mutations.first() {
            findings.0.extend(trestle_rules::edited_out_of_sync(attachment, fleet, standing));
        }
        Proposal { mutations, findings: findings.sorted() }
    }
}

/// Finds the hosts whose desired networks or guests a mutation may change, before it is applied.
fn hosts_touched(fleet: &Fleet, mutation: &Mutation) -> BTreeSet<HostName> {
    match mutation.id() {
        EntityId::Network(network) => {
            let label = match mutation {
                Mutation::Put(Entity::Network(network)) => network.nic_label.as_ref(),
                Mutation::Put(_) | Mutation::Delete(_) => None,
            };
            let labelled = label.into_iter().flat_map(|label| fleet.hosts_labelled(label)).map(|host| &host.id);
            fleet.hosts_with(&network).chain(labelled).cloned().collect()
        }
        EntityId::Host(host) | EntityId::NetworkAttachment(host, _) | EntityId::Bond(host, _) => BTreeSet::from([host]),
        EntityId::Vm(_) | EntityId::Vnic(..) | EntityId::VnicProfile(..) => guests::hosts_touched(fleet, mutation),
        EntityId::Cluster(cluster) => match (mutation, fleet.clusters().get(&cluster)) {
            (Mutation::Put(Entity::Cluster(after)), Some(before)) if after.vnic_policy != before.vnic_policy => {
                fleet.hosts_in(&cluster).cloned().collect()
            }
            _ => BTreeSet::new(),
        },
        EntityId::ClusterNetwork(cluster, network) => {
            // Hosts learn of it only by a label that they share with the network, but their state may follow from it.
            let label = fleet.networks().get(&network).and_then(|network| network.nic_label.as_ref());
            let labelled = label.into_iter().flat_map(|label| fleet.hosts_labelled(label));
            let labelled: Vec<&HostName> =
                labelled.filter(|host| host.cluster == cluster).map(|host| &host.id).collect();
            let before =
                fleet.cluster_networks().get(&(cluster.clone(), network)).is_some_and(ClusterNetwork::is_required);
            let after = matches!(mutation, Mutation::Put(Entity::ClusterNetwork(after)) if after.is_required());
            fleet.hosts_in(&cluster).filter(|_| before != after).chain(labelled).cloned().collect()
        }
        // Hosts do not learn of these.
        EntityId::MacPool(_) => BTreeSet::new(),
    }
}

/// Shows an entity as it would be: as given, with the common part that it has now.
fn preview(fleet: &Fleet, mutation: Mutation) -> Option<Entity> {
    match mutation {
        Mutation::Put(mut entity) => {
            if let Some(before) = fleet.entity(&entity.id()) {
                let labels = std::mem::take(&mut entity.meta_mut().labels);
                *entity.meta_mut() = before.meta().clone();
                entity.meta_mut().labels = labels;
            }
            Some(entity)
        }
        Mutation::Delete(_) => None,
    }
}

fn refusal(error: TransactError<Refusal>) -> Refusal {
    match error {
        TransactError::Decided(refusal) => refusal,
        TransactError::RequestIdReused => {
            Finding::error(Code::RequestIdReused, "request_id", "the request id was used for another request")
                .remedy("make a new UUID for each new request")
                .into()
        }
        TransactError::Store(failed) => {
            error!(error = %chain(&failed), "store failed");
            Finding::error(Code::StoreFailed, "", "the store cannot be written; nothing was changed")
                .remedy("look at the engine's log, free disk space, and try again")
                .into()
        }
    }
}

#[cfg(test)]
mod tests;

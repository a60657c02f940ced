//! Several changes as one write: judged one after the other, and written all or none.

use std::collections::BTreeSet;

use tracing::error;
use trestle_model::fleet::{Entity, EntityId, Fleet, Mutation, NetworkAttachment};
use trestle_model::{Code, Finding, Findings, HostName};
use trestle_proto::status::Refusal;
use trestle_store::{Change, Committed, Decision, Rehearsal, Write};
use trestle_telemetry::chain;
use uuid::Uuid;

use super::{Wish, Writer, refusal};
use crate::clock;

/// Changes that were written together, or would have been.
#[derive(Debug, Clone, Default)]
pub(crate) struct Together {
    /// The entities that were put, in order.
    pub(crate) entities: Vec<Entity>,
    /// What was removed; not known of a request that is answered again.
    pub(crate) removed: Vec<EntityId>,
    /// Findings that did not refuse it; with `validate_only`, all.
    pub(crate) findings: Findings,
}

/// What a rehearsal of all changes found.
#[derive(Default)]
struct Judged {
    mutations: Vec<Mutation>,
    entities: Vec<Entity>,
    removed: Vec<EntityId>,
    findings: Vec<Finding>,
    touched: BTreeSet<HostName>,
}

impl Writer {
    /// Carries out all changes that `decide` makes of the fleet, in their order, if the rules allow every one.
    ///
    /// *Errors*: a [`Refusal`] with every finding. *Cancel safety*: the write is finished or not begun.
    pub(crate) async fn write_together(
        &self,
        wish: Wish,
        decide: impl FnOnce(&Fleet) -> Result<Vec<Mutation>, Refusal> + Send + 'static,
    ) -> Result<Together, Refusal> {
        let (writer, span) = (self.clone(), tracing::Span::current());
        let work = move || span.in_scope(|| writer.write_together_blocking(wish, decide));
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|failed| {
            error!(error = %chain(&failed), "write died");
            Err(Finding::error(Code::StoreFailed, "", "the write died; its outcome is in the log").into())
        })
    }

    fn write_together_blocking(
        &self,
        wish: Wish,
        decide: impl FnOnce(&Fleet) -> Result<Vec<Mutation>, Refusal>,
    ) -> Result<Together, Refusal> {
        if wish.validate_only {
            return self.store.rehearse(|rehearsal| {
                let mutations = decide(rehearsal.fleet())?;
                let Judged { entities, removed, findings, .. } = self.judge(mutations, &wish, rehearsal);
                Ok(Together { entities, removed, findings: Findings(findings).sorted() })
            });
        }
        let (mut touched, mut removed) = (BTreeSet::new(), Vec::new());
        let (actor, acknowledge) = (wish.actor.clone(), wish.acknowledge.clone());
        let write =
            Write { request: wish.request.clone(), now_ms: clock::now_ms(), uid: Uuid::now_v7(), actor: actor.clone() };
        let committed = self.store.transact_in_turn(write, |rehearsal| {
            let mutations = decide(rehearsal.fleet())?;
            let judged = self.judge(mutations, &wish, rehearsal);
            let findings = Findings(judged.findings).sorted();
            if findings.refuses(&acknowledge) {
                return Err(Refusal::refused(findings));
            }
            (touched, removed) = (judged.touched, judged.removed);
            Ok(Decision { mutations: judged.mutations, findings })
        });
        let Committed { revision, entities, findings, .. } = committed.map_err(refusal)?;
        self.changed(revision, &actor, &touched);
        Ok(Together { entities, removed, findings })
    }

    /// Judges changes in their order, each on the fleet with those before it, but for those that an error refuses. Networks that
    /// make room for each other stand on nothing until their turn: what counts is where all of them stand in the end.
    fn judge(&self, mutations: Vec<Mutation>, wish: &Wish, rehearsal: &mut Rehearsal<'_>) -> Judged {
        let mut judged = Judged::default();
        rehearsal.apply(parked(&mutations, rehearsal.fleet()));
        for mutation in mutations {
            let turn = self.take_turn(mutation, wish.fix, rehearsal);
            judged.findings.extend(turn.findings.0);
            judged.touched.extend(turn.touched);
            judged.mutations.extend(turn.mutations);
            for (id, change) in turn.told {
                match change {
                    Change::Created | Change::Updated => judged.entities.extend(rehearsal.fleet().entity(&id)),
                    Change::Deleted => judged.removed.push(id),
                }
            }
        }
        judged
    }
}

/// Takes networks off a device that another one of the changes puts its network on, where a change moves them elsewhere.
fn parked(mutations: &[Mutation], fleet: &Fleet) -> Vec<Mutation> {
    let put = || mutations.iter().filter_map(attachment);
    let is_given_away = |after: &NetworkAttachment, before: &NetworkAttachment| {
        let is_taken = |other: &NetworkAttachment| {
            other.host == before.host && other.network != before.network && other.southbound == before.southbound
        };
        before.southbound.is_some() && after.southbound != before.southbound && put().any(is_taken)
    };
    let parked = put().filter_map(|after| {
        let before = fleet.attachments().get(&(after.host.clone(), after.network.clone()))?;
        is_given_away(after, before).then(|| NetworkAttachment { southbound: None, ..before.clone() })
    });
    parked.map(Entity::NetworkAttachment).map(Mutation::Put).collect()
}

const fn attachment(mutation: &Mutation) -> Option<&NetworkAttachment> {
    match mutation {
        Mutation::Put(Entity::NetworkAttachment(attachment)) => Some(attachment),
        Mutation::Put(_) | Mutation::Delete(_) => None,
    }
}

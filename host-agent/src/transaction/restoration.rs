//! What a start owes: an open transaction to its end, and after a boot the persistent configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{Instrument as _, error, info, info_span, warn};
use trestle_model::{Code, Finding, HostState, Outcome, ResolverMechanism};
use trestle_plan::transaction::{Recovery, recover};
use trestle_plan::{Snapshot, restore_plan, resumption, steps_towards, undo_target, verify};
use trestle_telemetry::{chain, names};

use super::Shared;
use super::execution::{adopt, close, take_back};
use super::performance::{perform, perform_all};
use crate::journal::{Change, JournalError, Open};
use crate::site::{Part, Site};

/// How often the host is asked at a start before libvirt is taken for absent.
pub(super) const PATIENCE: u32 = 20;
/// The rest in between, and between the rounds of a restore.
const REST: Duration = Duration::from_millis(500);
/// How often the restore is planned anew from what is there then.
const ROUNDS: u32 = 4;

/// Tells whether something is still owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restored {
    /// Nothing.
    Wholly,
    /// libvirt's part, when it answers.
    WithoutLibvirt,
}

/// Starts the DHCP clients of the running configuration again, as long as it is this boot's: they ended with the agent, and
/// their addresses did not.
pub(super) async fn resume<H: Site>(shared: &Shared<H>) {
    let contents = shared.journal.contents();
    if contents.boot_id != shared.boot_id {
        return;
    }
    let observed = match shared.host.survey(&BTreeSet::from([Part::Addresses])).await {
        Ok(survey) => survey.state,
        Err(error) => {
            warn!(error = %chain(&error), "host not observed, DHCP clients do not go on yet");
            return;
        }
    };
    let mut performer = shared.host.performer();
    for step in resumption(&contents.running, &observed) {
        if let Err(failure) = perform(&mut performer, &step).await {
            warn!(step = %step, error = %failure, "DHCP client does not go on");
        }
    }
}

/// Ends the transaction that the journal holds, if any.
pub(super) async fn finish_open<H: Site>(shared: &Shared<H>) -> Result<(), JournalError> {
    let Some(open) = shared.journal.contents().open.clone() else { return Ok(()) };
    let same_boot = open.record.boot_id == shared.boot_id;
    let recovery = recover(open.record.phase, same_boot);
    warn!(transaction = %open.record.request.options.transaction, phase = ?open.record.phase, ?recovery, "open transaction found");
    match recovery {
        Recovery::Nothing => {}
        Recovery::FinishAdoption => drop(adopt(shared, &open).await?),
        Recovery::UndoToSnapshot => {
            let cause = cause(&open, "the agent stopped before the transaction had ended");
            take_back(shared, open, cause).await?;
        }
        Recovery::LeaveToRestore => {
            put_resolver_back(shared, &open.record.snapshot).await;
            let cause = cause(&open, "the host was restarted before the transaction had ended");
            close(shared, open, Outcome::RolledBack(cause)).await?;
        }
    }
    Ok(())
}

/// Gives the host the name servers of before: their file outlives a reboot, and no restore knows what was in it.
async fn put_resolver_back<H: Site>(shared: &Shared<H>, snapshot: &Snapshot) {
    let before = snapshot.resolver.as_ref().filter(|before| before.mechanism() == Some(ResolverMechanism::File));
    let Some(before) = before.cloned() else { return };
    let only = Snapshot { resolver: Some(before), ..Snapshot::default() };
    let target = undo_target(&only);
    match look(shared, 1).await {
        Some((observed, _)) => drop(perform_all(&shared.host, &steps_towards(&target, &observed)).await),
        None => error!("host cannot be observed, the name servers of before are not put back"),
    }
}

/// Restores the persistent configuration, if the host was restarted since the running one was adopted.
///
/// A host that cannot be observed is asked `patience` times; then what can be done without libvirt is done, and libvirt is
/// not asked for that. With no patience it is not asked at all.
pub(super) async fn restore_after_boot<H: Site>(shared: &Shared<H>, patience: u32) -> Result<Restored, JournalError> {
    if shared.journal.contents().boot_id == shared.boot_id {
        return Ok(Restored::Wholly);
    }
    restore(shared, patience).instrument(info_span!(names::PHASE_SPAN, { names::PHASE } = "restore")).await
}

async fn restore<H: Site>(shared: &Shared<H>, patience: u32) -> Result<Restored, JournalError> {
    let contents = shared.journal.contents();
    let mut desired = None;
    let mut restored = Restored::Wholly;
    for _ in 0..ROUNDS {
        let Some((observed, reach)) = look(shared, patience).await else {
            error!("host cannot be observed, the persistent configuration is not restored yet");
            return Ok(Restored::WithoutLibvirt);
        };
        restored = reach;
        let restoration = restore_plan(&contents.persistent, &observed);
        // The first look tells how the NICs were before they were touched.
        desired.get_or_insert(restoration.desired);
        for skipped in &restoration.skipped {
            warn!(finding = %skipped, "left out by the restore");
        }
        if restoration.steps.is_empty() {
            break;
        }
        let failures = perform_all(&shared.host, &restoration.steps).await;
        info!(steps = restoration.steps.len(), failed = failures.len(), "persistent configuration applied");
        // What libvirt is to have cannot be compared without it; then nothing left to do is all that is asked for.
        let done = match reach {
            Restored::Wholly => {
                shared.host.observe().await.is_ok_and(|after| verify(&restoration.target, &after).is_empty())
            }
            Restored::WithoutLibvirt => {
                without_libvirt(shared).await.is_some_and(|after| steps_towards(&restoration.target, &after).is_empty())
            }
        };
        if done {
            break;
        }
        sleep(REST).await;
    }
    let running = desired.filter(|desired| *desired != contents.running);
    let boot_id = (restored == Restored::Wholly).then(|| shared.boot_id.clone());
    if running.is_some() || boot_id.is_some() {
        shared.journal.write(Change { running, boot_id, ..Change::default() }).await?;
    }
    info!(?restored, "persistent configuration is running");
    Ok(restored)
}

/// Reads the host; without libvirt's part where it does not answer for long.
async fn look<H: Site>(shared: &Shared<H>, patience: u32) -> Option<(HostState, Restored)> {
    for attempt in 1..=patience {
        match shared.host.observe().await {
            Ok(observed) => return Some((observed, Restored::Wholly)),
            Err(error) => warn!(error = %chain(&error), attempt, "host not observed yet"),
        }
        if attempt < patience {
            sleep(REST).await;
        }
    }
    Some((without_libvirt(shared).await?, Restored::WithoutLibvirt))
}

/// Reads the host but for libvirt's part, which is not asked for.
async fn without_libvirt<H: Site>(shared: &Shared<H>) -> Option<HostState> {
    let mut parts = Part::all();
    parts.retain(|part| !matches!(part, Part::Guests | Part::Libvirt | Part::Features));
    shared.host.survey(&parts).await.ok().map(|survey| survey.state)
}

fn cause(open: &Open, otherwise: &str) -> Finding {
    open.record.cause.clone().unwrap_or_else(|| Finding::error(Code::StepFailed, "", otherwise))
}

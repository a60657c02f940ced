//! Plugging: what a domain's interfaces are to be, carried out in the writer's turn, or put back.
//!
//! It shares the writer with the transactions of networks, so that no network goes while an interface comes to it. It is not
//! journalled: an agent that dies amid it leaves what libvirt has, each interface whole, and asking again goes on from there
//! (D-0057).

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tracing::{Span, info, warn};
use trestle_model::{
    Code, DomainKey, DomainWiring, Finding, Findings, LibvirtState, MacAddr, PlugAction, PlugReport, PlugRequest,
    Replug,
};
use trestle_plan::{
    DomainSide, GuestStep, InterfaceChange, Performer as _, PlugPlan, PlugSituation, PlugStep, Step, not_back,
    plug_back, plug_plan,
};
use trestle_telemetry::chain;

use super::{Caller, Refusal, Shared};
use crate::site::Site;

/// How long a guest may take to release a device. A kernel needs a second; one that boots, hangs or ignores it never does.
const RELEASE: Duration = Duration::from_secs(20);
/// How often libvirt is asked meanwhile: the crate `virt` has no safe wrapper for its event.
const LOOK: Duration = Duration::from_millis(500);

/// A wish on its way to the writer.
#[derive(Debug)]
pub(super) struct PlugJob {
    pub(super) request: PlugRequest,
    pub(super) caller: Caller,
    pub(super) span: Span,
    pub(super) end: oneshot::Sender<Result<PlugReport, Refusal>>,
}

/// What surrounds the domain, as it was before anything was changed.
struct Look {
    libvirt: LibvirtState,
    filters: BTreeSet<String>,
}

/// Says what a wish would do.
///
/// *Errors*: [`Refusal`]. *Cancel safety*: safe, nothing is changed.
pub(super) async fn validate<H: Site>(shared: &Shared<H>, request: &PlugRequest) -> Result<PlugReport, Refusal> {
    let look = look(shared, request).await?;
    let (plan, before) = plan(shared, request, &look, shared.host.wiring(&request.domain).await?)?;
    Ok(reported(plan, &before))
}

/// Carries a wish out, or puts back what was done of it.
///
/// *Errors*: [`Refusal`]; after [`Refusal::NotPlugged`] too everything is as it was, unless a finding says otherwise.
/// *Cancel safety*: none; it runs in the writer's task.
pub(super) async fn carry_out<H: Site>(
    shared: &Shared<H>,
    request: &PlugRequest,
    actor: &str,
) -> Result<PlugReport, Refusal> {
    let look = look(shared, request).await?;
    let (plan, before) = plan(shared, request, &look, shared.host.wiring(&request.domain).await?)?;
    if plan.steps.is_empty() {
        return Ok(reported(plan, &before));
    }
    let mut touched = BTreeSet::new();
    for PlugStep { step, field } in &plan.steps {
        touched.extend(mac(step));
        if let Err(failed) = perform(shared, step, Instant::now() + RELEASE).await {
            let cause = failed.into_finding(field, step, &before.name);
            return Err(undo(shared, &before, &touched, vec![cause]).await);
        }
    }
    let after = match verified(shared, request, &look, &before).await {
        Ok(after) => after,
        Err(causes) => return Err(undo(shared, &before, &touched, causes).await),
    };
    for (mac, action) in plan.outcomes.iter().filter(|(_, action)| *action != PlugAction::Unchanged) {
        info!(domain = after.name, %mac, ?action, actor, "interface of a domain changed");
    }
    Ok(reported(plan, &after))
}

fn reported(plan: PlugPlan, wiring: &DomainWiring) -> PlugReport {
    PlugReport { domain: wiring.domain(), outcomes: plan.outcomes, findings: plan.findings }
}

async fn look<H: Site>(shared: &Shared<H>, request: &PlugRequest) -> Result<Look, Refusal> {
    let Some(libvirt) = shared.host.observe().await?.libvirt else {
        let message = "the agent is configured to do without libvirt";
        let finding = Finding::error(Code::LibvirtLacksFeature, "domain", message);
        return Err(Refusal::Findings(Findings(vec![finding.remedy("set libvirt.uri in the agent's configuration")])));
    };
    let asks_for_filters = request.set.iter().any(|wanted| wanted.filter.is_some());
    let filters = if asks_for_filters { shared.host.filters().await? } else { BTreeSet::new() };
    Ok(Look { libvirt, filters })
}

/// Plans a wish for a domain that was read; one that is not there is refused.
fn plan<H>(
    shared: &Shared<H>,
    request: &PlugRequest,
    look: &Look,
    wiring: Option<DomainWiring>,
) -> Result<(PlugPlan, DomainWiring), Refusal> {
    let contents = shared.journal.contents();
    let situation = PlugSituation {
        wiring: wiring.as_ref(),
        libvirt: &look.libvirt,
        running: &contents.running,
        filters: &look.filters,
    };
    let plan = plug_plan(request, &situation).map_err(Refusal::Findings)?;
    Ok((plan, wiring.expect("a wish for a domain that is not there is refused just above")))
}

/// Why a step is not done.
enum Failed {
    Refused(String),
    NotReleased(MacAddr),
}

impl Failed {
    fn into_finding(self, field: &str, step: &GuestStep, domain: &str) -> Finding {
        let finding = match self {
            Self::Refused(reason) => Finding::error(Code::StepFailed, field, format!("{step}: {reason}")),
            Self::NotReleased(mac) => {
                let message = format!("guest {domain} did not release {mac} within {RELEASE:?}, and still has it");
                Finding::error(Code::UnplugPending, field, message)
                    .remedy("ask again, start the guest anew, by which it releases the device, or stop it first")
            }
        };
        finding.about(domain)
    }
}

async fn perform<H: Site>(shared: &Shared<H>, step: &GuestStep, until: Instant) -> Result<(), Failed> {
    let performed = shared.host.performer().perform(&Step::Guest(step.clone())).await;
    performed.map_err(|failure| Failed::Refused(failure.reason))?;
    let GuestStep::Interface(interface) = step else { return Ok(()) };
    match (&interface.change, interface.side) {
        (InterfaceChange::Detach { .. }, DomainSide::Live) => {
            released(shared, &DomainKey::Uuid(interface.domain), interface.mac, until).await
        }
        (InterfaceChange::Detach { .. }, DomainSide::Definition)
        | (InterfaceChange::Attach(_) | InterfaceChange::Update(_), _) => Ok(()),
    }
}

/// Waits until what runs of a domain has an interface no more.
async fn released<H: Site>(shared: &Shared<H>, domain: &DomainKey, mac: MacAddr, until: Instant) -> Result<(), Failed> {
    loop {
        let wiring = shared.host.wiring(domain).await.map_err(|error| Failed::Refused(chain(&error).to_string()))?;
        let live = wiring.and_then(|wiring| wiring.live).unwrap_or_default();
        if !live.iter().any(|interface| interface.told.mac == mac) {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Failed::NotReleased(mac));
        }
        sleep_until((Instant::now() + LOOK).min(until)).await;
    }
}

/// Reads the domain again: what is wanted has to need nothing any more.
async fn verified<H: Site>(
    shared: &Shared<H>,
    request: &PlugRequest,
    look: &Look,
    before: &DomainWiring,
) -> Result<DomainWiring, Vec<Finding>> {
    let failed =
        |message: String| vec![Finding::error(Code::VerificationFailed, "domain", message).about(&before.name)];
    let read = shared.host.wiring(&DomainKey::Uuid(before.uuid)).await;
    let wiring = read.map_err(|error| failed(chain(&error).to_string()))?;
    let again = PlugRequest { replug: Replug::Allow, ..request.clone() };
    let (plan, wiring) = plan(shared, &again, look, wiring).map_err(|refusal| refusal.findings().0)?;
    // Whoever asked learns which of its interfaces it was.
    let removed = (0..request.remove.len()).map(|position| format!("remove[{position}]"));
    let fields = removed.chain((0..request.set.len()).map(|position| format!("set[{position}]")));
    let differing: Vec<Finding> = fields
        .zip(&plan.outcomes)
        .filter(|(_, (_, action))| *action != PlugAction::Unchanged)
        .map(|(field, (mac, _))| {
            let message = format!("libvirt took the change of {mac}, and did not make it whole");
            Finding::error(Code::VerificationFailed, field, message).about(&before.name)
        })
        .collect();
    if differing.is_empty() { Ok(wiring) } else { Err(differing) }
}

/// Puts back what was done to the interfaces `touched`, and says what could not be.
async fn undo<H: Site>(
    shared: &Shared<H>,
    before: &DomainWiring,
    touched: &BTreeSet<MacAddr>,
    mut findings: Vec<Finding>,
) -> Refusal {
    let key = DomainKey::Uuid(before.uuid);
    let lost = |reason: String| {
        let message = format!("{} could not be looked at to put it back: {reason}", before.name);
        let finding = Finding::error(Code::NotPutBack, "domain", message).about(&before.name);
        finding.remedy("ask again when libvirt answers: what is done already is not done again")
    };
    let now = match shared.host.wiring(&key).await {
        Ok(now) => now,
        Err(error) => {
            findings.push(lost(chain(&error).to_string()));
            return not_plugged(findings);
        }
    };
    // A domain that is gone has nothing to put back.
    let Some(now) = now else { return not_plugged(findings) };
    let until = Instant::now() + RELEASE;
    let mut reasons = Vec::new();
    for step in plug_back(before, &now, touched) {
        if let Err(failed) = perform(shared, &step, until).await {
            reasons.push(failed.into_finding("domain", &step, &before.name).message);
        }
    }
    match shared.host.wiring(&key).await {
        Ok(None) => {}
        Ok(Some(after)) => {
            for mac in not_back(before, &after, touched) {
                let message = format!("{mac} of {} is not as it was: {}", before.name, reasons.join("; "));
                let finding = Finding::error(Code::NotPutBack, "domain", message).about(mac);
                findings.push(finding.remedy("look at it with virsh dumpxml, and ask for what it is to be"));
            }
        }
        Err(error) => findings.push(lost(chain(&error).to_string())),
    }
    not_plugged(findings)
}

fn not_plugged(findings: Vec<Finding>) -> Refusal {
    for finding in &findings {
        warn!(%finding, "interfaces of a domain not changed");
    }
    Refusal::NotPlugged(Findings(findings))
}

fn mac(step: &GuestStep) -> Option<MacAddr> {
    match step {
        GuestStep::Interface(step) => Some(step.mac),
        GuestStep::DefineFilter(_) => None,
    }
}

#[cfg(test)]
mod tests;

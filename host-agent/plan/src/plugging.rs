//! What plugs a domain's interfaces: from what is wanted and what there is, the steps between; and the steps back.
//!
//! What runs and what is defined are compared apart, attribute by attribute, so that asking for what is there plans
//! nothing. Interfaces that a wish does not name are not touched (D-0057).

mod difference;
mod surroundings;

use std::collections::BTreeSet;

use trestle_model::{
    Code, DomainWiring, Finding, Findings, HostConfig, LibvirtState, MacAddr, OwnFilter, PlugAction, PlugRequest,
    Replug, WantedInterface, WiredInterface,
};

use self::difference::{Aspect, differences, differs};
use self::surroundings::Resolved;
use crate::step::{DomainSide, GuestStep, InterfaceChange, InterfaceDefinition, InterfaceStep, InterfaceText};

/// What a wish is compared with.
#[derive(Debug, Clone, Copy)]
pub struct PlugSituation<'a> {
    /// The domain; none where libvirt has none of that name.
    pub wiring: Option<&'a DomainWiring>,
    /// libvirt's networks and domains.
    pub libvirt: &'a LibvirtState,
    /// The networks of the host.
    pub running: &'a HostConfig,
    /// libvirt's filters, by name.
    pub filters: &'a BTreeSet<String>,
}

/// How a wish is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlugPlan {
    /// The steps, in order.
    pub steps: Vec<PlugStep>,
    /// What happens to each interface: those to be gone, then those to be set.
    pub outcomes: Vec<(MacAddr, PlugAction)>,
    /// What there is to know and refuses nothing.
    pub findings: Vec<Finding>,
}

/// A step, and the field of the wish that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlugStep {
    /// The step.
    pub step: GuestStep,
    /// The field.
    pub field: String,
}

/// Plans what a wish needs.
///
/// Interfaces go before others come. An interface comes in the definition first, and goes from there last: a guest that does
/// not release it leaves both as they were.
///
/// *Errors*: every finding that refuses the wish.
pub fn plug_plan(request: &PlugRequest, situation: &PlugSituation<'_>) -> Result<PlugPlan, Findings> {
    let mut findings = Vec::new();
    let resolved = surroundings::check(request, situation, &mut findings);
    let mut plan = PlugPlan::default();
    if let Some(wiring) = situation.wiring {
        let lacking = OwnFilter::ALL.into_iter().filter(|filter| lacks(request, situation, *filter));
        let define = |filter| PlugStep { step: GuestStep::DefineFilter(filter), field: String::new() };
        plan.steps.extend(lacking.map(define));
        let mut planner = Planner { wiring, plan: &mut plan };
        for (position, mac) in request.remove.iter().enumerate() {
            planner.remove(*mac, format!("remove[{position}]"));
        }
        for Resolved { field, wanted, network } in &resolved {
            planner.set(wanted, network, field, request.replug, &mut findings);
        }
    }
    let findings = Findings(findings).sorted();
    if findings.refuses(&[]) {
        return Err(findings);
    }
    plan.findings = findings.0;
    Ok(plan)
}

/// Plans the way back to `before` for the interfaces `macs`, from what there is now.
pub fn plug_back(before: &DomainWiring, now: &DomainWiring, macs: &BTreeSet<MacAddr>) -> Vec<GuestStep> {
    let mut steps = Vec::new();
    for mac in macs.iter().rev() {
        for side in [DomainSide::Live, DomainSide::Definition] {
            let (Some(then), Some(has)) = (of(before, side), of(now, side)) else { continue };
            let change = |change| GuestStep::Interface(step(now, side, *mac, change));
            let as_was = |interface: &WiredInterface| InterfaceText::AsWas { xml: interface.xml.clone() };
            let gone = |interface: &WiredInterface| InterfaceChange::Detach { xml: interface.xml.clone() };
            match (find(then, *mac), find(has, *mac)) {
                (None, None) => {}
                (Some(was), None) => steps.push(change(InterfaceChange::Attach(as_was(was)))),
                (None, Some(is)) => steps.push(change(gone(is))),
                (Some(was), Some(is)) => match differs(&was.told, &is.told) {
                    aspects if aspects.is_empty() => {}
                    aspects if side == DomainSide::Live && !aspects.iter().all(Aspect::is_live) => {
                        steps.push(change(gone(is)));
                        steps.push(change(InterfaceChange::Attach(as_was(was))));
                    }
                    _ => steps.push(change(InterfaceChange::Update(as_was(was)))),
                },
            }
        }
    }
    steps
}

/// Returns the interfaces among `macs` that are not as they were.
pub fn not_back(before: &DomainWiring, now: &DomainWiring, macs: &BTreeSet<MacAddr>) -> BTreeSet<MacAddr> {
    let is_back = |mac: MacAddr, side| match (of(before, side), of(now, side)) {
        (Some(then), Some(has)) => match (find(then, mac), find(has, mac)) {
            (None, None) => true,
            (Some(was), Some(is)) => differs(&was.told, &is.told).is_empty(),
            (Some(_), None) | (None, Some(_)) => false,
        },
        // It was started or stopped meanwhile, by somebody else.
        (Some(_), None) | (None, Some(_) | None) => true,
    };
    let sides = [DomainSide::Live, DomainSide::Definition];
    macs.iter().copied().filter(|mac| !sides.iter().all(|side| is_back(*mac, *side))).collect()
}

/// Tells whether a filter is asked for that is defined where libvirt lacks it.
fn lacks(request: &PlugRequest, situation: &PlugSituation<'_>, own: OwnFilter) -> bool {
    let mut wanted = request.set.iter().filter_map(|wanted| wanted.filter.as_ref());
    wanted.any(|filter| filter.name == own.name()) && !situation.filters.contains(own.name())
}

struct Planner<'a> {
    wiring: &'a DomainWiring,
    plan: &'a mut PlugPlan,
}

impl Planner<'_> {
    fn remove(&mut self, mac: MacAddr, field: String) {
        let mut action = PlugAction::Unchanged;
        for side in [DomainSide::Live, DomainSide::Definition] {
            let Some(interface) = of(self.wiring, side).and_then(|interfaces| find(interfaces, mac)) else { continue };
            action = PlugAction::Unplugged;
            self.push(side, mac, &field, InterfaceChange::Detach { xml: interface.xml.clone() });
        }
        self.plan.outcomes.push((mac, action));
    }

    fn set(
        &mut self,
        wanted: &WantedInterface,
        network: &str,
        field: &str,
        replug: Replug,
        findings: &mut Vec<Finding>,
    ) {
        let mut action = PlugAction::Unchanged;
        for side in [DomainSide::Definition, DomainSide::Live] {
            let Some(interfaces) = of(self.wiring, side) else { continue };
            let Some(has) = find(interfaces, wanted.mac) else {
                action = action.max(PlugAction::Plugged);
                let text = InterfaceText::Wanted(definition(wanted, network, None));
                self.push(side, wanted.mac, field, InterfaceChange::Attach(text));
                continue;
            };
            let aspects = differences(&has.told, wanted, network);
            if aspects.is_empty() {
                continue;
            }
            let text = InterfaceText::Wanted(definition(wanted, network, Some(has.xml.clone())));
            let stuck: Vec<Aspect> = aspects.iter().copied().filter(|aspect| !aspect.is_live()).collect();
            if side == DomainSide::Definition || stuck.is_empty() {
                let is_rewired = aspects.contains(&Aspect::Network) || aspects.contains(&Aspect::Attachment);
                action = action.max(if is_rewired { PlugAction::Rewired } else { PlugAction::Updated });
                self.push(side, wanted.mac, field, InterfaceChange::Update(text));
                continue;
            }
            if replug == Replug::Refuse {
                findings.extend(stuck.iter().map(|aspect| self.replug_needed(wanted, field, *aspect)));
            }
            action = action.max(PlugAction::Replugged);
            self.push(side, wanted.mac, field, InterfaceChange::Detach { xml: has.xml.clone() });
            self.push(side, wanted.mac, field, InterfaceChange::Attach(text));
        }
        self.plan.outcomes.push((wanted.mac, action));
    }

    fn replug_needed(&self, wanted: &WantedInterface, field: &str, aspect: Aspect) -> Finding {
        let (name, mac) = (&self.wiring.name, wanted.mac);
        let message = format!("{name} runs, and libvirt does not change {} of {mac} in place", aspect.words());
        Finding::error(Code::ReplugNeeded, format!("{field}.{}", aspect.field()), message)
            .about(name)
            .remedy("allow the replug, by which the guest loses the device for a moment, or stop the guest first")
    }

    fn push(&mut self, side: DomainSide, mac: MacAddr, field: &str, change: InterfaceChange) {
        let step = GuestStep::Interface(step(self.wiring, side, mac, change));
        self.plan.steps.push(PlugStep { step, field: field.to_owned() });
    }
}

fn step(wiring: &DomainWiring, side: DomainSide, mac: MacAddr, change: InterfaceChange) -> InterfaceStep {
    InterfaceStep { domain: wiring.uuid, name: wiring.name.clone(), side, mac, change }
}

fn of(wiring: &DomainWiring, side: DomainSide) -> Option<&[WiredInterface]> {
    match side {
        DomainSide::Live => wiring.live.as_deref(),
        DomainSide::Definition => wiring.defined.as_deref(),
    }
}

fn find(interfaces: &[WiredInterface], mac: MacAddr) -> Option<&WiredInterface> {
    interfaces.iter().find(|interface| interface.told.mac == mac)
}

fn definition(wanted: &WantedInterface, network: &str, base: Option<String>) -> InterfaceDefinition {
    InterfaceDefinition {
        network: network.to_owned(),
        model: wanted.model.clone(),
        mtu: wanted.mtu,
        linked: wanted.linked,
        isolated: wanted.isolated,
        bandwidth: wanted.bandwidth,
        filter: wanted.filter.clone(),
        base,
    }
}

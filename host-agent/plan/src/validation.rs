//! Every reason against a request, all at once.
//!
//! A rule that looks at the request alone needs no host; one about clashes looks at the configuration that would
//! result; one about the host looks at the observation. None of them changes anything.

mod bond;
mod clash;
mod functions;
mod guest_ports;
mod guests;
mod nic;
mod qos;
mod surroundings;
mod wish;

use std::collections::BTreeSet;

use trestle_model::{
    Code, Finding, Findings, HostConfig, HostState, NetworkChange, NetworkName, NetworkSpec, SetupRequest,
};

pub(crate) use self::bond::surroundings as bond_surroundings;
pub(crate) use self::clash::Rivals;
pub(crate) use self::functions::obstacle as function_obstacle;
pub(crate) use self::guest_ports::past as wired_past;
pub(crate) use self::nic::missing as missing_nic;
pub(crate) use self::qos::obstacle as qos_obstacle;
pub(crate) use self::surroundings::surroundings;
use crate::census::Census;
use crate::composition::{compose_on, resolve_bonds, resolve_nics};
use crate::planning::{merge, named};

/// Judges a request against what runs and what the host is.
///
/// *Shape*: every finding, ordered by field, code and subject; a field is the path of an element of the request, and
/// its index is the position in the request's changes.
pub fn validate(request: &SetupRequest, running: &HostConfig, observed: &HostState) -> Findings {
    let desired = resolve_bonds(merge(running, request), request.options.origin, observed);
    let desired = resolve_nics(desired, running, observed);
    let census = Census::of(observed);
    let (target, _) = compose_on(running, &desired, &census, &named(request));
    judge(request, &Rivals::new(request, running, &desired, &census, &target))
}

/// Judges as [`validate`] does, with what the request comes to.
pub(crate) fn judge(request: &SetupRequest, rivals: &Rivals<'_>) -> Findings {
    let mut findings = Vec::new();
    bond::bonds(rivals, &mut findings);
    nic::nics(rivals, &mut findings);
    let mut named = BTreeSet::new();
    for (position, change) in request.changes.iter().enumerate() {
        let field = format!("networks[{position}]");
        if !named.insert(change.network()) {
            duplicate(change.network(), &field, &mut findings);
        }
        match change {
            NetworkChange::Set(spec) => {
                wish::wish(spec, &field, &mut findings);
                surroundings(spec, &field, rivals.desired, rivals.census, &request.options.adopt, &mut findings);
                guest_ports::wired_past(spec, &field, rivals, &mut findings);
                guest_ports::kept_apart(spec, &field, rivals, &mut findings);
                guest_ports::foreign_macs(spec, &field, rivals, &mut findings);
                qos::surroundings(spec, &field, rivals.desired, rivals.census, &mut findings);
                bond::below(spec, &field, rivals, &mut findings);
                clash::clashes(spec, &field, rivals, &mut findings);
            }
            NetworkChange::Remove(name) => {
                if !rivals.running.networks.contains_key(name) {
                    let finding =
                        Finding::error(Code::NetworkNotFound, sub(&field, "name"), "the host has no such network");
                    findings.push(finding.about(name).remedy("leave it out of the request"));
                }
            }
        }
        guests::guests(change.network(), &field, rivals, &mut findings);
    }
    Findings(findings).sorted()
}

fn duplicate(name: &NetworkName, field: &str, findings: &mut Vec<Finding>) {
    let finding = Finding::error(Code::Duplicate, sub(field, "name"), "the network is named twice in the request");
    findings.push(finding.about(name).remedy("describe each network once"));
}

/// Returns the path of a field within an element.
fn sub(field: &str, name: &str) -> String {
    if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") }
}

/// An error about a network's field.
fn error(spec: &NetworkSpec, code: Code, field: &str, name: &str, message: impl Into<String>) -> Finding {
    Finding::error(code, sub(field, name), message).about(&spec.name)
}

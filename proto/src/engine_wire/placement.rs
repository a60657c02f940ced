//! The question where a virtual machine could be.

use std::collections::BTreeSet;

use trestle_model::fleet::{Meta, Vnic};
use trestle_model::{Code, Finding, Findings, HostName, ResourceId, VmId};
use uuid::Uuid;

use super::{Resource as _, parse_name_of};
use crate::engine::v1 as wire;
use crate::form::Form;

/// The most vNICs of a virtual machine that does not exist yet.
const MOST_VNICS: usize = 64;
/// The most hosts that are named.
const MOST_HOSTS: usize = 1000;

/// A question where a virtual machine could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementQuestion {
    /// The virtual machine.
    pub subject: PlacementSubject,
    /// The hosts to look at; none for all of the cluster.
    pub hosts: BTreeSet<HostName>,
}

/// What is to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementSubject {
    /// A virtual machine of the fleet.
    Vm(VmId),
    /// One that does not exist yet: its cluster and its vNICs.
    New(ResourceId, Vec<Vnic>),
}

/// Reads a question.
///
/// *Errors*: every violation, with its field.
pub fn parse_placements(wish: &wire::ListPlacementsRequest) -> Result<PlacementQuestion, Findings> {
    let mut form = Form::default();
    let subject = if wish.vm.is_empty() { read_new(&mut form, wish) } else { read_vm(&mut form, wish) };
    let mut hosts = BTreeSet::new();
    too_many(&mut form, "hosts", wish.hosts.len(), MOST_HOSTS);
    for (position, name) in wish.hosts.iter().take(MOST_HOSTS).enumerate() {
        let path = format!("hosts[{position}]");
        match parse_name_of::<wire::Host>(name, &path) {
            Ok(host) if hosts.contains(&host) => {
                form.note(
                    Finding::error(Code::Duplicate, path, "the host is named twice").remedy("name each host once"),
                );
            }
            Ok(host) => drop(hosts.insert(host)),
            Err(findings) => form.note_all(findings),
        }
    }
    form.finish(subject.map(|subject| PlacementQuestion { subject, hosts }))
}

fn read_vm(form: &mut Form, wish: &wire::ListPlacementsRequest) -> Option<PlacementSubject> {
    for (field, is_given) in [("cluster", !wish.cluster.is_empty()), ("vnics", !wish.vnics.is_empty())] {
        if is_given {
            let finding = Finding::error(Code::FieldConflict, field, format!("{field} is that of the named vm"));
            form.note(finding.remedy(format!("leave out vm or {field}")));
        }
    }
    let vm = parse_name_of::<wire::Vm>(&wish.vm, "vm").map_err(|findings| form.note_all(findings));
    vm.ok().map(PlacementSubject::Vm)
}

fn read_new(form: &mut Form, wish: &wire::ListPlacementsRequest) -> Option<PlacementSubject> {
    let cluster = if wish.cluster.is_empty() {
        form.missing("cluster", "name a vm, or the cluster of a new one");
        None
    } else {
        parse_name_of::<wire::Cluster>(&wish.cluster, "cluster").map_err(|findings| form.note_all(findings)).ok()
    };
    too_many(form, "vnics", wish.vnics.len(), MOST_VNICS);
    let vnics: Vec<Option<Vnic>> =
        wish.vnics.iter().take(MOST_VNICS).enumerate().map(|one| read_vnic(form, one)).collect();
    Some(PlacementSubject::New(cluster?, vnics.into_iter().collect::<Option<_>>()?))
}

/// Reads a vNIC as one of no virtual machine, named by its position.
fn read_vnic(form: &mut Form, (position, spec): (usize, &wire::VnicSpec)) -> Option<Vnic> {
    let id = ResourceId::parse(&format!("vnic{position}")).expect("letters and digits are a legal name");
    let mut own = Form::default();
    let vnic = wire::Vnic { spec: Some(spec.clone()), ..Default::default() };
    let vnic = vnic.read(&mut own, (VmId(Uuid::nil()), id), Meta::default());
    let in_place = |finding: Finding| {
        let field = finding.field.replacen("vnic.spec", &format!("vnics[{position}]"), 1);
        Finding { field, ..finding }
    };
    match own.finish(vnic) {
        Ok(vnic) => Some(vnic),
        Err(Findings(findings)) => {
            form.note_all(Findings(findings.into_iter().map(in_place).collect()));
            None
        }
    }
}

fn too_many(form: &mut Form, field: &str, given: usize, most: usize) {
    if given > most {
        let finding =
            Finding::error(Code::TooLong, field, format!("{field} has {given} entries, {most} at most are taken"));
        form.note(finding.remedy("ask several times"));
    }
}

//! Virtual machines.

use trestle_model::VmId;
use trestle_model::fleet::{EntityId, Meta, Nesting, Vm};

use super::resource::shape;
use super::{Resource, parse_name_of};
use crate::engine::v1 as wire;
use crate::form::Form;

impl Resource for wire::Vm {
    shape!(Vm, "vm", "vms/{vm}", VmId, vm => (vm), build_spec, status: build_status);

    fn parts(vm: &Vm) -> (VmId, &Meta) {
        (vm.id, &vm.meta)
    }

    fn read(&self, form: &mut Form, id: VmId, meta: Meta) -> Option<Vm> {
        let spec = self.spec.clone().unwrap_or_default();
        let cluster = parse_name_of::<wire::Cluster>(&spec.cluster, "vm.spec.cluster")
            .map_err(|findings| form.note_all(findings))
            .ok();
        let host = match spec.host.as_str() {
            "" => None,
            name => parse_name_of::<wire::Host>(name, "vm.spec.host").map_err(|findings| form.note_all(findings)).ok(),
        };
        let nesting = form.known("vm.spec.nesting", spec.nesting).map(|nesting| match nesting {
            wire::Nesting::Unspecified | wire::Nesting::None => Nesting::None,
            wire::Nesting::Routed => Nesting::Routed,
            wire::Nesting::Bridged => Nesting::Bridged,
        });
        Some(Vm {
            id,
            meta,
            display_name: spec.display_name,
            description: spec.description,
            cluster: cluster?,
            host,
            nesting: nesting?,
            bypasses_filters: spec.bypasses_filters,
        })
    }
}

/// What is observed of a VM, it does not know itself.
const fn build_status(_: &Vm) -> Option<wire::VmStatus> {
    None
}

fn build_spec(vm: &Vm) -> wire::VmSpec {
    let nesting = match vm.nesting {
        Nesting::None => wire::Nesting::None,
        Nesting::Routed => wire::Nesting::Routed,
        Nesting::Bridged => wire::Nesting::Bridged,
    };
    wire::VmSpec {
        display_name: vm.display_name.clone(),
        description: vm.description.clone(),
        cluster: EntityId::Cluster(vm.cluster.clone()).to_string(),
        host: vm.host.clone().map(|host| EntityId::Host(host).to_string()).unwrap_or_default(),
        nesting: nesting.into(),
        bypasses_filters: vm.bypasses_filters,
    }
}

//! Bonds of hosts.

use trestle_model::fleet::{Bond, BondId, Meta};

use super::Resource;
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host::v1 as host_wire;
use crate::host_wire::{build_bond, read_bond};

impl Resource for wire::Bond {
    shape!(Bond, "bond", "hosts/{host}/bonds/{bond}", BondId, (host, bond) => (host, bond), build_spec);

    fn parts(bond: &Bond) -> (BondId, &Meta) {
        ((bond.host.clone(), bond.id.clone()), &bond.meta)
    }

    fn read(&self, form: &mut Form, (host, id): BondId, meta: Meta) -> Option<Bond> {
        let wire::BondSpec { nics, mode, options, hwaddr } = self.spec.clone().unwrap_or_default();
        let given = host_wire::Bond { name: id.to_string(), nics, mode, options, hwaddr, remove: false };
        let spec = read_bond(form, "bond.spec", &given)?;
        Some(Bond { host, id, meta, nics: spec.nics, options: spec.options, hwaddr: spec.hwaddr })
    }
}

fn build_spec(bond: &Bond) -> wire::BondSpec {
    let host_wire::Bond { nics, mode, options, hwaddr, .. } = build_bond(&bond.spec());
    wire::BondSpec { nics, mode, options, hwaddr }
}

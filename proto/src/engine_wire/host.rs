//! Hosts.

use trestle_model::HostName;
use trestle_model::fleet::{EntityId, Host, Meta};

use super::resource::shape;
use super::{Resource, parse_name_of};
use crate::engine::v1 as wire;
use crate::form::Form;

impl Resource for wire::Host {
    shape!(Host, "host", "hosts/{host}", HostName, host => (host), build_spec, status: build_status);

    fn parts(host: &Host) -> (HostName, &Meta) {
        (host.id.clone(), &host.meta)
    }

    fn read(&self, form: &mut Form, id: HostName, meta: Meta) -> Option<Host> {
        let spec = self.spec.clone().unwrap_or_default();
        let cluster = parse_name_of::<wire::Cluster>(&spec.cluster, "host.spec.cluster")
            .map_err(|findings| form.note_all(findings))
            .ok()?;
        Some(Host { id, meta, cluster, description: spec.description, maintenance: spec.maintenance })
    }
}

/// What is observed of a host, the fleet does not know.
const fn build_status(_: &Host) -> Option<wire::HostStatus> {
    None
}

fn build_spec(host: &Host) -> wire::HostSpec {
    wire::HostSpec {
        cluster: EntityId::Cluster(host.cluster.clone()).to_string(),
        description: host.description.clone(),
        maintenance: host.maintenance,
    }
}

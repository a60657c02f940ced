//! Hosts.

use std::collections::BTreeMap;

use trestle_model::fleet::{EntityId, Host, Meta};
use trestle_model::{Code, HostName, IfName, NicLabel};

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
        let nic_labels = read_labels(form, &spec.nic_labels);
        Some(Host { id, meta, cluster, description: spec.description, maintenance: spec.maintenance, nic_labels })
    }
}

fn read_labels(form: &mut Form, given: &BTreeMap<String, String>) -> BTreeMap<NicLabel, IfName> {
    const LABELS: &str = "host.spec.nic_labels";
    let mut read = BTreeMap::new();
    for (label, device) in given {
        let name = form.name(LABELS, label, Code::NameInvalid, NicLabel::parse);
        let device = form.name(&format!("{LABELS}.{label}"), device, Code::NameInvalid, IfName::parse);
        read.extend(name.zip(device));
    }
    read
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
        nic_labels: host.nic_labels.iter().map(|(label, device)| (label.to_string(), device.to_string())).collect(),
    }
}

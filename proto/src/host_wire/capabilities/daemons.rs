//! What a report says of the host's other daemons.

use trestle_model::{Code, DeviceManager, IfName, Management, ResolverMechanism};

use super::parse::unsaid;
use crate::form::Form;
use crate::host::v1 as wire;

pub(super) const fn build_mechanism(mechanism: Option<ResolverMechanism>) -> wire::ResolverMechanism {
    match mechanism {
        None => wire::ResolverMechanism::Unspecified,
        Some(ResolverMechanism::File) => wire::ResolverMechanism::File,
        Some(ResolverMechanism::SystemdResolved) => wire::ResolverMechanism::SystemdResolved,
    }
}

pub(super) const fn read_mechanism(mechanism: wire::ResolverMechanism) -> Option<ResolverMechanism> {
    match mechanism {
        wire::ResolverMechanism::Unspecified => None,
        wire::ResolverMechanism::File => Some(ResolverMechanism::File),
        wire::ResolverMechanism::SystemdResolved => Some(ResolverMechanism::SystemdResolved),
    }
}

pub(super) fn build_managed((device, management): (&IfName, &Management)) -> wire::ManagedDevice {
    let manager = match management.manager {
        DeviceManager::NetworkManager => wire::DeviceManager::NetworkManager,
        DeviceManager::SystemdNetworkd => wire::DeviceManager::SystemdNetworkd,
    };
    let source = management.source.clone().unwrap_or_default();
    wire::ManagedDevice { device: device.to_string(), manager: manager.into(), source }
}

pub(super) fn read_managed(form: &mut Form, path: &str, managed: &wire::ManagedDevice) -> Option<(IfName, Management)> {
    let device = form.name(&format!("{path}.device"), &managed.device, Code::NameInvalid, IfName::parse);
    let path = format!("{path}.manager");
    let manager = match form.known(&path, managed.manager)? {
        wire::DeviceManager::NetworkManager => Some(DeviceManager::NetworkManager),
        wire::DeviceManager::SystemdNetworkd => Some(DeviceManager::SystemdNetworkd),
        wire::DeviceManager::Unspecified => unsaid(form, path),
    };
    let source = Some(managed.source.clone()).filter(|source| !source.is_empty());
    Some((device?, Management { manager: manager?, source }))
}

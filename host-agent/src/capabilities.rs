//! What a host tells of itself, put together from what is configured and what was observed.

use trestle_model::Capabilities;
use trestle_plan::{network_reports, nic_reports};

use crate::digest;
use crate::journal::Contents;
use crate::site::Survey;

/// The agent's version, as it is reported.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Puts the report together.
pub(crate) fn of(survey: &Survey, contents: &Contents, boot_id: &str) -> Capabilities {
    let (running_hash, persistent_hash) = (digest::of(&contents.running), digest::of(&contents.persistent));
    Capabilities {
        networks: network_reports(&contents.running, &survey.state),
        nics: nic_reports(&survey.state),
        routes: survey.state.kernel.routes.clone(),
        kernel: survey.kernel.clone(),
        libvirt: survey.libvirt.clone(),
        features: survey.state.features.clone(),
        agent_version: AGENT_VERSION.to_owned(),
        boot_id: boot_id.to_owned(),
        generation: contents.running.generation,
        dirty: running_hash != persistent_hash,
        running_hash,
        persistent_hash,
    }
}

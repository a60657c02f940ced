//! Why an agent gets no session, or loses it.

use std::fmt;

use tonic::Status;
use trestle_model::{Code, Finding, Findings, HostName};
use trestle_proto::status::Refusal;

/// A newer session of the host has taken over.
pub(super) fn fenced(host: &HostName) -> Status {
    let finding = Finding::error(Code::StaleGeneration, "", "a newer session of the host has fenced this one");
    refuse(finding.about(format!("hosts/{host}")).remedy("run one agent for each host"))
}

/// The fleet has no such host.
pub(super) fn unregistered(host: &HostName) -> Status {
    let finding = Finding::error(Code::NotFound, "hello.host", "host is not registered").about(format!("hosts/{host}"));
    refuse(finding.remedy("create the host in the engine; its agent keeps calling"))
}

/// The hello names no host.
pub(super) fn nameless(bad: impl fmt::Display) -> Status {
    refuse(Finding::error(Code::NameInvalid, "hello.host", format!("host name {bad}")))
}

/// The first message was not hello.
pub(super) fn mute() -> Status {
    refuse(Finding::error(Code::FieldMissing, "hello", "the first message is not hello").remedy("say hello first"))
}

/// The agent speaks another version of the session's protocol.
pub(super) fn foreign_protocol(spoken: u32, known: u32) -> Status {
    let message = format!("session protocol {spoken} is not spoken here, only {known}");
    let finding = Finding::error(Code::EnumUnknown, "hello.protocol", message).remedy("upgrade the older side");
    Refusal::refused(Findings(vec![finding])).into()
}

/// The host has obeyed a newer engine.
pub(super) fn outdated(host: &HostName, obeyed: u64, epoch: u64) -> Status {
    let message = format!(
        "host has obeyed an engine of epoch {obeyed}, this engine's is {epoch}: its store was replaced or restored"
    );
    let finding = Finding::error(Code::StaleGeneration, "hello.fencing_epoch", message);
    let remedy = "restore the newest store, or start this engine until its epoch has passed the host's";
    refuse(finding.about(format!("hosts/{host}")).remedy(remedy))
}

fn refuse(finding: Finding) -> Status {
    Refusal::from(finding).into()
}

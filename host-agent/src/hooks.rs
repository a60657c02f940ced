//! Hooks: the operator's own programs, which are asked before a transaction and told after it.
//!
//! A hook is a unix socket in the folder `before` or `after` of the hooks' folder; hooks are called in the order of their
//! names, each with one JSON document ([`wire::HookCall`]), and before a transaction each has to answer with one
//! ([`wire::HookAnswer`]): a program that died is not taken for one that agrees. The agent starts no process: whoever listens at the socket, such as a systemd unit with a sandbox of its own, runs the
//! program. What a hook changes is parsed and validated like any request (D-0035).

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};
use trestle_model::{Code, Finding, Findings, HostName, SetupRequest};
use trestle_proto::host::v1 as wire;
use trestle_proto::{host_wire, schema};
use trestle_serve::MAX_RECEIVE_BYTES;
use trestle_telemetry::chain;

use crate::transaction::Answer;
use crate::wire::result;

/// The folder's parts, by phase.
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// The hooks of a host; where their folder is missing, there are none.
#[derive(Debug, Clone)]
pub struct Hooks {
    folder: PathBuf,
    timeout: Duration,
    host: HostName,
}

/// A request after the hooks were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consulted {
    /// The request, with the networks that the hooks want.
    pub(crate) request: SetupRequest,
    /// Which hooks have changed it.
    pub(crate) notes: Vec<Finding>,
}

/// Says why a hook gave no answer. The operator must act.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("hooks are not listed")]
    Unlisted(#[source] io::Error),
    #[error("{0} is no socket; a hook is one, and its program listens there")]
    NoSocket(String),
    #[error("socket does not take the call")]
    Unreachable(#[source] io::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("answer is longer than {MAX_RECEIVE_BYTES} bytes")]
    TooLong,
    #[error("answer is no trestle.host.v1.HookAnswer in JSON")]
    Malformed(#[source] serde_json::Error),
}

impl Hooks {
    /// Takes the hooks from a folder; each may take `timeout` for its answer.
    pub const fn new(folder: PathBuf, timeout: Duration, host: HostName) -> Self {
        Self { folder, timeout, host }
    }

    /// Asks the hooks before a transaction, one after the other; each sees what those before it have changed.
    ///
    /// *Errors*: `HOOK_REFUSED`; `HOOK_FAILED` for a hook that does not answer as it should; the findings of what a hook
    /// changed. *Cancel safety*: safe; a hook may have been asked.
    pub(crate) async fn before(&self, request: &SetupRequest, actor: &str) -> Result<Consulted, Findings> {
        let mut consulted = Consulted { request: request.clone(), notes: Vec::new() };
        let sockets = self.sockets(BEFORE).map_err(|fault| failed(BEFORE, &fault))?;
        for socket in sockets {
            let name = name_of(&socket);
            let asked = host_wire::build_setup(&consulted.request);
            let call = self.call(wire::HookPhase::Before, actor, asked.clone(), None);
            let answer = self.ask(&socket, &call).await.map_err(|fault| failed(&name, &fault))?;
            if !answer.refusal.is_empty() {
                let finding = Finding::error(Code::HookRefused, "", answer.refusal).about(subject(&name));
                return Err(Findings(vec![finding]));
            }
            let Some(changed) = answer.changed else { continue };
            let options = &consulted.request.options;
            let context = host_wire::SetupContext { origin: options.origin, fresh: options.transaction };
            let wanted = wire::SetupNetworksRequest {
                networks: changed.networks,
                bonds: changed.bonds,
                nics: changed.nics,
                ..asked
            };
            let wanted = host_wire::parse_setup(&wanted, context).map_err(|findings| of_hook(&name, findings))?;
            let SetupRequest { changes, bonds, nics, .. } = wanted;
            let before = &consulted.request;
            if (&changes, &bonds, &nics) != (&before.changes, &before.bonds, &before.nics) {
                info!(hook = name, "hook changed the request");
                let message =
                    "a hook changed which networks, bonds and NICs the request is about, or how they are to be";
                consulted.notes.push(Finding::info(Code::HookChanged, "", message).about(subject(&name)));
                consulted.request.changes = changes;
                consulted.request.bonds = bonds;
                consulted.request.nics = nics;
            }
        }
        Ok(consulted)
    }

    /// Tells the hooks how a transaction has ended; one that fails keeps no other from being told.
    ///
    /// *Cancel safety*: safe; those that were not told yet are not.
    pub(crate) async fn after(&self, request: &SetupRequest, actor: &str, answer: &Answer) {
        let sockets = match self.sockets(AFTER) {
            Ok(sockets) => sockets,
            Err(fault) => return warn!(error = %chain(&fault), "hooks not told"),
        };
        let call = self.call(wire::HookPhase::After, actor, host_wire::build_setup(request), Some(result(answer)));
        for socket in sockets {
            if let Err(fault) = self.tell(&socket, &call).await {
                warn!(hook = name_of(&socket), error = %chain(&fault), "hook not told");
            }
        }
    }

    fn call(
        &self,
        phase: wire::HookPhase,
        actor: &str,
        request: wire::SetupNetworksRequest,
        result: Option<wire::SetupNetworksResult>,
    ) -> wire::HookCall {
        wire::HookCall {
            phase: phase.into(),
            host: self.host.to_string(),
            actor: actor.to_owned(),
            request: Some(request),
            result,
        }
    }

    /// Lists the sockets of a phase, by name; hidden files do not count.
    fn sockets(&self, phase: &str) -> Result<Vec<PathBuf>, Fault> {
        let entries = match std::fs::read_dir(self.folder.join(phase)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Fault::Unlisted(error)),
        };
        let mut sockets = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Fault::Unlisted)?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // Followed where it is a link: a hook may live elsewhere.
            let kind = std::fs::metadata(&path).map_err(Fault::Unlisted)?.file_type();
            if !kind.is_socket() {
                return Err(Fault::NoSocket(path.display().to_string()));
            }
            sockets.push(path);
        }
        sockets.sort();
        Ok(sockets)
    }

    async fn ask(&self, socket: &Path, call: &wire::HookCall) -> Result<wire::HookAnswer, Fault> {
        let answer = self.tell(socket, call).await?;
        schema::from_json("trestle.host.v1.HookAnswer", &String::from_utf8_lossy(&answer)).map_err(Fault::Malformed)
    }

    /// Calls a hook and waits until it hangs up; returns what it has said.
    async fn tell(&self, socket: &Path, call: &wire::HookCall) -> Result<Vec<u8>, Fault> {
        let text = schema::to_json("trestle.host.v1.HookCall", call);
        timeout(self.timeout, exchange(socket, &text)).await.map_err(|_| Fault::Silent(self.timeout))?
    }
}

/// Gives a text to whoever listens at a socket, and returns what it says until it hangs up.
///
/// Both at once: a hook may answer before it has read all, and need not read what it does not want.
async fn exchange(socket: &Path, text: &str) -> Result<Vec<u8>, Fault> {
    let mut stream = UnixStream::connect(socket).await.map_err(Fault::Unreachable)?;
    let (reader, mut writer) = stream.split();
    let say = async {
        writer.write_all(text.as_bytes()).await?;
        writer.shutdown().await
    };
    let limit = u64::try_from(MAX_RECEIVE_BYTES).unwrap_or(u64::MAX);
    let mut answer = Vec::new();
    let mut reader = reader.take(limit.saturating_add(1));
    let (said, heard) = tokio::join!(say, reader.read_to_end(&mut answer));
    match said.and(heard) {
        _ if answer.len() > MAX_RECEIVE_BYTES => Err(Fault::TooLong),
        // One that hangs up with something unread resets the connection, after what it has said.
        Err(error) if !is_hang_up(&error) => Err(Fault::Unreachable(error)),
        Err(_) | Ok(_) => Ok(answer),
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn failed(hook: &str, fault: &Fault) -> Findings {
    let finding = Finding::error(Code::HookFailed, "", chain(fault).to_string()).about(subject(hook));
    Findings(vec![finding.remedy("see to the hook, or take its socket away")])
}

/// Says of each finding which hook it comes from.
fn of_hook(hook: &str, findings: Findings) -> Findings {
    Findings(findings.0.into_iter().map(|finding| finding.about(subject(hook))).collect())
}

fn subject(hook: &str) -> String {
    format!("hook {hook}")
}

fn name_of(socket: &Path) -> String {
    socket.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

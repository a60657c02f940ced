//! `host setup`, and how every command changes a host's networks: it shows the steps, and confirms the change over a new
//! connection.

use std::time::Duration;

use prost_types::Duration as WireDuration;
use tonic::{Code, Status};
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_proto::host::v1::{
    Bond, ConnectivityCheck, Network, Nic, Outcome, PlanStep, Scope, SetupNetworksRequest, SetupNetworksResult,
};
use trestle_proto::status::reason_of;
use uuid::Uuid;

use super::{confirm, connect};
use crate::arguments::{Change, Confirmation, Setup};
use crate::context::Context;
use crate::document::{self, HostSetup, Source};
use crate::failure::{Failure, findings_text};
use crate::output;
use crate::progress::{result_text, text};

/// How long the host waits for its confirmation unless something else is said.
const CONFIRMATION: Duration = Duration::from_secs(30);
/// How often a transaction is taken up again after its connection broke.
const RESUMPTIONS: u32 = 3;
/// The reason of an agent that stops.
const DRAINING: &str = "SERVER_DRAINING";

/// Runs `host setup`.
pub(super) async fn run(context: &Context, arguments: Setup) -> Result<(), Failure> {
    let sources = Source::read(&arguments.file)?;
    let [source] = sources.as_slice() else {
        return Err(Failure::Usage("host setup takes one file".to_owned()));
    };
    let scope = if arguments.remove_others { Scope::Everything } else { Scope::Named };
    let HostSetup { networks, bonds, nics } = document::host_setup(source)?;
    let wish = Wish { networks, bonds, nics, scope, adopt_devices: arguments.adopt };
    carry_out(context, wish, arguments.change).await
}

/// What a host is asked for.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) networks: Vec<Network>,
    pub(super) bonds: Vec<Bond>,
    pub(super) nics: Vec<Nic>,
    pub(super) scope: Scope,
    pub(super) adopt_devices: Vec<String>,
}

/// Shows the plan, asks a person whether to go on unless that was said already, and changes the host.
pub(super) async fn carry_out_if_wanted(
    context: &Context,
    wish: Wish,
    yes: Yes,
    change: Change,
) -> Result<(), Failure> {
    if change.writing.dry_run || yes == Yes::Said {
        return carry_out(context, wish, change).await;
    }
    let mut preview = request(context, wish.clone(), &change)?;
    preview.validate_only = true;
    let Ended::With(result) = perform(context, &change.agent.agent, &preview).await? else {
        return Err(Failure::NotReached {
            what: "plan unknown".to_owned(),
            status: Box::new(Status::unavailable("the connection was lost")),
        });
    };
    if result.steps.is_empty() {
        // The configuration may still have to learn of it.
        return carry_out(context, wish, change).await;
    }
    for (position, step) in result.steps.iter().enumerate() {
        output::note(step_text(position + 1, step));
    }
    if output::asked("Carry this out? [y/N] ")? {
        carry_out(context, wish, change).await
    } else {
        Err(Failure::Usage("nothing was changed; --yes carries it out without asking".to_owned()))
    }
}

/// Whether a person has agreed to a plan beforehand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Yes {
    Said,
    Ask,
}

/// Changes the host.
///
/// The host finishes or undoes the change whatever becomes of this command. When the connection breaks, the change is
/// confirmed over a new one, if it waits for that, and the same request, which has an id, is asked for its result.
async fn carry_out(context: &Context, wish: Wish, change: Change) -> Result<(), Failure> {
    let request = request(context, wish, &change)?;
    let mut resumptions = 0;
    let result = loop {
        match perform(context, &change.agent.agent, &request).await? {
            Ended::With(result) => break result,
            Ended::Broken(status) if resumptions == RESUMPTIONS => {
                return Err(Failure::NotReached { what: "outcome unknown".to_owned(), status: Box::new(status) });
            }
            Ended::Broken(status) => {
                resumptions += 1;
                output::note(format_args!("connection lost: {}", status.message()));
                if change.check == Confirmation::Confirm && !request.validate_only {
                    // Refused where the change does not wait for it; the result tells.
                    drop(confirm(context, &change.agent.agent, &request.request_id).await);
                }
            }
        }
    };
    conclude(&result)
}

fn request(context: &Context, wish: Wish, change: &Change) -> Result<SetupNetworksRequest, Failure> {
    Ok(SetupNetworksRequest {
        networks: wish.networks,
        bonds: wish.bonds,
        nics: wish.nics,
        connectivity_check: check(change.check).into(),
        connectivity_timeout: Some(wire_duration(context.timeout.unwrap_or(CONFIRMATION))?),
        commit_on_success: change.commit,
        validate_only: change.writing.dry_run,
        acknowledge_warnings: change.writing.acknowledge.clone(),
        request_id: Uuid::now_v7().to_string(),
        fencing_epoch: 0,
        generation: 0,
        scope: wish.scope.into(),
        adopt_devices: wish.adopt_devices,
    })
}

/// How a request's stream ended.
enum Ended {
    With(Box<SetupNetworksResult>),
    Broken(Status),
}

async fn perform(context: &Context, agent: &str, request: &SetupNetworksRequest) -> Result<Ended, Failure> {
    let mut client = connect(context, agent).await?;
    let mut stream = match client.setup_networks(request.clone()).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return broken(status),
    };
    loop {
        let event = match stream.message().await {
            Ok(Some(response)) => response.event,
            Ok(None) => return Ok(Ended::Broken(Status::unavailable("the agent ended the stream without a result"))),
            Err(status) => return broken(status),
        };
        let Some(event) = event else { continue };
        match event {
            Event::Result(result) => return Ok(Ended::With(Box::new(result))),
            Event::AwaitingConfirmation(waiting) => {
                output::note(text(&Event::AwaitingConfirmation(waiting.clone())));
                if let Err(failure) = confirm(context, agent, &waiting.transaction_id).await {
                    // The host puts itself back; its result says so.
                    output::notes(&failure.explain());
                }
            }
            Event::Accepted(_) | Event::StepDone(_) | Event::Verified(_) | Event::Confirmed(_) | Event::Undoing(_) => {
                output::note(text(&event));
            }
        }
    }
}

/// Judges the status that a stream ended with. One with a reason is the agent's answer: nothing was changed, and asking again at
/// once would not help; but an agent that stops is soon back.
fn broken(status: Status) -> Result<Ended, Failure> {
    if reason_of(&status).is_some_and(|reason| reason != DRAINING) {
        return Err(Failure::of_call("setup", status));
    }
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled => Ok(Ended::Broken(status)),
        Code::Ok
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Err(Failure::of_call("setup", status)),
    }
}

fn conclude(result: &SetupNetworksResult) -> Result<(), Failure> {
    output::notes(&findings_text(&result.findings));
    match result.outcome() {
        Outcome::Validated => {
            for (position, step) in result.steps.iter().enumerate() {
                output::data(step_text(position + 1, step))?;
            }
            if result.steps.is_empty() {
                output::data("nothing to do")?;
            }
            Ok(())
        }
        Outcome::Applied | Outcome::Unchanged => output::data(result_text(result)),
        Outcome::RolledBack | Outcome::RollbackFailed | Outcome::Unspecified => Err(Failure::Host(result_text(result))),
    }
}

fn step_text(number: usize, step: &PlanStep) -> String {
    let mut line = format!("{number}. {}", step.text);
    if !step.reason.is_empty() {
        line.push_str(&format!(" ({})", step.reason));
    }
    if step.disrupts {
        line.push_str("; may interrupt traffic");
    }
    if !step.guests.is_empty() {
        line.push_str(&format!("; guests: {}", step.guests.join(", ")));
    }
    line
}

fn check(confirmation: Confirmation) -> ConnectivityCheck {
    match confirmation {
        Confirmation::Confirm => ConnectivityCheck::Confirm,
        Confirmation::None => ConnectivityCheck::None,
    }
}

fn wire_duration(duration: Duration) -> Result<WireDuration, Failure> {
    WireDuration::try_from(duration).map_err(|_| Failure::Usage("the timeout is too long".to_owned()))
}

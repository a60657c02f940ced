//! `host setup`: changes one host's networks, and confirms the change over a new connection.

use std::time::Duration;

use prost_types::Duration as WireDuration;
use tonic::{Code, Status};
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_proto::host::v1::{ConnectivityCheck, Outcome, PlanStep, SetupNetworksRequest, SetupNetworksResult};
use uuid::Uuid;

use super::{confirm, connect};
use crate::arguments::{Confirmation, Setup};
use crate::context::Context;
use crate::document::{self, Source};
use crate::failure::{Failure, findings_text};
use crate::output;
use crate::progress::{result_text, text};

/// How long the host waits for its confirmation unless something else is said.
const CONFIRMATION: Duration = Duration::from_secs(30);
/// How often a transaction is taken up again after its connection broke.
const RESUMPTIONS: u32 = 3;

/// Runs `host setup`.
///
/// The host finishes or undoes the change whatever becomes of this command. When the connection breaks, the change is
/// confirmed over a new one, if it waits for that, and the same request, which has an id, is asked for its result.
pub(super) async fn run(context: &Context, arguments: Setup) -> Result<(), Failure> {
    let sources = Source::read(&arguments.file)?;
    let [source] = sources.as_slice() else {
        return Err(Failure::Usage("host setup takes one file".to_owned()));
    };
    let request = SetupNetworksRequest {
        networks: document::host_networks(source)?,
        connectivity_check: check(arguments.check).into(),
        connectivity_timeout: Some(wire_duration(context.timeout.unwrap_or(CONFIRMATION))?),
        commit_on_success: arguments.commit,
        validate_only: arguments.writing.dry_run,
        acknowledge_warnings: arguments.writing.acknowledge,
        request_id: Uuid::now_v7().to_string(),
        fencing_epoch: 0,
        generation: 0,
    };
    let mut resumptions = 0;
    let result = loop {
        match perform(context, &arguments.agent.agent, &request).await? {
            Ended::With(result) => break result,
            Ended::Broken(status) if resumptions == RESUMPTIONS => {
                return Err(Failure::NotReached { what: "outcome unknown".to_owned(), status: Box::new(status) });
            }
            Ended::Broken(status) => {
                resumptions += 1;
                output::note(format_args!("connection lost: {}", status.message()));
                if arguments.check == Confirmation::Confirm && !request.validate_only {
                    // Refused where the change does not wait for it; the result tells.
                    drop(confirm(context, &arguments.agent.agent, &request.request_id).await);
                }
            }
        }
    };
    conclude(&result)
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

fn broken(status: Status) -> Result<Ended, Failure> {
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

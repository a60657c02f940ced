//! Calls of a second foreign client: Python's grpcio, which knows the services by reflection only.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::call::Caller;
use super::program;
use crate::lab::{script, workspace};

const LIMIT: Duration = Duration::from_secs(120);

/// What came of one call.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// The canonical status code's name, `OK` or such as `INVALID_ARGUMENT`.
    pub code: String,
    /// The refusal's text.
    pub message: String,
    /// The refusal's google.rpc details, as JSON with `@type`.
    pub details: Vec<Value>,
    /// The answers, as JSON; one but for a stream.
    pub answers: Vec<Value>,
}

impl Answer {
    /// The one answer of a call that succeeded.
    pub fn accepted(&self) -> Result<&Value> {
        ensure!(self.code == "OK", "refused: {self:#?}");
        self.answers.first().context("no answer")
    }

    /// The field paths that a refusal names.
    pub fn fields(&self) -> Vec<&str> {
        let violations = self.details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
        violations.filter_map(|violation| violation["field"].as_str()).collect()
    }
}

/// Makes calls in order over one connection: a list of objects as `integration-tests/foreign/client.py` describes them.
pub async fn call_all(caller: &Caller, calls: &Value) -> Result<Vec<Answer>> {
    let mut command = Command::new(program::python()?);
    command.arg(workspace().join("integration-tests/foreign/client.py")).arg(&caller.address);
    // The caller's flags are pairs of a name and a file, in the order of the script's arguments.
    command.args(caller.flags.iter().skip(1).step_by(2));
    let text = script::run(command, &calls.to_string(), LIMIT).await?.success()?;
    let answers: Vec<Answer> = serde_json::from_str(&text).with_context(|| text)?;
    ensure!(calls.as_array().is_some_and(|calls| calls.len() == answers.len()), "an answer is missing: {answers:#?}");
    Ok(answers)
}

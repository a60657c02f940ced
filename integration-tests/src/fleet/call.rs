//! Calls of a foreign client: grpcurl, which knows the services by reflection only.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use super::program;
use crate::lab::script::{self, Output, Status};

const CALL_LIMIT: Duration = Duration::from_secs(60);
/// grpcurl exits with this and the status code when the server refuses.
const REFUSED: i32 = 64;

/// A server and the identity with which it is called.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Host and port, or a socket's path.
    pub address: String,
    /// The flags that say how to connect: certificates, or plaintext.
    pub flags: Vec<String>,
}

/// A refusal, as a client sees it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The canonical status code.
    pub code: i32,
    /// The text for people.
    pub message: String,
    /// The google.rpc details, as JSON with `@type`.
    pub details: Vec<Value>,
}

impl Caller {
    /// Calls a server with mutual TLS.
    pub fn with_certificates(address: impl fmt::Display, ca: PathBuf, cert: PathBuf, key: PathBuf) -> Self {
        let flags = [("-cacert", ca), ("-cert", cert), ("-key", key)];
        let flags = flags.into_iter().flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()]);
        Self { address: address.to_string(), flags: flags.collect() }
    }

    /// Calls a method and yields its one answer, or the last of a stream's.
    ///
    /// *Errors*: the server refuses, or cannot be reached.
    pub async fn call(&self, method: &str, request: &Value) -> Result<Value> {
        self.stream(method, request).await?.pop().with_context(|| format!("{method} answered nothing"))
    }

    /// Calls a method and yields all its answers.
    pub async fn stream(&self, method: &str, request: &Value) -> Result<Vec<Value>> {
        let output = self.run(&["-d", "@"], &[method], &request.to_string()).await?;
        let text = output.success().with_context(|| format!("{method} {request}"))?;
        serde_json::Deserializer::from_str(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .with_context(|| format!("{method} answered {text}"))
    }

    /// Calls a method that must be refused, and yields how.
    pub async fn refused(&self, method: &str, request: &Value) -> Result<Refusal> {
        let output = self.run(&["-d", "@", "-format-error"], &[method], &request.to_string()).await?;
        let (Status::Exited(exit), stderr) = (output.status, &output.stderr) else {
            bail!("{method}: {:?}", output.status);
        };
        if exit < REFUSED {
            bail!("{method} {request} was not refused by the server: {exit}\n{}{stderr}", output.stdout);
        }
        // grpcurl may print the header "ERROR:" before the status.
        let json = stderr.find('{').map_or(stderr.as_str(), |start| &stderr[start..]);
        let status: Value = serde_json::from_str(json).with_context(|| format!("{method} was refused by {stderr}"))?;
        Ok(Refusal {
            code: exit - REFUSED,
            message: status["message"].as_str().unwrap_or_default().to_owned(),
            details: status["details"].as_array().cloned().unwrap_or_default(),
        })
    }

    /// Lists the services, or the methods of a service.
    pub async fn list(&self, service: Option<&str>) -> Result<String> {
        let words: Vec<&str> = ["list"].into_iter().chain(service).collect();
        self.run(&[], &words, "").await?.success()
    }

    /// Describes a symbol, with its comments.
    pub async fn describe(&self, symbol: &str) -> Result<String> {
        self.run(&[], &["describe", symbol], "").await?.success()
    }

    /// Runs grpcurl, whatever becomes of it.
    pub async fn run(&self, flags: &[&str], words: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(program::grpcurl()?);
        command.args(["-connect-timeout", "5", "-max-time", "50", "-emit-defaults"]).args(&self.flags).args(flags);
        command.arg(&self.address).args(words);
        script::run(command, input, CALL_LIMIT).await
    }

    /// The command that a user would type.
    pub fn typed(&self, method: &str) -> String {
        format!("grpcurl {} {} {method}", self.flags.join(" "), self.address)
    }
}

impl Refusal {
    /// The detail of one type, such as `BadRequest`.
    pub fn detail(&self, kind: &str) -> Option<&Value> {
        let suffix = format!("google.rpc.{kind}");
        self.details.iter().find(|detail| detail["@type"].as_str().is_some_and(|name| name.ends_with(&suffix)))
    }

    /// Whether the refusal names a finding's code, in whichever detail.
    pub fn names(&self, code: &str) -> bool {
        self.details.iter().any(|detail| detail.to_string().contains(&format!("\"{code}\"")))
    }
}

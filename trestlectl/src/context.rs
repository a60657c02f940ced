//! Where the engine is and who calls: flags, environment, and one file, in this order.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use trestle_serve::{ClientOptions, ServerIdentity, Target, Tls, TlsOptions};

use crate::arguments::Global;
use crate::failure::Failure;

/// Where the engine is unless something else is said.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7443";
/// How long a call may take unless something else is said.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a command has to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The engine's address, not yet parsed: commands that need no engine do not care.
    server: String,
    tls: Certificates,
    /// What `--timeout` says.
    pub timeout: Option<Duration>,
    /// The OTLP collector.
    pub otlp: Option<String>,
}

/// The context file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    otlp: Option<String>,
}

#[derive(Clone, Debug)]
struct Certificates {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Context {
    /// Puts flags and environment, which clap has merged, over the context file. `fallback` is the file's usual place,
    /// where it may be missing.
    ///
    /// # Errors
    /// When the file is malformed, or a file that was asked for is missing.
    pub fn new(global: Global, fallback: Option<&Path>) -> Result<Self, Failure> {
        let file = match (&global.context, fallback) {
            (Some(path), _) => read(path)?,
            (None, Some(path)) if path.exists() => read(path)?,
            (None, Some(_) | None) => File::default(),
        };
        Ok(Self {
            server: global.server.or(file.server).unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
            tls: Certificates {
                ca: global.ca.or(file.ca),
                cert: global.cert.or(file.cert),
                key: global.key.or(file.key),
            },
            timeout: global.timeout,
            otlp: global.otlp.or(file.otlp),
        })
    }

    /// Returns how long one call may take: the timeout where it is meant for calls.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        self.timeout.unwrap_or(CALL_TIMEOUT)
    }

    /// Returns how the engine is reached.
    ///
    /// # Errors
    /// When the target or the certificates are not usable.
    pub fn engine(&self) -> Result<(Target, ClientOptions), Failure> {
        self.reach(&self.server, ServerIdentity::Engine)
    }

    /// Returns how an agent is reached.
    ///
    /// # Errors
    /// As [`Self::engine`].
    pub fn agent(&self, target: &str) -> Result<(Target, ClientOptions), Failure> {
        self.reach(target, ServerIdentity::AnyHost)
    }

    fn reach(&self, target: &str, server: ServerIdentity) -> Result<(Target, ClientOptions), Failure> {
        let target: Target = target.parse()?;
        let tls = match &target {
            Target::Tls(_) => Some(self.tls.load()?),
            Target::Loopback(_) | Target::Unix(_) => None,
        };
        Ok((target, ClientOptions::new(tls, server)))
    }
}

impl Certificates {
    fn load(&self) -> Result<Tls, Failure> {
        let Self { ca: Some(ca), cert: Some(cert), key: Some(key) } = self else {
            return Err(Failure::Usage("an https target needs --ca, --cert and --key".to_owned()));
        };
        Ok(Tls::load(&TlsOptions { ca: ca.clone(), cert: cert.clone(), key: key.clone() })?)
    }
}

fn read(path: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::File(format!("{} cannot be read", path.display()), error);
    let text = fs::read_to_string(path).map_err(|error| failed(error.into()))?;
    let file: File = toml::from_str(&text)
        .map_err(|error| Failure::File(format!("{} is malformed", path.display()), error.into()))?;
    // Paths in the file are relative to it: it is used from anywhere.
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let placed = |path: Option<PathBuf>| path.map(|path| folder.join(path));
    Ok(File { ca: placed(file.ca), cert: placed(file.cert), key: placed(file.key), ..file })
}

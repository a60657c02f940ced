//! The service manager that started the program: it is told when the program is ready and when it begins to stop.
//!
//! Without one nothing is told. What it makes of it is its business: it starts what waits for the program, and knows a stop
//! that was asked for. A manager that cannot be told is no reason not to serve, so a failure is a warning.
//!
//! *Source*: `sd_notify(3)`, "Notes": one datagram of lines to the socket that the environment names.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::warn;

/// Where the service manager listens, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    socket: Option<OsString>,
}

impl Supervisor {
    /// The variable of the environment that names the socket.
    pub const VARIABLE: &str = "NOTIFY_SOCKET";

    /// Makes the supervisor from what the environment says.
    pub fn at(socket: Option<OsString>) -> Self {
        Self { socket: socket.filter(|socket| !socket.is_empty()) }
    }

    /// Tells that the program is ready.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Tells that the program begins to stop.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &'static str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state) {
            warn!(error = %error, state, "service manager not told");
        }
    }
}

/// Sends a datagram to a path, or to a name in the abstract namespace, which is written with an `@` before it.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the program up.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut text = [0; 64];
        let length = listener.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[test]
    fn tells_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::at(Some(path.into_os_string()));
        supervisor.ready();
        supervisor.stopping();
        assert_eq!([heard(&at_path), heard(&at_path)], ["READY=1", "STOPPING=1"]);

        let name = format!("trestle-supervisor-{}", std::process::id());
        let abstract_one = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Supervisor::at(Some(format!("@{name}").into())).ready();
        assert_eq!(heard(&abstract_one), "READY=1");
    }

    #[test]
    fn nobody_and_somebody_who_is_gone_are_told_nothing() {
        Supervisor::default().ready();
        Supervisor::at(Some("/nonexistent/notify".into())).ready();
    }
}

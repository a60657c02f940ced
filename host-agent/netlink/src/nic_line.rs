//! The connection to the kernel's ethtool family.

use std::io;

use nix::errno::Errno;
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use tokio::sync::OnceCell;

use crate::ethtool::{CONTROLLER, FAMILY, FAMILY_ID, FAMILY_NAME, GET_FAMILY, GenericMessage, text};
use crate::failure::Failure;
use crate::socket::Socket;

/// A socket of generic netlink, and the number that the family has on it.
#[derive(Debug)]
pub(crate) struct NicLine {
    pub(crate) socket: Socket,
    family: OnceCell<Option<u16>>,
}

impl NicLine {
    /// Opens the socket.
    ///
    /// *Errors*: the operating system's.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(NETLINK_GENERIC)?, family: OnceCell::new() })
    }

    /// Returns the family's number; none of a kernel that has no such family.
    pub(crate) async fn family(&self) -> Result<Option<u16>, Failure> {
        self.family.get_or_try_init(|| self.look_up()).await.copied()
    }

    async fn look_up(&self) -> Result<Option<u16>, Failure> {
        let request =
            GenericMessage { family: CONTROLLER, command: GET_FAMILY, attributes: vec![text(FAMILY_NAME, FAMILY)] };
        let answers: Vec<GenericMessage> = match self.socket.read(request).await {
            Err(failure) if failure.errno() == Some(Errno::ENOENT) => return Ok(None),
            other => other?,
        };
        let id = answers.first().and_then(|answer| answer.attribute(FAMILY_ID));
        Ok(id.and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?))))
    }
}

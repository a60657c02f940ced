//! The connection to the kernel's ethtool family.

use std::io;

use nix::errno::Errno;
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use tokio::sync::OnceCell;

use crate::ethtool::{CONTROLLER, FAMILY, FAMILY_ID, FAMILY_NAME, GET_FAMILY, GenericMessage, monitor_group, text};
use crate::failure::Failure;
use crate::socket::Socket;

/// A socket of generic netlink, and the numbers that the family has on it.
#[derive(Debug)]
pub(crate) struct NicLine {
    pub(crate) socket: Socket,
    family: OnceCell<Option<Family>>,
}

/// The family's own number, and that of the group to which it tells of changes.
#[derive(Debug, Clone, Copy)]
struct Family {
    id: u16,
    monitor: Option<u32>,
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
        Ok(self.numbers().await?.map(|family| family.id))
    }

    /// Returns the number of the group that hears of changes; none of a kernel that has no such family.
    pub(crate) async fn monitor(&self) -> Result<Option<u32>, Failure> {
        Ok(self.numbers().await?.and_then(|family| family.monitor))
    }

    async fn numbers(&self) -> Result<Option<Family>, Failure> {
        self.family.get_or_try_init(|| self.look_up()).await.copied()
    }

    async fn look_up(&self) -> Result<Option<Family>, Failure> {
        let request =
            GenericMessage { family: CONTROLLER, command: GET_FAMILY, attributes: vec![text(FAMILY_NAME, FAMILY)] };
        let answers: Vec<GenericMessage> = match self.socket.read(request).await {
            Err(failure) if failure.errno() == Some(Errno::ENOENT) => return Ok(None),
            other => other?,
        };
        let known = |answer: &GenericMessage| {
            let id = u16::from_ne_bytes(answer.attribute(FAMILY_ID)?.try_into().ok()?);
            Some(Family { id, monitor: monitor_group(answer) })
        };
        Ok(answers.first().and_then(known))
    }
}

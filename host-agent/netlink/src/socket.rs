//! One netlink socket: requests out, answers in, each with a deadline.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_core::{
    ErrorMessage, NLA_TYPE_MASK, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload, NlasIterator,
};
use nix::errno::Errno;
use rtnetlink::Handle;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::failure::Failure;

/// A connection to the kernel's rtnetlink, in the network namespace of the thread that opened it.
///
/// The task that drives the connection ends when the socket is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    handle: Handle,
    /// The turn to dump: the kernel makes one dump at a time on a socket, and refuses a second with EBUSY.
    turn: Semaphore,
    _driver: JoinSet<()>,
}

/// How long the kernel may take for one answer. It answers in microseconds; a held RTNL lock can delay it.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often a dump is read again that was interrupted by a change.
const DUMP_ATTEMPTS: u32 = 16;
/// How long a dump waits for one before it that nobody waits for any more.
const DUMP_PAUSE: Duration = Duration::from_millis(20);
/// Length of the netlink header that an error message repeats before its attributes.
const HEADER_LENGTH: usize = 16;
/// `NLMSGERR_ATTR_MSG` in `uapi/linux/netlink.h`: the kernel's words for an error.
const ERROR_WORDS: u16 = 1;

impl Socket {
    /// Opens a socket.
    ///
    /// *Errors*: the operating system's.
    pub(crate) fn open() -> io::Result<Self> {
        let (mut connection, handle, _unsolicited) = rtnetlink::new_connection()?;
        // Without these a connection that breaks looks like an answer that is complete.
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        let socket = connection.socket_mut().socket_mut();
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self { handle, turn: Semaphore::new(1), _driver: driver })
    }

    /// Asks for a change and waits until the kernel has made it.
    pub(crate) async fn change(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Failure> {
        self.exchange(message, NLM_F_ACK | flags).await.map(|_| ())
    }

    /// Asks for one object.
    pub(crate) async fn read(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        Ok(self.exchange(message, 0).await?.messages)
    }

    /// Asks for a whole table, again and again until no change interrupted the reading of it.
    pub(crate) async fn dump(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        let _turn = self.turn.acquire().await.map_err(|_| Failure::Closed)?;
        for _ in 0..DUMP_ATTEMPTS {
            match self.exchange(message.clone(), NLM_F_DUMP).await {
                Ok(answer) if !answer.interrupted => return Ok(answer.messages),
                Ok(_) => {}
                // Whoever asked for the dump before this one has gone, and the kernel is still at it.
                Err(failure) if failure.errno() == Some(Errno::EBUSY) => tokio::time::sleep(DUMP_PAUSE).await,
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Unsteady(DUMP_ATTEMPTS))
    }

    async fn exchange(&self, message: RouteNetlinkMessage, flags: u16) -> Result<Answer, Failure> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let mut parts = self.handle.clone().request(request).map_err(|_| Failure::Closed)?;
        let receive = async {
            let mut answer = Answer::default();
            while let Some(part) = parts.next().await {
                answer.take(part)?;
            }
            if answer.complete { Ok(answer) } else { Err(Failure::Closed) }
        };
        tokio::time::timeout(DEADLINE, receive).await.unwrap_or(Err(Failure::Silent(DEADLINE.as_secs())))
    }
}

/// The kernel's answer to one request.
#[derive(Debug, Default)]
struct Answer {
    messages: Vec<RouteNetlinkMessage>,
    /// Whether a change happened while a dump was made (`NLM_F_DUMP_INTR`).
    interrupted: bool,
    complete: bool,
}

impl Answer {
    fn take(&mut self, part: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), Failure> {
        let (header, payload) = part.into_parts();
        self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        self.complete = true;
        match payload {
            NetlinkPayload::InnerMessage(message) => self.messages.push(message),
            NetlinkPayload::Error(error) if error.code.is_some() => {
                let with_words = header.flags & NLM_F_ACK_TLVS != 0;
                let explanation = if with_words { explanation(&error) } else { None };
                return Err(Failure::Refused { code: error.raw_code().saturating_abs(), explanation });
            }
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(Failure::Refused { code: done.code.saturating_abs(), explanation: None });
            }
            // An overrun has no request to belong to, so it never comes here.
            NetlinkPayload::Error(_)
            | NetlinkPayload::Done(_)
            | NetlinkPayload::Noop
            | NetlinkPayload::Overrun(_)
            | _ => {}
        }
        Ok(())
    }
}

/// Returns the kernel's words for an error, which follow the header of the request that it answers.
fn explanation(error: &ErrorMessage) -> Option<String> {
    let attributes = error.header.get(HEADER_LENGTH..)?;
    NlasIterator::new(attributes).filter_map(Result::ok).find(|nla| nla.kind() & NLA_TYPE_MASK == ERROR_WORDS).map(
        |nla| {
            let words = nla.value();
            String::from_utf8_lossy(words.strip_suffix(&[0]).unwrap_or(words)).into_owned()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_words_behind_the_repeated_header() {
        let mut error = ErrorMessage::default();
        error.header = vec![0; HEADER_LENGTH];
        assert_eq!(explanation(&error), None);
        // An offset attribute (type 2) first, then the words with their closing zero.
        error.header.extend([8, 0, 2, 0, 1, 0, 0, 0]);
        error.header.extend([7, 0, 1, 0, b'n', b'o', 0, 0]);
        assert_eq!(explanation(&error).as_deref(), Some("no"));
        error.header.truncate(3);
        assert_eq!(explanation(&error), None);
    }
}

//! One netlink socket: requests out, answers in, each with a deadline.
//!
//! The kernel carries a request out, and queues its answer, before the call that sends it returns. So whoever asks
//! sends and receives by itself, in its turn: there is no task between, and a request costs two system calls.
//!
//! The price: while somebody else holds RTNL, the kernel's lock around its tables, those calls do not return, and no deadline
//! ends them. Then the thread stands still, but one alone: all sockets of the process take turns.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use netlink_packet_core::{
    ErrorMessage, NLA_TYPE_MASK, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART,
    NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
    NlasIterator,
};
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket};
use tokio::sync::Mutex;

use crate::excerpt;
use crate::failure::Failure;

/// A connection to one of the kernel's netlink families, in the network namespace of the thread that opened it.
pub(crate) struct Socket {
    line: Mutex<Line>,
}

/// The socket itself, for one request at a time.
struct Line {
    socket: TokioSocket,
    /// The number of the last request; what the kernel says carries its request's.
    sequence: u32,
    /// Whether the last request was a dump that was not read to its end: the kernel refuses another before that.
    dumping: bool,
    request: Vec<u8>,
    datagram: Vec<u8>,
    excerpt: Vec<u8>,
}

/// How the answer to a request is read.
struct Reading<'a, K> {
    /// What the request was made with.
    flags: u16,
    /// Which attributes are looked at.
    attributes: Attributes,
    /// What is made of each message.
    keep: &'a K,
}

/// The attributes of a message that are looked at; the others are not even parsed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attributes {
    /// All.
    All,
    /// These of links.
    OfLinks(&'static [u16]),
}

/// What a family's messages have to be able to do.
pub(crate) trait Message:
    NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<Self>> + Clone + Send + Sync
{
}

impl<M: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<M>> + Clone + Send + Sync> Message for M {}

/// Taken for each exchange of any socket.
static TURN: Mutex<()> = Mutex::const_new(());
/// How long one answer may take, with the wait for the turn. The kernel answers in microseconds; a held RTNL lock can delay
/// it.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often a dump is read again that was interrupted by a change.
const DUMP_ATTEMPTS: u32 = 16;
/// Room for one datagram; the kernel makes those of a dump as large as the reader has room for, up to 32 KiB.
const DATAGRAM: usize = 64 * 1024;
/// What messages in a datagram end at (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;
/// Length of the netlink header that an error message repeats before its attributes.
const HEADER_LENGTH: usize = 16;
/// `NLMSGERR_ATTR_MSG` in `uapi/linux/netlink.h`: the kernel's words for an error.
const ERROR_WORDS: u16 = 1;

impl Socket {
    /// Opens a socket of a netlink protocol; every message on it is one of that.
    ///
    /// *Errors*: the operating system's.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = TokioSocket::new(protocol)?;
        let inner = socket.socket_mut();
        inner.bind(&SocketAddr::new(0, 0))?;
        inner.set_cap_ack(true)?;
        inner.set_ext_ack(true)?;
        let datagram = Vec::with_capacity(DATAGRAM);
        let (request, excerpt) = (Vec::new(), Vec::new());
        Ok(Self { line: Mutex::new(Line { socket, sequence: 0, dumping: false, request, datagram, excerpt }) })
    }

    /// Asks for a change and waits until the kernel has made it.
    pub(crate) async fn change<M: Message>(&self, message: M, flags: u16) -> Result<(), Failure> {
        let reading = Reading { flags: NLM_F_ACK | flags, attributes: Attributes::All, keep: &Some };
        self.exchange(message, &reading).await.map(drop)
    }

    /// Asks for one object.
    pub(crate) async fn read<M: Message>(&self, message: M) -> Result<Vec<M>, Failure> {
        let reading = Reading { flags: 0, attributes: Attributes::All, keep: &Some };
        Ok(self.exchange(message, &reading).await?.messages)
    }

    /// Asks for a whole table, again and again until no change interrupted the reading of it.
    pub(crate) async fn dump<M: Message>(&self, message: M) -> Result<Vec<M>, Failure> {
        self.dump_of(message, Attributes::All, Some).await
    }

    /// Asks for a table as [`Self::dump`] does, and has of each message what `keep` makes of its `attributes`: a message as
    /// it comes takes some 20 KiB for a bridge.
    pub(crate) async fn dump_of<M: Message, T: Send>(
        &self,
        message: M,
        attributes: Attributes,
        keep: impl Fn(M) -> Option<T> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let reading = Reading { flags: NLM_F_DUMP, attributes, keep: &keep };
        for _ in 0..DUMP_ATTEMPTS {
            let answer = self.exchange(message.clone(), &reading).await?;
            if !answer.interrupted {
                return Ok(answer.messages);
            }
        }
        Err(Failure::Unsteady(DUMP_ATTEMPTS))
    }

    async fn exchange<M: Message, T>(
        &self,
        message: M,
        reading: &Reading<'_, impl Fn(M) -> Option<T> + Sync>,
    ) -> Result<Answer<T>, Failure> {
        let exchange = async {
            let mut line = self.line.lock().await;
            let _turn = TURN.lock().await;
            line.exchange(message, reading).await
        };
        tokio::time::timeout(DEADLINE, exchange).await.unwrap_or(Err(Failure::Silent(DEADLINE.as_secs())))
    }
}

impl Line {
    /// Sends a request and receives its answer.
    ///
    /// *Cancel safety*: the request is made; what was not received of its answer, the next request passes over.
    async fn exchange<M: Message, T>(
        &mut self,
        message: M,
        reading: &Reading<'_, impl Fn(M) -> Option<T>>,
    ) -> Result<Answer<T>, Failure> {
        if self.dumping {
            // Whoever asked for it has gone. How it went is of no interest, only that it is over.
            let unread = Reading { flags: NLM_F_DUMP, attributes: Attributes::All, keep: &|_: M| None::<()> };
            let _abandoned = self.receive(&unread).await;
        }
        self.send(message, reading.flags).await?;
        self.receive(reading).await
    }

    async fn send<M: Message>(&mut self, message: M, flags: u16) -> Result<(), Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        self.request.resize(request.buffer_len(), 0);
        request.serialize(&mut self.request);
        self.dumping = flags & NLM_F_DUMP == NLM_F_DUMP;
        let Self { socket, request, .. } = self;
        let kernel = SocketAddr::new(0, 0);
        let sent = poll_fn(|context| socket.poll_send_to(context, request, &kernel)).await;
        sent.map(drop).map_err(|error| Failure::of_io(&error))
    }

    /// Receives the answer to the last request.
    async fn receive<M: Message, T>(
        &mut self,
        reading: &Reading<'_, impl Fn(M) -> Option<T>>,
    ) -> Result<Answer<T>, Failure> {
        let mut answer = Answer { messages: Vec::new(), interrupted: false, failure: None, complete: false };
        while !answer.complete {
            let Self { socket, datagram, .. } = self;
            datagram.clear();
            poll_fn(|context| socket.poll_recv(context, datagram)).await.map_err(|error| Failure::of_io(&error))?;
            let mut rest = self.datagram.as_slice();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
                let bytes = rest.get(..length).unwrap_or(rest);
                rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
                // Another number is that of a request that nobody waits for any more.
                if message.sequence_number() == self.sequence {
                    let looked_at = match reading.attributes {
                        Attributes::All => bytes,
                        Attributes::OfLinks(wanted) => excerpt::of_link(bytes, wanted, &mut self.excerpt),
                    };
                    answer.take(looked_at, reading.flags, reading.keep);
                }
            }
        }
        self.dumping = false;
        answer.failure.take().map_or(Ok(answer), Err)
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// The kernel's answer to one request.
#[derive(Debug)]
struct Answer<T> {
    /// What was kept of its messages.
    messages: Vec<T>,
    /// Whether a change happened while a dump was made (`NLM_F_DUMP_INTR`).
    interrupted: bool,
    failure: Option<Failure>,
    complete: bool,
}

impl<T> Answer<T> {
    /// Takes one message of the answer to a request that was made with `flags`.
    fn take<M: Message>(&mut self, bytes: &[u8], flags: u16, keep: &impl Fn(M) -> Option<T>) {
        let message = match NetlinkMessage::<M>::deserialize(bytes) {
            Ok(message) => message,
            Err(error) => {
                // One object of a table that cannot be read is left out; an answer must not be.
                if flags & NLM_F_DUMP != NLM_F_DUMP {
                    self.end(Err(Failure::Garbled(error.to_string())));
                }
                return;
            }
        };
        let (header, payload) = message.into_parts();
        self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match payload {
            NetlinkPayload::InnerMessage(message) => {
                self.messages.extend(keep(message));
                // One object that was asked for is the whole answer, where no receipt was.
                self.complete |= header.flags & NLM_F_MULTIPART == 0 && flags & NLM_F_ACK == 0;
            }
            NetlinkPayload::Error(error) => self.end(match error.code {
                None => Ok(()),
                Some(_) => {
                    let with_words = header.flags & NLM_F_ACK_TLVS != 0;
                    let explanation = if with_words { explanation(&error) } else { None };
                    Err(Failure::Refused { code: error.raw_code().saturating_abs(), explanation })
                }
            }),
            NetlinkPayload::Done(done) => self.end(match done.code {
                0.. => Ok(()),
                code => Err(Failure::Refused { code: code.saturating_abs(), explanation: None }),
            }),
            // An overrun has no request to belong to, so it never comes here.
            NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {}
        }
    }

    fn end(&mut self, outcome: Result<(), Failure>) {
        self.complete = true;
        self.failure = outcome.err();
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
    use rtnetlink::packet_route::RouteNetlinkMessage;
    use rtnetlink::packet_route::link::LinkMessage;
    use rtnetlink::sys::protocols::NETLINK_ROUTE;

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

    /// The answer to a request that was made with `flags`, of these messages.
    fn answer(flags: u16, messages: &[&[u8]]) -> Answer<RouteNetlinkMessage> {
        let mut answer = Answer { messages: Vec::new(), interrupted: false, failure: None, complete: false };
        messages.iter().for_each(|bytes| answer.take(bytes, flags, &Some));
        answer
    }

    fn bytes(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn a_malformed_answer_is_an_error_and_a_malformed_object_of_a_table_is_left_out() {
        let link = bytes(RouteNetlinkMessage::NewLink(LinkMessage::default()), NLM_F_MULTIPART);
        // The message says that it is longer than it is, or breaks off within its header, or within the link's.
        let mut longer = link.clone();
        longer[0] = longer[0].wrapping_add(4);
        for malformed in [longer.as_slice(), &link[..12], &link[..20], &[]] {
            let changed = answer(NLM_F_ACK, &[malformed]);
            assert!(matches!(changed.failure, Some(Failure::Garbled(_))) && changed.complete, "{changed:?}");
            let table = answer(NLM_F_DUMP, &[malformed, &link]);
            assert!(table.failure.is_none() && !table.complete, "{table:?}");
            assert_eq!(table.messages.len(), 1);
        }
    }

    #[test]
    fn a_table_that_changed_while_it_was_read_is_noticed() {
        let link = |flags| bytes(RouteNetlinkMessage::NewLink(LinkMessage::default()), NLM_F_MULTIPART | flags);
        assert!(!answer(NLM_F_DUMP, &[&link(0), &link(0)]).interrupted);
        assert!(answer(NLM_F_DUMP, &[&link(0), &link(NLM_F_DUMP_INTR), &link(0)]).interrupted);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waited_for_is_passed_over() {
        let socket = Socket::open(NETLINK_ROUTE).unwrap();
        let links = || RouteNetlinkMessage::GetLink(LinkMessage::default());
        let mut loopback = LinkMessage::default();
        loopback.header.index = 1;
        let expected = socket.dump(links()).await.unwrap().len();
        for flags in [NLM_F_DUMP, 0] {
            let abandoned = if flags == 0 { RouteNetlinkMessage::GetLink(loopback.clone()) } else { links() };
            socket.line.lock().await.send(abandoned, flags).await.unwrap();
            assert_eq!(socket.read(RouteNetlinkMessage::GetLink(loopback.clone())).await.unwrap().len(), 1);
            socket.line.lock().await.send(links(), NLM_F_DUMP).await.unwrap();
            assert_eq!(socket.dump(links()).await.unwrap().len(), expected);
        }
    }
}

//! Confirmations: who may end the wait of a transaction, and how.
//!
//! The engine confirms over a connection that was made after the change, by giving back a nonce that was made for that
//! connection: only [`Challenge::answered`] makes an [`Answered`], and only that confirms for the engine. A local client
//! confirms what it asked for itself.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use trestle_model::{ConnectivityCheck, Finding, Findings, TransactionId};

use super::Refusal;

/// Who confirms.
#[derive(Debug)]
pub enum Confirmer {
    /// The engine, over a connection that was made after the change.
    Engine(Answered),
    /// A client of the local service, by the name that logs call it.
    Local(String),
}

/// Proof that the engine gave back a transaction's nonce; made by [`Challenge::answered`].
#[derive(Debug)]
pub struct Answered {
    transaction: TransactionId,
}

/// What the engine has to give back over one new connection.
#[derive(Debug)]
pub struct Challenge {
    transaction: TransactionId,
    nonce: [u8; 16],
}

/// A transaction that waits for its confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaiting {
    /// The transaction.
    pub transaction: TransactionId,
    /// Who has to confirm.
    pub check: ConnectivityCheck,
    /// When the host is put back.
    pub until: Instant,
}

/// The one transaction that waits, if any.
#[derive(Debug)]
pub(super) struct Confirmations {
    seat: Mutex<Option<Seat>>,
    awaiting: watch::Sender<Option<Awaiting>>,
}

#[derive(Debug)]
struct Seat {
    awaiting: Awaiting,
    actor: String,
    confirmed: oneshot::Sender<Kept>,
}

/// Tells the confirmer that its confirmation is on disk, or why it is not; dropped, that it came too late.
pub(super) type Kept = oneshot::Sender<Result<(), Finding>>;

/// The wait of one transaction; nobody can confirm it any more when it is dropped.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    confirmations: &'a Confirmations,
    until: Instant,
    confirmed: oneshot::Receiver<Kept>,
}

impl Challenge {
    /// Makes a challenge for one connection; `nonce` is random and never used twice.
    pub const fn new(transaction: TransactionId, nonce: [u8; 16]) -> Self {
        Self { transaction, nonce }
    }

    /// Returns the transaction.
    pub const fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Returns the nonce.
    pub const fn nonce(&self) -> &[u8; 16] {
        &self.nonce
    }

    /// Returns the proof, if this is the answer to the challenge.
    pub fn answered(&self, transaction: TransactionId, nonce: &[u8]) -> Option<Answered> {
        (transaction == self.transaction && nonce == self.nonce).then_some(Answered { transaction })
    }
}

impl Confirmations {
    pub(super) fn new() -> Self {
        Self { seat: Mutex::new(None), awaiting: watch::Sender::new(None) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<Awaiting>> {
        self.awaiting.subscribe()
    }

    /// Lets a transaction wait; there is one writer, so there is one seat.
    pub(super) fn open(&self, awaiting: Awaiting, actor: &str) -> Wait<'_> {
        let (confirmed_in, confirmed) = oneshot::channel();
        let seat = Seat { awaiting, actor: actor.to_owned(), confirmed: confirmed_in };
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
        self.awaiting.send_replace(Some(awaiting));
        Wait { confirmations: self, until: awaiting.until, confirmed }
    }

    pub(super) async fn confirm(&self, transaction: TransactionId, by: Confirmer) -> Result<(), Refusal> {
        let seat = self.take(transaction, &by)?;
        let (kept_in, kept) = oneshot::channel();
        let late = Refusal::NotWaiting(transaction);
        if seat.confirmed.send(kept_in).is_err() {
            return Err(late);
        }
        let written = kept.await.map_err(|_| late)?;
        written.map_err(|finding| Refusal::Findings(Findings(vec![finding])))
    }

    fn take(&self, transaction: TransactionId, by: &Confirmer) -> Result<Seat, Refusal> {
        let mut guard = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = guard.take_if(|seat| seat.awaiting.transaction == transaction && seat.may_confirm(by));
        seat.ok_or_else(|| match &*guard {
            Some(seat) if seat.awaiting.transaction == transaction => Refusal::WrongConfirmer(transaction),
            Some(_) | None => Refusal::NotWaiting(transaction),
        })
    }
}

impl Seat {
    fn may_confirm(&self, by: &Confirmer) -> bool {
        match (self.awaiting.check, by) {
            (ConnectivityCheck::Engine(_), Confirmer::Engine(answered)) => {
                answered.transaction == self.awaiting.transaction
            }
            (ConnectivityCheck::Local(_), Confirmer::Local(actor)) => *actor == self.actor,
            (ConnectivityCheck::Engine(_), Confirmer::Local(_))
            | (ConnectivityCheck::Local(_), Confirmer::Engine(_))
            | (ConnectivityCheck::None, _) => false,
        }
    }
}

impl Wait<'_> {
    /// Waits for the confirmation; `None` when it did not come in time.
    ///
    /// *Cancel safety*: safe; a confirmation that came meanwhile is refused as late when the wait is dropped.
    pub(super) async fn confirmed(&mut self) -> Option<Kept> {
        timeout_at(self.until, &mut self.confirmed).await.ok().and_then(Result::ok)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.confirmations.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.confirmations.awaiting.send_replace(None);
    }
}

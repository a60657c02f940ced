//! The audit events as they stood at one moment, read while others write.

use std::ops::{ControlFlow, RangeInclusive};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _};

use super::tables::EVENTS;
use crate::error::{Cause, StoreError};
use crate::frame;
use crate::write::{Event, Order};

/// The file at one moment. It keeps that moment's pages from being used again, so it should be short-lived.
pub(crate) struct Snapshot {
    transaction: ReadTransaction,
}

type Events = ReadOnlyTable<u64, &'static [u8]>;

impl Snapshot {
    pub(super) const fn new(transaction: ReadTransaction) -> Self {
        Self { transaction }
    }

    /// Shows `visit` the events of `revisions`, one by one, until it breaks off.
    pub(crate) fn visit_events(
        &self,
        revisions: RangeInclusive<u64>,
        order: Order,
        mut visit: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.read(|events| {
            let mut rows = events.range(revisions)?;
            loop {
                let row = match order {
                    Order::OldestFirst => rows.next(),
                    Order::NewestFirst => rows.next_back(),
                };
                let Some(row) = row else { return Ok(()) };
                let (revision, bytes) = row?;
                if visit(decode(revision.value(), bytes.value())?).is_break() {
                    return Ok(());
                }
            }
        })
    }

    /// Finds the revision of the first event at `at_ms` or later, by halving: times are taken to grow with revisions.
    pub(crate) fn first_event_since(&self, at_ms: u64) -> Result<Option<u64>, StoreError> {
        self.read(|events| {
            let last = events.last()?.map_or(0, |(revision, _)| revision.value());
            // Below `low` all are earlier; from `high` on, none is.
            let (mut low, mut high) = (0, last.saturating_add(1));
            while low < high {
                let middle = low + (high - low) / 2;
                match events.range(middle..high)?.next().transpose()? {
                    Some((revision, bytes)) => {
                        let revision = revision.value();
                        if decode(revision, bytes.value())?.at_ms < at_ms {
                            low = revision.saturating_add(1);
                        } else {
                            high = middle;
                        }
                    }
                    None => high = middle,
                }
            }
            Ok(events.range(low..)?.next().transpose()?.map(|(revision, _)| revision.value()))
        })
    }

    /// Returns a digest of the event of a revision: FNV-1a, 64 bits, over its bytes.
    pub(crate) fn event_digest(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        self.read(|events| {
            let digest = |bytes: &[u8]| {
                let mixed = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                bytes.iter().fold(0xcbf2_9ce4_8422_2325, mixed)
            };
            Ok(events.get(revision)?.map(|bytes| digest(bytes.value())))
        })
    }

    fn read<R>(&self, work: impl FnOnce(Events) -> Result<R, Cause>) -> Result<R, StoreError> {
        let opened = self.transaction.open_table(EVENTS).map_err(Into::into);
        opened.and_then(work).map_err(StoreError::NotRead)
    }
}

fn decode(revision: u64, bytes: &[u8]) -> Result<Event, Cause> {
    Ok(frame::decode(&format!("event {revision}"), bytes)?)
}

//! A session's place on the board.

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};
use trestle_model::HostName;
use uuid::Uuid;

use super::Board;

/// The place that a session has until it is dropped, also by a panic: the host has no session then, unless a newer one
/// took its place before.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) host: HostName,
    pub(super) number: Uuid,
    /// Cancelled when a newer session, or the host's removal, ends this one.
    pub(super) fenced: CancellationToken,
    board: Arc<Board>,
    /// Cancelled when the session before this one has ended.
    predecessor: Option<CancellationToken>,
    _ended: DropGuard,
}

impl Seat {
    pub(super) fn new(
        board: Arc<Board>,
        host: HostName,
        number: Uuid,
        fenced: CancellationToken,
        ended: CancellationToken,
        predecessor: Option<CancellationToken>,
    ) -> Self {
        Self { host, number, fenced, board, predecessor, _ended: ended.drop_guard() }
    }

    /// Waits until the session before this one hears nothing any more: two sessions of one host never report across
    /// each other. *Cancel safety*: safe.
    pub(super) async fn vacant(&self) {
        if let Some(predecessor) = &self.predecessor {
            predecessor.cancelled().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.board.close(&self.host, self.number);
    }
}

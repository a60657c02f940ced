//! Undo: back to what was observed before, by a plan of its own from a fresh observation.
//!
//! A libvirt that does not answer keeps nothing of the kernel's part from being put back: a host is never left cut off
//! because libvirt is away. What could not be seen of libvirt is then left over, told, and made up for later.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{Instrument as _, info_span, warn};
use trestle_model::Leftover;
use trestle_plan::{Drift, ObserveError, Snapshot, Target, steps_towards, undo_target, verify};
use trestle_telemetry::names;

use super::look::look;
use super::performance::perform_all;
use crate::site::Site;

/// The rests between the rounds; after the last round, what differs is left over.
const RESTS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// How far an undo came.
#[derive(Debug)]
pub(super) enum Undone {
    /// The host is as before.
    Wholly,
    /// This could not be put back.
    But(Vec<Leftover>),
    /// This could not be put back, or not be seen: libvirt does not answer.
    Blindly(Vec<Leftover>),
}

/// Puts the host back to the snapshot.
///
/// A step that fails does not keep the others from being done; each round plans anew from what is there then.
/// *Cancel safety*: what was done stays done; the journal still holds the snapshot.
pub(super) async fn undo<H: Site>(host: &H, snapshot: &Snapshot) -> Undone {
    rounds(host, snapshot).instrument(info_span!(names::PHASE_SPAN, { names::PHASE } = "undo")).await
}

async fn rounds<H: Site>(host: &H, snapshot: &Snapshot) -> Undone {
    let target = undo_target(snapshot);
    let mut rests = RESTS.iter();
    loop {
        let undone = match look(host).await {
            Ok((observed, blind)) => {
                let steps = steps_towards(&target, &observed);
                if steps.is_empty() && blind.is_none() {
                    return Undone::Wholly;
                }
                perform_all(host, &steps).await;
                left(host, &target).await
            }
            Err(error) => Undone::But(vec![unreadable(&error)]),
        };
        let left = match &undone {
            Undone::Wholly => return undone,
            Undone::But(leftovers) | Undone::Blindly(leftovers) => leftovers.len(),
        };
        let Some(rest) = rests.next() else { return undone };
        warn!(left, "undo is not complete, will be tried again");
        sleep(*rest).await;
    }
}

/// Tells what of the target the host is not.
async fn left<H: Site>(host: &H, target: &Target) -> Undone {
    match look(host).await {
        Ok((after, blind)) => {
            let mut leftovers: Vec<Leftover> = verify(target, &after).into_iter().map(Leftover::from).collect();
            match blind.filter(|_| !target.libvirt.is_empty()) {
                Some(unseen) => {
                    leftovers.push(unreadable(&unseen));
                    Undone::Blindly(leftovers)
                }
                None if leftovers.is_empty() => Undone::Wholly,
                None => Undone::But(leftovers),
            }
        }
        Err(error) => Undone::But(vec![unreadable(&error)]),
    }
}

fn unreadable(error: &ObserveError) -> Leftover {
    Leftover::from(Drift {
        object: "host".to_owned(),
        field: "state".to_owned(),
        expected: "as before".to_owned(),
        actual: error.to_string(),
    })
}

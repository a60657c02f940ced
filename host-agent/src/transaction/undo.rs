//! Undo: back to what was observed before, by a plan of its own from a fresh observation.
//!
//! A libvirt that does not answer keeps nothing of the kernel's part from being put back: a host is never left cut off
//! because libvirt is away. What could not be seen of libvirt is then left over, and told.

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

/// Puts the host back to the snapshot, and returns what could not be put back.
///
/// A step that fails does not keep the others from being done; each round plans anew from what is there then.
/// *Cancel safety*: what was done stays done; the journal still holds the snapshot.
pub(super) async fn undo<H: Site>(host: &H, snapshot: &Snapshot) -> Vec<Leftover> {
    rounds(host, snapshot).instrument(info_span!(names::PHASE_SPAN, { names::PHASE } = "undo")).await
}

async fn rounds<H: Site>(host: &H, snapshot: &Snapshot) -> Vec<Leftover> {
    let target = undo_target(snapshot);
    let mut rests = RESTS.iter();
    loop {
        let leftovers = match look(host).await {
            Ok((observed, blind)) => {
                let steps = steps_towards(&target, &observed);
                if steps.is_empty() && blind.is_none() {
                    return Vec::new();
                }
                perform_all(host, &steps).await;
                left(host, &target).await
            }
            Err(error) => vec![unreadable(&error)],
        };
        if leftovers.is_empty() {
            return leftovers;
        }
        let Some(rest) = rests.next() else { return leftovers };
        warn!(left = leftovers.len(), "undo is not complete, will be tried again");
        sleep(*rest).await;
    }
}

/// Tells what of the target the host is not.
async fn left<H: Site>(host: &H, target: &Target) -> Vec<Leftover> {
    match look(host).await {
        Ok((after, blind)) => {
            let unseen = blind.filter(|_| !target.libvirt.is_empty());
            verify(target, &after).into_iter().map(Leftover::from).chain(unseen.as_ref().map(unreadable)).collect()
        }
        Err(error) => vec![unreadable(&error)],
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

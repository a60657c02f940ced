//! One client's life: find a lease, keep it, lose it, and find one again.
//!
//! | it has | it does | until |
//! | --- | --- | --- |
//! | nothing | asks for a lease, with growing rests | a server gives one |
//! | a lease from before | uses it, and asks whether it still has it | it is confirmed, refused, or over |
//! | a confirmed lease | rests | the time that the server set for the first wish for more |
//! | a lease that is due | asks its server, then every server | it is confirmed, refused, or over |
//!
//! A client that is told that its cable is back asks at once: for a lease, or about the one that it has.
//!
//! A lease that is over or refused is gone at once, whatever the client does at the moment.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};
use trestle_model::{DhcpState, Lease};

use crate::clients::Seat;
use crate::exchange::{self, Answer, now_ms};
use crate::rests::Rests;

/// After how many unanswered questions about a lease a new one is asked for, in case its server has forgotten it.
const DOUBTS: usize = 2;

/// How sure a client is of its lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was confirmed, and is not due.
    Confirmed,
    /// It is due, or from before.
    Doubtful,
}

/// Runs a client until its task is aborted, beginning with the lease that it remembers.
pub(crate) async fn run(seat: Seat, remembered: Option<Lease>, mut kicks: watch::Receiver<u64>) {
    let mut lease = remembered;
    let mut standing = Standing::Doubtful;
    let mut rests = Rests::default();
    loop {
        let Some(held) = lease else {
            // Cancel safety: a conversation that is cut short is begun anew.
            lease = tokio::select! {
                found = find(&seat, &mut rests) => found,
                () = kicked(&mut kicks) => {
                    rests.reset();
                    None
                }
            };
            standing = Standing::Confirmed;
            continue;
        };
        let Some(left) = left(&held) else {
            lose(&seat, &held, "is over");
            lease = None;
            continue;
        };
        // Cancel safety: a conversation that is cut short because the lease is over is begun anew.
        let answer = tokio::select! {
            answer = keep(&seat, &held, &mut standing, &mut rests) => Some(answer),
            () = sleep(left) => Some(continue_without(&held)),
            () = kicked(&mut kicks) => None,
        };
        let Some(answer) = answer else {
            standing = Standing::Doubtful;
            rests.reset();
            seat.hold(DhcpState::Verifying, held.clone());
            lease = Some(held);
            continue;
        };
        lease = match answer {
            Answer::Confirmed(new) => {
                rests.reset();
                standing = Standing::Confirmed;
                tell(&seat, &held, &new);
                Some(new)
            }
            Answer::Refused => {
                lose(&seat, &held, "was refused by the server");
                rests.reset();
                None
            }
            Answer::None(reason) => {
                debug!(link = %seat.spec().link, reason, "lease not confirmed yet");
                seat.trouble(reason);
                Some(held)
            }
        };
    }
}

/// Waits until the client is to ask at once.
async fn kicked(kicks: &mut watch::Receiver<u64>) {
    if kicks.changed().await.is_err() {
        // Whoever could ask for it has gone, and the client goes, too.
        std::future::pending::<()>().await;
    }
}

/// Asks for a lease, once; rests where there is none.
async fn find(seat: &Seat, rests: &mut Rests) -> Option<Lease> {
    let spec = seat.spec();
    match exchange::acquire(&spec, seat.duid()).await {
        Ok(lease) => {
            info!(link = %spec.link, family = %spec.family, address = %lease.address, server = lease.server, "lease got");
            rests.reset();
            seat.hold(DhcpState::Bound, lease.clone());
            Some(lease)
        }
        Err(reason) => {
            if rests.taken() == 0 {
                warn!(link = %spec.link, family = %spec.family, reason, "no lease, will be asked for again");
            }
            seat.trouble(reason);
            sleep(rests.next()).await;
            None
        }
    }
}

/// Does the next thing about a lease that is in force.
async fn keep(seat: &Seat, held: &Lease, standing: &mut Standing, rests: &mut Rests) -> Answer {
    let spec = seat.spec();
    if *standing == Standing::Confirmed {
        sleep(until_due(held)).await;
        *standing = Standing::Doubtful;
        seat.hold(DhcpState::Renewing, held.clone());
        let renewed = exchange::renew(&spec, seat.duid(), held).await;
        if matches!(renewed, Answer::Confirmed(_) | Answer::Refused) {
            return renewed;
        }
    }
    let verified = exchange::verify(&spec, seat.duid(), held).await;
    if !matches!(verified, Answer::None(_)) {
        return verified;
    }
    if rests.taken() % (DOUBTS + 1) == DOUBTS
        && let Ok(another) = exchange::acquire(&spec, seat.duid()).await
    {
        return Answer::Confirmed(another);
    }
    sleep(rests.next()).await;
    verified
}

fn tell(seat: &Seat, held: &Lease, new: &Lease) {
    let spec = seat.spec();
    if held.address == new.address {
        debug!(link = %spec.link, address = %new.address, "lease confirmed");
    } else {
        info!(link = %spec.link, before = %held.address, address = %new.address, "lease changed");
    }
    seat.hold(DhcpState::Bound, new.clone());
}

fn lose(seat: &Seat, held: &Lease, why: &str) {
    let spec = seat.spec();
    warn!(link = %spec.link, family = %spec.family, address = %held.address, why, "lease lost");
    seat.lose(format!("the lease of {} {why}", held.address.addr()));
}

/// The next look at a lease that is over finds that out.
fn continue_without(held: &Lease) -> Answer {
    Answer::None(format!("the lease of {} is over", held.address.addr()))
}

/// Returns how long a lease lasts; `None` when it is over.
pub(crate) fn left(lease: &Lease) -> Option<Duration> {
    let Some(expires_ms) = lease.expires_ms else { return Some(Duration::MAX / 4) };
    expires_ms.checked_sub(now_ms()).filter(|left| *left > 0).map(Duration::from_millis)
}

/// Returns how long it is until more time is to be asked for.
fn until_due(lease: &Lease) -> Duration {
    let given_ms = lease.expires_ms.map(|expires| expires.saturating_sub(u64::from(lease.lifetime_s) * 1000));
    let due_ms = given_ms.map(|given| given + u64::from(lease.renew_s) * 1000);
    due_ms.map_or(Duration::MAX / 4, |due| Duration::from_millis(due.saturating_sub(now_ms())))
}

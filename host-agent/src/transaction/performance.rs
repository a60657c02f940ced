//! Performing steps: one by one, each in its span, again where that may help.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{Instrument as _, debug, info_span, warn};
use trestle_plan::{Host, Performer, PlannedStep, Step, StepFailure};
use trestle_telemetry::names;

/// The rests before a step is tried again; after the last one its failure stands.
const RESTS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];

/// Performs one step; a failure that may pass is tried again.
pub(super) async fn perform(performer: &mut impl Performer, step: &Step) -> Result<(), StepFailure> {
    let span =
        info_span!(names::STEP_SPAN, { names::STEP } = %step, { names::OTEL_STATUS_CODE } = tracing::field::Empty);
    let attempts = async {
        let mut rests = RESTS.iter();
        loop {
            let failure = match performer.perform(step).await {
                Ok(()) => {
                    debug!(step = %step, "step done");
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let rest = rests.next().filter(|_| failure.transient);
            let Some(rest) = rest else {
                tracing::Span::current().record(names::OTEL_STATUS_CODE, "ERROR");
                return Err(failure);
            };
            warn!(step = %step, error = %failure, "step failed, will be tried again");
            sleep(*rest).await;
        }
    };
    attempts.instrument(span).await
}

/// Performs all steps, past those that fail, and returns the failures.
pub(super) async fn perform_all<H: Host>(host: &H, steps: &[PlannedStep]) -> Vec<StepFailure> {
    let mut failures = Vec::new();
    let mut performer = host.performer();
    for planned in steps {
        if let Err(failure) = perform(&mut performer, &planned.step).await {
            warn!(step = %planned.step, error = %failure, "step failed, going on with the others");
            failures.push(failure);
        }
    }
    failures
}

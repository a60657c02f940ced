//! What can go wrong.

use std::time::Duration;

/// A fault of a fake host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The step after this many more fails, once, and has no effect.
    FailAfter(usize),
    /// Every step whose one line contains the text fails as one that a busy kernel refuses (EBUSY), and has no effect; this
    /// many times.
    BusyMatching(String, usize),
    /// Every step whose one line contains the text fails and has no effect.
    FailMatching(String),
    /// The step after this many more never returns, once, and has no effect: for callers that are dropped or that
    /// have a deadline.
    HangAfter(usize),
    /// Every step takes this long.
    Delay(Duration),
    /// The observation after this many more fails, once.
    FailObservationAfter(usize),
    /// Every observation fails.
    FailObservations,
}

/// What a fault does to the step or observation at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Fail,
    Busy,
    Hang,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Returns what happens to a step, and counts it.
    pub(crate) fn on_step(&mut self, text: &str) -> Effect {
        let mut effect = Effect::None;
        self.0.retain_mut(|fault| match fault {
            Fault::FailAfter(left) => count_down(left, &mut effect, Effect::Fail),
            Fault::HangAfter(left) => count_down(left, &mut effect, Effect::Hang),
            Fault::FailMatching(pattern) => {
                if text.contains(pattern.as_str()) {
                    effect = Effect::Fail;
                }
                true
            }
            Fault::BusyMatching(pattern, left) => {
                if *left > 0 && text.contains(pattern.as_str()) {
                    *left -= 1;
                    effect = Effect::Busy;
                }
                *left > 0
            }
            Fault::Delay(_) | Fault::FailObservationAfter(_) | Fault::FailObservations => true,
        });
        effect
    }

    /// Returns what happens to an observation, and counts it.
    pub(crate) fn on_observation(&mut self) -> Effect {
        let mut effect = Effect::None;
        self.0.retain_mut(|fault| match fault {
            Fault::FailObservationAfter(left) => count_down(left, &mut effect, Effect::Fail),
            Fault::FailObservations => {
                effect = Effect::Fail;
                true
            }
            Fault::FailAfter(_)
            | Fault::HangAfter(_)
            | Fault::FailMatching(_)
            | Fault::BusyMatching(..)
            | Fault::Delay(_) => true,
        });
        effect
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Delay(delay) => Some(*delay),
            Fault::FailAfter(_)
            | Fault::FailMatching(_)
            | Fault::BusyMatching(..)
            | Fault::HangAfter(_)
            | Fault::FailObservationAfter(_)
            | Fault::FailObservations => None,
        })
    }
}

/// Counts down to a fault that strikes once; returns whether it is still to come.
fn count_down(left: &mut usize, effect: &mut Effect, strikes: Effect) -> bool {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            true
        }
        None => {
            *effect = strikes;
            false
        }
    }
}

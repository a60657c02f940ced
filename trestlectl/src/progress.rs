//! How hosts that change are shown: a bar for each on a terminal, plain lines anywhere else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_proto::host::v1::{Outcome, SetupNetworksResult};

use crate::output;

/// Shows what happens on hosts, on standard error.
#[derive(Debug)]
pub struct Progress {
    bars: Option<Bars>,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    of_hosts: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Progress {
    /// Shows bars where a person looks, lines elsewhere.
    #[must_use]
    pub fn new() -> Self {
        let bars = output::is_watched().then(|| Bars { all: MultiProgress::new(), of_hosts: Mutex::default() });
        Self { bars }
    }

    /// Shows what happened on a host.
    pub fn event(&self, host: &str, event: &Event) {
        let text = text(event);
        match &self.bars {
            None => output::note(format_args!("{host}  {text}")),
            Some(bars) => {
                let bar = bars.of(host);
                match event {
                    Event::Accepted(accepted) => {
                        bar.set_length(accepted.steps.into());
                        bar.set_position(0);
                    }
                    Event::StepDone(step) => {
                        bar.set_length(step.of.into());
                        bar.set_position(step.number.into());
                    }
                    Event::Verified(_)
                    | Event::AwaitingConfirmation(_)
                    | Event::Confirmed(_)
                    | Event::Undoing(_)
                    | Event::Result(_) => {}
                }
                bar.set_message(text);
            }
        }
    }

    /// Shows a line about a host; where it has a bar, in its place, and for good.
    pub fn settle(&self, host: &str, text: &str) {
        match &self.bars {
            None => output::note(format_args!("{host}  {text}")),
            Some(bars) => {
                bars.end(host);
                bars.all.suspend(|| output::note(format_args!("{host}  {text}")));
            }
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            drop(bars.all.clear());
        }
    }
}

impl Bars {
    fn of(&self, host: &str) -> ProgressBar {
        let mut bars = self.of_hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let style = ProgressStyle::with_template("{prefix}  [{bar:20}] {pos}/{len} {wide_msg}");
            let bar = self.all.add(ProgressBar::new(0));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(host.to_owned());
            bar
        };
        bars.entry(host.to_owned()).or_insert_with(make).clone()
    }

    fn end(&self, host: &str) {
        if let Some(bar) = self.of_hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(host) {
            bar.finish_and_clear();
        }
    }
}

/// Tells in one line what happened.
#[must_use]
pub fn text(event: &Event) -> String {
    match event {
        Event::Accepted(accepted) => format!("accepted: {} steps", accepted.steps),
        Event::StepDone(step) => format!("{}/{} {}", step.number, step.of, step.text),
        Event::Verified(_) => "verified".to_owned(),
        Event::AwaitingConfirmation(waiting) => {
            let seconds = waiting.timeout.map_or(0, |timeout| timeout.seconds);
            format!("waits {seconds} s for the confirmation")
        }
        Event::Confirmed(_) => "confirmed".to_owned(),
        Event::Undoing(undoing) => match &undoing.cause {
            Some(cause) => format!("undoing: {}: {}", cause.code, cause.message),
            None => "undoing".to_owned(),
        },
        Event::Result(result) => result_text(result),
    }
}

/// Tells in one line how a transaction ended.
#[must_use]
pub fn result_text(result: &SetupNetworksResult) -> String {
    let mut text = outcome_text(result.outcome()).to_owned();
    if result.committed {
        text.push_str(" and made persistent");
    }
    if let Some(cause) = &result.cause {
        text.push_str(&format!(": {}: {}", cause.code, cause.message));
    }
    for leftover in &result.leftovers {
        let (object, field) = (&leftover.object, &leftover.field);
        text.push_str(&format!("; left over: {object} {field} is {}, was {}", leftover.actual, leftover.expected));
    }
    text
}

fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unspecified => "ended",
        Outcome::Applied => "applied",
        Outcome::Unchanged => "unchanged",
        Outcome::RolledBack => "rolled back",
        Outcome::RollbackFailed => "not wholly rolled back",
        Outcome::Validated => "checked",
    }
}

#[cfg(test)]
mod tests {
    use trestle_proto::finding::v1::Finding;
    use trestle_proto::host::v1::{Leftover, StepDone, TransactionUndoing};

    use super::*;

    #[test]
    fn events_read_as_one_line_each() {
        let step = StepDone { number: 3, of: 9, text: "create bridge blue".to_owned() };
        assert_eq!(text(&Event::StepDone(step)), "3/9 create bridge blue");
        let cause =
            Finding { code: "NOT_CONFIRMED".to_owned(), message: "nobody came".to_owned(), ..Finding::default() };
        let undoing = TransactionUndoing { cause: Some(cause.clone()) };
        assert_eq!(text(&Event::Undoing(undoing)), "undoing: NOT_CONFIRMED: nobody came");
        let leftover = Leftover {
            object: "link eth0".to_owned(),
            field: "mtu".to_owned(),
            expected: "1500".to_owned(),
            actual: "1400".to_owned(),
        };
        let mut result = SetupNetworksResult { cause: Some(cause), leftovers: vec![leftover], ..Default::default() };
        result.set_outcome(Outcome::RollbackFailed);
        let expected = "not wholly rolled back: NOT_CONFIRMED: nobody came; left over: link eth0 mtu is 1400, was 1500";
        assert_eq!(text(&Event::Result(result)), expected);
    }
}

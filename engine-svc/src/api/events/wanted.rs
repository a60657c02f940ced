//! Which events a client wants.

use trestle_model::{Code, Findings};
use trestle_proto::engine_wire;
use trestle_proto::status::Refusal;
use trestle_store::Event;

/// Conditions that an event has to meet, all of them.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// It changes this resource or one below it; empty for any.
    resource: String,
    /// Its actor; empty for any.
    actor: String,
    /// It has this code among those acknowledged or told.
    code: Option<Code>,
    /// It is of this time or later, in milliseconds since the Unix epoch.
    pub(super) since_ms: Option<u64>,
    /// It is of an earlier time than this.
    pub(super) until_ms: Option<u64>,
}

impl Wanted {
    /// Reads the conditions that lists and streams share.
    ///
    /// *Errors*: `CODE_UNKNOWN`.
    pub(super) fn parse(resource: &str, actor: &str, code: &str) -> Result<Self, Refusal> {
        let code = match code {
            "" => None,
            text => {
                let at_its_field = |mut finding: trestle_model::Finding| {
                    "code".clone_into(&mut finding.field);
                    finding
                };
                let codes = engine_wire::parse_acknowledged(&[text.to_owned()]);
                let misread = |findings: Findings| findings.0.into_iter().map(at_its_field).collect();
                codes.map_err(|findings| Refusal::malformed(Findings(misread(findings))))?.pop()
            }
        };
        Ok(Self { resource: resource.to_owned(), actor: actor.to_owned(), code, ..Self::default() })
    }

    /// Adds the bounds of time.
    pub(super) fn between(self, since_ms: Option<u64>, until_ms: Option<u64>) -> Self {
        Self { since_ms, until_ms, ..self }
    }

    /// Tells whether an event is wanted.
    pub(super) fn has(&self, event: &Event) -> bool {
        (self.actor.is_empty() || event.actor == self.actor)
            && self.since_ms.is_none_or(|since| event.at_ms >= since)
            && self.until_ms.is_none_or(|until| event.at_ms < until)
            && self.code.is_none_or(|code| event.acknowledged.iter().chain(&event.told).any(|told| *told == code))
            && (self.resource.is_empty() || event.mutations.iter().any(|(id, _)| self.is_at_or_above(&id.to_string())))
    }

    fn is_at_or_above(&self, name: &str) -> bool {
        name.strip_prefix(&self.resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_itself_and_what_is_below_it() {
        let check = |resource: &str, name: &str, expected| {
            let wanted = Wanted::parse(resource, "", "").unwrap();
            assert_eq!(wanted.is_at_or_above(name), expected, "{resource} {name}");
        };
        check("networks/blue", "networks/blue", true);
        check("networks/blue", "networks/blue/vnicProfiles/p", true);
        check("networks/blue", "networks/blue2", false);
        check("networks/blue", "networks", false);
        check("vms", "vms/1/vnics/eth0", true);
    }
}

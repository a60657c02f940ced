//! Name servers: last, when the devices are there through which they are asked.

use super::Draft;
use crate::ResolverStep;
use crate::difference::resolver_change;

impl Draft<'_> {
    /// Sets the host's name servers.
    pub(super) fn settle_resolver(&mut self) {
        let Some(target) = &self.target.resolver else { return };
        let mut resolver = self.observed.resolver.clone();
        // What systemd-resolved has for a device goes with it.
        if let Some(links) = &mut resolver.links {
            links.retain(|link, _| self.existed(link) && self.now.link(link).is_some());
        }
        for step in resolver_change(target, &resolver) {
            let is_there = match &step {
                ResolverStep::Write { .. } => true,
                ResolverStep::SetLink { link, .. } => self.now.link(link).is_some(),
            };
            if is_there {
                self.plan(step.into(), &target.why, "name servers differ");
            }
        }
    }
}

//! The name servers of the network that owns the default route.

use super::{Composition, why};
use crate::target::{ResolverTarget, ResolverText};

impl Composition<'_> {
    /// Wants the default-route network's name servers, where it names some and nobody else keeps the host's.
    pub(super) fn resolver(&mut self) {
        let specs = self.desired.specs().filter(|spec| self.is_touched(spec));
        let owner = specs.filter(|spec| spec.default_route).find(|spec| !spec.nameservers.is_empty());
        if let Some(spec) = owner.filter(|_| self.observed().resolver.keeper.is_none()) {
            let text = ResolverText::Naming(spec.nameservers.clone());
            self.target.resolver = Some(ResolverTarget { why: why(spec), text });
        }
    }
}

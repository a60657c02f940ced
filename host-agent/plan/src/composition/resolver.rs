//! The name servers and search domains of the network that owns the default route.

use std::collections::BTreeSet;

use trestle_model::{IfName, NetworkSpec, ResolverMechanism};

use super::{Composition, why};
use crate::target::{NamesTarget, ResolverTarget};

impl Composition<'_> {
    /// Wants the default-route network's name servers and search domains, where it names some and nobody else keeps the
    /// host's.
    ///
    /// systemd-resolved is to ask them for all names, and so none through the devices of other networks.
    pub(super) fn resolver(&mut self) {
        let mut owners = self.desired.specs().filter(|spec| spec.default_route && !spec.resolver_names().is_empty());
        let Some((owner, mechanism)) = owners.next().zip(self.observed().resolver.mechanism()) else { return };
        let Some(device) = owner.top_device() else { return };
        if self.is_touched(owner) {
            let others = tops(self.desired.specs(), &device);
            let names = NamesTarget::Naming { names: owner.resolver_names(), device, others };
            self.target.resolver = Some(ResolverTarget { why: why(owner), names });
        } else if mechanism == ResolverMechanism::SystemdResolved {
            let touched = tops(self.desired.specs().filter(|spec| self.is_touched(spec)), &device);
            let target = ResolverTarget { why: why(owner), names: NamesTarget::NotThrough(touched) };
            self.target.resolver = Some(target).filter(|target| !target.names.devices().is_empty());
        }
    }
}

/// Returns the devices that have the networks' addresses, but for one.
fn tops<'a>(specs: impl Iterator<Item = &'a NetworkSpec>, but: &IfName) -> BTreeSet<IfName> {
    specs.filter_map(NetworkSpec::top_device).filter(|device| device != but).collect()
}

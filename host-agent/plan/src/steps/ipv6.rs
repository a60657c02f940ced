//! IPv6 of a device: whether it has it, and what of routers it hears.

use trestle_model::{AddressOrigin, IfName};

use super::Draft;
use crate::difference::{autoconf_change, is_advertised};
use crate::target::{LinkWanted, MasterTarget};
use crate::{AutoconfChange, KernelStep};

impl Draft<'_> {
    /// Says of a new device how it has IPv6, whatever the host's defaults are.
    pub(super) fn settle_ipv6(&mut self, name: &IfName, wanted: &LinkWanted) {
        if let Some(disabled) = wanted.ipv6_disabled {
            self.set_ipv6_disabled(name, wanted, disabled);
        }
        self.set_autoconf(name, wanted, wanted.autoconf);
    }

    pub(super) fn set_ipv6_disabled(&mut self, name: &IfName, wanted: &LinkWanted, disabled: bool) {
        let what = if disabled { "IPv6 is not configured" } else { "IPv6 is configured" };
        self.plan_kernel(KernelStep::SetIpv6Disabled { link: name.clone(), disabled }, &wanted.why, what);
    }

    /// Says what of routers is not to be heard, as far as the device has IPv6 yet.
    pub(super) fn close_autoconf(&mut self, name: &IfName, wanted: &LinkWanted) {
        let set = self.now.link(name).filter(|link| link.autoconf.is_some());
        let change = set.map(|link| autoconf_change(&wanted.autoconf, link)).unwrap_or_default();
        self.set_autoconf(name, wanted, change.closing());
    }

    /// Says what routers are to be heard for before IPv6 is switched on.
    pub(super) fn settle_autoconf(&mut self, name: &IfName, wanted: &LinkWanted) {
        let Some(link) = self.now.link(name) else { return };
        let change = autoconf_change(&wanted.autoconf, link);
        // With room for IPv6 a device has it, and listens, before anything can be said: it forgets what it has heard.
        let is_new = link.autoconf.is_none() && !change.is_empty();
        if is_new && wanted.ipv6_disabled == Some(false) {
            self.set_ipv6_disabled(name, wanted, true);
        }
        self.set_autoconf(name, wanted, change);
    }

    fn set_autoconf(&mut self, name: &IfName, wanted: &LinkWanted, change: AutoconfChange) {
        if !change.is_empty() {
            let step = KernelStep::SetAutoconf { link: name.clone(), change };
            self.plan_kernel(step, &wanted.why, "autoconfiguration differs");
        }
    }

    /// Tells whether a bridge has something of routers, and moves to another segment.
    ///
    /// *Shape*: an uplink that leaves it is the sign; a guest's port is none.
    pub(super) fn is_to_hear_other_routers(&self, name: &IfName, wanted: &LinkWanted) -> bool {
        let Some(link) = self.now.link(name).filter(|link| link.bridge().is_some() && !link.ipv6_disabled) else {
            return false;
        };
        let has_address = link.addresses.iter().any(|address| address.origin == AddressOrigin::Auto);
        let has_route = self.now.routes(name).iter().any(is_advertised);
        if wanted.ipv6_disabled != Some(false) || !(has_address || has_route) {
            return false;
        }
        let is_uplink = |port: &IfName| self.now.link(port).and_then(|port| port.master.as_ref()) == Some(name);
        let leaves = |wanted: &LinkWanted| match &wanted.master {
            MasterTarget::PortOf(master) => master != name,
            MasterTarget::Free => true,
            MasterTarget::Leave => false,
        };
        let moved = self.target.present().filter(|(_, wanted)| leaves(wanted)).map(|(port, _)| port);
        moved.chain(self.target.absent().map(|(port, _)| port)).any(is_uplink)
    }

    /// Takes what routers of a segment have brought away, and with it what the kernel knows of them: switched on again, it
    /// asks those of the new one.
    pub(super) fn forget_routers(&mut self, name: &IfName, wanted: &LinkWanted) {
        let step = KernelStep::SetIpv6Disabled { link: name.clone(), disabled: true };
        self.plan_kernel(step, &wanted.why, "routers of another segment are to be heard");
    }

    pub(super) fn switch_ipv6(&mut self, name: &IfName, wanted: &LinkWanted) {
        if let Some(disabled) = wanted.ipv6_disabled
            && self.now.link(name).is_some_and(|link| link.ipv6_disabled != disabled)
        {
            self.set_ipv6_disabled(name, wanted, disabled);
        }
    }
}

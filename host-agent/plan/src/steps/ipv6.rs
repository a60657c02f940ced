//! IPv6 of a device: whether it has it, and what of routers it hears.

use trestle_model::IfName;

use super::Draft;
use crate::difference::autoconf_change;
use crate::target::LinkWanted;
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

    pub(super) fn switch_ipv6(&mut self, name: &IfName, wanted: &LinkWanted) {
        if let Some(disabled) = wanted.ipv6_disabled
            && self.now.link(name).is_some_and(|link| link.ipv6_disabled != disabled)
        {
            self.set_ipv6_disabled(name, wanted, disabled);
        }
    }
}

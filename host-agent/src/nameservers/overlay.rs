//! Names that lie over what is configured: what is written, and what it is put back to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trestle_model::{IfName, LinkNames, NameServer, ResolverMechanism, ResolverNames, ResolverState, SearchDomain};
use trestle_plan::{NamesMeant, ResolverStep};

/// Names of leases and routers in the place of the configured ones, and what is beneath.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedNames {
    /// The name servers, in order.
    pub servers: Vec<NameServer>,
    /// The search domains, in order.
    #[serde(default)]
    pub search: Vec<SearchDomain>,
    /// Where they are.
    #[serde(flatten)]
    pub place: LeasedPlace,
}

/// Where names of leases are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeasedPlace {
    /// In the resolver's file.
    File {
        /// The file's text beneath; `None` where there was no file.
        beneath: Option<String>,
        /// The file's text with them.
        written: String,
    },
    /// With systemd-resolved.
    Links {
        /// The device through which the name servers are asked.
        device: IfName,
        /// That device, and those that are not asked for all names meanwhile.
        links: BTreeMap<IfName, LaidOver>,
    },
}

/// What systemd-resolved has for a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaidOver {
    /// Without the names of leases.
    pub beneath: LinkNames,
    /// With them.
    pub written: LinkNames,
}

impl LeasedNames {
    /// Lays names over what is configured; `None` where somebody else keeps the resolver.
    ///
    /// *Shape*: `beneath` is what is configured, `others` are the devices of networks that do not own the default route: with
    /// systemd-resolved, what one of them is asked for all names is out of force meanwhile.
    pub(super) fn over(beneath: &ResolverState, meant: &NamesMeant, others: &BTreeSet<IfName>) -> Option<Self> {
        let NamesMeant { device, names } = meant;
        let place = match beneath.mechanism()? {
            ResolverMechanism::File => {
                LeasedPlace::File { beneath: beneath.text.clone(), written: beneath.with_names(names) }
            }
            ResolverMechanism::SystemdResolved => {
                let has = |link: &IfName| of(beneath, link);
                let out = others
                    .iter()
                    .filter(|link| *link != device && !names.servers.is_empty() && has(link).are_for_all());
                let laid = |link: &IfName| {
                    let beneath = has(link);
                    let written = if link == device { beneath.with(names) } else { LinkNames::default() };
                    (link.clone(), LaidOver { beneath, written })
                };
                LeasedPlace::Links { device: device.clone(), links: out.chain([device]).map(laid).collect() }
            }
        };
        Some(Self { servers: names.servers.clone(), search: names.search.clone(), place })
    }

    /// Tells whether these are the names, in the place where the resolver has them.
    pub(super) fn means(&self, meant: &NamesMeant, observed: &ResolverState) -> bool {
        let same = self.servers == meant.names.servers && self.search == meant.names.search;
        same && match &self.place {
            LeasedPlace::File { .. } => observed.mechanism() == Some(ResolverMechanism::File),
            LeasedPlace::Links { device, .. } => {
                observed.mechanism() == Some(ResolverMechanism::SystemdResolved) && *device == meant.device
            }
        }
    }

    /// Tells whether the names are in force, so that what is beneath is known: nobody else has written since.
    pub(super) fn is_in(&self, observed: &ResolverState) -> bool {
        match &self.place {
            LeasedPlace::File { written, .. } => observed.keeper.is_none() && observed.text.as_ref() == Some(written),
            LeasedPlace::Links { device, links } => {
                observed.links.is_some() && links.get(device).is_some_and(|laid| of(observed, device) == laid.written)
            }
        }
    }

    /// Tells whether systemd-resolved has lost what it was told of the device, as when that was made anew.
    pub(super) fn is_lost(&self, observed: &ResolverState) -> bool {
        match &self.place {
            LeasedPlace::File { .. } => false,
            LeasedPlace::Links { device, .. } => observed.links.is_some() && of(observed, device).is_empty(),
        }
    }

    /// Returns what is configured, where these names may be over it.
    pub(super) fn beneath(&self, observed: ResolverState) -> ResolverState {
        let is_in = self.is_in(&observed);
        if !is_in && !self.is_lost(&observed) {
            return observed;
        }
        let (leased, leased_search) =
            if is_in { (self.servers.clone(), self.search.clone()) } else { (Vec::new(), Vec::new()) };
        match &self.place {
            LeasedPlace::File { beneath, .. } => {
                ResolverState { text: beneath.clone(), leased, leased_search, ..observed }
            }
            LeasedPlace::Links { links, .. } => {
                let mut all = observed.links.clone().unwrap_or_default();
                for (link, laid) in links.iter().filter(|(link, laid)| of(&observed, link) == laid.written) {
                    all.insert(link.clone(), laid.beneath.clone());
                }
                all.retain(|_, names| !names.is_empty());
                ResolverState { links: Some(all), leased, leased_search, ..observed }
            }
        }
    }

    /// Returns the same with what a step of a plan writes beneath; `None` where the step is about something else.
    pub(super) fn with_beneath(&self, step: &ResolverStep, observed: &ResolverState) -> Option<Self> {
        let meant = |device: &IfName| {
            let names = ResolverNames { servers: self.servers.clone(), search: self.search.clone() };
            NamesMeant { device: device.clone(), names }
        };
        let place = match (&self.place, step) {
            (LeasedPlace::File { .. }, ResolverStep::Write { text }) if self.is_in(observed) => {
                let beneath = ResolverState { text: text.clone(), ..ResolverState::default() };
                let names = ResolverNames { servers: self.servers.clone(), search: self.search.clone() };
                LeasedPlace::File { beneath: text.clone(), written: beneath.with_names(&names) }
            }
            (LeasedPlace::Links { device, links }, ResolverStep::SetLink { link, names }) => {
                let laid = links.get(link).filter(|laid| of(observed, link) == laid.written)?;
                let written = if link == device { names.with(&meant(device).names) } else { laid.written.clone() };
                let mut links = links.clone();
                links.insert(link.clone(), LaidOver { beneath: names.clone(), written });
                LeasedPlace::Links { device: device.clone(), links }
            }
            (LeasedPlace::File { .. } | LeasedPlace::Links { .. }, _) => return None,
        };
        Some(Self { place, ..self.clone() })
    }
}

/// Returns the steps from what is over the configured names now to what is to be: what nobody else has written since is put
/// back or written over.
pub(super) fn steps(
    before: Option<&LeasedNames>,
    now: Option<&LeasedNames>,
    observed: &ResolverState,
) -> Vec<ResolverStep> {
    let mut steps = Vec::new();
    let back = before.filter(|before| before.is_in(observed)).map(|before| &before.place);
    match (now.map(|now| &now.place), back) {
        (Some(LeasedPlace::File { written, .. }), _) => {
            steps.push(ResolverStep::Write { text: Some(written.clone()) });
        }
        (None, Some(LeasedPlace::File { beneath, .. })) => steps.push(ResolverStep::Write { text: beneath.clone() }),
        (Some(LeasedPlace::Links { .. }) | None, _) => {}
    }
    let links = |place: Option<&LeasedNames>| match place.map(|names| &names.place) {
        Some(LeasedPlace::Links { links, .. }) => links.clone(),
        Some(LeasedPlace::File { .. }) | None => BTreeMap::new(),
    };
    let (before, now) = (links(before), links(now));
    let mut wanted: BTreeMap<&IfName, &LinkNames> = before
        .iter()
        .filter(|(link, laid)| of(observed, link) == laid.written)
        .map(|(link, laid)| (link, &laid.beneath))
        .collect();
    wanted.extend(now.iter().map(|(link, laid)| (link, &laid.written)));
    let differing = wanted.into_iter().filter(|(link, names)| of(observed, link) != **names);
    steps.extend(differing.map(|(link, names)| ResolverStep::SetLink { link: link.clone(), names: names.clone() }));
    steps
}

/// Returns what systemd-resolved has for a device.
fn of(state: &ResolverState, link: &IfName) -> LinkNames {
    state.links.as_ref().and_then(|links| links.get(link)).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> IfName {
        IfName::parse(text).unwrap()
    }

    fn names(servers: &[&str], search: &[&str]) -> ResolverNames {
        ResolverNames {
            servers: servers.iter().map(|text| text.parse().unwrap()).collect(),
            search: search.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn resolved(links: &[(&str, LinkNames)]) -> ResolverState {
        let links = links.iter().map(|(link, names)| (name(link), names.clone())).collect();
        ResolverState { links: Some(links), ..ResolverState::default() }
    }

    /// Performs steps as systemd-resolved would.
    fn told(mut state: ResolverState, steps: &[ResolverStep]) -> ResolverState {
        for step in steps {
            match (step, &mut state.links) {
                (ResolverStep::Write { text }, _) => state.text.clone_from(text),
                (ResolverStep::SetLink { link, names }, Some(links)) => {
                    links.insert(link.clone(), names.clone());
                    links.retain(|_, names| !names.is_empty());
                }
                (ResolverStep::SetLink { .. }, None) => panic!("no systemd-resolved here"),
            }
        }
        state
    }

    #[test]
    fn with_systemd_resolved_a_leases_names_are_over_those_of_every_network_and_go_without_a_trace() {
        let foreign = LinkNames { domains: Vec::new(), ..LinkNames::for_all_names(&names(&["198.51.100.53"], &[])) };
        let earlier = LinkNames::for_all_names(&names(&["203.0.113.53"], &["old.example"]));
        let before = resolved(&[("eth9", foreign.clone()), ("green", earlier.clone())]);
        let meant = NamesMeant { device: name("blue"), names: names(&["192.0.2.2"], &["lab.example"]) };
        let others = BTreeSet::from([name("green"), name("red")]);

        let over = LeasedNames::over(&before, &meant, &others).unwrap();
        let laid = told(before.clone(), &steps(None, Some(&over), &before));
        let blue = LinkNames::for_all_names(&meant.names);
        assert_eq!(laid, resolved(&[("blue", blue), ("eth9", foreign.clone())]));
        assert!(over.is_in(&laid) && over.means(&meant, &laid) && !over.is_lost(&laid));
        let seen = over.beneath(laid.clone());
        assert_eq!((seen.links.clone(), seen.in_force()), (before.links.clone(), vec!["192.0.2.2".to_owned()]));
        assert_eq!(seen.search_in_force(), ["lab.example"]);
        assert_eq!(steps(Some(&over), Some(&over), &laid), []);
        assert_eq!(told(laid.clone(), &steps(Some(&over), None, &laid)), before);

        // A plan's step is beneath, as it is for the device that was put out of force.
        let named = LinkNames::for_all_names(&names(&["192.0.2.99"], &["corp.example"]));
        let step = ResolverStep::SetLink { link: name("blue"), names: named.clone() };
        let beneath = over.with_beneath(&step, &laid).unwrap();
        assert_eq!(steps(Some(&over), Some(&beneath), &laid), [], "the lease's names are in force as before");
        let out = ResolverStep::SetLink { link: name("green"), names: LinkNames::default() };
        let beneath = beneath.with_beneath(&out, &laid).unwrap();
        let ended = told(laid.clone(), &steps(Some(&beneath), None, &laid));
        assert_eq!(ended, resolved(&[("blue", named), ("eth9", foreign.clone())]));
        let theirs = ResolverStep::SetLink { link: name("eth9"), names: LinkNames::default() };
        assert_eq!(over.with_beneath(&theirs, &laid), None);

        // Made anew, the device has lost them; told otherwise, it is somebody else's.
        let anew = resolved(&[("eth9", foreign.clone())]);
        assert!(over.is_lost(&anew) && !over.is_in(&anew));
        assert_eq!(over.beneath(anew), before, "what was put out of force is not forgotten");
        let theirs = resolved(&[("blue", earlier.clone())]);
        assert!(!over.is_lost(&theirs) && over.beneath(theirs.clone()) == theirs);
        let back = ResolverStep::SetLink { link: name("green"), names: earlier };
        assert_eq!(steps(Some(&over), None, &theirs), [back], "what others have written stays, the rest comes back");
    }

    #[test]
    fn names_of_an_earlier_version_are_read() {
        let text =
            r#"{"servers":[{"address":"192.0.2.53","zone":null}],"beneath":null,"written":"nameserver 192.0.2.53\n"}"#;
        let read: LeasedNames = serde_json::from_str(text).unwrap();
        let place = LeasedPlace::File { beneath: None, written: "nameserver 192.0.2.53\n".to_owned() };
        assert_eq!(read, LeasedNames { servers: vec!["192.0.2.53".parse().unwrap()], search: Vec::new(), place });
        let links = LeasedNames { place: LeasedPlace::Links { device: name("blue"), links: BTreeMap::new() }, ..read };
        let written = serde_json::to_string(&links).unwrap();
        assert_eq!(serde_json::from_str::<LeasedNames>(&written).unwrap(), links);
    }
}

//! Keeping: what of a host is not as agreed although nobody asked for that, and the way back.
//!
//! What is compared is the same target as a request's, and the way is made of the same steps. Three things differ.
//! Only what was lost or altered is brought back: an address or a default route that somebody added beside ours is
//! told as drift, and stays. What cannot come back now, as where its NIC is missing, keeps nothing else from coming
//! back. And it can be one kind of thing alone ([`DriftKind`]).

mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use trestle_model::{
    BondSpec, Code, DriftKind, Finding, Findings, HostConfig, HostState, IfName, NetworkName, Severity,
};

use self::part::{Narrowing, Purpose, Share, entry_port, merged};
use crate::census::Census;
use crate::composition::{Ground, baselines, compose_bond, compose_nic, compose_one};
use crate::drift::verify_on;
use crate::target::KindTarget;
use crate::validation::{bond_surroundings, function_obstacle, missing_nic, surroundings};
use crate::{Drift, Plan, Snapshot, Target, steps_towards};

/// How many ports of one network a repair's findings tell one by one.
const PORTS_TOLD: usize = 8;

/// What a part of a host's configuration is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A network, and what it stands on.
    Network(NetworkName),
    /// A bond and its ports.
    Bond(IfName),
    /// What is set on a NIC itself.
    Nic(IfName),
    /// The port of a guest in the bridge of a network whose MAC table libvirt manages, with the guest's entries there: each
    /// is lost and repaired by itself, so that one that is fought over keeps no other from coming back.
    Port {
        /// The network.
        network: NetworkName,
        /// The tap.
        tap: IfName,
    },
}

/// One kind of thing of one network, bond or NIC: what is lost, and repaired, as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thing {
    /// Whose it is.
    pub subject: Subject,
    /// What it is.
    pub kind: DriftKind,
}

/// Something that is not as agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What it is.
    pub thing: Thing,
    /// What differs.
    pub drift: Vec<Drift>,
    /// Why it cannot be repaired now; `None` where it can.
    pub obstacle: Option<String>,
}

/// Tells what of `running` was lost or altered, ordered by thing; empty on a host that is as agreed.
pub fn losses(running: &HostConfig, observed: &HostState) -> Vec<Loss> {
    losses_on(&Keeping::new(running, &Census::of(observed)))
}

fn losses_on(keeping: &Keeping<'_>) -> Vec<Loss> {
    let ground = Ground::of(keeping.running, keeping.census);
    let mut losses = Vec::new();
    for subject in keeping.subjects() {
        // All that is configured, so that a NIC that is missing shows.
        let target = keeping.target(keeping.running, &ground, &subject);
        if verify_on(&target, keeping.census).is_empty() {
            continue;
        }
        for kind in DriftKind::ALL.into_iter().filter(|kind| subject.can_lose(*kind)) {
            let thing = Thing { subject: subject.clone(), kind };
            losses.extend(keeping.loss(&ground, &target, thing, Share::Own));
        }
        if let Subject::Network(network) = &subject {
            for tap in keeping.guarded_ports(&target) {
                let ports = BTreeSet::from([tap.clone()]);
                let port = Subject::Port { network: network.clone(), tap };
                let thing = Thing { subject: port, kind: DriftKind::MacTables };
                losses.extend(keeping.loss(&ground, &target, thing, Share::Ports(&ports)));
            }
        }
    }
    losses.sort_by(|a, b| a.thing.cmp(&b.thing));
    losses
}

/// Plans the repair of some things, as far as they are lost still.
///
/// *Shape*: the findings say what was lost; there are no steps where nothing of it is to be repaired any more.
pub fn repair_plan(running: &HostConfig, observed: &HostState, things: &BTreeSet<Thing>) -> Plan {
    let census = Census::of(observed);
    let keeping = Keeping::new(running, &census);
    let is_meant = |loss: &Loss| things.contains(&loss.thing) && loss.obstacle.is_none();
    let lost: Vec<Loss> = losses_on(&keeping).into_iter().filter(is_meant).collect();
    let target = keeping.repair_target(&lost);
    let steps = steps_towards(&target, observed);
    let snapshot = Snapshot::of(observed, &target);
    let desired = HostConfig { baselines: baselines(running, running, observed), ..running.clone() };
    Plan { findings: told(&lost), steps, target, snapshot, desired }
}

/// Says what was lost: each thing, but of the ports of a network no more than [`PORTS_TOLD`], and how many more.
///
/// What says it is kept with the repair, and all guests of a network may lose their entries at once.
fn told(lost: &[Loss]) -> Findings {
    let mut findings = Vec::new();
    let mut ports = BTreeMap::<&NetworkName, usize>::new();
    for loss in lost {
        if let Subject::Port { network, .. } = &loss.thing.subject {
            let count = ports.entry(network).or_default();
            *count += 1;
            if *count > PORTS_TOLD {
                continue;
            }
        }
        findings.push(loss.finding());
    }
    for (network, more) in
        ports.into_iter().filter_map(|(network, count)| Some((network, count.checked_sub(PORTS_TOLD)?)))
    {
        if more > 0 {
            let message = format!("{}: and {more} more ports", DriftKind::MacTables);
            findings.push(Finding::info(Code::DriftFound, "", message).about(Subject::Network(network.clone())));
        }
    }
    Findings(findings)
}

/// A configuration on a host that may lack some of what it needs.
struct Keeping<'a> {
    running: &'a HostConfig,
    /// The same without the ports of bonds that cannot be had now.
    possible: HostConfig,
    /// Bridges whose MAC tables libvirt manages.
    managed: BTreeSet<IfName>,
    census: &'a Census<'a>,
}

impl<'a> Keeping<'a> {
    fn new(running: &'a HostConfig, census: &'a Census<'a>) -> Self {
        let mut possible = running.clone();
        for entry in possible.bonds.values_mut() {
            let bond = BondSpec { nics: Vec::new(), ..entry.spec.clone() };
            let of_bond = against(&bond, census).len();
            entry.spec.nics.retain(|nic| {
                let with_nic = BondSpec { nics: vec![nic.clone()], ..bond.clone() };
                against(&with_nic, census).len() == of_bond
            });
        }
        let managed = running.specs().filter(|spec| spec.is_managed()).filter_map(|spec| spec.bridge());
        Self { running, possible, managed: managed.map(|bridge| bridge.name.clone()).collect(), census }
    }

    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let networks = self.running.networks.keys().cloned().map(Subject::Network);
        let bonds = self.running.bonds.keys().cloned().map(Subject::Bond);
        networks.chain(bonds).chain(self.running.nics.keys().cloned().map(Subject::Nic))
    }

    fn target(&self, config: &HostConfig, ground: &Ground<'_>, subject: &Subject) -> Target {
        match subject {
            Subject::Network(name) | Subject::Port { network: name, .. } => compose_one(config, ground, name),
            Subject::Bond(name) => {
                let mut links = compose_bond(config, ground, name).links;
                let nics = config.bonds.get(name).map(|entry| entry.spec.nics.as_slice()).unwrap_or_default();
                // What stands on it is kept as a network's, and a port that somebody added is left in it.
                links.retain(|link, _| link == name || nics.contains(link));
                Target { links, ..Target::default() }
            }
            Subject::Nic(name) => compose_nic(config, ground, name),
        }
    }

    fn narrowed(&self, target: &Target, kinds: &BTreeSet<DriftKind>, purpose: Purpose, share: Share<'_>) -> Target {
        Narrowing { kinds, purpose, share, managed: &self.managed, census: self.census }.of(target)
    }

    /// Returns a thing with what of it differs, if something does.
    fn loss(&self, ground: &Ground<'_>, target: &Target, thing: Thing, share: Share<'_>) -> Option<Loss> {
        let part = self.narrowed(target, &BTreeSet::from([thing.kind]), Purpose::Compare, share);
        let drift = verify_on(&part, self.census);
        if drift.is_empty() {
            return None;
        }
        let obstacle = self.obstacle(ground, &thing, &drift);
        Some(Loss { thing, drift, obstacle })
    }

    /// Returns the ports of guests that have a part in a MAC table; none where all of them are as they are to be.
    fn guarded_ports(&self, target: &Target) -> BTreeSet<IfName> {
        let guests = target.present().filter(|(_, wanted)| wanted.kind == KindTarget::Guest).map(|(name, _)| name);
        let port = |entry| entry_port(entry, self.census).filter(|port| **port != entry.bridge);
        let ports: BTreeSet<IfName> = guests.chain(target.fdb.iter().filter_map(port)).cloned().collect();
        let tables = BTreeSet::from([DriftKind::MacTables]);
        let part = self.narrowed(target, &tables, Purpose::Compare, Share::Ports(&ports));
        if verify_on(&part, self.census).is_empty() { BTreeSet::new() } else { ports }
    }

    fn repair_target(&self, lost: &[Loss]) -> Target {
        let ground = Ground::of(self.running, self.census);
        let mut kinds = BTreeMap::<Subject, (BTreeSet<DriftKind>, BTreeSet<IfName>)>::new();
        for Loss { thing, .. } in lost {
            match &thing.subject {
                Subject::Network(_) | Subject::Bond(_) | Subject::Nic(_) => {
                    kinds.entry(thing.subject.clone()).or_default().0.insert(thing.kind);
                }
                Subject::Port { network, tap } => {
                    kinds.entry(Subject::Network(network.clone())).or_default().1.insert(tap.clone());
                }
            }
        }
        let tables = BTreeSet::from([DriftKind::MacTables]);
        let part = |(subject, (kinds, ports)): (Subject, (BTreeSet<DriftKind>, BTreeSet<IfName>))| {
            let target = self.target(&self.possible, &ground, &subject);
            let own = self.narrowed(&target, &kinds, Purpose::Mend, Share::Own);
            [own, self.narrowed(&target, &tables, Purpose::Mend, Share::Ports(&ports))]
        };
        merged(kinds.into_iter().flat_map(part))
    }

    /// Returns why a thing cannot be repaired now.
    fn obstacle(&self, ground: &Ground<'_>, thing: &Thing, drift: &[Drift]) -> Option<String> {
        let mut findings = self.findings(&thing.subject);
        findings.retain(|finding| finding.severity == Severity::Error && stands_against(thing.kind, finding.code));
        if let Some(finding) = findings.first() {
            return Some(finding.message.clone());
        }
        if matches!(thing.subject, Subject::Port { .. }) {
            return None;
        }
        let target = self.target(&self.possible, ground, &thing.subject);
        let mendable = self.narrowed(&target, &BTreeSet::from([thing.kind]), Purpose::Mend, Share::Own);
        if !verify_on(&mendable, self.census).is_empty() {
            return None;
        }
        Some(drift.first().map_or_else(String::new, |drift| format!("no step mends it: {drift}")))
    }

    fn findings(&self, subject: &Subject) -> Vec<Finding> {
        match subject {
            Subject::Network(name) | Subject::Port { network: name, .. } => {
                let mut findings = Vec::new();
                if let Some(entry) = self.running.networks.get(name) {
                    surroundings(&entry.spec, "", &self.possible, self.census, &BTreeSet::new(), &mut findings);
                }
                findings
            }
            Subject::Bond(name) => {
                let Some(entry) = self.possible.bonds.get(name) else { return Vec::new() };
                let mut findings = against(&entry.spec, self.census);
                if entry.spec.nics.is_empty() {
                    let message = format!("none of the NICs of bond {name} can be had");
                    findings.push(Finding::error(Code::NicNotFound, "", message).about(name));
                }
                findings
            }
            // What its driver does not take shows as drift that no step mends.
            Subject::Nic(name) => {
                let count = self.running.nics.get(name).and_then(|entry| entry.spec.vfs);
                let used = count.and_then(|count| function_obstacle(name, count, &[self.running], self.census.state));
                missing_nic(name, self.census.state).into_iter().chain(used).collect()
            }
        }
    }
}

/// Tells whether what a finding says keeps this kind of thing from being repaired.
const fn stands_against(kind: DriftKind, code: Code) -> bool {
    match kind {
        DriftKind::Devices => !matches!(code, Code::LibvirtLacksFeature),
        // They are on a device that is there, whatever is missing below it.
        DriftKind::Addresses | DriftKind::Routing => {
            matches!(code, Code::ForeignDevice | Code::NicInUse | Code::TableTaken)
        }
        DriftKind::NameServers => false,
        DriftKind::LibvirtNetworks => matches!(code, Code::ForeignDevice | Code::LibvirtLacksFeature),
        DriftKind::MacTables => matches!(code, Code::ForeignDevice | Code::KernelLacksFeature),
    }
}

/// Returns what the host has against a bond.
fn against(bond: &BondSpec, census: &Census<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    bond_surroundings(bond, "", census.state, &mut findings);
    findings
}

impl Loss {
    fn finding(&self) -> Finding {
        let lines: Vec<String> = self.drift.iter().map(ToString::to_string).collect();
        let message = format!("{}: {}", self.thing.kind, lines.join("; "));
        Finding::info(Code::DriftFound, "", message).about(&self.thing.subject)
    }
}

impl Subject {
    /// Tells whether a kind of thing is the subject's to lose: what a port has in a MAC table is the network's.
    const fn can_lose(&self, kind: DriftKind) -> bool {
        match self {
            Self::Network(_) => true,
            Self::Bond(_) | Self::Nic(_) => !matches!(kind, DriftKind::MacTables),
            Self::Port { .. } => matches!(kind, DriftKind::MacTables),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network {name}"),
            Self::Bond(name) => write!(f, "bond {name}"),
            Self::Nic(name) => write!(f, "NIC {name}"),
            Self::Port { network, tap } => write!(f, "port {tap} of network {network}"),
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.subject)
    }
}

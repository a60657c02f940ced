//! What every [`Host`] does, as cases that any implementation can be put through: a fake, a namespace, a machine.
//!
//! A case performs steps, each of them twice since every step is idempotent, reads the host and compares. It asks for
//! nothing that a real kernel and a real libvirt would not give. A case whose features the host lacks is skipped.
//! Afterwards the host is as it was, brought there by this crate's own undo.
//!
//! *Needs*: two NICs that nothing uses and that the cases may change, without addresses and outside any bridge; no
//! devices named `trcontract0` to `trcontract2`; VLAN 77 free on the first NIC; the prefixes 192.0.2.0/24,
//! 198.51.100.0/24, 203.0.113.0/24 and 2001:db8::/32 unused.

mod addresses;
mod bench;
mod bonds;
mod clients;
mod egress;
mod links;
mod networks;
mod nics;
mod ports;

use std::fmt;

use trestle_model::{Feature, HostState, IfName};

use self::bench::Bench;
use crate::Host;

/// A case of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    BridgeComesAndGoes,
    BridgeAttributesAreKept,
    BridgeFiltersByVlan,
    VlanDeviceComesAndGoes,
    MtuIsKept,
    PortsComeAndGo,
    PortFlagsAreKept,
    PortIsLocked,
    EntriesAreSetAndMoved,
    LearnedIsForgottenByPort,
    EntriesFollowVlans,
    PortsAreInVlans,
    EntryIsSticky,
    OwnEntriesComeBack,
    BondComesAndGoes,
    BondKeepsItsMac,
    BondPortsFollow,
    BondOptionsAreKept,
    BondOptionsAskForTheirTime,
    Ipv4AddressesAreOrdered,
    Ipv6IsSwitchedOffAndOn,
    AutoconfigurationIsKept,
    RoutesAreKept,
    SourceRoutesAndRulesAreKept,
    DownDropsRoutes,
    EgressIsShaped,
    NicsAreSet,
    ClientsComeAndGo,
    FailureTellsItsPosition,
    LibvirtNetworkComesAndGoes,
    LibvirtDefinitionIsRestored,
    LibvirtManagesMacTable,
}

impl Case {
    const ALL: [Self; 32] = [
        Self::BridgeComesAndGoes,
        Self::BridgeAttributesAreKept,
        Self::BridgeFiltersByVlan,
        Self::VlanDeviceComesAndGoes,
        Self::MtuIsKept,
        Self::PortsComeAndGo,
        Self::PortFlagsAreKept,
        Self::PortIsLocked,
        Self::EntriesAreSetAndMoved,
        Self::LearnedIsForgottenByPort,
        Self::EntriesFollowVlans,
        Self::PortsAreInVlans,
        Self::EntryIsSticky,
        Self::OwnEntriesComeBack,
        Self::BondComesAndGoes,
        Self::BondKeepsItsMac,
        Self::BondPortsFollow,
        Self::BondOptionsAreKept,
        Self::BondOptionsAskForTheirTime,
        Self::Ipv4AddressesAreOrdered,
        Self::Ipv6IsSwitchedOffAndOn,
        Self::AutoconfigurationIsKept,
        Self::RoutesAreKept,
        Self::SourceRoutesAndRulesAreKept,
        Self::DownDropsRoutes,
        Self::EgressIsShaped,
        Self::NicsAreSet,
        Self::ClientsComeAndGo,
        Self::FailureTellsItsPosition,
        Self::LibvirtNetworkComesAndGoes,
        Self::LibvirtDefinitionIsRestored,
        Self::LibvirtManagesMacTable,
    ];

    const fn needs(self) -> &'static [Feature] {
        match self {
            Self::BridgeComesAndGoes
            | Self::BridgeAttributesAreKept
            | Self::MtuIsKept
            | Self::PortsComeAndGo
            | Self::PortFlagsAreKept
            | Self::EntriesAreSetAndMoved
            | Self::LearnedIsForgottenByPort
            | Self::OwnEntriesComeBack
            | Self::FailureTellsItsPosition
            | Self::LibvirtNetworkComesAndGoes
            | Self::LibvirtDefinitionIsRestored => &[Feature::Bridge],
            Self::BridgeFiltersByVlan | Self::EntriesFollowVlans | Self::PortsAreInVlans => {
                &[Feature::Bridge, Feature::BridgeVlanFiltering]
            }
            Self::VlanDeviceComesAndGoes => &[Feature::VlanDevices],
            Self::PortIsLocked => &[Feature::Bridge, Feature::PortLocked],
            Self::EntryIsSticky => &[Feature::Bridge, Feature::FdbSticky],
            Self::BondComesAndGoes
            | Self::BondKeepsItsMac
            | Self::BondPortsFollow
            | Self::BondOptionsAreKept
            | Self::BondOptionsAskForTheirTime => &[Feature::Bonding],
            Self::Ipv4AddressesAreOrdered
            | Self::Ipv6IsSwitchedOffAndOn
            | Self::AutoconfigurationIsKept
            | Self::RoutesAreKept
            | Self::DownDropsRoutes
            | Self::NicsAreSet
            | Self::ClientsComeAndGo => &[],
            Self::SourceRoutesAndRulesAreKept => &[Feature::PolicyRouting],
            Self::EgressIsShaped => &[Feature::EgressShaping],
            Self::LibvirtManagesMacTable => {
                &[Feature::Bridge, Feature::BridgeVlanFiltering, Feature::LibvirtMacTableManager]
            }
        }
    }

    const fn needs_libvirt(self) -> bool {
        matches!(
            self,
            Self::LibvirtNetworkComesAndGoes | Self::LibvirtDefinitionIsRestored | Self::LibvirtManagesMacTable
        )
    }

    /// Returns why a host cannot be put through the case, if so.
    fn obstacle(self, observed: &HostState) -> Option<String> {
        if self.needs_libvirt() && observed.libvirt.is_none() {
            return Some("the host has no libvirt".to_owned());
        }
        let missing = self.needs().iter().find(|feature| !observed.features.has(**feature))?;
        Some(format!("the host lacks {missing}: {:?}", observed.features.support(*missing)))
    }

    async fn run<H: Host>(self, bench: &Bench<'_, H>) -> Result<(), String> {
        match self {
            Self::BridgeComesAndGoes => links::bridge_comes_and_goes(bench).await,
            Self::BridgeAttributesAreKept => links::bridge_attributes_are_kept(bench).await,
            Self::BridgeFiltersByVlan => links::bridge_filters_by_vlan(bench).await,
            Self::VlanDeviceComesAndGoes => links::vlan_device_comes_and_goes(bench).await,
            Self::MtuIsKept => links::mtu_is_kept(bench).await,
            Self::PortsComeAndGo => ports::ports_come_and_go(bench).await,
            Self::PortFlagsAreKept => ports::port_flags_are_kept(bench).await,
            Self::PortIsLocked => ports::port_is_locked(bench).await,
            Self::EntriesAreSetAndMoved => ports::entries_are_set_and_moved(bench).await,
            Self::LearnedIsForgottenByPort => ports::learned_is_forgotten_by_port(bench).await,
            Self::EntriesFollowVlans => ports::entries_follow_vlans(bench).await,
            Self::PortsAreInVlans => ports::are_in_vlans(bench).await,
            Self::EntryIsSticky => ports::entry_is_sticky(bench).await,
            Self::OwnEntriesComeBack => ports::own_entries_come_back(bench).await,
            Self::BondComesAndGoes => bonds::bond_comes_and_goes(bench).await,
            Self::BondKeepsItsMac => bonds::bond_keeps_its_mac(bench).await,
            Self::BondPortsFollow => bonds::ports_follow(bench).await,
            Self::BondOptionsAreKept => bonds::options_are_kept(bench).await,
            Self::BondOptionsAskForTheirTime => bonds::options_ask_for_their_time(bench).await,
            Self::Ipv4AddressesAreOrdered => addresses::ipv4_addresses_are_ordered(bench).await,
            Self::Ipv6IsSwitchedOffAndOn => addresses::ipv6_is_switched_off_and_on(bench).await,
            Self::AutoconfigurationIsKept => addresses::autoconfiguration_is_kept(bench).await,
            Self::RoutesAreKept => addresses::routes_are_kept(bench).await,
            Self::SourceRoutesAndRulesAreKept => addresses::source_routes_and_rules_are_kept(bench).await,
            Self::DownDropsRoutes => addresses::down_drops_routes(bench).await,
            Self::EgressIsShaped => egress::egress_is_shaped(bench).await,
            Self::NicsAreSet => nics::nics_are_set(bench).await,
            Self::ClientsComeAndGo => clients::clients_come_and_go(bench).await,
            Self::FailureTellsItsPosition => links::failure_tells_its_position(bench).await,
            Self::LibvirtNetworkComesAndGoes => networks::network_comes_and_goes(bench).await,
            Self::LibvirtDefinitionIsRestored => networks::definition_is_restored(bench).await,
            Self::LibvirtManagesMacTable => networks::manages_mac_table(bench).await,
        }
    }
}

/// How a host fared in a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The case's name.
    pub case: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The host did as it should.
    Passed,
    /// The host cannot be put through it, and why.
    Skipped(String),
    /// The host did otherwise, and how.
    Failed(String),
}

/// Puts a host through every case, one after the other.
///
/// *Shape*: one result a case, always the same cases. *Cancel safety*: none; a host dropped mid-way stays changed.
pub async fn run<H: Host>(host: &H, nics: &[IfName; 2]) -> Vec<CaseResult> {
    let mut results = Vec::new();
    for case in Case::ALL {
        let verdict = verdict(case, host, nics).await;
        results.push(CaseResult { case: format!("{case:?}"), verdict });
    }
    results
}

/// Puts a host through every case, tells on standard error what was skipped, and panics if a case failed.
pub async fn check<H: Host>(host: &H, nics: &[IfName; 2]) {
    let results = run(host, nics).await;
    for result in &results {
        if matches!(result.verdict, Verdict::Skipped(_)) {
            eprintln!("{result}");
        }
    }
    let failed: Vec<String> =
        results.iter().filter(|result| matches!(result.verdict, Verdict::Failed(_))).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn verdict<H: Host>(case: Case, host: &H, nics: &[IfName; 2]) -> Verdict {
    let observed = match host.observe().await {
        Ok(observed) => observed,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    if let Some(obstacle) = case.obstacle(&observed) {
        return Verdict::Skipped(obstacle);
    }
    let bench = match Bench::new(host, nics, observed) {
        Ok(bench) => bench,
        Err(fault) => return Verdict::Failed(fault),
    };
    let outcome = case.run(&bench).await;
    match (outcome, bench.clear().await) {
        (Ok(()), Ok(())) => Verdict::Passed,
        (Err(fault), Ok(())) => Verdict::Failed(fault),
        (Ok(()), Err(left)) => Verdict::Failed(format!("not cleared: {left}")),
        (Err(fault), Err(left)) => Verdict::Failed(format!("{fault}; not cleared: {left}")),
    }
}

impl fmt::Display for CaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Passed => write!(f, "{}: passed", self.case),
            Verdict::Skipped(reason) => write!(f, "{}: skipped, {reason}", self.case),
            Verdict::Failed(reason) => write!(f, "{}: failed, {reason}", self.case),
        }
    }
}

//! The fake libvirt: definitions, what runs of them, and the guests.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    Bandwidth, Domain, DomainInterface, DomainPersistence, DomainState, Feature, FeatureSet, GuestInterface, IfName,
    LibvirtNetwork, LibvirtState, LinkKind, MacTableManager, NetworkForm,
};
use trestle_plan::{BridgeChange, LibvirtStep, NetworkDefinition};
use uuid::Uuid;

use crate::kernel::{Answer, Kernel};

/// libvirt's networks and guests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Libvirt {
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) guests: Vec<GuestInterface>,
    /// Domains that are more than their guests' taps, by UUID.
    pub(crate) records: BTreeMap<Uuid, DomainRecord>,
    /// Network filters.
    pub(crate) filters: BTreeSet<String>,
    /// Every interface that was told in detail: its text is its position.
    pub(crate) texts: Vec<DomainInterface>,
    defined: u128,
    taps: usize,
}

/// A domain in detail.
#[derive(Debug, Clone)]
pub(crate) struct DomainRecord {
    pub(crate) name: String,
    pub(crate) state: DomainState,
    /// What it has while it runs.
    pub(crate) live: Option<Vec<DomainInterface>>,
    /// What it will start with.
    pub(crate) defined: Option<Vec<DomainInterface>>,
    /// Whether its guest releases no device.
    pub(crate) is_stubborn: bool,
}

/// A network: as it is defined, and as it runs.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    definition: Definition,
    live: Option<Definition>,
    autostart: bool,
    persistent: bool,
}

/// What a network's XML says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) forward: String,
    pub(crate) bridge: Option<String>,
    pub(crate) mac_table_manager: MacTableManager,
    pub(crate) owner: Option<String>,
}

/// Makes domains of `guests`, which are ordered: each is persistent, and plainly wired.
fn domains(guests: &[GuestInterface]) -> Vec<Domain> {
    let of_one = |a: &GuestInterface, b: &GuestInterface| (&a.domain, a.domain_uuid) == (&b.domain, b.domain_uuid);
    let domain = |guests: &[GuestInterface]| {
        let first = guests.first()?;
        let state = match (first.running, &first.tap) {
            (true, _) => DomainState::Running,
            (false, Some(_)) => DomainState::Paused,
            (false, None) => DomainState::ShutOff,
        };
        Some(Domain {
            name: first.domain.clone(),
            uuid: first.domain_uuid,
            state,
            persistence: DomainPersistence::Persistent,
            interfaces: guests.iter().map(interface).collect(),
        })
    };
    guests.chunk_by(of_one).filter_map(domain).collect()
}

fn interface(guest: &GuestInterface) -> DomainInterface {
    DomainInterface {
        mac: guest.mac,
        attachment: if guest.bridge.is_some() { "bridge" } else { "network" }.to_owned(),
        network: guest.network.clone(),
        bridge: guest.bridge.clone(),
        tap: guest.tap.clone(),
        filter: None,
        model: None,
        mtu: None,
        linked: true,
        alias: None,
        isolated: false,
        bandwidth: Bandwidth::default(),
    }
}

impl Definition {
    fn form(&self) -> NetworkForm {
        NetworkForm {
            bridge: self.bridge.clone(),
            forward: self.forward.clone(),
            mac_table_manager: self.mac_table_manager,
        }
    }
}

impl Libvirt {
    pub(crate) fn state(&self) -> LibvirtState {
        let networks = self.networks.iter().map(|(name, network)| {
            let definition = &network.definition;
            // A running network that was defined anew still is what it was when it started.
            let in_force = network.live.as_ref().unwrap_or(definition);
            let network = LibvirtNetwork {
                name: name.clone(),
                uuid: definition.uuid,
                bridge: in_force.bridge.clone(),
                forward: in_force.forward.clone(),
                mac_table_manager: in_force.mac_table_manager,
                redefined: (in_force.form() != definition.form()).then(|| definition.form()),
                active: network.live.is_some(),
                autostart: network.autostart,
                persistent: network.persistent,
                owner: definition.owner.clone(),
                xml: definition.xml(),
            };
            (name.clone(), network)
        });
        let mut guests = self.guests.clone();
        guests.sort();
        let mut domains = domains(&guests);
        domains.retain(|domain| !self.records.contains_key(&domain.uuid));
        domains.extend(self.records.iter().map(|(uuid, record)| record.domain(*uuid)));
        domains.sort();
        LibvirtState { networks: networks.collect(), domains, guests }
    }

    pub(crate) fn perform(&mut self, step: &LibvirtStep, kernel: &mut Kernel, features: &FeatureSet) -> Answer {
        match step {
            LibvirtStep::Define(definition) => self.define_ours(definition, features),
            LibvirtStep::DefineXml { name, xml } => {
                let definition = Definition::read(xml).ok_or_else(|| "XML error".to_owned())?;
                if definition.name != *name {
                    return Err(format!("XML error: the network is called {}, not {name}", definition.name));
                }
                self.define(definition, features)
            }
            LibvirtStep::Start { name } => self.start(name, kernel, features),
            LibvirtStep::Stop { name } => {
                if let Some(network) = self.networks.get_mut(name) {
                    network.live = None;
                    if !network.persistent {
                        self.networks.remove(name);
                    }
                }
                Ok(())
            }
            LibvirtStep::Undefine { name } => {
                match self.networks.get_mut(name) {
                    Some(network) if network.live.is_some() => network.persistent = false,
                    Some(_) => drop(self.networks.remove(name)),
                    None => {}
                }
                Ok(())
            }
            LibvirtStep::SetAutostart { name, autostart } => {
                let network = self.networks.get_mut(name).ok_or_else(|| not_found(name))?;
                if !network.persistent {
                    return Err("cannot set autostart for transient network".to_owned());
                }
                network.autostart = *autostart;
                Ok(())
            }
        }
    }

    fn define_ours(&mut self, wanted: &NetworkDefinition, features: &FeatureSet) -> Answer {
        // The edge finds the UUID of a network that has the name: libvirt itself would refuse the definition.
        let existing = self.networks.get(&wanted.name).map(|network| network.definition.uuid);
        let uuid = wanted.uuid.or(existing).unwrap_or_else(|| self.new_uuid());
        let definition = Definition {
            name: wanted.name.clone(),
            uuid,
            forward: "bridge".to_owned(),
            bridge: Some(wanted.bridge.to_string()),
            mac_table_manager: wanted.mac_table_manager,
            owner: Some(wanted.owner.clone()),
        };
        self.define(definition, features)
    }

    pub(crate) fn define(&mut self, definition: Definition, features: &FeatureSet) -> Answer {
        if definition.mac_table_manager == MacTableManager::Libvirt && !features.has(Feature::LibvirtMacTableManager) {
            return Err("XML error: Invalid macTableManager setting 'libvirt'".to_owned());
        }
        if let Some(other) = self.networks.values().find(|n| n.definition.uuid == definition.uuid)
            && other.definition.name != definition.name
        {
            let name = &other.definition.name;
            return Err(format!("operation failed: network '{name}' is already defined with uuid {}", definition.uuid));
        }
        match self.networks.get_mut(&definition.name) {
            Some(network) if network.definition.uuid != definition.uuid => Err(format!(
                "operation failed: network '{}' already exists with uuid {}",
                definition.name, network.definition.uuid
            )),
            Some(network) => {
                network.definition = definition;
                network.persistent = true;
                Ok(())
            }
            None => {
                let name = definition.name.clone();
                self.networks.insert(name, Network { definition, live: None, autostart: false, persistent: true });
                Ok(())
            }
        }
    }

    pub(crate) fn start(&mut self, name: &str, kernel: &mut Kernel, features: &FeatureSet) -> Answer {
        let network = self.networks.get_mut(name).ok_or_else(|| not_found(name))?;
        if network.live.is_some() {
            return Ok(());
        }
        let definition = &network.definition;
        if definition.mac_table_manager == MacTableManager::Libvirt {
            let bridge = definition.bridge.as_deref().unwrap_or_default();
            let change = BridgeChange { vlan_filtering: Some(true), ..BridgeChange::default() };
            let set = IfName::parse(bridge).map_err(|bad| bad.to_string());
            set.and_then(|bridge| kernel.set_bridge(&bridge, &change, features))
                .map_err(|_| format!("Unable to set bridge {bridge} vlan_filtering via ioctl: Invalid argument"))?;
        }
        network.live = Some(definition.clone());
        Ok(())
    }

    pub(crate) fn set_autostart(&mut self, name: &str) {
        if let Some(network) = self.networks.get_mut(name) {
            network.autostart = true;
        }
    }

    /// Returns what runs of a network.
    pub(crate) fn live(&self, name: &str) -> Option<&Definition> {
        self.networks.get(name)?.live.as_ref()
    }

    /// Does what libvirt does when the machine starts: no guest runs, and networks start by themselves.
    pub(crate) fn boot(&mut self, kernel: &mut Kernel, features: &FeatureSet) {
        self.networks.retain(|_, network| network.persistent);
        self.records.retain(|_, record| record.defined.is_some());
        self.records.values_mut().for_each(DomainRecord::stop);
        for guest in &mut self.guests {
            guest.tap = None;
            guest.running = false;
        }
        for network in self.networks.values_mut() {
            network.live = None;
        }
        let starting: Vec<String> =
            self.networks.iter().filter(|(_, n)| n.autostart).map(|(name, _)| name.clone()).collect();
        for name in starting {
            // libvirt logs a failure and goes on; the network stays stopped.
            let _logged = self.start(&name, kernel, features);
        }
    }

    /// Tells whether libvirt manages the MAC tables of guests that connect to a bridge through `network` now.
    pub(crate) fn manages(&self, network: Option<&str>) -> bool {
        network.and_then(|name| self.live(name)).is_some_and(|live| live.mac_table_manager == MacTableManager::Libvirt)
    }

    /// Notes that a tap was moved to another network.
    pub(crate) fn rewire(&mut self, tap: &IfName, network: &str, bridge: &str, manages: bool) {
        for guest in self.guests.iter_mut().filter(|guest| guest.tap.as_ref() == Some(tap)) {
            guest.network = Some(network.to_owned());
            guest.bridge = Some(bridge.to_owned());
            guest.mac_table_manager = if manages { MacTableManager::Libvirt } else { MacTableManager::Kernel };
        }
    }

    /// Returns the name of the next tap.
    pub(crate) fn new_tap(&mut self) -> String {
        self.taps += 1;
        format!("vnet{}", 100 + self.taps)
    }

    pub(crate) fn new_uuid(&mut self) -> Uuid {
        self.defined += 1;
        Uuid::from_u128(0x7472_6573_746c_4000_8000_0000_0000_0000 + self.defined)
    }
}

impl DomainRecord {
    fn domain(&self, uuid: Uuid) -> Domain {
        let interfaces = self.live.as_ref().or(self.defined.as_ref()).cloned().unwrap_or_default();
        let persistence = match self.defined {
            Some(_) => DomainPersistence::Persistent,
            None => DomainPersistence::Transient,
        };
        Domain { name: self.name.clone(), uuid, state: self.state, persistence, interfaces }
    }

    /// Notes that it stopped.
    pub(crate) fn stop(&mut self) {
        self.state = DomainState::ShutOff;
        self.live = None;
    }
}

impl Definition {
    fn xml(&self) -> String {
        let metadata = self.owner.as_ref().map_or_else(String::new, |owner| {
            format!("\n  <metadata>\n    <trestle:network name='{owner}'/>\n  </metadata>")
        });
        let bridge = self.bridge.as_ref().map_or_else(String::new, |bridge| {
            let manager = match self.mac_table_manager {
                MacTableManager::Kernel => "",
                MacTableManager::Libvirt => " macTableManager='libvirt'",
            };
            format!("\n  <bridge name='{bridge}'{manager}/>")
        });
        let (name, uuid, forward) = (&self.name, self.uuid, &self.forward);
        format!(
            "<network>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>{metadata}\n  <forward mode='{forward}'/>{bridge}\n</network>\n"
        )
    }

    /// Reads what [`Definition::xml`] writes.
    fn read(xml: &str) -> Option<Self> {
        let between = |before: &str, after: &str| {
            let (_, rest) = xml.split_once(before)?;
            rest.split_once(after).map(|(value, _)| value.to_owned())
        };
        let managed = xml.contains("macTableManager='libvirt'");
        Some(Self {
            name: between("<name>", "</name>")?,
            uuid: between("<uuid>", "</uuid>")?.parse().ok()?,
            forward: between("<forward mode='", "'").unwrap_or_default(),
            bridge: between("<bridge name='", "'"),
            mac_table_manager: if managed { MacTableManager::Libvirt } else { MacTableManager::Kernel },
            owner: between("<trestle:network name='", "'"),
        })
    }
}

/// Tells whether a device goes when the machine stops.
pub(crate) const fn is_software(kind: &LinkKind) -> bool {
    !matches!(kind, LinkKind::Nic | LinkKind::Loopback)
}

fn not_found(name: &str) -> String {
    format!("Network not found: no network with matching name '{name}'")
}

//! A host as single objects, each under a key: what a watch over a host tells of.

use std::collections::BTreeMap;

use crate::{
    BondReport, BridgeReport, Capabilities, Domain, IfName, KernelInfo, LibvirtInfo, MacTableReport, NetworkName,
    NetworkReport, NicReport, Outcome, PortReport, TransactionId, VlanReport,
};

/// What kind of object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// The host itself: one object, whose name is empty.
    Host,
    /// A network; its name is the network's.
    Network,
    /// A device that a network can stand on; its name is the device's.
    Nic,
    /// A bridge; its name is the device's.
    Bridge,
    /// A bond; its name is the device's.
    Bond,
    /// A VLAN device; its name is the device's.
    Vlan,
    /// A port of a bridge; its name is the device's.
    Port,
    /// The managed MAC table of a network; its name is the network's.
    MacTable,
    /// A libvirt domain; its name is the domain's.
    Domain,
    /// A transaction; its name is its id.
    Transaction,
}

/// What an object is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name among those of its kind.
    pub name: String,
}

/// An object as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostObject {
    /// The host itself.
    Host(Box<Standing>),
    /// A network, without its ports and its MAC table, which are objects of their own.
    Network(Box<NetworkReport>),
    /// A device that a network can stand on.
    Nic(Box<NicReport>),
    /// A bridge, without its ports, which are objects of their own.
    Bridge(Box<BridgeReport>),
    /// A bond, with its ports.
    Bond(Box<BondReport>),
    /// A VLAN device.
    Vlan(Box<VlanReport>),
    /// A port of a bridge.
    Port {
        /// The bridge.
        bridge: IfName,
        /// The port, and the guest behind it.
        report: Box<PortReport>,
    },
    /// A managed MAC table.
    MacTable {
        /// The network.
        network: NetworkName,
        /// The table.
        table: MacTableReport,
    },
    /// A libvirt domain, with its interfaces.
    Domain(Box<Domain>),
    /// A transaction.
    Transaction(Box<TransactionState>),
}

/// Where a host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The agent's version.
    pub agent_version: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The kernel.
    pub kernel: KernelInfo,
    /// libvirt.
    pub libvirt: LibvirtInfo,
    /// The engine's generation that the running configuration answers.
    pub generation: u64,
    /// Whether running and persistent configuration differ.
    pub dirty: bool,
    /// Hash of the running configuration.
    pub running_hash: String,
    /// Hash of the persistent configuration.
    pub persistent_hash: String,
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionState {
    /// The transaction.
    pub transaction: TransactionId,
    /// Who asked for it, as in a log.
    pub actor: String,
    /// What it does, or how it ended.
    pub stage: TransactionStage,
}

/// What a transaction does, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionStage {
    /// Its steps are being performed.
    Applying,
    /// It waits for its confirmation.
    AwaitingConfirmation,
    /// It is being undone.
    Undoing,
    /// It succeeded, and is being written down.
    Adopting,
    /// It has ended.
    Ended(Outcome),
}

impl HostObject {
    /// Returns what the object is known by.
    pub fn key(&self) -> ObjectKey {
        let (kind, name) = match self {
            Self::Host(_) => (ObjectKind::Host, String::new()),
            Self::Network(report) => (ObjectKind::Network, report.configured.spec.name.to_string()),
            Self::Nic(report) => (ObjectKind::Nic, report.name.to_string()),
            Self::Bridge(report) => (ObjectKind::Bridge, report.name.to_string()),
            Self::Bond(report) => (ObjectKind::Bond, report.name.to_string()),
            Self::Vlan(report) => (ObjectKind::Vlan, report.name.to_string()),
            Self::Port { report, .. } => (ObjectKind::Port, report.device.to_string()),
            Self::MacTable { network, .. } => (ObjectKind::MacTable, network.to_string()),
            Self::Domain(domain) => (ObjectKind::Domain, domain.name.clone()),
            Self::Transaction(state) => (ObjectKind::Transaction, state.transaction.to_string()),
        };
        ObjectKey { kind, name }
    }

    /// Takes a report apart into its objects, and adds `transactions`.
    pub fn all(
        report: Capabilities,
        transactions: impl IntoIterator<Item = TransactionState>,
    ) -> BTreeMap<ObjectKey, Self> {
        let mut objects = Vec::new();
        for mut network in report.networks {
            network.ports.clear();
            let name = network.configured.spec.name.clone();
            objects.extend(network.mac_table.take().map(|table| Self::MacTable { network: name, table }));
            objects.push(Self::Network(Box::new(network)));
        }
        for mut bridge in report.bridges {
            let ports = std::mem::take(&mut bridge.ports).into_iter();
            let name = bridge.name.clone();
            objects.extend(ports.map(|report| Self::Port { bridge: name.clone(), report: Box::new(report) }));
            objects.push(Self::Bridge(Box::new(bridge)));
        }
        objects.extend(report.nics.into_iter().map(|nic| Self::Nic(Box::new(nic))));
        objects.extend(report.bonds.into_iter().map(|bond| Self::Bond(Box::new(bond))));
        objects.extend(report.vlans.into_iter().map(|vlan| Self::Vlan(Box::new(vlan))));
        objects.extend(report.domains.into_iter().map(|domain| Self::Domain(Box::new(domain))));
        objects.extend(transactions.into_iter().map(|state| Self::Transaction(Box::new(state))));
        objects.push(Self::Host(Box::new(Standing {
            agent_version: report.agent_version,
            boot_id: report.boot_id,
            kernel: report.kernel,
            libvirt: report.libvirt,
            generation: report.generation,
            dirty: report.dirty,
            running_hash: report.running_hash,
            persistent_hash: report.persistent_hash,
        })));
        objects.into_iter().map(|object| (object.key(), object)).collect()
    }
}

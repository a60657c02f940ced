//! The entities of a fleet.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::ProfileId;
use crate::{
    Bandwidth, BondOptions, BondSpec, BridgeOptions, HostName, HostQos, IfName, Ipv4Config, Ipv6Config, MacAddr,
    MacTableManager, Mtu, NetworkName, NicLabel, ResolverNames, ResourceId, SourceMacs, Southbound, StaticRoute,
    VlanId,
};

/// What every entity has beside its own fields. The store sets it; clients never do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Unique for ever, also after a removal and a new creation under the same name.
    pub uid: Uuid,
    /// The store's revision of the last change; the etag.
    pub revision: u64,
    /// Milliseconds since the Unix epoch at creation.
    pub created_ms: u64,
    /// Milliseconds since the Unix epoch at the last change.
    pub updated_ms: u64,
    /// Free labels of the operator's.
    pub labels: BTreeMap<String, String>,
}

/// A set of hosts that carry the same networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Name.
    pub id: ResourceId,
    /// Common part.
    pub meta: Meta,
    /// What the hosts switch frames with.
    pub switch_type: SwitchType,
    /// Description, for people.
    pub description: String,
    /// Where the MACs of its VMs come from; none where each is given.
    #[serde(default)]
    pub mac_pool: Option<ResourceId>,
    /// What happens where a guest could spoof and libvirt manages the MAC table.
    #[serde(default)]
    pub mac_conflict_policy: MacConflictPolicy,
    /// What is done where a guest's interface is not what its vNIC says.
    #[serde(default)]
    pub vnic_policy: VnicPolicy,
}

/// What happens where a guest could send with a foreign MAC and libvirt manages the MAC table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacConflictPolicy {
    /// It is refused.
    #[default]
    Prevent,
    /// It is a warning that can be acknowledged, but for VMs that run.
    Warn,
}

/// What is done where a guest's interface is not what its vNIC says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VnicPolicy {
    /// Its host is told to make it so.
    #[default]
    Plug,
    /// It is told, and nothing else: somebody else plugs guests.
    Report,
}

/// What a cluster's hosts switch frames with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchType {
    /// The kernel's bridge.
    #[default]
    LinuxBridge,
    /// Open vSwitch.
    Ovs,
}

/// A logical network of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Name.
    pub id: NetworkName,
    /// Common part.
    pub meta: Meta,
    /// Description, for people.
    pub description: String,
    /// Whether guests attach to it: it has a bridge on its hosts.
    pub vm_network: bool,
    /// VLAN; none is untagged.
    pub vlan: Option<VlanId>,
    /// MTU.
    pub mtu: Mtu,
    /// Spanning tree protocol on its bridges.
    pub stp: bool,
    /// The bridge's device name on every host; none derives it from the network's name.
    pub bridge_name: Option<IfName>,
    /// Options of its bridges.
    pub bridge_options: BridgeOptions,
    /// Who manages its bridges' MAC tables.
    pub mac_table_manager: MacTableManager,
    /// What becomes of frames that guests send from MACs that are not theirs; of effect while libvirt manages the MAC tables.
    #[serde(default)]
    pub source_macs: SourceMacs,
    /// Whether guests' ports on its bridges are isolated from one another.
    #[serde(default)]
    pub port_isolation: bool,
    /// What hosts resolve names with whose default route it has; an attachment may say otherwise.
    #[serde(default)]
    pub dns: ResolverNames,
    /// What it is given of the devices that it stands on; an attachment may say otherwise.
    #[serde(default)]
    pub host_qos: Option<HostQos>,
    /// The label by which NICs and bonds of hosts get the network; none attaches it to no host by itself.
    #[serde(default)]
    pub nic_label: Option<NicLabel>,
}

impl Network {
    /// Tells whether libvirt manages its MAC tables: so configured, and there are bridges.
    pub fn is_managed(&self) -> bool {
        self.vm_network && self.mac_table_manager == MacTableManager::Libvirt
    }
}

/// A network's place in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNetwork {
    /// The cluster.
    pub cluster: ResourceId,
    /// The network.
    pub network: NetworkName,
    /// Common part.
    pub meta: Meta,
    /// Whether every host of the cluster has to carry it.
    pub required: bool,
    /// Whether it is the cluster's management network.
    pub management: bool,
    /// Whether guests move from host to host over it.
    #[serde(default)]
    pub migration: bool,
    /// Whether guests' consoles are reached over it.
    #[serde(default)]
    pub display: bool,
    /// Whether the hosts' default route goes over it.
    #[serde(default)]
    pub default_route: bool,
}

/// How a guest's virtual NIC may use a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VnicProfile {
    /// Name, unique in the network.
    pub id: ResourceId,
    /// The network; never changes.
    pub network: NetworkName,
    /// Common part.
    pub meta: Meta,
    /// Description, for people.
    pub description: String,
    /// The filter in front of the virtual NIC.
    pub filter: NetworkFilter,
    /// Parameters of the filter, by name in libvirt's order: a name comes more than once where a parameter is a list.
    #[serde(default)]
    pub filter_parameters: Vec<(String, String)>,
    /// How fast a vNIC may receive and send.
    #[serde(default)]
    pub bandwidth: Bandwidth,
    /// Whether the guest may tag its own traffic.
    pub guest_tagging: GuestTagging,
    /// How many MACs beside its own a vNIC may list.
    #[serde(default)]
    pub extra_macs_allowed: u32,
    /// How frames get from the guest to the network.
    #[serde(default)]
    pub attachment: VnicAttachment,
    /// Whether vNICs see the other guests' frames, too.
    #[serde(default)]
    pub port_mirroring: bool,
    /// Whether guests are declared to bond their vNICs, or to run VRRP or CARP.
    #[serde(default)]
    pub virtual_macs: bool,
    /// Values that are kept for hooks.
    #[serde(default)]
    pub custom: BTreeMap<String, String>,
}

impl VnicProfile {
    /// Returns the profile that carries the traffic while a virtual function is away.
    pub fn failover(&self) -> Option<&ProfileId> {
        match &self.attachment {
            VnicAttachment::Bridge => None,
            VnicAttachment::Passthrough(passthrough) => passthrough.failover.as_ref(),
        }
    }

    /// Tells whether its vNICs reach the network past the bridge.
    pub const fn is_passthrough(&self) -> bool {
        match self.attachment {
            VnicAttachment::Bridge => false,
            VnicAttachment::Passthrough(_) => true,
        }
    }
}

/// How frames get from a guest to its network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VnicAttachment {
    /// Over the network's bridge.
    #[default]
    Bridge,
    /// Past the bridge, by a virtual function of the NIC; no filter is in front of it.
    Passthrough(Passthrough),
}

/// A virtual function given to a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Passthrough {
    /// Whether virtual machines with it can move to another host.
    pub migratable: bool,
    /// The profile that carries the traffic meanwhile.
    pub failover: Option<ProfileId>,
}

/// The filter in front of a virtual NIC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFilter {
    /// Trestle's default, which stops MAC spoofing.
    #[default]
    Default,
    /// No filter: the guest may spoof.
    None,
    /// One of libvirt's filters, by name.
    Named(String),
}

/// Whether a guest may tag its own traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestTagging {
    /// It may not.
    #[default]
    None,
    /// With these VLANs.
    List(Vec<VlanId>),
    /// With any VLAN.
    Any,
    /// Nobody has said: an imported profile.
    Unspecified,
}

/// A host of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Name; the agent's certificate carries it.
    pub id: HostName,
    /// Common part.
    pub meta: Meta,
    /// The cluster that it belongs to.
    pub cluster: ResourceId,
    /// Description, for people.
    pub description: String,
    /// Whether the engine leaves the host alone.
    pub maintenance: bool,
    /// The NIC or bond that has each label.
    #[serde(default)]
    pub nic_labels: BTreeMap<NicLabel, IfName>,
}

/// A bond of a host's NICs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// The host.
    pub host: HostName,
    /// The device's name.
    pub id: IfName,
    /// Common part.
    pub meta: Meta,
    /// The NICs in it; the first gives the bond its MAC where none is given.
    pub nics: Vec<IfName>,
    /// Mode and options; what is not given takes its default.
    pub options: BondOptions,
    /// The bond's MAC; none takes that of the first NIC.
    pub hwaddr: Option<MacAddr>,
}

impl Bond {
    /// Returns the bond as its host is asked to have it.
    pub fn spec(&self) -> BondSpec {
        let Self { id, nics, options, hwaddr, .. } = self.clone();
        BondSpec { name: id, nics, options, hwaddr }
    }
}

/// A network on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAttachment {
    /// The host.
    pub host: HostName,
    /// The network.
    pub network: NetworkName,
    /// Common part.
    pub meta: Meta,
    /// The NIC or bond; none makes a bridge without an uplink. Stores of before bonds have the NIC's name alone.
    #[serde(default, alias = "nic", deserialize_with = "southbound")]
    pub southbound: Option<Southbound>,
    /// IPv4 of the host on it.
    pub ipv4: Ipv4Config,
    /// IPv6 of the host on it.
    pub ipv6: Ipv6Config,
    /// Whether its gateway is the host's default route.
    pub default_route: bool,
    /// Routes through the network beside the default one, in the order given; each destination and metric once.
    #[serde(default)]
    pub routes: Vec<StaticRoute>,
    /// What the host resolves names with; `None` takes the network's. Only with the default route.
    #[serde(default)]
    pub dns: Option<ResolverNames>,
    /// What the network is given of its device; `None` takes the network's.
    #[serde(default)]
    pub host_qos: Option<HostQos>,
    /// Values that are kept for hooks.
    #[serde(default)]
    pub custom: BTreeMap<String, String>,
    /// Who attached it; what labels attach is never stored.
    #[serde(skip)]
    pub by: AttachedBy,
}

/// Who attached a network to a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AttachedBy {
    /// An operator, by itself.
    #[default]
    Operator,
    /// A label that the network has in common with a NIC or bond of the host.
    Label(NicLabel),
}

impl AttachedBy {
    /// Tells whether a label did.
    pub const fn is_label(&self) -> bool {
        match self {
            Self::Operator => false,
            Self::Label(_) => true,
        }
    }
}

impl NetworkAttachment {
    /// Returns what the host resolves names with through `network`, its own or the network's; nothing without the default
    /// route.
    pub fn resolver_names(&self, network: &Network) -> ResolverNames {
        let wanted = self.dns.as_ref().unwrap_or(&network.dns);
        if self.default_route { wanted.clone() } else { ResolverNames::default() }
    }

    /// Returns what `network` is given of its device, its own or the network's; nothing where it stands on none.
    pub fn qos(&self, network: &Network) -> Option<HostQos> {
        self.host_qos.or(network.host_qos).filter(|_| self.southbound.is_some())
    }
}

/// Reads what a network stands on, also as the name of a NIC alone.
fn southbound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Southbound>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Nic(IfName),
        Southbound(Southbound),
    }
    let stored = Option::<Stored>::deserialize(deserializer)?;
    Ok(stored.map(|stored| match stored {
        Stored::Nic(nic) => Southbound::Nic(nic),
        Stored::Southbound(southbound) => southbound,
    }))
}

//! How a rule answers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Told, and nothing more.
    Info,
    /// Refuses the request until its code is acknowledged.
    Warning,
    /// Refuses the request.
    Error,
}

/// One answer of one rule about one subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code of the rule.
    pub code: Code,
    /// How much it weighs.
    pub severity: Severity,
    /// Path of the field in the request that it is about, `networks[0].mtu`; empty where it is about the whole.
    pub field: String,
    /// Name of the resource or device that it is about.
    pub subject: String,
    /// Other resources in the way, by name, ordered.
    pub related: Vec<String>,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it, for people; empty where there is nothing to do.
    pub remedy: String,
}

/// All findings of one request, ordered by field, code and subject.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(pub Vec<Finding>);

impl Finding {
    /// Makes an error about `field`, with no subject, related resource or remedy yet.
    pub fn error(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, field, message)
    }

    /// Makes a warning about `field`.
    pub fn warning(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, field, message)
    }

    /// Makes a note about `field`.
    pub fn info(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Info, field, message)
    }

    fn new(code: Code, severity: Severity, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            field: field.into(),
            subject: String::new(),
            related: Vec::new(),
            message: message.into(),
            remedy: String::new(),
        }
    }

    /// Names the resource or device that the finding is about.
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        self.subject = subject.to_string();
        self
    }

    /// Names the resources that are in the way.
    #[must_use]
    pub fn related(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.related = names.into_iter().collect();
        self.related.sort();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl Findings {
    /// Sorts the findings into their stable order and drops repetitions.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| (&a.field, a.code, &a.subject, a).cmp(&(&b.field, b.code, &b.subject, b)));
        self.0.dedup();
        self
    }

    /// Tells whether a request with these findings is refused, given the warning codes that it acknowledges.
    pub fn refuses(&self, acknowledged: &[Code]) -> bool {
        self.0.iter().any(|finding| match finding.severity {
            Severity::Error => true,
            Severity::Warning => !acknowledged.contains(&finding.code),
            Severity::Info => false,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, ovirt $ovirt:expr;)*) => {
        /// The stable code of a rule; each has a page in `docs/errors`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the code's stable text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Returns the number that oVirt's host daemon used for the same fault, where it had one.
            pub const fn ovirt(self) -> Option<u32> {
                match self {
                    $(Self::$variant => $ovirt,)*
                }
            }

            /// Reads a code from its text; `None` for a text that is no code.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

codes! {
    // The form of a request.
    /// A required field is missing.
    FieldMissing = "FIELD_MISSING", ovirt Some(21);
    /// An enum field has no known value.
    EnumUnknown = "ENUM_UNKNOWN", ovirt Some(21);
    /// A name is not legal.
    NameInvalid = "NAME_INVALID", ovirt Some(21);
    /// The same thing is named twice in one request.
    Duplicate = "DUPLICATE", ovirt Some(21);
    /// Two fields of one request contradict each other.
    FieldConflict = "FIELD_CONFLICT", ovirt Some(21);
    /// A removal carries attributes beside the name.
    RemoveWithAttributes = "REMOVE_WITH_ATTRIBUTES", ovirt Some(21);
    /// A timeout is out of range.
    TimeoutOutOfRange = "TIMEOUT_OUT_OF_RANGE", ovirt Some(21);
    /// A code to acknowledge is no known code.
    CodeUnknown = "CODE_UNKNOWN", ovirt None;
    /// A field mask names a field that does not exist or cannot be written.
    FieldMaskInvalid = "FIELD_MASK_INVALID", ovirt None;
    /// A field that never changes was changed.
    Immutable = "IMMUTABLE", ovirt None;
    /// A page size or page token is not legal.
    PageInvalid = "PAGE_INVALID", ovirt None;
    /// A filter of a list cannot be read.
    FilterInvalid = "FILTER_INVALID", ovirt None;
    /// A resource is larger than one may be.
    TooLong = "TOO_LONG", ovirt None;
    /// A MAC address, or a range of them, is not legal.
    MacInvalid = "MAC_INVALID", ovirt None;

    // A host's networks.
    /// The confirmation did not come in time.
    ConnectivityLost = "CONNECTIVITY_LOST", ovirt Some(10);
    /// More than one network claims the default route.
    DefaultRouteTaken = "DEFAULT_ROUTE_TAKEN", ovirt Some(21);
    /// The default route is claimed without a gateway.
    DefaultRouteWithoutGateway = "DEFAULT_ROUTE_WITHOUT_GATEWAY", ovirt Some(21);
    /// A network without a bridge has nothing to stand on.
    BridgelessWithoutSouthbound = "BRIDGELESS_WITHOUT_SOUTHBOUND", ovirt Some(21);
    /// Two networks share one southbound device and VLAN.
    SouthboundTaken = "SOUTHBOUND_TAKEN", ovirt Some(21);
    /// A bridge's attribute is given for a network without a bridge.
    BridgeAttributeOnBridgeless = "BRIDGE_ATTRIBUTE_ON_BRIDGELESS", ovirt Some(21);
    /// An address is malformed, incomplete or out of range.
    BadAddress = "BAD_ADDRESS", ovirt Some(22);
    /// A gateway is given without an address.
    GatewayWithoutAddress = "GATEWAY_WITHOUT_ADDRESS", ovirt Some(22);
    /// A gateway is on none of the network's links.
    GatewayNotOnLink = "GATEWAY_NOT_ON_LINK", ovirt Some(22);
    /// An address is configured on another network of the host.
    AddressTaken = "ADDRESS_TAKEN", ovirt Some(22);
    /// A gateway is given for a network that does not own the default route.
    GatewayWithoutDefaultRoute = "GATEWAY_WITHOUT_DEFAULT_ROUTE", ovirt None;
    /// A static route is malformed or contradicts itself.
    RouteInvalid = "ROUTE_INVALID", ovirt Some(22);
    /// Another route of the host has the same destination and metric.
    RouteTaken = "ROUTE_TAKEN", ovirt None;
    /// Name servers are given for a network that does not own the default route.
    NameserversOffDefaultRoute = "NAMESERVERS_OFF_DEFAULT_ROUTE", ovirt Some(21);
    /// The host's resolver configuration is kept by somebody else.
    ResolverKept = "RESOLVER_KEPT", ovirt None;
    /// Another program's DHCP client asks for addresses where the network's own is to.
    DhcpClientForeign = "DHCP_CLIENT_FOREIGN", ovirt None;
    /// A network's rates are out of range, or contradict each other.
    QosInvalid = "QOS_INVALID", ovirt Some(21);
    /// Rates are given for a network without a southbound.
    QosWithoutSouthbound = "QOS_WITHOUT_SOUTHBOUND", ovirt Some(21);
    /// The queueing discipline of a network's southbound device is somebody else's.
    ForeignQdisc = "FOREIGN_QDISC", ovirt None;
    /// The routing table that a network needs is another's.
    TableTaken = "TABLE_TAKEN", ovirt None;
    /// The NIC does not exist on the host, or is none that a network can stand on.
    NicNotFound = "NIC_NOT_FOUND", ovirt Some(23);
    /// What is to be set on a NIC is nothing that its driver takes.
    NicOptionUnsupported = "NIC_OPTION_UNSUPPORTED", ovirt None;
    /// Virtual functions that would go are used.
    VfsInUse = "VFS_IN_USE", ovirt None;
    /// The NIC is used by something else.
    NicInUse = "NIC_IN_USE", ovirt Some(24);
    /// Another daemon configures the device.
    DeviceManaged = "DEVICE_MANAGED", ovirt None;
    /// The bond does not exist on the host, or is not Trestle's to remove.
    BondNotFound = "BOND_NOT_FOUND", ovirt Some(25);
    /// A bond's name is not legal.
    BondNameInvalid = "BOND_NAME_INVALID", ovirt Some(25);
    /// A bond option is out of range, or is none of the bond's mode.
    BondOptionInvalid = "BOND_OPTION_INVALID", ovirt Some(25);
    /// A bond is to be under a bridge in a mode that breaks guests' traffic.
    BondModeUnsafe = "BOND_MODE_UNSAFE", ovirt Some(25);
    /// A new bond has fewer than two NICs.
    BondTooFewNics = "BOND_TOO_FEW_NICS", ovirt Some(21);
    /// The bond that is to be removed, or taken down, is still used.
    BondInUse = "BOND_IN_USE", ovirt Some(31);
    /// A VLAN id is out of range.
    VlanOutOfRange = "VLAN_OUT_OF_RANGE", ovirt Some(26);
    /// A VLAN is given for a network without a southbound.
    VlanWithoutSouthbound = "VLAN_WITHOUT_SOUTHBOUND", ovirt Some(26);
    /// A bridge's name is not legal.
    BridgeNameInvalid = "BRIDGE_NAME_INVALID", ovirt Some(27);
    /// Two networks have the same bridge name.
    BridgeNameTaken = "BRIDGE_NAME_TAKEN", ovirt Some(27);
    /// The network is not on the host.
    NetworkNotFound = "NETWORK_NOT_FOUND", ovirt Some(27);
    /// A device or libvirt network of that name exists and is not Trestle's.
    ForeignDevice = "FOREIGN_DEVICE", ovirt Some(27);
    /// An MTU is out of range for the device or for IPv6.
    MtuOutOfRange = "MTU_OUT_OF_RANGE", ovirt None;
    /// A bridge option is out of range.
    BridgeOptionOutOfRange = "BRIDGE_OPTION_OUT_OF_RANGE", ovirt Some(21);
    /// The kernel lacks a feature that the request needs.
    KernelLacksFeature = "KERNEL_LACKS_FEATURE", ovirt None;
    /// libvirt lacks a feature that the request needs, or is not there.
    LibvirtLacksFeature = "LIBVIRT_LACKS_FEATURE", ovirt None;
    /// Rules of guests' ports are given for a network whose MAC table libvirt does not manage.
    GuestPortsUnmanaged = "GUEST_PORTS_UNMANAGED", ovirt None;
    /// A guest on a managed bridge is wired past libvirt's network.
    GuestWiredPastLibvirt = "GUEST_WIRED_PAST_LIBVIRT", ovirt None;
    /// A guest sends from MACs that it was not given, on a bridge whose MAC table libvirt is to manage.
    GuestUsesForeignMac = "GUEST_USES_FOREIGN_MAC", ovirt None;
    /// A bridge goes on filtering by VLAN, since others have put ports into VLANs.
    VlanFilteringKept = "VLAN_FILTERING_KEPT", ovirt None;
    /// Guests use the network that is to be removed.
    GuestsAttached = "GUESTS_ATTACHED", ovirt None;

    // Interfaces of a domain.
    /// libvirt has no such domain.
    DomainNotFound = "DOMAIN_NOT_FOUND", ovirt None;
    /// No guest can be wired to the network as it is.
    NetworkNotPluggable = "NETWORK_NOT_PLUGGABLE", ovirt None;
    /// libvirt has no such filter.
    FilterNotFound = "FILTER_NOT_FOUND", ovirt None;
    /// What is to change cannot be changed while the guest runs, but by unplugging the interface.
    ReplugNeeded = "REPLUG_NEEDED", ovirt None;
    /// The guest did not release an interface in time.
    UnplugPending = "UNPLUG_PENDING", ovirt None;
    /// An interface could not be put back as it was.
    NotPutBack = "NOT_PUT_BACK", ovirt None;

    // A transaction.
    /// Another transaction runs and the queue is full.
    Busy = "BUSY", ovirt Some(40);
    /// The request is older than what the host has.
    StaleGeneration = "STALE_GENERATION", ovirt None;
    /// The transaction is not known, or not waiting for a confirmation.
    TransactionNotFound = "TRANSACTION_NOT_FOUND", ovirt None;
    /// The confirmation did not come from whom it has to come.
    ConfirmationRefused = "CONFIRMATION_REFUSED", ovirt None;
    /// A step failed, and the host was put back.
    StepFailed = "STEP_FAILED", ovirt None;
    /// The host after the change is not what was planned.
    VerificationFailed = "VERIFICATION_FAILED", ovirt None;
    /// Kernel or libvirt could not be read.
    HostUnobservable = "HOST_UNOBSERVABLE", ovirt None;
    /// The agent's store cannot be read or written.
    StoreFailed = "STORE_FAILED", ovirt None;
    /// A hook refuses the request.
    HookRefused = "HOOK_REFUSED", ovirt None;
    /// A hook could not be asked, or did not answer as it should.
    HookFailed = "HOOK_FAILED", ovirt None;
    /// A hook changed the request.
    HookChanged = "HOOK_CHANGED", ovirt None;
    /// Something of the host was not as agreed, and was to be repaired.
    DriftFound = "DRIFT_FOUND", ovirt None;

    // A watch over a host.
    /// What came after a resume token is not known any more.
    ResumeTokenExpired = "RESUME_TOKEN_EXPIRED", ovirt None;
    /// As many watch the host as may.
    WatchLimit = "WATCH_LIMIT", ovirt None;

    // The fleet.
    /// The resource does not exist.
    NotFound = "NOT_FOUND", ovirt None;
    /// The resource exists already.
    AlreadyExists = "ALREADY_EXISTS", ovirt None;
    /// The etag is not the resource's current one.
    EtagMismatch = "ETAG_MISMATCH", ovirt None;
    /// The fleet was changed again and again while a check went on.
    CheckOvertaken = "CHECK_OVERTAKEN", ovirt None;
    /// The request id was used for another request.
    RequestIdReused = "REQUEST_ID_REUSED", ovirt None;
    /// A resource that the request refers to does not exist.
    ReferenceNotFound = "REFERENCE_NOT_FOUND", ovirt None;
    /// Other resources use the one that is to be removed.
    InUse = "IN_USE", ovirt None;
    /// The network is not attached to the host's cluster.
    NetworkNotInCluster = "NETWORK_NOT_IN_CLUSTER", ovirt None;
    /// A role of a cluster's network is taken from the network that had it.
    RoleTaken = "ROLE_TAKEN", ovirt None;
    /// A label and an attachment put a network on different devices of a host.
    LabelConflict = "LABEL_CONFLICT", ovirt None;
    /// A host has no address on a network with a role.
    RoleWithoutAddress = "ROLE_WITHOUT_ADDRESS", ovirt None;
    /// A host's default route is not on the cluster's network for it.
    DefaultRouteElsewhere = "DEFAULT_ROUTE_ELSEWHERE", ovirt None;
    /// A range of a MAC pool overlaps another one.
    MacPoolOverlap = "MAC_POOL_OVERLAP", ovirt None;
    /// No address of the MAC pool is free.
    MacPoolExhausted = "MAC_POOL_EXHAUSTED", ovirt None;
    /// Few addresses of the MAC pool are free.
    MacPoolLow = "MAC_POOL_LOW", ovirt None;
    /// A vNIC lists more extra MACs than its profile allows.
    ExtraMacsOverLimit = "EXTRA_MACS_OVER_LIMIT", ovirt None;
    /// The failover of a passthrough profile cannot carry its traffic.
    FailoverInvalid = "FAILOVER_INVALID", ovirt None;
    /// A VM and the host that it runs on are in different clusters.
    HostNotInCluster = "HOST_NOT_IN_CLUSTER", ovirt None;
    /// A VM runs on a host that does not carry the network of one of its vNICs.
    NetworkNotOnHost = "NETWORK_NOT_ON_HOST", ovirt None;
    /// A network is on a host otherwise than it is wanted there.
    NetworkOutOfSync = "NETWORK_OUT_OF_SYNC", ovirt None;
    /// The device on which a network leaves a host has no link.
    UplinkDown = "UPLINK_DOWN", ovirt None;
    /// A host's agent is silent.
    HostSilent = "HOST_SILENT", ovirt None;
    /// A host is not up, so that no virtual machine is placed there.
    HostNotUp = "HOST_NOT_UP", ovirt None;
    /// A host has too few free virtual functions for passthrough vNICs.
    NoFreeVf = "NO_FREE_VF", ovirt None;
    /// A virtual machine gets to a host that placement would not offer.
    HostNotOffered = "HOST_NOT_OFFERED", ovirt None;
    /// The caller may not do this.
    PermissionDenied = "PERMISSION_DENIED", ovirt None;

    // The matrix for managed MAC tables.
    /// A guest may send with a foreign MAC where libvirt manages the MAC table (matrix row 2).
    MacSpoofConflict = "MAC_SPOOF_CONFLICT", ovirt None;
    /// A guest may tag its own traffic where libvirt manages the MAC table (row 5).
    GuestTaggingConflict = "GUEST_TAGGING_CONFLICT", ovirt None;
    /// It is not known whether a guest tags its own traffic; tags will be dropped (row 7).
    GuestTaggingUnknown = "GUEST_TAGGING_UNKNOWN", ovirt None;
    /// MAC table management has no effect without a bridge (row 13).
    NoEffectNotBridged = "NO_EFFECT_NOT_BRIDGED", ovirt None;
    /// Hosts have no such switch, or it has no MAC table management (row 15).
    SwitchTypeUnsupported = "SWITCH_TYPE_UNSUPPORTED", ovirt Some(21);
    /// A host cannot manage MAC tables (row 16).
    HostUnsupported = "HOST_UNSUPPORTED", ovirt None;
    /// The management network's bridge changes how it forwards (row 22).
    MgmtBridgeChange = "MGMT_BRIDGE_CHANGE", ovirt None;
    /// A bridge option contradicts MAC table management (row 23).
    BridgeOptsConflict = "BRIDGE_OPTS_CONFLICT", ovirt None;
    /// A host still reports the network as managed, so a profile may not be weakened yet.
    StillManaged = "STILL_MANAGED", ovirt None;
    /// A vNIC is plugged past its filter where libvirt manages the MAC table (row 3).
    MacSpoofBypass = "MAC_SPOOF_BYPASS", ovirt None;
    /// Hosts cannot give guests extra MACs where libvirt manages the MAC table (row 4).
    ExtraMacsUnsupported = "EXTRA_MACS_UNSUPPORTED", ovirt None;
    /// A guest may tag with a list of VLANs, which hosts cannot let through a managed bridge (row 6).
    GuestVlansUnsupported = "GUEST_VLANS_UNSUPPORTED", ovirt None;
    /// Passthrough vNICs go past the bridge, and so past its MAC table (row 8).
    PassthroughNotManaged = "PASSTHROUGH_NOT_MANAGED", ovirt None;
    /// A passthrough profile fails over onto a network whose MAC table libvirt manages (row 9).
    FailoverConflict = "FAILOVER_CONFLICT", ovirt None;
    /// A mirroring vNIC sees less on a managed network (row 10).
    MirrorReducedView = "MIRROR_REDUCED_VIEW", ovirt None;
    /// VMs inside a VM have no network where libvirt manages the MAC table (row 12).
    NestedVirtNoNetwork = "NESTED_VIRT_NO_NETWORK", ovirt None;
    /// Ports of running VMs are converted while they run (row 17).
    LivePortsPending = "LIVE_PORTS_PENDING", ovirt None;
    /// Two vNICs have the same MAC (row 19).
    DuplicateMac = "DUPLICATE_MAC", ovirt None;
    /// The MAC pool allows duplicates, which a managed network does not (row 20).
    DuplicateMacPossible = "DUPLICATE_MAC_POSSIBLE", ovirt None;
    /// Frames to multicast groups are not flooded on a managed network (row 25).
    MulticastRisk = "MULTICAST_RISK", ovirt None;
    /// A guest is declared to use virtual MACs on a managed network (row 26).
    VirtualMac = "VIRTUAL_MAC", ovirt None;
    /// A vNIC's interface stays in the guest when the vNIC lets go of it.
    VnicStillPlugged = "VNIC_STILL_PLUGGED", ovirt None;
    /// The engine asks no host to plug the vNIC.
    VnicNotPluggable = "VNIC_NOT_PLUGGABLE", ovirt None;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_is_unique() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn a_warning_refuses_until_its_code_is_acknowledged() {
        let findings = Findings(vec![Finding::warning(Code::NoEffectNotBridged, "network", "no effect")]);
        assert!(findings.refuses(&[]));
        assert!(findings.refuses(&[Code::HostUnsupported]));
        assert!(!findings.refuses(&[Code::NoEffectNotBridged]));
    }

    #[test]
    fn an_error_cannot_be_acknowledged() {
        let findings = Findings(vec![Finding::error(Code::MacSpoofConflict, "", "spoofing")]);
        assert!(findings.refuses(&[Code::MacSpoofConflict]));
    }
}

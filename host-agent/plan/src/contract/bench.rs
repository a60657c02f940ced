//! What a case works with: the host, the NICs, the names it may use, and the way back.

use std::fmt::Debug;

use trestle_model::{
    Address, AddressOrigin, Bond, Bridge, HostState, IfName, Link, LinkKind, MacAddr, Mtu, NicState, NicValues,
    PortFlags, RingSizes, Route, VirtualFunctions, VlanId,
};

use crate::target::{
    AddressTarget, DhcpTarget, EgressTarget, KindTarget, LibvirtTarget, LinkTarget, LinkWanted, MasterTarget,
    RouteTarget, RulesTarget, Target,
};
use crate::{
    AutoconfChange, Host, KernelStep, LibvirtStep, PortChange, Snapshot, Step, steps_towards, undo_target, verify,
};

/// The libvirt network that cases may make.
pub(super) const NETWORK: &str = "trestle-contract";

pub(super) struct Bench<'a, H> {
    host: &'a H,
    snapshot: Snapshot,
    pub(super) nic: IfName,
    pub(super) other_nic: IfName,
    pub(super) bridge: IfName,
    pub(super) other_bridge: IfName,
    pub(super) bond: IfName,
    pub(super) vlan: IfName,
    pub(super) vlan_id: VlanId,
}

impl<'a, H: Host> Bench<'a, H> {
    pub(super) fn new(host: &'a H, nics: &[IfName; 2], observed: HostState) -> Result<Self, String> {
        let [nic, other_nic] = nics.clone();
        let vlan_id = VlanId::try_from(77).map_err(|bad| bad.to_string())?;
        let mut bench = Self {
            host,
            snapshot: Snapshot::default(),
            vlan: IfName::for_vlan(&nic, vlan_id),
            nic,
            other_nic,
            bridge: IfName::parse("trcontract0").map_err(|bad| bad.to_string())?,
            other_bridge: IfName::parse("trcontract1").map_err(|bad| bad.to_string())?,
            bond: IfName::parse("trcontract2").map_err(|bad| bad.to_string())?,
            vlan_id,
        };
        bench.snapshot = Snapshot::of(&observed, &bench.everything(&observed));
        Ok(bench)
    }

    /// Performs steps, and performs each once more: the second time nothing may go wrong either.
    pub(super) async fn perform(&self, steps: impl IntoIterator<Item = impl Into<Step>>) -> Result<(), String> {
        for step in steps {
            let step: Step = step.into();
            for time in ["", " again"] {
                let done = self.host.perform(std::slice::from_ref(&step)).await;
                done.map_err(|failure| format!("{step}{time}: {failure}"))?;
            }
        }
        Ok(())
    }

    /// Performs steps in one go, as they are.
    pub(super) async fn perform_once(&self, steps: &[Step]) -> Result<(), crate::StepFailure> {
        self.host.perform(steps).await
    }

    pub(super) async fn state(&self) -> Result<HostState, String> {
        self.host.observe().await.map_err(|error| error.to_string())
    }

    pub(super) async fn link(&self, name: &IfName) -> Result<Link, String> {
        let found = self.state().await?.kernel.links.get(name).cloned();
        found.ok_or_else(|| format!("{name} is not there"))
    }

    pub(super) async fn bridge_of(&self, name: &IfName) -> Result<Bridge, String> {
        self.link(name).await?.bridge().cloned().ok_or_else(|| format!("{name} is no bridge"))
    }

    pub(super) async fn bond_of(&self, name: &IfName) -> Result<Bond, String> {
        self.link(name).await?.bond().cloned().ok_or_else(|| format!("{name} is no bond"))
    }

    pub(super) async fn port(&self, name: &IfName) -> Result<PortFlags, String> {
        self.link(name).await?.port.ok_or_else(|| format!("{name} is no port"))
    }

    pub(super) fn create_bridge(&self, name: &IfName) -> Step {
        let (name, alias) = (name.clone(), "trestle:contract".to_owned());
        KernelStep::CreateBridge { name, mac: Some(MAC), alias }.into()
    }

    /// Brings the host back to what it was.
    pub(super) async fn clear(&self) -> Result<(), String> {
        let target = undo_target(&self.snapshot);
        let steps: Vec<Step> =
            steps_towards(&target, &self.state().await?).into_iter().map(|planned| planned.step).collect();
        self.host.perform(&steps).await.map_err(|failure| failure.to_string())?;
        let left: Vec<String> = verify(&target, &self.state().await?).iter().map(ToString::to_string).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    }

    /// All that a case may change.
    fn everything(&self, observed: &HostState) -> Target {
        let mut target = Target::default();
        for nic in [&self.nic, &self.other_nic] {
            let mut wanted = LinkWanted::leaving_alone(KindTarget::Found, "contract");
            let link = observed.kernel.links.get(nic);
            wanted.mtu = link.map(|link| link.mtu);
            wanted.up = link.map(|link| link.up);
            wanted.ipv6_disabled = link.map(|link| link.ipv6_disabled);
            wanted.autoconf = link.and_then(|link| link.autoconf).map(AutoconfChange::to).unwrap_or_default();
            wanted.master = MasterTarget::Free;
            wanted.addresses = AddressTarget::Exactly(Vec::new());
            wanted.routes = RouteTarget::Exactly(Vec::new());
            wanted.dhcp = DhcpTarget::Exactly(Vec::new());
            wanted.egress = EgressTarget::Unshaped;
            wanted.settings.values = link.map(|link| all_of(&link.settings)).unwrap_or_default();
            target.links.insert(nic.clone(), LinkTarget::Present(wanted));
        }
        for made in [&self.bridge, &self.other_bridge, &self.vlan, &self.bond] {
            target.links.insert(made.clone(), LinkTarget::Absent { why: "contract".to_owned() });
        }
        target.rules.insert(TABLE, RulesTarget { why: "contract".to_owned(), rules: Vec::new() });
        if observed.libvirt.is_some() {
            target.libvirt.insert(NETWORK.to_owned(), LibvirtTarget::Absent { why: "contract".to_owned() });
        }
        target
    }
}

fn all_of(state: &NicState) -> NicValues {
    let rings = RingSizes { rx: state.rings.map(|rings| rings.rx), tx: state.rings.map(|rings| rings.tx) };
    let features = state.features.iter().map(|(name, state)| (name.clone(), state.requested)).collect();
    NicValues { rings, vfs: state.vfs.as_ref().map(VirtualFunctions::count), features }
}

/// The routing table that cases may fill.
pub(super) const TABLE: u32 = Route::SOURCE_TABLES.start + 77;
/// The MAC of a case's bridge.
pub(super) const MAC: MacAddr = MacAddr::new([0x06, 0x52, 0x00, 0xc0, 0x77, 0x01]);
/// A MAC to change to, and that of a guest.
pub(super) const OTHER_MAC: MacAddr = MacAddr::new([0x06, 0x52, 0x00, 0xc0, 0x77, 0x02]);

pub(super) fn mtu(bytes: u32) -> Result<Mtu, String> {
    Mtu::try_from(bytes).map_err(|bad| bad.to_string())
}

pub(super) fn up(link: &IfName) -> Step {
    KernelStep::SetUp { link: link.clone(), up: true }.into()
}

pub(super) fn master(link: &IfName, master: Option<&IfName>) -> Step {
    KernelStep::SetMaster { link: link.clone(), master: master.cloned() }.into()
}

pub(super) fn port_step(port: &IfName, change: PortChange) -> Step {
    KernelStep::SetPort { port: port.clone(), change }.into()
}

pub(super) fn libvirt(step: LibvirtStep) -> Step {
    step.into()
}

pub(super) fn address(net: &str) -> Result<Address, String> {
    let net = net.parse().map_err(|_| format!("{net} is no address"))?;
    Ok(Address { net, origin: AddressOrigin::Static, broadcast: None, label: None, scope: 0, no_prefix_route: false })
}

/// Fails with both values unless they are equal.
pub(super) fn same<T: PartialEq + Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, is {is:?}")) }
}

pub(super) fn is_vlan(kind: &LinkKind, base: &IfName, id: VlanId) -> bool {
    *kind == LinkKind::Vlan { base: base.clone(), id }
}

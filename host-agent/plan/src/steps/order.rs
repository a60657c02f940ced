//! The order of the steps.

use trestle_model::{Bridge, Egress, HostQos, IfName, LinkKind, RingSizes, TrafficClass};

use super::Draft;
use super::ports::{Gate, is_guest, is_no_guest};
use crate::difference::{
    EgressChange, address_change, bridge_change, client_change, definition_change, egress_change, needs_restart,
    route_change, rule_change, settings_change,
};
use crate::target::{
    AliasTarget, DefinitionTarget, DhcpTarget, KindTarget, LibvirtTarget, LibvirtWanted, LinkWanted, MasterTarget,
    Target,
};
use crate::{BridgeChange, DhcpStep, KernelStep, LibvirtStep};

impl<'a> Draft<'a> {
    pub(super) fn order(&mut self) {
        self.retire_networks();
        // A guest's port learns and floods before its entry goes, and stops only after its entry has come.
        self.set_ports(Gate::Open, is_guest);
        self.remove_entries(Draft::is_in_reach);
        self.clear_names();
        self.fix_mtus();
        self.make_bonds();
        self.tune_nics();
        self.ready_nics();
        self.make_vlans();
        self.make_bridges();
        self.set_vlans(|_| true);
        self.set_ports(Gate::Shut, is_no_guest);
        self.define_networks();
        // Where libvirt's network is what has the bridge filter.
        self.set_vlans(|_| true);
        self.remove_entries(|_, _| true);
        self.add_entries();
        self.set_ports(Gate::Shut, is_guest);
        self.forget_learned();
        self.withdraw();
        self.move_ports();
        self.settle();
        self.set_ports(Gate::Open, is_no_guest);
        self.finish_bonds();
        self.settle_egress();
        self.finish_bridges();
        self.settle_resolver();
    }

    /// Stops and removes libvirt's networks before what they stand on goes.
    fn retire_networks(&mut self) {
        let target = self.target;
        for (name, wanted) in &target.libvirt {
            let LibvirtTarget::Absent { why } = wanted else { continue };
            let Some(network) = self.now.network(name).cloned() else { continue };
            if network.active {
                self.plan(LibvirtStep::Stop { name: name.clone() }.into(), why, "libvirt network is to go");
            }
            if network.persistent {
                self.plan(LibvirtStep::Undefine { name: name.clone() }.into(), why, "libvirt network is to go");
            }
        }
    }

    /// Removes devices that have a wanted device's name and can never become it.
    fn clear_names(&mut self) {
        for (name, wanted) in self.target.present() {
            if self.now.link(name).is_some() && self.now.fitting(name, &wanted.kind).is_none() {
                let step = KernelStep::DeleteLink { name: name.clone() };
                self.plan_kernel(step, &wanted.why, "another kind of device has the name");
            }
        }
    }

    /// Sets bridges' MTUs before their ports': one that has been set no longer follows the ports, whoever joins.
    fn fix_mtus(&mut self) {
        for (name, wanted) in self.target.present().filter(|(_, wanted)| is_bridge(&wanted.kind)) {
            self.settle_mtu(name, wanted);
        }
    }

    /// Sets what is set on NICs themselves: a driver may take the NIC away for a moment, before anything stands on it.
    fn tune_nics(&mut self) {
        for (name, wanted) in self.target.present() {
            let Some(link) = self.now.link(name).cloned() else { continue };
            let change = settings_change(&wanted.settings, &link.settings);
            if change.rings != RingSizes::default() {
                let step = KernelStep::SetRings { link: name.clone(), sizes: change.rings };
                self.plan_kernel(step, &wanted.why, "rings differ");
            }
            if let Some(count) = change.vfs {
                let has_some = link.settings.vfs.as_ref().is_some_and(|vfs| !vfs.functions.is_empty());
                // The kernel takes another number only from none.
                for count in [0, count].into_iter().skip(usize::from(!has_some || count == 0)) {
                    let step = KernelStep::SetVirtualFunctions { link: name.clone(), count };
                    self.plan_kernel(step, &wanted.why, "virtual functions differ");
                }
            }
            if !change.features.is_empty() {
                let step = KernelStep::SetFeatures { link: name.clone(), features: change.features };
                self.plan_kernel(step, &wanted.why, "features differ");
            }
        }
    }

    /// Lets NICs carry what is to stand on them.
    fn ready_nics(&mut self) {
        for (name, wanted) in self.target.present().filter(|(_, wanted)| wanted.kind == KindTarget::Found) {
            // What is to join a bond has to be down for that, and gets the bond's MTU.
            let joins = match &wanted.master {
                MasterTarget::PortOf(master) => {
                    self.is_bond(master) && self.now.link(name).is_some_and(|link| link.master.as_ref() != Some(master))
                }
                MasterTarget::Free | MasterTarget::Leave => false,
            };
            if !joins && self.now.link(name).is_some_and(|link| !matches!(link.kind, LinkKind::Bridge(_))) {
                self.raise_mtu(name, wanted);
                self.bring_up(name, wanted);
            }
        }
    }

    fn make_vlans(&mut self) {
        for (name, wanted) in self.target.present() {
            let KindTarget::Vlan { base, id } = &wanted.kind else { continue };
            if self.now.link(base).is_none() {
                continue;
            }
            if self.now.link(name).is_none() {
                let step =
                    KernelStep::CreateVlan { name: name.clone(), base: base.clone(), id: *id, alias: mark(wanted) };
                self.plan_kernel(step, &wanted.why, "VLAN device is missing");
                self.settle_ipv6(name, wanted);
            }
            self.set_alias(name, wanted);
            self.set_mac(name, wanted);
            self.raise_mtu(name, wanted);
            self.bring_up(name, wanted);
        }
    }

    fn make_bridges(&mut self) {
        for (name, wanted) in self.target.present() {
            let KindTarget::Bridge(bridge) = &wanted.kind else { continue };
            if self.now.link(name).is_none() {
                let step = KernelStep::CreateBridge { name: name.clone(), mac: wanted.mac, alias: mark(wanted) };
                self.plan_kernel(step, &wanted.why, "bridge is missing");
                self.settle_ipv6(name, wanted);
                self.settle_mtu(name, wanted);
            }
            self.set_alias(name, wanted);
            self.set_mac(name, wanted);
            if let Some(change) = self.bridge_change(name, bridge) {
                // Filtering goes off last, when no libvirt network asks for it any more.
                let early = BridgeChange { vlan_filtering: change.vlan_filtering.filter(|on| *on), ..change };
                self.set_bridge(name, wanted, early);
            }
            self.bring_up(name, wanted);
        }
    }

    fn define_networks(&mut self) {
        let target = self.target;
        for (name, wanted) in &target.libvirt {
            if let LibvirtTarget::Present(wanted) = wanted {
                self.define_network(name, wanted);
            }
        }
    }

    fn define_network(&mut self, name: &str, wanted: &LibvirtWanted) {
        let has = self.now.network(name).cloned();
        let differing = has.as_ref().map(|network| definition_change(&wanted.definition, network));
        if differing.as_ref().is_none_or(|fields| !fields.is_empty()) {
            // Stopped first: a crash in between must not leave it running with a definition that nobody can see.
            // Where what runs is right, guests on it lose nothing: libvirt forgets its ports with a restart.
            if has.is_some_and(|network| network.active) && differing.as_deref().is_some_and(needs_restart) {
                self.plan(
                    LibvirtStep::Stop { name: name.to_owned() }.into(),
                    &wanted.why,
                    "libvirt network is defined anew",
                );
            }
            let what = differing.map_or_else(
                || "libvirt network is missing".to_owned(),
                |fields| {
                    let names: Vec<&str> = fields.iter().map(|(field, ..)| *field).collect();
                    format!("libvirt network differs in {}", names.join(", "))
                },
            );
            match &wanted.definition {
                DefinitionTarget::Trestles(definition) => {
                    let mut definition = definition.clone();
                    definition.uuid = self.now.network(name).map(|network| network.uuid).or(definition.uuid);
                    self.plan(LibvirtStep::Define(definition).into(), &wanted.why, &what);
                }
                DefinitionTarget::AsBefore(before) => {
                    let other_uuid = self.now.network(name).is_some_and(|network| network.uuid != before.uuid);
                    if other_uuid {
                        let step = LibvirtStep::Undefine { name: name.to_owned() };
                        self.plan(step.into(), &wanted.why, "another network has the name");
                    }
                    let step = LibvirtStep::DefineXml { name: name.to_owned(), xml: before.xml.clone() };
                    self.plan(step.into(), &wanted.why, &what);
                    self.now.define_as(before);
                }
            }
        }
        let Some(has) = self.now.network(name).cloned() else { return };
        if has.autostart != wanted.autostart {
            let step = LibvirtStep::SetAutostart { name: name.to_owned(), autostart: wanted.autostart };
            self.plan(step.into(), &wanted.why, "autostart differs");
        }
        match (has.active, wanted.active) {
            (false, true) => {
                self.plan(
                    LibvirtStep::Start { name: name.to_owned() }.into(),
                    &wanted.why,
                    "libvirt network does not run",
                );
            }
            (true, false) => {
                self.plan(
                    LibvirtStep::Stop { name: name.to_owned() }.into(),
                    &wanted.why,
                    "libvirt network is not to run",
                );
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Stops DHCP clients, and takes rules, routes and addresses away from where they are not wanted.
    fn withdraw(&mut self) {
        let none = DhcpTarget::Exactly(Vec::new());
        let present = self.target.present().map(|(name, wanted)| (name, &wanted.dhcp, wanted.why.as_str()));
        let absent = self.target.absent().map(|(name, why)| (name, &none, why));
        for (name, wanted, why) in present.chain(absent) {
            for client in client_change(wanted, self.now.clients(name)).remove {
                let step = DhcpStep::Stop { link: client.link, family: client.family };
                self.plan(step.into(), why, "DHCP client is not wanted");
            }
            // One that loses the default route gives it up before another network gets it.
            for client in client_change(wanted, self.now.clients(name)).add {
                let runs = self.now.clients(name).iter().any(|has| has.rivals(&client));
                if runs && !client.default_route {
                    self.plan(DhcpStep::Start(client).into(), why, "DHCP client is to leave the default route");
                }
            }
        }
        for (table, target) in &self.target.rules {
            for rule in rule_change(*table, target, self.now.rules()).remove {
                self.plan_kernel(KernelStep::RemoveRule { rule }, &target.why, "rule is not wanted");
            }
        }
        for (name, wanted) in self.target.present() {
            // What routers say from here on is not to bring back what goes.
            self.close_autoconf(name, wanted);
        }
        for (name, wanted) in self.target.present() {
            let Some(link) = self.now.link(name) else { continue };
            for route in route_change(wanted, link, self.now.routes(name)).remove {
                self.plan_kernel(KernelStep::RemoveRoute { route }, &wanted.why, "route is not wanted");
            }
        }
        for (name, wanted) in self.target.present() {
            let Some(link) = self.now.link(name) else { continue };
            for address in address_change(wanted, link).remove {
                let step = KernelStep::RemoveAddress { link: name.clone(), address };
                self.plan_kernel(step, &wanted.why, "address is not wanted");
            }
            if wanted.ipv6_disabled == Some(true) {
                self.switch_ipv6(name, wanted);
            } else if self.is_to_hear_other_routers(name, wanted) {
                self.forget_routers(name, wanted);
            }
        }
    }

    /// Moves ports to their bridges and removes what nothing needs any more.
    fn move_ports(&mut self) {
        let (vlans, others): (Vec<_>, Vec<_>) = self
            .target
            .absent()
            .partition(|(name, _)| self.now.link(name).is_some_and(|link| matches!(link.kind, LinkKind::Vlan { .. })));
        self.delete(vlans);
        self.free_ports(|is_in_bond| !is_in_bond);
        self.join_bonds();
        // A bond that keeps a port all the time keeps its MAC and its carrier.
        self.free_ports(|is_in_bond| is_in_bond);
        for (name, wanted) in self.target.present() {
            let MasterTarget::PortOf(master) = &wanted.master else { continue };
            let is_elsewhere = self.now.link(name).is_some_and(|link| link.master.as_ref() != Some(master));
            if is_elsewhere && self.now.link(master).is_some() && !self.is_bond(master) {
                let step = KernelStep::SetMaster { link: name.clone(), master: Some(master.clone()) };
                self.plan_kernel(step, &wanted.why, "device is not a port of its bridge");
                self.recover_mtu(name, wanted);
                self.set_flags(name, wanted, |change| change);
                self.forget_at(name, wanted);
                self.set_vlans(|port| port == name);
            }
        }
        self.delete(others);
        // Entries of ports that have only now come to their bridge, and of bridges that were made anew.
        self.add_entries();
    }

    /// Takes out of bridges or bonds what is to be a port of nothing.
    fn free_ports(&mut self, applies: fn(bool) -> bool) {
        for (name, wanted) in self.target.present().filter(|(_, wanted)| wanted.master == MasterTarget::Free) {
            let master = self.now.link(name).and_then(|link| link.master.as_ref());
            if master.is_some_and(|master| applies(self.is_bond(master))) {
                let step = KernelStep::SetMaster { link: name.clone(), master: None };
                self.plan_kernel(step, &wanted.why, "device is to be a port of nothing");
                self.recover_mtu(name, wanted);
            }
        }
    }

    fn delete(&mut self, devices: Vec<(&'a IfName, &'a str)>) {
        for (name, why) in devices {
            if self.now.link(name).is_some() {
                self.plan_kernel(KernelStep::DeleteLink { name: name.clone() }, why, "device is not needed");
            }
        }
    }

    /// Gives every device its last attributes, its addresses and its routes, and the host its rules.
    fn settle(&mut self) {
        let target: &Target = self.target;
        // A device's MTU is lowered before that of the device below, and a bridge's is set when its ports are there.
        for rank in [is_bridge, is_vlan, is_bond, is_found] {
            for (name, wanted) in target.present().filter(|(_, wanted)| rank(&wanted.kind)) {
                self.settle_mtu(name, wanted);
            }
        }
        for (name, wanted) in target.present() {
            let Some(up) = wanted.up else { continue };
            if self.now.link(name).is_some_and(|link| link.up != up) {
                self.close_autoconf(name, wanted);
                let what = if up { "device is down" } else { "device is up" };
                self.plan_kernel(KernelStep::SetUp { link: name.clone(), up }, &wanted.why, what);
            }
        }
        for (name, wanted) in target.present() {
            self.settle_autoconf(name, wanted);
            self.switch_ipv6(name, wanted);
            let Some(link) = self.now.link(name) else { continue };
            for address in address_change(wanted, link).add {
                let step = KernelStep::AddAddress { link: name.clone(), address };
                self.plan_kernel(step, &wanted.why, "address is missing");
            }
        }
        for (name, wanted) in target.present() {
            let Some(link) = self.now.link(name) else { continue };
            for route in route_change(wanted, link, self.now.routes(name)).add {
                self.plan_kernel(KernelStep::AddRoute { route }, &wanted.why, "route is missing");
            }
        }
        for (table, target) in &target.rules {
            for rule in rule_change(*table, target, self.now.rules()).add {
                self.plan_kernel(KernelStep::AddRule { rule }, &target.why, "rule is missing");
            }
        }
        for (name, wanted) in target.present() {
            if self.now.link(name).is_none() {
                continue;
            }
            for client in client_change(&wanted.dhcp, self.now.clients(name)).add {
                self.plan(DhcpStep::Start(client).into(), &wanted.why, "DHCP client does not run as told");
            }
        }
    }

    /// Sets the rest of the bridges' attributes, and a sibling bridge's MTU that followed its port's.
    fn finish_bridges(&mut self) {
        for (name, wanted) in self.target.present() {
            if let KindTarget::Bridge(bridge) = &wanted.kind
                && let Some(change) = self.bridge_change(name, bridge)
            {
                self.set_bridge(name, wanted, change);
            }
            if self.now.unsure_of_mtu.contains(name) {
                self.settle_mtu(name, wanted);
            }
        }
    }

    /// Sets what queues what leaves devices, when all that is to stand on them does.
    fn settle_egress(&mut self) {
        for (name, wanted) in self.target.present() {
            let Some(link) = self.now.link(name) else { continue };
            let (remove, set) = match egress_change(&wanted.egress, &link.egress) {
                EgressChange::None | EgressChange::Obstructed => continue,
                EgressChange::Unshape => {
                    let step = KernelStep::UnshapeEgress { link: name.clone() };
                    self.plan_kernel(step, &wanted.why, "classes are not wanted");
                    continue;
                }
                EgressChange::Shape(rest, classes) => {
                    let step = KernelStep::ShapeEgress { link: name.clone(), rest };
                    self.plan_kernel(step, &wanted.why, "device has no classes");
                    (Vec::new(), classes)
                }
                EgressChange::Classes(remove, set) => (remove, set),
            };
            for class in remove {
                // What replaces it comes at once: until then, what belongs to it is dropped.
                let step = KernelStep::RemoveTrafficClass { link: name.clone(), class };
                self.plan_kernel(step, &wanted.why, "class is not wanted, or loses a rate");
                if let Some((class, qos)) = set.iter().find(|(set, _)| *set == class).copied() {
                    let step = KernelStep::SetTrafficClass { link: name.clone(), class, qos };
                    self.plan_kernel(step, &wanted.why, "class loses a rate");
                }
            }
            let is_done = |class: &TrafficClass, qos: &HostQos| {
                let has = self.now.link(name).map(|link| &link.egress);
                matches!(has, Some(Egress::Shaped(has)) if has.0.get(class) == Some(qos))
            };
            let due: Vec<_> = set.into_iter().filter(|(class, qos)| !is_done(class, qos)).collect();
            for (class, qos) in due {
                let step = KernelStep::SetTrafficClass { link: name.clone(), class, qos };
                self.plan_kernel(step, &wanted.why, "class is missing, or its rates differ");
            }
        }
    }

    fn bridge_change(&self, name: &IfName, wanted: &Bridge) -> Option<BridgeChange> {
        let has = self.now.link(name)?.bridge()?;
        Some(bridge_change(wanted, has, self.features()))
    }

    fn set_bridge(&mut self, name: &IfName, wanted: &LinkWanted, change: BridgeChange) {
        if change != BridgeChange::default() {
            let step = KernelStep::SetBridge { bridge: name.clone(), change };
            self.plan_kernel(step, &wanted.why, "bridge attributes differ");
        }
    }

    pub(super) fn set_alias(&mut self, name: &IfName, wanted: &LinkWanted) {
        let alias = match &wanted.alias {
            AliasTarget::Leave => return,
            AliasTarget::Clear => None,
            AliasTarget::Exactly(alias) => Some(alias.clone()),
        };
        if self.now.link(name).is_some_and(|link| link.alias != alias) {
            self.plan_kernel(KernelStep::SetAlias { link: name.clone(), alias }, &wanted.why, "mark differs");
        }
    }

    pub(super) fn set_mac(&mut self, name: &IfName, wanted: &LinkWanted) {
        if let Some(mac) = wanted.mac
            && self.now.link(name).is_some_and(|link| link.mac != Some(mac))
        {
            self.plan_kernel(KernelStep::SetMac { link: name.clone(), mac }, &wanted.why, "MAC differs");
        }
    }

    pub(super) fn raise_mtu(&mut self, name: &IfName, wanted: &LinkWanted) {
        if let Some(mtu) = wanted.mtu
            && self.now.link(name).is_some_and(|link| link.mtu < mtu)
        {
            self.plan_kernel(KernelStep::SetMtu { link: name.clone(), mtu }, &wanted.why, "MTU differs");
        }
    }

    pub(super) fn settle_mtu(&mut self, name: &IfName, wanted: &LinkWanted) {
        if let Some(mtu) = wanted.mtu
            && self.now.link(name).is_some_and(|link| link.mtu != mtu || self.now.unsure_of_mtu.contains(name))
        {
            self.plan_kernel(KernelStep::SetMtu { link: name.clone(), mtu }, &wanted.why, "MTU differs");
        }
    }

    pub(super) fn bring_up(&mut self, name: &IfName, wanted: &LinkWanted) {
        if wanted.up == Some(true) && self.now.link(name).is_some_and(|link| !link.up) {
            self.close_autoconf(name, wanted);
            self.plan_kernel(KernelStep::SetUp { link: name.clone(), up: true }, &wanted.why, "device is down");
        }
    }
}

pub(super) fn mark(wanted: &LinkWanted) -> String {
    match &wanted.alias {
        AliasTarget::Exactly(alias) => alias.clone(),
        AliasTarget::Leave | AliasTarget::Clear => String::new(),
    }
}

const fn is_bridge(kind: &KindTarget) -> bool {
    matches!(kind, KindTarget::Bridge(_))
}

const fn is_vlan(kind: &KindTarget) -> bool {
    matches!(kind, KindTarget::Vlan { .. })
}

const fn is_bond(kind: &KindTarget) -> bool {
    matches!(kind, KindTarget::Bond(_))
}

const fn is_found(kind: &KindTarget) -> bool {
    matches!(kind, KindTarget::Found | KindTarget::Guest)
}

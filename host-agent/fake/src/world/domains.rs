//! Domains in detail, and the plugging of their interfaces.

use std::collections::BTreeSet;

use trestle_model::{
    Domain, DomainInterface, DomainKey, DomainPersistence, DomainState, DomainWiring, MacAddr, WiredInterface,
};
use trestle_plan::{
    DomainSide, GuestStep, InterfaceChange, InterfaceDefinition, InterfaceStep, InterfaceText, KernelStep,
};
use uuid::Uuid;

use super::{World, if_name};
use crate::kernel::Answer;
use crate::libvirt::{DomainRecord, Libvirt};

impl World {
    /// Adds a domain without interfaces, that has a definition.
    #[must_use]
    pub fn domain(self, name: &str, state: DomainState) -> Self {
        self.any_domain(name, state, DomainPersistence::Persistent)
    }

    /// Adds a domain without interfaces, that runs and has no definition.
    #[must_use]
    pub fn transient_domain(self, name: &str) -> Self {
        self.any_domain(name, DomainState::Running, DomainPersistence::Transient)
    }

    fn any_domain(mut self, name: &str, state: DomainState, persistence: DomainPersistence) -> Self {
        let (libvirt, _) = self.with_libvirt();
        let uuid = libvirt.new_uuid();
        libvirt.records.insert(
            uuid,
            DomainRecord {
                name: name.to_owned(),
                state,
                live: (state != DomainState::ShutOff).then(Vec::new),
                defined: (persistence == DomainPersistence::Persistent).then(Vec::new),
                is_stubborn: false,
            },
        );
        self
    }

    /// Adds a filter.
    #[must_use]
    pub fn filter(mut self, name: &str) -> Self {
        self.with_libvirt().0.filters.insert(name.to_owned());
        self
    }

    /// Lets the guest of a domain release no device from now on, or release again what it is asked for.
    pub fn hold_devices(&mut self, domain: &str, is_stubborn: bool) {
        let (libvirt, _) = self.with_libvirt();
        libvirt.records.values_mut().filter(|record| record.name == domain).for_each(|record| {
            record.is_stubborn = is_stubborn;
        });
    }

    /// Changes what is defined of an interface, as an administrator does.
    pub fn edit_definition(&mut self, domain: &str, mac: &str, edit: impl Fn(&mut DomainInterface)) {
        let mac: MacAddr = mac.parse().expect("the test names a MAC");
        let (libvirt, _) = self.with_libvirt();
        let records = libvirt.records.values_mut().filter(|record| record.name == domain);
        let defined = records.filter_map(|record| record.defined.as_mut()).flatten();
        defined.filter(|interface| interface.mac == mac).for_each(edit);
    }

    pub(crate) fn filters(&self) -> BTreeSet<String> {
        self.libvirt.as_ref().map(|libvirt| libvirt.filters.clone()).unwrap_or_default()
    }

    pub(crate) fn wiring(&mut self, key: &DomainKey) -> Option<DomainWiring> {
        let libvirt = self.libvirt.as_mut()?;
        let is_meant = |domain: &Domain| match key {
            DomainKey::Uuid(uuid) => domain.uuid == *uuid,
            DomainKey::Name(name) => domain.name == *name,
        };
        let uuid = libvirt.state().domains.into_iter().find(is_meant)?.uuid;
        let record = libvirt.record(uuid)?.clone();
        let mut wired = |interfaces: Vec<DomainInterface>| {
            let text = |told: DomainInterface| WiredInterface { xml: libvirt.remember(&told), told };
            interfaces.into_iter().map(text).collect()
        };
        let (live, defined) = (record.live.map(&mut wired), record.defined.map(&mut wired));
        Some(DomainWiring { name: record.name, uuid, state: record.state, live, defined })
    }

    pub(crate) fn perform_on_guest(&mut self, step: &GuestStep) -> Answer {
        let libvirt = self.libvirt.as_mut().ok_or_else(|| "no libvirt here".to_owned())?;
        match step {
            GuestStep::DefineFilter(filter) => {
                libvirt.filters.insert(filter.name().to_owned());
                Ok(())
            }
            GuestStep::Interface(step) => self.change_interface(step),
        }
    }

    fn change_interface(&mut self, step: &InterfaceStep) -> Answer {
        let (libvirt, _) = self.with_libvirt();
        let gone = || format!("Domain not found: no domain with matching uuid '{}'", step.domain);
        let record = libvirt.record(step.domain).ok_or_else(gone)?;
        let is_stubborn = record.is_stubborn && step.side == DomainSide::Live;
        let has = record.side(step.side)?.iter().find(|interface| interface.mac == step.mac).cloned();
        match (&step.change, has) {
            (InterfaceChange::Attach(_), Some(_)) | (InterfaceChange::Detach { .. }, None) => Ok(()),
            (InterfaceChange::Attach(text), None) => {
                let interface = libvirt.meant(step.mac, text)?;
                self.put(step, interface, None)
            }
            (InterfaceChange::Update(_), None) => Err(format!("no device matching MAC address {} found", step.mac)),
            (InterfaceChange::Update(text), Some(has)) => {
                let interface = libvirt.meant(step.mac, text)?;
                self.put(step, interface, Some(has))
            }
            (InterfaceChange::Detach { .. }, Some(_)) if is_stubborn => Ok(()),
            (InterfaceChange::Detach { .. }, Some(has)) => {
                let record = libvirt.record(step.domain).ok_or_else(gone)?;
                record.side(step.side)?.retain(|interface| interface.mac != step.mac);
                if let Some(tap) = has.tap {
                    libvirt.guests.retain(|guest| guest.tap.as_ref() != Some(&tap));
                    self.kernel.remove(&tap);
                    self.kernel.follow();
                }
                Ok(())
            }
        }
    }

    /// Makes an interface what it is to be, of what it was where it was there.
    fn put(&mut self, step: &InterfaceStep, mut interface: DomainInterface, was: Option<DomainInterface>) -> Answer {
        if step.side == DomainSide::Live {
            if let Some(was) = &was {
                if was.model != interface.model || was.mtu != interface.mtu {
                    return Err("Operation not supported: cannot modify network device model or MTU".to_owned());
                }
                interface.tap.clone_from(&was.tap);
            }
            self.wire(step, &mut interface, was.as_ref())?;
        } else {
            interface = DomainInterface { bridge: None, tap: None, attachment: "network".to_owned(), ..interface };
        }
        let (libvirt, _) = self.with_libvirt();
        let Some(record) = libvirt.record(step.domain) else { return Ok(()) };
        let interfaces = record.side(step.side)?;
        match interfaces.iter_mut().find(|has| has.mac == step.mac) {
            Some(has) => *has = interface,
            None => interfaces.push(interface),
        }
        Ok(())
    }

    /// Connects a running guest's interface to the bridge of its network.
    fn wire(&mut self, step: &InterfaceStep, interface: &mut DomainInterface, was: Option<&DomainInterface>) -> Answer {
        let (libvirt, _) = self.with_libvirt();
        let name = interface.network.clone().unwrap_or_default();
        let live = libvirt.live(&name).ok_or_else(|| format!("network '{name}' is not active"))?;
        let bridge = live.bridge.clone().unwrap_or_default();
        let manages = libvirt.manages(Some(&name));
        interface.attachment = "bridge".to_owned();
        interface.bridge = Some(bridge.clone());
        let Some(was) = was else {
            let tap = libvirt.new_tap();
            interface.tap = Some(if_name(&tap));
            self.connect_guest((&step.name, step.domain), step.mac, &tap, &bridge, Some(&name));
            return Ok(());
        };
        if let Some(tap) = was.tap.clone().filter(|_| was.bridge.as_ref() != Some(&bridge)) {
            // libvirt moves the tap, and leaves the kernel's defaults behind.
            self.must(&KernelStep::SetMaster { link: tap.clone(), master: None });
            self.must(&KernelStep::SetMaster { link: tap.clone(), master: Some(if_name(&bridge)) });
            let (libvirt, _) = self.with_libvirt();
            libvirt.rewire(&tap, &name, &bridge, manages);
        }
        Ok(())
    }
}

impl Libvirt {
    /// Returns a domain's record, made of its guests' interfaces where it has none yet.
    fn record(&mut self, uuid: Uuid) -> Option<&mut DomainRecord> {
        if !self.records.contains_key(&uuid) {
            let domain = self.state().domains.into_iter().find(|domain| domain.uuid == uuid)?;
            let plain = |interface: &DomainInterface| DomainInterface { tap: None, bridge: None, ..interface.clone() };
            let record = DomainRecord {
                defined: Some(domain.interfaces.iter().map(plain).collect()),
                live: (domain.state != DomainState::ShutOff).then_some(domain.interfaces),
                name: domain.name,
                state: domain.state,
                is_stubborn: false,
            };
            self.records.insert(uuid, record);
        }
        self.records.get_mut(&uuid)
    }

    /// Returns a text by which an interface is known again.
    fn remember(&mut self, interface: &DomainInterface) -> String {
        self.texts.push(interface.clone());
        format!("<interface number='{}'/>", self.texts.len() - 1)
    }

    /// Returns the interface that a text is of.
    fn meant(&self, mac: MacAddr, text: &InterfaceText) -> Result<DomainInterface, String> {
        match text {
            InterfaceText::AsWas { xml } => {
                let number = xml.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>();
                let known = number.ok().and_then(|number| self.texts.get(number));
                known.cloned().ok_or_else(|| format!("XML error: {xml}"))
            }
            InterfaceText::Wanted(InterfaceDefinition {
                network,
                model,
                mtu,
                linked,
                isolated,
                bandwidth,
                filter,
                base: _,
            }) => {
                if let Some(unknown) = filter.as_ref().filter(|filter| !self.filters.contains(&filter.name)) {
                    return Err(format!("referenced filter '{}' is missing", unknown.name));
                }
                Ok(DomainInterface {
                    mac,
                    attachment: "network".to_owned(),
                    network: Some(network.clone()),
                    bridge: None,
                    tap: None,
                    filter: filter.clone(),
                    model: Some(model.clone()),
                    mtu: mtu.map(u32::from),
                    linked: *linked,
                    alias: None,
                    isolated: *isolated,
                    bandwidth: *bandwidth,
                })
            }
        }
    }
}

impl DomainRecord {
    fn side(&mut self, side: DomainSide) -> Result<&mut Vec<DomainInterface>, String> {
        match side {
            DomainSide::Live => self.live.as_mut().ok_or_else(|| "domain is not running".to_owned()),
            DomainSide::Definition => {
                self.defined.as_mut().ok_or_else(|| "transient domains do not have any persistent config".to_owned())
            }
        }
    }
}

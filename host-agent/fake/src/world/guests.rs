//! Guests, and what libvirt does for them.

use trestle_model::{FdbEntry, FdbState, GuestInterface, LinkKind, MacAddr, MacTableManager, Mtu, PortVlans};
use trestle_plan::{KernelStep, PortChange};
use uuid::Uuid;

use super::{World, if_name};
use crate::libvirt::DomainRecord;

impl World {
    /// Starts a guest, as [`World::guest`].
    pub fn start_guest(&mut self, domain: &str, mac: &str, tap: &str, bridge: &str, network: Option<&str>) {
        let mac: MacAddr = mac.parse().expect("the test names a MAC");
        let [_, b, c, d, e, f] = mac.octets();
        let uuid = Uuid::from_u128(u128::from_be_bytes([b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        self.connect_guest((domain, uuid), mac, tap, bridge, network);
    }

    /// Connects a guest's interface by a new tap, as libvirt does when a guest starts or an interface is plugged.
    pub(crate) fn connect_guest(
        &mut self,
        (domain, domain_uuid): (&str, Uuid),
        mac: MacAddr,
        tap: &str,
        bridge: &str,
        network: Option<&str>,
    ) {
        let (tap, bridge) = (if_name(tap), if_name(bridge));
        let [_, b, c, d, e, f] = mac.octets();
        let tap_mac = MacAddr::new([0xfe, b, c, d, e, f]);
        // libvirt gives a tap the MTU of its bridge.
        let mtu = self.kernel.link(&bridge).map_or(Mtu::ETHERNET, |bridge| bridge.mtu);
        self.kernel.make(&tap, LinkKind::Tun, Some(tap_mac), mtu);
        self.kernel.set_master(&tap, Some(&bridge)).expect("the test names a bridge");
        self.kernel.set_up(&tap, true).expect("a tap can be up");
        let features = self.features.clone();
        let manages = {
            let (libvirt, _) = self.with_libvirt();
            libvirt.guests.push(GuestInterface {
                domain: domain.to_owned(),
                domain_uuid,
                mac,
                network: network.map(str::to_owned),
                bridge: Some(bridge.to_string()),
                tap: Some(tap.clone()),
                running: true,
                mac_table_manager: MacTableManager::Kernel,
                vlans: PortVlans::default(),
            });
            libvirt.manages(network)
        };
        if manages {
            self.hold_for_libvirt(domain);
            let change = PortChange { learning: Some(false), flood: Some(false), ..PortChange::default() };
            self.kernel.set_port(&tap, &change, &features).expect("a tap in a bridge is a port");
            self.exclusive_entry(&FdbEntry {
                bridge,
                port: tap,
                mac,
                vlan: None,
                state: FdbState::Static,
                sticky: false,
            });
        }
        self.kernel.follow();
    }

    /// Gives a guest that runs VLANs in its domain's XML, as one has that libvirt 11 has started: its port is in these alone, and
    /// its entry in each.
    pub fn tag_guest(&mut self, domain: &str, vlans: PortVlans) {
        let guests = self.libvirt.iter_mut().flat_map(|libvirt| &mut libvirt.guests);
        for guest in guests.filter(|guest| guest.domain == domain) {
            guest.vlans = vlans.clone();
            let Some(tap) = &guest.tap else { continue };
            if let Ok(link) = self.kernel.link_mut(tap) {
                link.vlans = Some(vlans.clone());
            }
            let mac = guest.mac;
            let is_untagged = |has: &&FdbEntry| has.port == *tap && has.mac == mac && has.vlan.is_none();
            let Some(entry) = self.kernel.state.fdb.iter().find(is_untagged).cloned() else { continue };
            self.kernel.state.fdb.retain(|has| has.port != *tap || has.mac != mac || has.vlan.is_none());
            self.kernel.state.fdb.extend(vlans.ids().map(|id| FdbEntry { vlan: Some(id), ..entry.clone() }));
        }
        self.kernel.follow();
    }

    /// Stops a guest: its tap vanishes.
    pub fn stop_guest(&mut self, domain: &str) {
        let Some(libvirt) = &mut self.libvirt else { return };
        libvirt.records.values_mut().filter(|record| record.name == domain).for_each(DomainRecord::stop);
        for guest in libvirt.guests.iter_mut().filter(|guest| guest.domain == domain) {
            guest.running = false;
            if let Some(tap) = guest.tap.take() {
                self.kernel.remove(&tap);
            }
        }
        self.kernel.follow();
    }

    /// Pauses a guest, or lets it run again: its tap stays; libvirt removes its entry, or adds it.
    pub fn set_running(&mut self, domain: &str, running: bool) {
        let Some(libvirt) = &mut self.libvirt else { return };
        let mut entries = Vec::new();
        for guest in libvirt.guests.iter_mut().filter(|guest| guest.domain == domain) {
            guest.running = running;
            // libvirt does as it did when the guest connected.
            if guest.mac_table_manager == MacTableManager::Kernel {
                continue;
            }
            let bridge =
                guest.tap.as_ref().and_then(|tap| self.kernel.link(tap).ok()).and_then(|tap| tap.master.clone());
            if let (Some(tap), Some(bridge)) = (&guest.tap, bridge) {
                let (port, mac) = (tap.clone(), guest.mac);
                entries.push(FdbEntry { bridge, port, mac, vlan: None, state: FdbState::Static, sticky: false });
            }
        }
        for entry in entries {
            if running {
                self.exclusive_entry(&entry);
            } else {
                self.kernel.remove_entry(&entry).expect("the guest's tap is there");
            }
        }
        self.kernel.follow();
    }

    /// Takes a guest's tap out of its bridge and puts it back, as libvirt does in a live `update-device`: the port has the
    /// kernel's flags and no entry.
    pub fn attach_again(&mut self, tap: &str) {
        let tap = if_name(tap);
        let bridge = self.kernel.link(&tap).ok().and_then(|link| link.master.clone());
        self.must(&KernelStep::SetMaster { link: tap.clone(), master: None });
        self.must(&KernelStep::SetMaster { link: tap, master: bridge });
    }

    /// Adds a static entry as libvirt does: one that is learned elsewhere stays in the way, silently.
    fn exclusive_entry(&mut self, entry: &FdbEntry) {
        for vlan in [None].into_iter().chain(self.kernel.vlans_of(&entry.port).into_iter().map(Some)) {
            let place = (&entry.bridge, entry.mac, vlan);
            let is_taken = self.kernel.state.fdb.iter().any(|has| (&has.bridge, has.mac, has.vlan) == place);
            if !is_taken {
                self.kernel.state.fdb.push(FdbEntry { vlan, ..entry.clone() });
            }
        }
    }

    /// Notes that libvirt manages the bridge's MAC table for a guest.
    fn hold_for_libvirt(&mut self, domain: &str) {
        let guests = self.libvirt.iter_mut().flat_map(|libvirt| &mut libvirt.guests);
        for guest in guests.filter(|guest| guest.domain == domain) {
            guest.mac_table_manager = MacTableManager::Libvirt;
        }
    }
}

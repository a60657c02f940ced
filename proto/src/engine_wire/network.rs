//! Networks.

use trestle_model::fleet::{Meta, Network};
use trestle_model::{Code, IfName, MacTableManager, NetworkName, NicLabel, SourceMacs};

use super::Resource;
use super::dns::{build_dns, read_dns};
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host_wire::{build_options, build_qos, check_no_bridge_attribute, manager, read_options, read_qos};

impl Resource for wire::Network {
    shape!(Network, "network", "networks/{network}", NetworkName, network => (network), build_spec);

    fn parts(network: &Network) -> (NetworkName, &Meta) {
        (network.id.clone(), &network.meta)
    }

    fn read(&self, form: &mut Form, id: NetworkName, meta: Meta) -> Option<Network> {
        let spec = self.spec.clone().unwrap_or_default();
        let vm_network = spec.vm_network.unwrap_or(true);
        let vlan = form.vlan("network.spec.vlan_id", spec.vlan_id);
        let mtu = form.mtu("network.spec.mtu", spec.mtu);
        let bridge_name = match spec.bridge_name.as_str() {
            "" => None,
            text => form.name("network.spec.bridge_name", text, Code::BridgeNameInvalid, IfName::parse_bridge),
        };
        let bridge_options = read_options(form, "network.spec.bridge_options", spec.bridge_options.as_ref());
        if !vm_network {
            let has_options = spec.bridge_options.is_some_and(|options| options != Default::default());
            let given = [
                ("bridge_name", !spec.bridge_name.is_empty()),
                ("stp", spec.stp),
                ("bridge_options", has_options),
                ("port_isolation", spec.port_isolation),
            ];
            check_no_bridge_attribute(form, "network.spec", given);
        }
        Some(Network {
            id,
            meta,
            description: spec.description,
            vm_network,
            vlan,
            mtu,
            stp: spec.stp,
            bridge_name,
            bridge_options,
            mac_table_manager: manager(spec.manage_macs_with_libvirt),
            source_macs: if spec.lock_source_macs { SourceMacs::Locked } else { SourceMacs::Any },
            port_isolation: spec.port_isolation,
            dns: read_dns(form, "network.spec.dns", &spec.dns.unwrap_or_default()),
            host_qos: read_qos(form, "network.spec.host_qos", spec.host_qos.as_ref()),
            nic_label: match spec.nic_label.as_str() {
                "" => None,
                text => form.name("network.spec.nic_label", text, Code::NameInvalid, NicLabel::parse),
            },
        })
    }
}

fn build_spec(network: &Network) -> wire::NetworkSpec {
    wire::NetworkSpec {
        description: network.description.clone(),
        vm_network: Some(network.vm_network),
        vlan_id: network.vlan.map(u32::from),
        mtu: Some(network.mtu.get()),
        stp: network.stp,
        bridge_name: network.bridge_name.as_ref().map(IfName::to_string).unwrap_or_default(),
        bridge_options: build_options(&network.bridge_options),
        manage_macs_with_libvirt: network.mac_table_manager == MacTableManager::Libvirt,
        lock_source_macs: network.source_macs == SourceMacs::Locked,
        port_isolation: network.port_isolation,
        dns: Some(build_dns(&network.dns)).filter(|_| !network.dns.is_empty()),
        host_qos: network.host_qos.as_ref().map(build_qos),
        nic_label: network.nic_label.as_ref().map(NicLabel::to_string).unwrap_or_default(),
    }
}

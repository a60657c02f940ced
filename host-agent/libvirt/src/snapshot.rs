//! The reading of all networks and of all guests' interfaces.

use tracing::warn;
use trestle_model::{GuestInterface, LibvirtNetwork, LibvirtState};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::network::Network;
use virt_sys as sys;

use crate::Fault;
use crate::xml;

/// Reads everything; what disappears meanwhile is left out.
pub(crate) fn read(connect: &Connect) -> Result<LibvirtState, Fault> {
    let mut state = LibvirtState::default();
    for network in connect.list_all_networks(0)? {
        match read_network(&network) {
            Ok(read) => {
                state.networks.insert(read.name.clone(), read);
            }
            Err(Unread::Vanished) => {}
            // A network that is there but not in the snapshot would be taken for missing: rather no snapshot at all.
            Err(Unread::Failed(fault)) => return Err(fault),
        }
    }
    for domain in connect.list_all_domains(0)? {
        match read_domain(&domain) {
            Ok(interfaces) => state.guests.extend(interfaces),
            Err(Unread::Vanished) => {}
            Err(Unread::Failed(fault @ Fault::Lost(_))) => return Err(fault),
            Err(Unread::Failed(fault)) => {
                warn!(domain = domain.get_name().unwrap_or_default(), error = %fault, "domain left out");
            }
        }
    }
    state.guests.sort();
    Ok(state)
}

/// Why one object could not be read.
enum Unread {
    Vanished,
    Failed(Fault),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        if matches!(error.code(), ErrorNumber::NoNetwork | ErrorNumber::NoDomain) {
            return Self::Vanished;
        }
        Self::Failed(error.into())
    }
}

impl From<xml::BadXml> for Unread {
    fn from(error: xml::BadXml) -> Self {
        Self::Failed(error.into())
    }
}

/// Returns the XML that holds at the network's next start.
pub(crate) fn definition_xml(network: &Network) -> Result<String, Error> {
    match network.get_xml_desc(sys::VIR_NETWORK_XML_INACTIVE) {
        // libvirt's test driver knows no flags here.
        Err(error) if error.code() == ErrorNumber::InvalidArg => network.get_xml_desc(0),
        outcome => outcome,
    }
}

fn read_network(network: &Network) -> Result<LibvirtNetwork, Unread> {
    let inactive = definition_xml(network)?;
    let defined = xml::network::parse(&inactive)?;
    let active = network.is_active()?;
    // A running network that was defined anew still is what it was when it started.
    let in_force = if active { xml::network::parse(&network.get_xml_desc(0)?)? } else { defined.clone() };
    let persistent = network.is_persistent()?;
    Ok(LibvirtNetwork {
        name: network.get_name()?,
        uuid: network.get_uuid()?,
        bridge: in_force.bridge,
        forward: in_force.forward,
        mac_table_manager: in_force.mac_table_manager,
        active,
        // libvirt refuses to tell it of a network that has no definition.
        autostart: persistent && network.get_autostart()?,
        persistent,
        owner: defined.owner,
        xml: inactive,
    })
}

fn read_domain(domain: &Domain) -> Result<Vec<GuestInterface>, Unread> {
    let name = domain.get_name()?;
    let uuid = domain.get_uuid()?;
    let (state, _reason) = domain.get_state()?;
    let facts = xml::domain::parse(&domain.get_xml_desc(0)?)?;
    let running = facts.is_live && state == sys::VIR_DOMAIN_RUNNING;
    let interfaces = facts.interfaces.into_iter().map(|interface| GuestInterface {
        domain: name.clone(),
        domain_uuid: uuid,
        mac: interface.mac,
        network: interface.network,
        bridge: interface.bridge,
        tap: interface.tap,
        running,
    });
    Ok(interfaces.collect())
}

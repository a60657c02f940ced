//! The reading of all networks and of all guests' interfaces.

use std::collections::BTreeSet;

use tracing::warn;
use trestle_model::{GuestInterface, LibvirtNetwork, LibvirtState};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::network::Network;
use virt_sys as sys;

use crate::Fault;
use crate::xml;

/// Reads everything; what disappears meanwhile is left out.
///
/// What libvirt's lists tell is asked of all at once; there is no call that tells the XML of many, so that is one call for
/// an object, and two for a network that runs. libvirt keeps no count of changes by which an older reading could be told
/// to hold still.
pub(crate) fn read(connect: &Connect) -> Result<LibvirtState, Fault> {
    let mut state = LibvirtState::default();
    // All first: what the later lists lack of it has gone meanwhile.
    let networks = connect.list_all_networks(0)?;
    let lists = Lists::read(connect)?;
    for network in &networks {
        match read_network(network, &lists) {
            Ok(read) => {
                state.networks.insert(read.name.clone(), read);
            }
            Err(Unread::Vanished) => {}
            // A network that is there but not in the snapshot would be taken for missing: rather no snapshot at all.
            Err(Unread::Failed(fault)) => return Err(fault),
        }
    }
    let domains = connect.list_all_domains(0)?;
    let running = uuids(&connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_RUNNING)?, Domain::get_uuid)?;
    for domain in &domains {
        match read_domain(domain, &running) {
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

/// Which networks are in libvirt's lists.
struct Lists {
    active: BTreeSet<Uuid>,
    persistent: BTreeSet<Uuid>,
    autostart: BTreeSet<Uuid>,
}

impl Lists {
    fn read(connect: &Connect) -> Result<Self, Error> {
        let list = |flag| uuids(&connect.list_all_networks(flag)?, Network::get_uuid);
        Ok(Self {
            active: list(sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE)?,
            persistent: list(sys::VIR_CONNECT_LIST_NETWORKS_PERSISTENT)?,
            autostart: list(sys::VIR_CONNECT_LIST_NETWORKS_AUTOSTART)?,
        })
    }
}

fn uuids<T>(objects: &[T], uuid: impl Fn(&T) -> Result<Uuid, Error>) -> Result<BTreeSet<Uuid>, Error> {
    objects.iter().map(uuid).collect()
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

fn read_network(network: &Network, lists: &Lists) -> Result<LibvirtNetwork, Unread> {
    let uuid = network.get_uuid()?;
    let inactive = definition_xml(network)?;
    let defined = xml::network::parse(&inactive)?;
    let active = lists.active.contains(&uuid);
    // A running network that was defined anew still is what it was when it started.
    let in_force = if active { xml::network::parse(&network.get_xml_desc(0)?)? } else { defined.clone() };
    let persistent = lists.persistent.contains(&uuid);
    Ok(LibvirtNetwork {
        name: network.get_name()?,
        uuid,
        bridge: in_force.bridge,
        forward: in_force.forward,
        mac_table_manager: in_force.mac_table_manager,
        active,
        autostart: persistent && lists.autostart.contains(&uuid),
        persistent,
        owner: defined.owner,
        xml: inactive,
    })
}

fn read_domain(domain: &Domain, all_running: &BTreeSet<Uuid>) -> Result<Vec<GuestInterface>, Unread> {
    let name = domain.get_name()?;
    let uuid = domain.get_uuid()?;
    let facts = xml::domain::parse(&domain.get_xml_desc(0)?)?;
    let running = facts.is_live && all_running.contains(&uuid);
    let interfaces = facts.interfaces.into_iter().map(|interface| GuestInterface {
        domain: name.clone(),
        domain_uuid: uuid,
        mac: interface.mac,
        network: interface.network,
        bridge: interface.bridge,
        tap: interface.tap,
        running,
        mac_table_manager: interface.mac_table_manager,
        vlans: interface.vlans,
    });
    Ok(interfaces.collect())
}

//! The reading of all networks and of all guests' interfaces.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;
use trestle_model::{
    DomainKey, DomainPersistence, DomainState, DomainWiring, FilterEffects, GuestInterface, LibvirtNetwork,
    LibvirtState, NetworkForm,
};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::network::Network;
use virt_sys as sys;

use crate::{Fault, step, xml};

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
    let lists = DomainLists::read(connect)?;
    for domain in &domains {
        match read_domain(domain, &lists) {
            Ok((domain, interfaces)) => {
                state.domains.push(domain);
                state.guests.extend(interfaces);
            }
            Err(Unread::Vanished) => {}
            Err(Unread::Failed(fault @ Fault::Lost(_))) => return Err(fault),
            Err(Unread::Failed(fault)) => {
                warn!(domain = domain.get_name().unwrap_or_default(), error = %fault, "domain left out");
            }
        }
    }
    state.guests.sort();
    state.domains.sort();
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

/// Which domains are in libvirt's lists.
struct DomainLists {
    running: BTreeSet<Uuid>,
    paused: BTreeSet<Uuid>,
    persistent: BTreeSet<Uuid>,
}

impl DomainLists {
    fn read(connect: &Connect) -> Result<Self, Error> {
        let list = |flag| uuids(&connect.list_all_domains(flag)?, Domain::get_uuid);
        Ok(Self {
            running: list(sys::VIR_CONNECT_LIST_DOMAINS_RUNNING)?,
            paused: list(sys::VIR_CONNECT_LIST_DOMAINS_PAUSED)?,
            persistent: list(sys::VIR_CONNECT_LIST_DOMAINS_PERSISTENT)?,
        })
    }

    /// Tells what a domain does; one whose XML is not of a run is shut off, whatever the lists said a moment before.
    fn state(&self, uuid: &Uuid, is_live: bool) -> DomainState {
        match (is_live, self.running.contains(uuid), self.paused.contains(uuid)) {
            (false, _, _) => DomainState::ShutOff,
            (true, true, _) => DomainState::Running,
            (true, false, true) => DomainState::Paused,
            (true, false, false) => DomainState::Other,
        }
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
    let form = |facts: &xml::network::NetworkFacts| NetworkForm {
        bridge: facts.bridge.clone(),
        forward: facts.forward.clone(),
        mac_table_manager: facts.mac_table_manager,
    };
    let redefined = (form(&in_force) != form(&defined)).then(|| form(&defined));
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
        redefined,
        xml: inactive,
    })
}

/// Reads one domain in detail; none where there is none of that name.
pub(crate) fn wiring(connect: &Connect, key: &DomainKey) -> Result<Option<DomainWiring>, Fault> {
    let found = match key {
        DomainKey::Uuid(uuid) => Domain::lookup_by_uuid(connect, *uuid),
        DomainKey::Name(name) => Domain::lookup_by_name(connect, step::without_nul(name)?),
    };
    match found.map_err(Unread::from).and_then(|domain| read_wiring(&domain)) {
        Ok(wiring) => Ok(Some(wiring)),
        Err(Unread::Vanished) => Ok(None),
        Err(Unread::Failed(fault)) => Err(fault),
    }
}

/// Reads the names of all filters; a libvirt without filters has none.
pub(crate) fn filters(connect: &Connect) -> Result<BTreeSet<String>, Fault> {
    match connect.list_nw_filters() {
        Ok(names) => Ok(names.into_iter().collect()),
        Err(error) if error.code() == ErrorNumber::NoSupport => Ok(BTreeSet::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what each filter does; a libvirt without filters has none, and one whose XML makes no sense is left out.
pub(crate) fn filter_effects(connect: &Connect) -> Result<BTreeMap<String, FilterEffects>, Fault> {
    let found = match connect.list_all_nw_filters(0) {
        Ok(found) => found,
        Err(error) if error.code() == ErrorNumber::NoSupport => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut filters = Vec::new();
    for filter in found {
        match filter.get_xml_desc(0).map_err(Fault::from).and_then(|text| Ok(xml::nwfilter::parse(&text)?)) {
            Ok(filter) => filters.push(filter),
            Err(fault) if fault.is_transient() => return Err(fault),
            Err(fault) => warn!(error = %fault, "network filter left out"),
        }
    }
    Ok(trestle_model::filter_effects(&filters))
}

fn read_wiring(domain: &Domain) -> Result<DomainWiring, Unread> {
    let interfaces = |flags| Ok::<_, Unread>(xml::interface::read(&domain.get_xml_desc(flags)?)?);
    let state = domain.get_state()?.0;
    let live = if domain.is_active()? { Some(interfaces(0)?) } else { None };
    let defined = if domain.is_persistent()? { Some(interfaces(sys::VIR_DOMAIN_XML_INACTIVE)?) } else { None };
    let state = match (&live, state) {
        (None, _) => DomainState::ShutOff,
        (Some(_), sys::VIR_DOMAIN_RUNNING) => DomainState::Running,
        (Some(_), sys::VIR_DOMAIN_PAUSED) => DomainState::Paused,
        (Some(_), _) => DomainState::Other,
    };
    Ok(DomainWiring { name: domain.get_name()?, uuid: domain.get_uuid()?, state, live, defined })
}

fn read_domain(domain: &Domain, lists: &DomainLists) -> Result<(trestle_model::Domain, Vec<GuestInterface>), Unread> {
    let name = domain.get_name()?;
    let uuid = domain.get_uuid()?;
    let facts = xml::domain::parse(&domain.get_xml_desc(0)?)?;
    let state = lists.state(&uuid, facts.is_live);
    let guest = |interface: &xml::domain::Interface| GuestInterface {
        domain: name.clone(),
        domain_uuid: uuid,
        mac: interface.told.mac,
        network: interface.told.network.clone(),
        bridge: interface.told.bridge.clone(),
        tap: interface.told.tap.clone(),
        running: state == DomainState::Running,
        mac_table_manager: interface.mac_table_manager,
        vlans: interface.vlans.clone(),
    };
    let guests = facts.interfaces.iter().map(guest).collect();
    let persistence =
        if lists.persistent.contains(&uuid) { DomainPersistence::Persistent } else { DomainPersistence::Transient };
    let interfaces = facts.interfaces.into_iter().map(|interface| interface.told).collect();
    Ok((trestle_model::Domain { name, uuid, state, persistence, interfaces }, guests))
}

//! The performing of one step.

pub(crate) mod guest;

use trestle_plan::{LibvirtStep, NetworkDefinition};
use virt::connect::Connect;
use virt::error::ErrorNumber;
use virt::network::Network;

use crate::{Fault, xml};

/// Performs `step`; one whose effect is there already succeeds.
pub(crate) fn perform(connect: &Connect, step: &LibvirtStep) -> Result<(), Fault> {
    match step {
        LibvirtStep::Define(definition) => define(connect, definition),
        LibvirtStep::DefineXml { name: _, xml } => define_xml(connect, xml),
        LibvirtStep::Start { name } => start(&require(connect, name)?),
        LibvirtStep::Stop { name } => match find(connect, name)? {
            Some(network) => stop(&network),
            None => Ok(()),
        },
        LibvirtStep::Undefine { name } => match find(connect, name)? {
            Some(network) => undefine(&network),
            None => Ok(()),
        },
        LibvirtStep::SetAutostart { name, autostart } => set_autostart(&require(connect, name)?, *autostart),
    }
}

fn define(connect: &Connect, definition: &NetworkDefinition) -> Result<(), Fault> {
    let uuid = match definition.uuid {
        Some(uuid) => Some(uuid),
        None => find(connect, &definition.name)?.map(|network| network.get_uuid()).transpose()?,
    };
    define_xml(connect, &xml::network::write(definition, uuid)?)
}

/// Defines a network from XML; libvirt refuses one whose name and UUID belong to two networks.
fn define_xml(connect: &Connect, xml: &str) -> Result<(), Fault> {
    Network::define_xml(connect, without_nul(xml)?)?;
    Ok(())
}

fn start(network: &Network) -> Result<(), Fault> {
    if network.is_active()? {
        return Ok(());
    }
    match network.create() {
        // Somebody else was quicker.
        Err(error) if error.code() == ErrorNumber::OperationInvalid && network.is_active()? => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

fn stop(network: &Network) -> Result<(), Fault> {
    match network.is_active().and_then(|active| if active { network.destroy() } else { Ok(()) }) {
        Err(error) if error.code() == ErrorNumber::NoNetwork => Ok(()),
        Err(error) if error.code() == ErrorNumber::OperationInvalid && !network.is_active()? => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// A network that runs goes on running without a definition.
pub(crate) fn undefine(network: &Network) -> Result<(), Fault> {
    match network.is_persistent().and_then(|persistent| if persistent { network.undefine() } else { Ok(()) }) {
        Err(error) if error.code() == ErrorNumber::NoNetwork => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn set_autostart(network: &Network, autostart: bool) -> Result<(), Fault> {
    if network.get_autostart()? != autostart {
        network.set_autostart(autostart)?;
    }
    Ok(())
}

fn find(connect: &Connect, name: &str) -> Result<Option<Network>, Fault> {
    match Network::lookup_by_name(connect, without_nul(name)?) {
        Ok(network) => Ok(Some(network)),
        Err(error) if error.code() == ErrorNumber::NoNetwork => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Finds a network that must be there; its absence fails in libvirt's own words.
fn require(connect: &Connect, name: &str) -> Result<Network, Fault> {
    Ok(Network::lookup_by_name(connect, without_nul(name)?)?)
}

/// The crate `virt` panics on a zero character: a C string cannot have one.
pub(crate) fn without_nul(text: &str) -> Result<&str, Fault> {
    if text.contains('\0') {
        return Err(Fault::Xml(format!("{text:?} has a zero character")));
    }
    Ok(text)
}

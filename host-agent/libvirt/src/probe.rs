//! What libvirt can do, found by trying.
//!
//! libvirt drops attributes that it does not know without a word, and prints no list of those it knows. So a network
//! is defined, read back and undefined again. It is never started and stands on no bridge, so it touches no traffic.
//! Its name and UUID are constants: one that a crash left behind is found and removed by the next probe, and a
//! network of another origin can never be hit, since libvirt refuses a definition unless both name and UUID fit.

use std::collections::BTreeMap;

use tracing::warn;
use trestle_model::{Feature, MacTableManager, Support};
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::ErrorNumber;
use virt::network::Network;

use crate::{Fault, snapshot, step, xml};

const UUID: Uuid = Uuid::from_u128(0x7e57_1e00_9c1b_4d0a_8f52_6d61_6370_7262);

/// Tries the features of libvirt.
///
/// *Errors*: the connection failed; nothing is known then.
pub(crate) fn try_features(connect: &Connect) -> Result<BTreeMap<Feature, Support>, Fault> {
    Ok(BTreeMap::from([
        (Feature::LibvirtMacTableManager, try_definition(connect, "macTableManager='libvirt'", "", keeps_manager)?),
        (Feature::LibvirtBridgeVlan, try_definition(connect, "", "<vlan><tag id='1'/></vlan>", keeps_vlan)?),
        (Feature::DomainInterfaces, try_domains(connect)?),
    ]))
}

/// Says of each feature that `fault` kept them from being tried.
pub(crate) fn unknown(fault: &Fault) -> BTreeMap<Feature, Support> {
    [Feature::LibvirtMacTableManager, Feature::LibvirtBridgeVlan, Feature::DomainInterfaces]
        .map(|feature| (feature, Support::Unknown(fault.to_string())))
        .into()
}

/// Lists the domains: a libvirt of networks alone has none whose interfaces could be set.
fn try_domains(connect: &Connect) -> Result<Support, Fault> {
    match connect.list_all_domains(0) {
        Ok(_) => Ok(Support::Present),
        Err(error) if error.code() == ErrorNumber::NoSupport => Ok(Support::Absent(error.message().to_owned())),
        Err(error) => Err(error.into()),
    }
}

fn try_definition(
    connect: &Connect,
    bridge_attribute: &str,
    element: &str,
    is_kept: fn(&str) -> Result<bool, Fault>,
) -> Result<Support, Fault> {
    let definition = format!(
        "<network><name>trestle-probe</name><uuid>{UUID}</uuid><forward mode='bridge'/>\
         <bridge name='trestle-probe' {bridge_attribute}/>{element}</network>"
    );
    let network = match Network::define_xml(connect, &definition) {
        Ok(network) => network,
        Err(error) if matches!(error.code(), ErrorNumber::ConfigUnsupported | ErrorNumber::XmlError) => {
            return Ok(Support::Absent(error.message().to_owned()));
        }
        Err(error) => {
            let fault = Fault::from(error);
            return if fault.is_transient() { Err(fault) } else { Ok(Support::Unknown(fault.to_string())) };
        }
    };
    let printed = snapshot::definition_xml(&network).map_err(Fault::from);
    if let Err(fault) = step::undefine(&network) {
        warn!(error = %fault, "probe's network not undefined; the next probe will");
    }
    Ok(if is_kept(&printed?)? {
        Support::Present
    } else {
        Support::Absent("libvirt drops it from the definition".to_owned())
    })
}

fn keeps_manager(printed: &str) -> Result<bool, Fault> {
    Ok(xml::network::parse(printed)?.mac_table_manager == MacTableManager::Libvirt)
}

fn keeps_vlan(printed: &str) -> Result<bool, Fault> {
    let mut kept = false;
    xml::visit(printed, |element| {
        kept |= element.is_at(&["network", "vlan", "tag"]);
        Ok(())
    })?;
    Ok(kept)
}

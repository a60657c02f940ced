//! The XML of a libvirt network.
//!
//! *Source*: libvirt, "Network XML format".

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;
use trestle_model::MacTableManager;
use trestle_plan::NetworkDefinition;
use uuid::Uuid;

use super::{BadXml, visit};
use crate::Fault;

/// Namespace of Trestle's mark in a libvirt network's `<metadata>`: `<trestle:network name="blue"/>`.
pub const METADATA_NAMESPACE: &str = "urn:trestle:network:1";

/// What the XML of a network tells that libvirt's calls do not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NetworkFacts {
    pub(crate) bridge: Option<String>,
    /// Empty for an isolated network.
    pub(crate) forward: String,
    pub(crate) mac_table_manager: MacTableManager,
    pub(crate) owner: Option<String>,
}

/// Reads a network's XML, as libvirt prints it.
pub(crate) fn parse(xml: &str) -> Result<NetworkFacts, BadXml> {
    let mut facts = NetworkFacts::default();
    visit(xml, |element| {
        if element.is_at(&["network", "forward"]) {
            // libvirt's default where the mode is left out.
            facts.forward = element.attribute("mode")?.unwrap_or_else(|| "nat".to_owned());
        } else if element.is_at(&["network", "bridge"]) {
            facts.bridge = element.attribute("name")?;
            facts.mac_table_manager = match element.attribute("macTableManager")?.as_deref() {
                Some("libvirt") => MacTableManager::Libvirt,
                Some("kernel") | None => MacTableManager::Kernel,
                Some(other) => return Err(BadXml(format!("macTableManager {other:?} is not known"))),
            };
        } else if element.namespace == Some(METADATA_NAMESPACE) && element.path == ["network", "metadata", "network"] {
            facts.owner = element.attribute("name")?;
        }
        Ok(())
    })?;
    Ok(facts)
}

/// Writes the XML of `definition`, under `uuid` where there is one.
///
/// *Errors*: [`Fault::Xml`] where a name has a character that XML cannot carry.
pub(crate) fn write(definition: &NetworkDefinition, uuid: Option<Uuid>) -> Result<String, Fault> {
    for text in [&definition.name, &definition.owner] {
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
            return Err(Fault::Xml(format!("{text:?} has a character that XML cannot carry")));
        }
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write_elements(&mut writer, definition, uuid).expect("writing into memory does not fail");
    Ok(String::from_utf8(writer.into_inner()).expect("only text was written"))
}

fn write_elements(writer: &mut Writer<Vec<u8>>, definition: &NetworkDefinition, uuid: Option<Uuid>) -> io::Result<()> {
    let mut bridge = vec![("name", definition.bridge.as_str())];
    match definition.mac_table_manager {
        MacTableManager::Libvirt => bridge.push(("macTableManager", "libvirt")),
        // libvirt's default; left out for daemons that do not know the attribute.
        MacTableManager::Kernel => {}
    }
    writer.create_element("network").write_inner_content(|writer| {
        writer.create_element("name").write_text_content(BytesText::new(&definition.name))?;
        if let Some(uuid) = uuid {
            writer.create_element("uuid").write_text_content(BytesText::new(&uuid.to_string()))?;
        }
        writer.create_element("metadata").write_inner_content(|writer| {
            writer
                .create_element("trestle:network")
                .with_attributes([("xmlns:trestle", METADATA_NAMESPACE), ("name", definition.owner.as_str())])
                .write_empty()?;
            Ok(())
        })?;
        writer.create_element("forward").with_attribute(("mode", "bridge")).write_empty()?;
        writer.create_element("bridge").with_attributes(bridge).write_empty()?;
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;

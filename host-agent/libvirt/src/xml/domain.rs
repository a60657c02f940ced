//! The network interfaces in the XML of a libvirt domain.
//!
//! *Source*: libvirt, "Domain XML format", network interfaces.

use tracing::warn;
use trestle_model::{IfName, MacAddr, MacTableManager};

use super::{BadXml, Element, visit};

/// What a domain's XML tells of its interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DomainFacts {
    /// Whether the XML is of a domain that runs or is paused: only then a `<target>` is there on the host.
    pub(crate) is_live: bool,
    pub(crate) interfaces: Vec<Interface>,
}

/// One `<interface>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) mac: MacAddr,
    pub(crate) network: Option<String>,
    pub(crate) bridge: Option<String>,
    /// `None` in a domain that is not live, where the XML at most wishes for a name.
    pub(crate) tap: Option<IfName>,
    pub(crate) mac_table_manager: MacTableManager,
}

/// An `<interface>` as text.
#[derive(Debug, Default)]
struct Draft {
    mac: Option<String>,
    network: Option<String>,
    bridge: Option<String>,
    target: Option<String>,
    manager: Option<String>,
}

/// Reads a domain's XML. An interface without a sensible MAC is left out, with a warning.
pub(crate) fn parse(xml: &str) -> Result<DomainFacts, BadXml> {
    let mut is_live = false;
    let mut drafts: Vec<Draft> = Vec::new();
    visit(xml, |element| {
        if element.is_at(&["domain"]) {
            is_live = element.attribute("id")?.is_some();
        } else if element.is_at(&["domain", "devices", "interface"]) {
            drafts.push(Draft::default());
        } else if let Some(draft) = drafts.last_mut() {
            draft.add(element)?;
        }
        Ok(())
    })?;
    let interfaces = drafts.into_iter().filter_map(|draft| draft.check(is_live)).collect();
    Ok(DomainFacts { is_live, interfaces })
}

impl Draft {
    fn add(&mut self, element: &Element<'_>) -> Result<(), BadXml> {
        if element.is_at(&["domain", "devices", "interface", "mac"]) {
            self.mac = element.attribute("address")?;
        } else if element.is_at(&["domain", "devices", "interface", "source"]) {
            // A running guest's interface on a network that stands on a bridge reads `type='bridge'` with both
            // attributes: so it is the attributes that tell, not the type.
            self.network = element.attribute("network")?;
            self.bridge = element.attribute("bridge")?;
            self.manager = element.attribute("macTableManager")?;
        } else if element.is_at(&["domain", "devices", "interface", "target"]) {
            self.target = element.attribute("dev")?;
        }
        Ok(())
    }

    fn check(self, is_live: bool) -> Option<Interface> {
        let text = self.mac.unwrap_or_default();
        let mac = match text.parse() {
            Ok(mac) => mac,
            Err(error) => {
                warn!(%error, "guest interface left out");
                return None;
            }
        };
        let target = self.target.filter(|_| is_live);
        let tap = target.and_then(|target| match target.parse() {
            Ok(tap) => Some(tap),
            Err(error) => {
                warn!(%mac, %error, "guest interface taken as without tap");
                None
            }
        });
        let mac_table_manager = match self.manager.as_deref() {
            Some("libvirt") => MacTableManager::Libvirt,
            Some(_) | None => MacTableManager::Kernel,
        };
        Some(Interface { mac, network: self.network, bridge: self.bridge, tap, mac_table_manager })
    }
}

#[cfg(test)]
mod tests;

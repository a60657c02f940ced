//! The network interfaces in the XML of a libvirt domain.
//!
//! *Source*: libvirt, "Domain XML format", network interfaces.

use tracing::warn;
use trestle_model::{
    Bandwidth, BandwidthRate, DomainInterface, FilterReference, MacTableManager, PortVlans, VlanRange,
};

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
    /// What is reported of it. Without a tap in a domain that is not live, where the XML at most wishes for a name.
    pub(crate) told: DomainInterface,
    pub(crate) mac_table_manager: MacTableManager,
    pub(crate) vlans: PortVlans,
}

/// An `<interface>` as text.
#[derive(Debug, Default)]
struct Draft {
    attachment: Option<String>,
    filter: Option<FilterReference>,
    model: Option<String>,
    mtu: Option<u32>,
    is_unlinked: bool,
    alias: Option<String>,
    is_isolated: bool,
    bandwidth: Bandwidth,
    mac: Option<String>,
    network: Option<String>,
    bridge: Option<String>,
    target: Option<String>,
    manager: Option<String>,
    /// Whether `<vlan>` says that it is a trunk.
    is_trunk: bool,
    tags: Vec<Tag>,
}

/// A `<tag>` of a `<vlan>`.
#[derive(Debug)]
struct Tag {
    id: Option<u16>,
    native_mode: Option<String>,
}

/// Reads a domain's XML. An interface without a sensible MAC is left out, with a warning.
pub(crate) fn parse(xml: &str) -> Result<DomainFacts, BadXml> {
    let mut is_live = false;
    let mut drafts: Vec<Draft> = Vec::new();
    visit(xml, |element| {
        if element.is_at(&["domain"]) {
            is_live = element.attribute("id")?.is_some();
        } else if element.is_at(&["domain", "devices", "interface"]) {
            drafts.push(Draft { attachment: element.attribute("type")?, ..Draft::default() });
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
        } else if element.is_at(&["domain", "devices", "interface", "vlan"]) {
            self.is_trunk = element.attribute("trunk")?.as_deref() == Some("yes");
        } else if element.is_at(&["domain", "devices", "interface", "vlan", "tag"]) {
            let id = element.attribute("id")?.and_then(|id| id.parse().ok());
            self.tags.push(Tag { id, native_mode: element.attribute("nativeMode")? });
        } else if element.is_at(&["domain", "devices", "interface", "filterref"]) {
            let name = element.attribute("filter")?.unwrap_or_default();
            self.filter = Some(FilterReference { name, parameters: Vec::new() });
        } else if element.is_at(&["domain", "devices", "interface", "filterref", "parameter"]) {
            let parameter = element.attribute("name")?.zip(element.attribute("value")?);
            self.filter.iter_mut().for_each(|filter| filter.parameters.extend(parameter.clone()));
        } else if element.is_at(&["domain", "devices", "interface", "model"]) {
            self.model = element.attribute("type")?;
        } else if element.is_at(&["domain", "devices", "interface", "mtu"]) {
            self.mtu = element.attribute("size")?.and_then(|size| size.parse().ok());
        } else if element.is_at(&["domain", "devices", "interface", "link"]) {
            self.is_unlinked = element.attribute("state")?.as_deref() == Some("down");
        } else if element.is_at(&["domain", "devices", "interface", "alias"]) {
            self.alias = element.attribute("name")?;
        } else if element.is_at(&["domain", "devices", "interface", "port"]) {
            self.is_isolated = element.attribute("isolated")?.as_deref() == Some("yes");
        } else if element.is_at(&["domain", "devices", "interface", "bandwidth", "inbound"]) {
            self.bandwidth.inbound = rate(element)?;
        } else if element.is_at(&["domain", "devices", "interface", "bandwidth", "outbound"]) {
            self.bandwidth.outbound = rate(element)?;
        }
        Ok(())
    }

    fn check(self, is_live: bool) -> Option<Interface> {
        let vlans = self.vlans();
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
        let told = DomainInterface {
            mac,
            attachment: self.attachment.unwrap_or_default(),
            network: self.network,
            bridge: self.bridge,
            tap,
            filter: self.filter,
            model: self.model,
            mtu: self.mtu,
            linked: !self.is_unlinked,
            alias: self.alias,
            isolated: self.is_isolated,
            bandwidth: self.bandwidth,
        };
        Some(Interface { told, mac_table_manager, vlans })
    }

    /// Returns the VLANs that libvirt makes a bridge's port a member of: of a trunk all, and of anything else the only one, with
    /// untagged frames.
    ///
    /// *Source*: `virNetDevBridgeSetupVlans` in libvirt's `src/util/virnetdevbridge.c`, since 11.0. An older one refuses tags
    /// on a standard bridge.
    fn vlans(&self) -> PortVlans {
        let is_trunk = self.is_trunk || self.tags.len() > 1;
        let range = |tag: &Tag| {
            let id = tag.id.filter(|id| (1..4095).contains(id))?;
            Some(match tag.native_mode.as_deref() {
                Some("tagged") => VlanRange { pvid: true, ..VlanRange::tagged(id) },
                Some(_) => VlanRange::untagged(id),
                None if is_trunk => VlanRange::tagged(id),
                None => VlanRange::untagged(id),
            })
        };
        self.tags.iter().filter_map(range).collect()
    }
}

/// Reads a limit; one without an average, which only reserves, limits nothing.
fn rate(element: &Element<'_>) -> Result<Option<BandwidthRate>, BadXml> {
    let number = |name| Ok(element.attribute(name)?.and_then(|text| text.parse().ok()));
    let (average, peak, burst) = (number("average")?, number("peak")?, number("burst")?);
    Ok(average.map(|average| BandwidthRate { average, peak, burst }))
}

#[cfg(test)]
mod tests;

//! One `<interface>` of a domain's XML: taken out in the form in which libvirt takes it back, and made as it is wanted.
//!
//! What Trestle does not know of an interface (its place on the bus, queues, boot order) goes through untouched.
//!
//! *Source*: libvirt, "Domain XML format", network interfaces.

mod element;

use trestle_model::{Bandwidth, BandwidthRate, DomainInterface, FilterReference, MacAddr, WiredInterface};
use trestle_plan::{InterfaceDefinition, InterfaceText};

use self::element::Element;
use super::{BadXml, domain};
use crate::Fault;

/// Reads the interfaces of a domain's XML, in order; one without a sensible MAC is left out, with a warning.
pub(crate) fn read(xml: &str) -> Result<Vec<WiredInterface>, BadXml> {
    let is_live = domain::parse(xml)?.is_live;
    let mut interfaces = Vec::new();
    for element in element::interfaces(xml)? {
        if let Some(told) = told(&element, is_live)? {
            interfaces.push(WiredInterface { told, xml: taken_back(element).to_xml() });
        }
    }
    Ok(interfaces)
}

/// Writes the element of an interface.
///
/// *Errors*: [`Fault::Xml`] where the element that it is made of makes no sense.
pub(crate) fn write(mac: MacAddr, text: &InterfaceText) -> Result<String, Fault> {
    match text {
        InterfaceText::AsWas { xml } => Ok(xml.clone()),
        InterfaceText::Wanted(definition) => Ok(made(mac, definition)?.to_xml()),
    }
}

fn told(element: &Element, is_live: bool) -> Result<Option<DomainInterface>, BadXml> {
    let id = if is_live { " id='1'" } else { "" };
    let alone = format!("<domain{id}><devices>{}</devices></domain>", element.to_xml());
    Ok(domain::parse(&alone)?.interfaces.into_iter().next().map(|interface| interface.told))
}

/// Says of a running guest's interface on a libvirt network that it is one: libvirt prints what has become of it, and would
/// take that for the wish.
fn taken_back(mut element: Element) -> Element {
    let source = element.child("source").filter(|source| source.attribute("network").is_some());
    if let Some(source) = source.map(wish) {
        element.set("type", "network");
        element.replace("source", source);
    }
    element
}

/// Leaves what is wished of a source, without what libvirt found for it.
fn wish(source: &Element) -> Element {
    let mut wish = Element::new("source");
    for name in ["network", "portgroup"] {
        if let Some(value) = source.attribute(name) {
            wish.set(name, value);
        }
    }
    wish
}

fn made(mac: MacAddr, definition: &InterfaceDefinition) -> Result<Element, BadXml> {
    let mut element = match &definition.base {
        Some(xml) => element::one(xml)?,
        None => Element::new("interface").with(Element::new("mac").having("address", &mac.to_string())),
    };
    if element.attribute("type").is_some_and(|kind| kind != "network") {
        // They are of the other kind of attachment.
        element.remove(&["virtualport", "target"]);
    }
    if element.child("model").is_some_and(|model| model.attribute("type") != Some(&definition.model)) {
        // Another device may fit neither the place nor the driver's options.
        element.remove(&["address", "driver"]);
    }
    element.set("type", "network");
    let same = element.child("source").filter(|source| source.attribute("network") == Some(&definition.network));
    let source = same.map_or_else(|| Element::new("source").having("network", &definition.network), wish);
    element.remove(&["source", "model", "mtu", "link", "port", "bandwidth", "filterref"]);
    element.add(source);
    element.add(Element::new("model").having("type", &definition.model));
    if let Some(mtu) = definition.mtu {
        element.add(Element::new("mtu").having("size", &mtu.to_string()));
    }
    // libvirt leaves the cable of a running guest as it is where nothing is said.
    element.add(Element::new("link").having("state", if definition.linked { "up" } else { "down" }));
    if definition.isolated {
        element.add(Element::new("port").having("isolated", "yes"));
    }
    element.add_some(bandwidth(&definition.bandwidth));
    element.add_some(definition.filter.as_ref().map(filterref));
    Ok(element)
}

/// Writes limits; none where nothing is limited.
fn bandwidth(bandwidth: &Bandwidth) -> Option<Element> {
    let rate = |(name, rate): (&str, Option<BandwidthRate>)| {
        let BandwidthRate { average, peak, burst } = rate?;
        let mut element = Element::new(name).having("average", &average.to_string());
        for (name, number) in [("peak", peak), ("burst", burst)] {
            if let Some(number) = number {
                element.set(name, &number.to_string());
            }
        }
        Some(element)
    };
    let rates: Vec<Element> =
        [("inbound", bandwidth.inbound), ("outbound", bandwidth.outbound)].into_iter().filter_map(rate).collect();
    (!rates.is_empty()).then(|| rates.into_iter().fold(Element::new("bandwidth"), Element::with))
}

fn filterref(filter: &FilterReference) -> Element {
    let parameter =
        |(name, value): &(String, String)| Element::new("parameter").having("name", name).having("value", value);
    filter
        .parameters
        .iter()
        .map(parameter)
        .fold(Element::new("filterref").having("filter", &filter.name), Element::with)
}

#[cfg(test)]
mod tests;

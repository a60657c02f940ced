//! An element with its attributes and children. Text is left out: nothing in an `<interface>` has any.

use std::io;

use quick_xml::events::{BytesEnd, BytesStart, Event};
use quick_xml::reader::Reader;
use quick_xml::{Writer, XmlVersion};

use crate::xml::BadXml;

/// An element, in the order of its XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
}

/// Reads the interfaces among a domain's devices.
pub(super) fn interfaces(xml: &str) -> Result<Vec<Element>, BadXml> {
    let domain = one(xml)?;
    let devices = domain.children.into_iter().find(|child| child.name == "devices");
    let devices = devices.into_iter().flat_map(|devices| devices.children);
    Ok(devices.filter(|device| device.name == "interface").collect())
}

/// Reads one element.
pub(super) fn one(xml: &str) -> Result<Element, BadXml> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<Element> = Vec::new();
    loop {
        let closed = match reader.read_event().map_err(BadXml::from_display)? {
            Event::Start(start) => {
                open.push(begun(&start)?);
                continue;
            }
            Event::Empty(start) => Some(begun(&start)?),
            Event::End(_) => open.pop(),
            Event::Eof => return Err(BadXml("there is no whole element".to_owned())),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => continue,
        };
        let Some(closed) = closed else { continue };
        match open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => return Ok(closed),
        }
    }
}

fn begun(start: &BytesStart<'_>) -> Result<Element, BadXml> {
    let mut element = Element::new(start.name().into_inner());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(BadXml::from_display)?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(BadXml::from_display)?;
        element.attributes.push((attribute.key.into_inner().to_owned(), value.into_owned()));
    }
    Ok(element)
}

impl Element {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), attributes: Vec::new(), children: Vec::new() }
    }

    pub(super) fn having(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    pub(super) fn with(mut self, child: Self) -> Self {
        self.add(child);
        self
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|(is, _)| is == name) {
            Some((_, has)) => value.clone_into(has),
            None => self.attributes.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(super) fn add(&mut self, child: Self) {
        self.children.push(child);
    }

    pub(super) fn add_some(&mut self, child: Option<Self>) {
        self.children.extend(child);
    }

    pub(super) fn remove(&mut self, names: &[&str]) {
        self.children.retain(|child| !names.contains(&child.name.as_str()));
    }

    pub(super) fn replace(&mut self, name: &str, with: Self) {
        self.children.iter_mut().filter(|child| child.name == name).for_each(|child| child.clone_from(&with));
    }

    pub(super) fn to_xml(&self) -> String {
        let mut writer = Writer::new(Vec::new());
        self.write(&mut writer).expect("writing into memory does not fail");
        String::from_utf8(writer.into_inner()).expect("only text was written")
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let attributes = self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let start = BytesStart::new(self.name.as_str()).with_attributes(attributes);
        if self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        self.children.iter().try_for_each(|child| child.write(writer))?;
        writer.write_event(Event::End(BytesEnd::new(self.name.as_str())))
    }
}

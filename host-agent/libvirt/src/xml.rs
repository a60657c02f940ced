//! libvirt's XML, read element by element.

pub(crate) mod domain;
pub(crate) mod interface;
pub(crate) mod network;
pub(crate) mod nwfilter;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::{AttrError, Attribute};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// Says that a text is not well-formed XML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("libvirt's XML makes no sense: {0}")]
pub(crate) struct BadXml(String);

/// An element's beginning, where it is found.
pub(crate) struct Element<'a> {
    /// Local names from the root down to this element.
    pub(crate) path: &'a [String],
    /// Namespace, where the element is in one.
    pub(crate) namespace: Option<&'a str>,
    start: &'a BytesStart<'a>,
}

impl Element<'_> {
    /// Tells whether the element stands at `path`, outside any namespace.
    pub(crate) fn is_at(&self, path: &[&str]) -> bool {
        self.namespace.is_none() && self.path == path
    }

    /// Reads an attribute; `None` where the element has none of that name.
    pub(crate) fn attribute(&self, name: &str) -> Result<Option<String>, BadXml> {
        let Some(attribute) = self.start.try_get_attribute(name).map_err(BadXml::from_display)? else {
            return Ok(None);
        };
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(BadXml::from_display)?;
        Ok(Some(value.into_owned()))
    }
}

impl Element<'_> {
    /// Reads every attribute, in order.
    pub(crate) fn attributes(&self) -> Result<Vec<(String, String)>, BadXml> {
        let read = |attribute: Result<Attribute<'_>, AttrError>| {
            let attribute = attribute.map_err(BadXml::from_display)?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(BadXml::from_display)?;
            Ok((attribute.key.local_name().into_inner().to_owned(), value.into_owned()))
        };
        self.start.attributes().map(read).collect()
    }
}

impl BadXml {
    fn from_display(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<BadXml> for crate::Fault {
    fn from(error: BadXml) -> Self {
        Self::Xml(error.to_string())
    }
}

/// Calls `each` for every element of `xml`, parents first.
pub(crate) fn visit(xml: &str, mut each: impl FnMut(&Element<'_>) -> Result<(), BadXml>) -> Result<(), BadXml> {
    let mut reader = NsReader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut is_empty = true;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(BadXml::from_display)?;
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => Some(namespace.into_inner()),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => None,
        };
        match &event {
            Event::Start(start) => {
                is_empty = false;
                path.push(start.local_name().into_inner().to_owned());
                each(&Element { path: &path, namespace, start })?;
            }
            Event::Empty(start) => {
                is_empty = false;
                path.push(start.local_name().into_inner().to_owned());
                each(&Element { path: &path, namespace, start })?;
                path.pop();
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    match path.last() {
        Some(open) => Err(BadXml(format!("element <{open}> is not closed"))),
        None if is_empty => Err(BadXml("there is no element".to_owned())),
        None => Ok(()),
    }
}

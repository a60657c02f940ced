//! Files of fleet resources and of host networks: YAML in the shape of the wire's own messages.
//!
//! A document is `kind`, `name`, optional `labels` and `etag`, and `spec` as ProtoJSON has it. There is no second
//! schema: the wire's descriptors read it. Everything that is wrong with all documents is said at once.

mod reader;
mod source;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use prost_reflect::{DynamicMessage, ReflectMessage as _};
use trestle_proto::host::v1::{Bond, Network, Nic, SetupNetworksRequest};
use trestle_proto::schema;

pub use source::{Source, Unreadable};

use crate::kind::Kind;
use reader::Fault;
use tree::{Content, Key, Node};

/// Fields of a document beside its kind. What the engine alone sets has no place in a file.
const FIELDS: [&str; 4] = ["name", "labels", "etag", "spec"];

/// What a file wants of one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSetup {
    /// Networks to set or remove.
    pub networks: Vec<Network>,
    /// Bonds to set or remove.
    pub bonds: Vec<Bond>,
    /// Its NICs' own settings.
    pub nics: Vec<Nic>,
}

/// A resource as a file wants it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What kind of resource it is.
    pub kind: Kind,
    /// The resource's name.
    pub name: String,
    /// The resource as the wire has it.
    pub resource: DynamicMessage,
}

/// Everything that is wrong with the files; never empty.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Malformed(Vec<Complaint>);

/// Something that is wrong with a file.
#[derive(Debug)]
struct Complaint {
    file: String,
    line: Option<u64>,
    /// The resource's name, where it is known.
    subject: Option<String>,
    message: String,
}

/// Reads the resources of files, ordered so that each comes before those that refer to it.
///
/// *Shape*: one or more, each name once.
///
/// # Errors
/// When any document is malformed, a name is there twice, or there is no document at all.
pub fn resources(sources: &[Source]) -> Result<Vec<Document>, Malformed> {
    let mut complaints = Vec::new();
    let mut documents = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for source in sources {
        for node in parse(source, &mut complaints) {
            match resource(&node) {
                Ok(document) => {
                    match seen.entry(document.name.clone()) {
                        Entry::Vacant(place) => {
                            place.insert(format!("{}:{}", source.name, node.line));
                        }
                        Entry::Occupied(first) => complaints.push(Complaint {
                            file: source.name.clone(),
                            line: Some(node.line),
                            subject: Some(document.name.clone()),
                            message: format!("is there already, at {}", first.get()),
                        }),
                    }
                    documents.push(document);
                }
                Err(fault) => complaints.push(Complaint::new(source, name_of(&node), &fault)),
            }
        }
    }
    if documents.is_empty() && complaints.is_empty() {
        complaints.push(Complaint::whole(sources, "holds no documents"));
    }
    documents.sort_by_key(|document| document.kind);
    if complaints.is_empty() { Ok(documents) } else { Err(Malformed(complaints)) }
}

/// Reads what a host is to become: one document with `networks`, each as `trestle.host.v1.Network`, and `bonds`, each as
/// `trestle.host.v1.Bond` in ProtoJSON.
///
/// # Errors
/// When there is not exactly one such document.
pub fn host_setup(source: &Source) -> Result<HostSetup, Malformed> {
    let mut complaints = Vec::new();
    match parse(source, &mut complaints).as_slice() {
        [node] => match setup(node) {
            Ok(setup) => return Ok(setup),
            Err(fault) => complaints.push(Complaint::new(source, None, &fault)),
        },
        [] | [_, ..] if complaints.is_empty() => {
            complaints.push(Complaint::whole(std::slice::from_ref(source), "has to hold one document"));
        }
        [] | [_, ..] => {}
    }
    Err(Malformed(complaints))
}

fn setup(node: &Node) -> Result<HostSetup, Fault> {
    let Content::Mapping(entries) = &node.content else {
        return Err(Fault::of(node, "a mapping with networks, bonds or nics is expected"));
    };
    if let Some((key, _)) = entries.iter().find(|(key, _)| !["networks", "bonds", "nics"].contains(&key.text.as_str()))
    {
        return Err(Fault::at(key, "unknown field; networks, bonds or nics is expected"));
    }
    if entries.is_empty() {
        return Err(Fault::of(node, "networks, bonds and nics are missing"));
    }
    let request = DynamicMessage::deserialize(schema::message("trestle.host.v1.SetupNetworksRequest"), node)?;
    let SetupNetworksRequest { networks, bonds, nics, .. } = schema::typed(&request);
    Ok(HostSetup { networks, bonds, nics })
}

fn resource(node: &Node) -> Result<Document, Fault> {
    let Content::Mapping(entries) = &node.content else {
        return Err(Fault::of(node, "a document is a mapping with kind, name and spec"));
    };
    let (kind_key, kind) = text_of(node, entries, "kind")?;
    let kind: Kind = kind.parse().map_err(|error| Fault::at(kind_key, format!("{error}")))?;
    let (name_key, name) = text_of(node, entries, "name")?;
    if !kind.names(name) {
        let message = format!("{name:?} is no name of a {kind}: it has the form {}", kind.pattern());
        return Err(Fault::at(name_key, message));
    }
    let known = |key: &Key| key.text == "kind" || FIELDS.contains(&key.text.as_str());
    if let Some((key, _)) = entries.iter().find(|(key, _)| !known(key)) {
        return Err(Fault::at(key, format!("unknown field; a document has kind, {}", FIELDS.join(", "))));
    }
    let rest = entries.iter().filter(|(key, _)| key.text != "kind").cloned().collect();
    let rest = Node { line: node.line, content: Content::Mapping(rest) };
    let message = schema::message(&format!("trestle.engine.v1.{kind}"));
    let mut resource = DynamicMessage::deserialize(message, &rest)?;
    // Present also where it is empty: a spec of defaults is a wish, too.
    if let Some(spec) = resource.descriptor().get_field_by_name("spec") {
        resource.get_field_mut(&spec);
    }
    Ok(Document { kind, name: name.to_owned(), resource })
}

fn text_of<'a>(node: &Node, entries: &'a [(Key, Node)], field: &str) -> Result<(&'a Key, &'a str), Fault> {
    match entries.iter().find(|(key, _)| key.text == field) {
        Some((key, Node { content: Content::Text(text), .. })) if !text.is_empty() => Ok((key, text)),
        Some((key, _)) => Err(Fault::at(key, "a text is expected")),
        None => Err(Fault::of(node, format!("{field} is missing"))),
    }
}

fn name_of(node: &Node) -> Option<String> {
    let Content::Mapping(entries) = &node.content else { return None };
    text_of(node, entries, "name").ok().map(|(_, name)| name.to_owned())
}

fn parse(source: &Source, complaints: &mut Vec<Complaint>) -> Vec<Node> {
    serde_saphyr::from_multiple(&source.text).unwrap_or_else(|error| {
        complaints.push(Complaint {
            file: source.name.clone(),
            line: error.location().map(|location| location.line()).filter(|line| *line > 0),
            subject: None,
            message: first_line(&error.without_snippet().to_string()),
        });
        Vec::new()
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Complaint {
    fn new(source: &Source, subject: Option<String>, fault: &Fault) -> Self {
        Self { file: source.name.clone(), line: fault.line(), subject, message: fault.to_string() }
    }

    fn whole(sources: &[Source], message: &str) -> Self {
        let file = sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
        Self { file, line: None, subject: None, message: message.to_owned() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(subject) = &self.subject {
            write!(formatter, ": {subject}")?;
        }
        write!(formatter, ": {}", self.message)
    }
}

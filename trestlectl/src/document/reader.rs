//! Hands a tree to a schema, and says where the two part: path and line.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::tree::{Content, Key, Node};

/// A place in a document that the schema does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// From the innermost to the outermost.
    path: Vec<Segment>,
    line: Option<u64>,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

impl Fault {
    /// Makes a fault at the key of a mapping.
    pub(crate) fn at(key: &Key, message: impl Into<String>) -> Self {
        Self { path: vec![Segment::Key(key.text.clone())], line: Some(key.line), message: message.into() }
    }

    /// Makes a fault of a whole node.
    pub(crate) fn of(node: &Node, message: impl Into<String>) -> Self {
        Self { path: Vec::new(), line: Some(node.line), message: message.into() }
    }

    pub(crate) fn line(&self) -> Option<u64> {
        self.line
    }

    /// Spells the path as error details do, `spec.ipv4.static.addresses[0]`; empty for the whole document.
    fn path(&self) -> String {
        let mut text = String::new();
        for segment in self.path.iter().rev() {
            match segment {
                Segment::Key(key) if text.is_empty() => text.push_str(key),
                Segment::Key(key) => text.extend([".", key]),
                Segment::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    fn within(mut self, segment: Segment, line: u64) -> Self {
        self.path.push(segment);
        self.line.get_or_insert(line);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path().as_str() {
            "" => formatter.write_str(&self.message),
            path => write!(formatter, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), line: None, message: message.to_string() }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Unsigned(value) => visitor.visit_u64(*value),
            Content::Signed(value) => visitor.visit_i64(*value),
            Content::Float(value) => visitor.visit_f64(*value),
            Content::Text(value) => visitor.visit_str(value),
            Content::Sequence(nodes) => visitor.visit_seq(Elements { nodes: nodes.iter().enumerate() }),
            Content::Mapping(entries) => read_mapping(entries, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Null => visitor.visit_none(),
            Content::Bool(_)
            | Content::Unsigned(_)
            | Content::Signed(_)
            | Content::Float(_)
            | Content::Text(_)
            | Content::Sequence(_)
            | Content::Mapping(_) => visitor.visit_some(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads a mapping; what the schema says against an entry as such, and not against its value, is said of its key.
fn read_mapping<'de, V: Visitor<'de>>(entries: &'de [(Key, Node)], visitor: V) -> Result<V::Value, Fault> {
    let mut current = None;
    let outcome = visitor.visit_map(Entries { entries: entries.iter(), current: &mut current });
    outcome.map_err(|fault| match current {
        Some((key, _)) if fault.path.is_empty() => fault.within(Segment::Key(key.text.clone()), key.line),
        Some(_) | None => fault,
    })
}

struct Entries<'de, 'a> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    current: &'a mut Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        *self.current = Some(entry);
        seed.deserialize(BorrowedStrDeserializer::new(&entry.0.text)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((key, node)) = self.current else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(node).map_err(|fault| fault.within(Segment::Key(key.text.clone()), node.line))
    }
}

struct Elements<'de> {
    nodes: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((index, node)) = self.nodes.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|fault| fault.within(Segment::Index(index), node.line))
    }
}

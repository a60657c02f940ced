//! Filters of lists: which resources are wanted, by any of their fields.
//!
//! Read against the descriptor of a resource, so that one piece of code serves every resource and field, and what cannot
//! be meant is refused before a resource is looked at.
//!
//! *Source*: a part of AIP-160: comparisons, `:`, `*` in texts, AND, OR (which binds tighter than AND), NOT, parentheses.

mod reader;
mod value;

#[cfg(test)]
mod tests;

use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, Value};
use trestle_model::{Code, Finding, Findings};

use crate::schema;
use value::Wanted;

/// A condition that resources of one kind meet or do not.
#[derive(Debug, Clone)]
pub struct Filter {
    condition: Condition,
}

#[derive(Debug, Clone)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Holds(Test),
}

/// What one field has to be. Of a list, any element; of a map, the value at a key.
#[derive(Debug, Clone)]
struct Test {
    path: Vec<FieldDescriptor>,
    /// Where the path ends in a map.
    key: Option<String>,
    wanted: Wanted,
}

/// Says what is wrong with a filter, and where.
#[derive(Debug)]
struct BadFilter {
    /// The number of the character, from 1.
    place: usize,
    message: String,
}

impl Filter {
    /// Reads a filter of resources whose message has this full name; `None` for an empty one.
    ///
    /// *Errors*: `FILTER_INVALID` with the place. *Panics*: as [`schema::message`].
    pub fn parse(text: &str, full_name: &str) -> Result<Option<Self>, Findings> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let read = reader::read(text, &schema::message(full_name));
        read.map(|condition| Some(Self { condition })).map_err(|BadFilter { place, message }| {
            let message = format!("at character {place}: {message}");
            let finding = Finding::error(Code::FilterInvalid, "filter", message);
            Findings(vec![
                finding.remedy("write it like spec.mtu > 1500 AND labels.rack = \"a1\"; docs/filters.md has the rest"),
            ])
        })
    }

    /// Tells whether a resource meets it. *Panics: never*; a message of another kind is another's.
    pub fn matches(&self, resource: &DynamicMessage) -> bool {
        self.condition.holds(resource)
    }

    /// Tells whether it asks for a field at the top of a resource, such as `status`.
    pub fn asks_for(&self, field: &str) -> bool {
        self.condition.asks_for(field)
    }
}

impl Condition {
    fn holds(&self, resource: &DynamicMessage) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(resource)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(resource)),
            Self::Not(condition) => !condition.holds(resource),
            Self::Holds(test) => test.holds_in(resource, &test.path),
        }
    }

    fn asks_for(&self, field: &str) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(|one| one.asks_for(field)),
            Self::Not(condition) => condition.asks_for(field),
            Self::Holds(test) => test.path.first().is_some_and(|first| first.name() == field),
        }
    }
}

impl Test {
    fn holds_in(&self, message: &DynamicMessage, path: &[FieldDescriptor]) -> bool {
        let Some((field, below)) = path.split_first() else { return false };
        if !message.has_field(field) && (field.supports_presence() || field.is_list() || field.is_map()) {
            return false;
        }
        match (message.get_field(field).as_ref(), &self.key) {
            (Value::List(elements), _) => elements.iter().any(|element| self.holds_for(element, below)),
            (Value::Map(entries), Some(key)) => {
                entries.get(&MapKey::String(key.clone())).is_some_and(|value| self.wanted.is(value))
            }
            (value, _) => self.holds_for(value, below),
        }
    }

    fn holds_for(&self, value: &Value, below: &[FieldDescriptor]) -> bool {
        match (value, below) {
            (_, []) => self.wanted.is(value),
            (Value::Message(message), below) => self.holds_in(message, below),
            (_, _) => false,
        }
    }
}

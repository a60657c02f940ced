//! What a field may be asked to be, by its type.

use std::cmp::Ordering;
use std::str::FromStr as _;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, Value};
use prost_types::Timestamp;

/// What a value is compared with.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// It is there, whatever it is.
    Present,
    /// It is there, and not its type's zero.
    Set,
    /// A text that fits.
    Text(Pattern),
    /// Its order to a text.
    TextOrder(Order, String),
    /// Its order to a number.
    Number(Order, i128),
    /// A truth value.
    Flag(bool),
    /// A value of an enum, by its number.
    Choice(i32),
    /// Its order to a moment.
    Moment(Order, i64, i32),
}

/// How a value has to stand to the one that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A text, with `*` at either end for anything.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    open_start: bool,
    open_end: bool,
}

impl Wanted {
    /// Reads what a field that is neither map nor list of them is compared with.
    ///
    /// *Errors*: why the two do not go together.
    pub(super) fn read(field: &FieldDescriptor, order: Order, text: &str) -> Result<Self, String> {
        let name = field.name();
        let equal_only = |wanted: Self| match order {
            Order::Equal => Ok(wanted),
            Order::Less | Order::LessOrEqual | Order::Greater | Order::GreaterOrEqual => {
                Err(format!("{name} has no order; compare it with =, != or :"))
            }
        };
        match field.kind() {
            Kind::String if order == Order::Equal => Ok(Self::Text(Pattern::whole(text))),
            Kind::String => Ok(Self::TextOrder(order, text.to_owned())),
            Kind::Bool => match text {
                "true" => equal_only(Self::Flag(true)),
                "false" => equal_only(Self::Flag(false)),
                _ => Err(format!("{name} is true or false")),
            },
            Kind::Enum(kind) => equal_only(Self::Choice(choice(&kind, text)?)),
            Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
                let moment = Timestamp::from_str(text);
                let moment = moment.map_err(|_| format!("{name} is a time, such as 2026-11-27T06:00:00Z"))?;
                Ok(Self::Moment(order, moment.seconds, moment.nanos))
            }
            Kind::Message(_) => Err(format!("{name} has fields of its own; name one of them, or ask {name}:*")),
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64 => {
                let number = text.parse().map_err(|_| format!("{name} is a whole number"))?;
                Ok(Self::Number(order, number))
            }
            Kind::Double | Kind::Float | Kind::Bytes => Err(format!("{name} is nothing that can be compared")),
        }
    }

    /// Tells whether a value is what is wanted.
    pub(super) fn is(&self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Set => is_set(value),
            Self::Text(pattern) => value.as_str().is_some_and(|text| pattern.fits(text)),
            Self::TextOrder(order, wanted) => value.as_str().is_some_and(|text| order.holds(text.cmp(wanted))),
            Self::Number(order, wanted) => number(value).is_some_and(|number| order.holds(number.cmp(wanted))),
            Self::Flag(wanted) => value.as_bool() == Some(*wanted),
            Self::Choice(wanted) => value.as_enum_number() == Some(*wanted),
            Self::Moment(order, seconds, nanos) => {
                let Some(moment) = value.as_message() else { return false };
                let part =
                    |name: &str| moment.get_field_by_name(name).and_then(|part| number(&part)).unwrap_or_default();
                let found = (part("seconds"), part("nanos"));
                order.holds(found.cmp(&(i128::from(*seconds), i128::from(*nanos))))
            }
        }
    }
}

impl Order {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Pattern {
    /// Fits the whole text; a `*` at either end stands for anything.
    fn whole(text: &str) -> Self {
        let (open_start, text) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let (open_end, text) = text.strip_suffix('*').map_or((false, text), |rest| (true, rest));
        Self { text: text.to_owned(), open_start, open_end }
    }

    /// Fits every text that has this one in it.
    pub(super) fn within(text: &str) -> Self {
        Self { text: text.to_owned(), open_start: true, open_end: true }
    }

    fn fits(&self, text: &str) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => text == self.text,
            (true, false) => text.ends_with(&self.text),
            (false, true) => text.starts_with(&self.text),
            (true, true) => text.contains(&self.text),
        }
    }
}

/// Finds a value of an enum by its name, or by what follows the enum's own name in it.
fn choice(kind: &EnumDescriptor, text: &str) -> Result<i32, String> {
    let shared = kind.values().find_map(|value| value.name().strip_suffix("UNSPECIFIED").map(str::to_owned));
    let short = |name: &str| shared.as_deref().and_then(|shared| name.strip_prefix(shared)).map(str::to_owned);
    let found = kind.values().find(|value| value.name() == text || short(value.name()).as_deref() == Some(text));
    found.map(|value| value.number()).ok_or_else(|| {
        let names: Vec<_> = kind.values().map(|value| short(value.name()).unwrap_or_default()).collect();
        format!("it is one of {}", names.join(", "))
    })
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::I32(number) => Some(i128::from(*number)),
        Value::I64(number) => Some(i128::from(*number)),
        Value::U32(number) => Some(i128::from(*number)),
        Value::U64(number) => Some(i128::from(*number)),
        Value::Bool(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_)
        | Value::Message(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::EnumNumber(number) => *number != 0,
        Value::String(text) => !text.is_empty(),
        Value::List(elements) => !elements.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Message(_) | Value::Bytes(_) | Value::F32(_) | Value::F64(_) => true,
        Value::I32(_) | Value::I64(_) | Value::U32(_) | Value::U64(_) => number(value) != Some(0),
    }
}

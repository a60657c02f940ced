//! Reads a filter, from left to right, with the place of whatever is wrong.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::value::{Order, Pattern, Wanted};
use super::{BadFilter, Condition, Test};
use crate::form::quoted;

/// The most bytes of a filter.
const LONGEST: usize = 4096;
/// How deep conditions may lie in one another.
const DEEPEST: usize = 32;

/// Reads a filter of messages of one kind.
pub(super) fn read(text: &str, kind: &MessageDescriptor) -> Result<Condition, BadFilter> {
    let mut reader = Reader { text, at: 0, kind, depth: 0 };
    if text.len() > LONGEST {
        return Err(BadFilter {
            place: 1,
            message: format!("it has {} bytes, at most {LONGEST} are read", text.len()),
        });
    }
    let condition = reader.all()?;
    if reader.rest().is_empty() { Ok(condition) } else { Err(reader.bad("AND, OR or the end is expected")) }
}

struct Reader<'a> {
    text: &'a str,
    /// Where the rest begins, in bytes.
    at: usize,
    kind: &'a MessageDescriptor,
    depth: usize,
}

/// What stands between a field and a value.
enum Comparator {
    Is(Order),
    IsNot,
    Has,
}

impl<'a> Reader<'a> {
    /// Conditions between ANDs.
    fn all(&mut self) -> Result<Condition, BadFilter> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.bad(&format!("conditions lie at most {DEEPEST} deep in one another")));
        }
        let mut conditions = vec![self.any()?];
        while self.took_word("AND") {
            conditions.push(self.any()?);
        }
        self.depth -= 1;
        Ok(Condition::All(conditions))
    }

    /// Conditions between ORs.
    fn any(&mut self) -> Result<Condition, BadFilter> {
        let mut conditions = vec![self.one()?];
        while self.took_word("OR") {
            conditions.push(self.one()?);
        }
        Ok(Condition::Any(conditions))
    }

    fn one(&mut self) -> Result<Condition, BadFilter> {
        if self.took_word("NOT") {
            return Ok(Condition::Not(Box::new(self.in_parentheses_or_comparison()?)));
        }
        self.in_parentheses_or_comparison()
    }

    fn in_parentheses_or_comparison(&mut self) -> Result<Condition, BadFilter> {
        if !self.took("(") {
            return self.comparison();
        }
        let condition = self.all()?;
        if self.took(")") { Ok(condition) } else { Err(self.bad("a closing parenthesis is expected")) }
    }

    fn comparison(&mut self) -> Result<Condition, BadFilter> {
        self.skip_spaces();
        let path_at = self.at;
        let path = self.taken(|character| !character.is_whitespace() && !"()=!<>:\"".contains(character));
        let (fields, mut key) = self.fields(path, path_at)?;
        let Some(last) = fields.last().cloned() else { return Err(self.bad_at(path_at, "a field is expected")) };
        self.skip_spaces();
        let comparator_at = self.at;
        let comparator = self.comparator()?;
        self.skip_spaces();
        let value_at = self.at;
        let (text, is_quoted) = self.value()?;
        let wrong = |message: String| self.bad_at(value_at, &message);
        let is_star = text == "*" && !is_quoted;
        let whole_map = last.is_map() && key.is_none();
        let element = if last.is_map() { map_value(&last) } else { Some(last.clone()) };
        let element =
            element.ok_or_else(|| self.bad_at(path_at, &format!("{} is nothing that can be compared", last.name())))?;
        let is_text = matches!(element.kind(), Kind::String);
        let wanted = match comparator {
            Comparator::Has if is_star => Wanted::Set,
            Comparator::Has if whole_map => {
                key = Some(text);
                Wanted::Present
            }
            Comparator::Is(_) | Comparator::IsNot if whole_map => {
                let message = format!("{0} is a map; name a key, as in {0}.KEY = value or {0}:KEY", last.name());
                return Err(self.bad_at(comparator_at, &message));
            }
            Comparator::Has if is_text && !last.is_list() => Wanted::Text(Pattern::within(&text)),
            Comparator::Has | Comparator::IsNot => Wanted::read(&element, Order::Equal, &text).map_err(wrong)?,
            Comparator::Is(order) => Wanted::read(&element, order, &text).map_err(wrong)?,
        };
        let test = Condition::Holds(Test { path: fields, key, wanted });
        Ok(if matches!(comparator, Comparator::IsNot) { Condition::Not(Box::new(test)) } else { test })
    }

    /// Finds the fields of a path, and the key of a map, which is all that follows the map's name.
    fn fields(&self, path: &str, path_at: usize) -> Result<(Vec<FieldDescriptor>, Option<String>), BadFilter> {
        let (mut fields, mut within, mut at) = (Vec::new(), Some(self.kind.clone()), path_at);
        let mut rest = Some(path);
        while let Some(left) = rest {
            let (name, below) = left.split_once('.').map_or((left, None), |(name, below)| (name, Some(below)));
            if name.is_empty() {
                return Err(self.bad_at(at, "a field is expected"));
            }
            let field = within
                .as_ref()
                .and_then(|kind| kind.get_field_by_name(name).or_else(|| kind.get_field_by_json_name(name)));
            let field = field.ok_or_else(|| {
                let owner = within.as_ref().map_or_else(|| "there".to_owned(), |kind| format!("of {}", kind.name()));
                self.bad_at(at, &format!("{} is no field {owner}", quoted(name)))
            })?;
            let is_map = field.is_map();
            within = field.kind().as_message().cloned();
            fields.push(field);
            at = at.saturating_add(name.len() + 1);
            if is_map {
                return Ok((fields, below.filter(|key| !key.is_empty()).map(str::to_owned)));
            }
            rest = below;
        }
        Ok((fields, None))
    }

    fn comparator(&mut self) -> Result<Comparator, BadFilter> {
        let comparators = [
            ("!=", Comparator::IsNot),
            ("<=", Comparator::Is(Order::LessOrEqual)),
            (">=", Comparator::Is(Order::GreaterOrEqual)),
            ("=", Comparator::Is(Order::Equal)),
            ("<", Comparator::Is(Order::Less)),
            (">", Comparator::Is(Order::Greater)),
            (":", Comparator::Has),
        ];
        for (text, comparator) in comparators {
            if self.took(text) {
                return Ok(comparator);
            }
        }
        Err(self.bad("one of = != < <= > >= : is expected"))
    }

    /// Reads a bare word or a text in quotes, in which a backslash stands before a quote or a backslash.
    fn value(&mut self) -> Result<(String, bool), BadFilter> {
        let start = self.at;
        if !self.took("\"") {
            let word = self.taken(|character| !character.is_whitespace() && !"()\"".contains(character));
            return if word.is_empty() { Err(self.bad("a value is expected")) } else { Ok((word.to_owned(), false)) };
        }
        let (mut text, mut escaped) = (String::new(), false);
        for character in self.rest().chars() {
            self.at += character.len_utf8();
            match character {
                '"' if !escaped => return Ok((text, true)),
                '\\' if !escaped => escaped = true,
                character => {
                    text.push(character);
                    escaped = false;
                }
            }
        }
        Err(self.bad_at(start, "the quotes are not closed"))
    }

    /// Takes a word that stands for itself.
    fn took_word(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let follows = self.rest().strip_prefix(word);
        let ends = follows
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|next: char| next.is_whitespace() || next == '('));
        if ends {
            self.at += word.len();
        }
        ends
    }

    fn took(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(sign);
        if is_next {
            self.at += sign.len();
        }
        is_next
    }

    fn taken(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let (taken, _) = rest.split_at(rest.find(|character| !fits(character)).unwrap_or(rest.len()));
        self.at += taken.len();
        taken
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn bad(&self, message: &str) -> BadFilter {
        self.bad_at(self.at, message)
    }

    fn bad_at(&self, at: usize, message: &str) -> BadFilter {
        let before = self.text.get(..at).unwrap_or(self.text);
        BadFilter { place: before.chars().count() + 1, message: message.to_owned() }
    }
}

/// Returns the field of a map's values; none where its keys are no texts.
fn map_value(map: &FieldDescriptor) -> Option<FieldDescriptor> {
    let kind = map.kind();
    let entry = kind.as_message()?;
    matches!(entry.map_entry_key_field().kind(), Kind::String).then(|| entry.map_entry_value_field())
}

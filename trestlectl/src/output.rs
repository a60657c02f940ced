//! What is printed: data on standard output, everything else on standard error.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use prost_reflect::DynamicMessage;
use serde::Serialize;

use crate::failure::Failure;

/// Says `yes` or `no` in a table.
pub fn yes(value: bool) -> String {
    if value { "yes".to_owned() } else { "no".to_owned() }
}

/// Prints data, a line break behind it.
///
/// # Errors
/// [`Failure::OutputClosed`] when nobody reads it any more.
pub fn data(text: impl fmt::Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{}", printable(&text.to_string())).and_then(|()| output.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::File("standard output cannot be written".to_owned(), error.into())),
    }
}

/// Prints what is no data; where nobody reads it, it is lost.
pub fn note(text: impl fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{}", printable(&text.to_string())));
}

/// Prints what is no data and has its line breaks already.
pub fn notes(text: &str) {
    drop(io::stderr().lock().write_all(printable(text).as_bytes()));
}

/// Writes control characters as escapes: what others have named, such as a guest, may carry commands to a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    let is_harmful = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            written.extend(character.escape_default());
        } else {
            written.push(character);
        }
    }
    written.into()
}

/// Writes a dash for an empty cell of a table, which `awk` would not see.
pub(crate) fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Tells whether a person looks at standard error.
#[must_use]
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Asks a person a question that is answered with yes or no.
///
/// # Errors
/// Nobody is there to answer: standard input or standard error is no terminal.
pub fn asked(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(
            "nobody is there to agree to the plan; --yes carries it out without asking".to_owned(),
        ));
    }
    notes(question);
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::File("standard input cannot be read".to_owned(), error.into()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints one message as ProtoJSON.
///
/// # Errors
/// As [`data`].
pub fn json(message: &DynamicMessage) -> Result<(), Failure> {
    data(pretty(message)?)
}

/// Prints messages as an array of ProtoJSON.
///
/// # Errors
/// As [`data`].
pub fn json_array(messages: &[DynamicMessage]) -> Result<(), Failure> {
    data(pretty(&messages)?)
}

/// Prints a message as YAML, with the fields of its ProtoJSON.
///
/// # Errors
/// As [`data`].
pub fn yaml(message: &DynamicMessage) -> Result<(), Failure> {
    let failed = |error: Box<dyn Error + Send + Sync>| Failure::File("answer cannot be shown".to_owned(), error);
    let value = serde_json::to_value(message).map_err(|error| failed(error.into()))?;
    data(serde_saphyr::to_string(&value).map_err(|error| failed(error.into()))?.trim_end())
}

/// By way of a value whose objects are ordered, so that the same state prints the same text.
fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::File("answer cannot be shown".to_owned(), error.into());
    let value = serde_json::to_value(value).map_err(failed)?;
    serde_json::to_string_pretty(&value).map_err(failed)
}

/// Prints a table; see [`table_text`].
///
/// # Errors
/// As [`data`].
pub fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Result<(), Failure> {
    data(table_text(heads, rows))
}

/// Writes a table without lines and colours, for people and for `awk` alike; only its heads where it is empty.
pub fn table_text<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heads);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_a_terminal_are_printed_as_text() {
        assert_eq!(printable("guest\t1\nzwölf"), "guest\t1\nzwölf");
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}c"), "a\\u{1b}[2Jb\\r\\u{9b}c");
    }
}

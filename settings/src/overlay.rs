//! Variables of the environment laid over the file.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The variable, after the prefix, that names the file itself.
const FILE: &str = "CONFIG";

/// Says why settings do not parse. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or a variable does not parse, or has an unknown key.
    #[error("configuration does not parse")]
    Malformed(#[source] toml::de::Error),
    /// A variable does not fit the file.
    #[error("variable {0} names a key below {1:?}, which is no table")]
    Variable(String, String),
}

/// Parses `text` with the variables that begin with `prefix` laid over it.
///
/// A variable `{prefix}ENGINE__ENDPOINT` stands for the key `endpoint` in the table `engine`; its value is text. The
/// variable `{prefix}CONFIG` is left out: it names the file.
///
/// *Errors*: [`SettingsError`].
pub fn parse<T: DeserializeOwned>(
    text: &str,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, SettingsError> {
    let mut table = text.parse::<Table>().map_err(SettingsError::Malformed)?;
    for (name, value) in variables {
        match name.strip_prefix(prefix) {
            None | Some(FILE) => {}
            Some(path) => insert(&mut table, &name, &path.to_ascii_lowercase(), value)?,
        }
    }
    table.try_into().map_err(SettingsError::Malformed)
}

fn insert(table: &mut Table, name: &str, path: &str, value: String) -> Result<(), SettingsError> {
    let (tables, key) = path.rsplit_once("__").map_or((None, path), |(tables, key)| (Some(tables), key));
    let mut place = table;
    for segment in tables.into_iter().flat_map(|tables| tables.split("__")) {
        let below = place.entry(segment).or_insert_with(|| Value::Table(Table::new()));
        place = below.as_table_mut().ok_or_else(|| SettingsError::Variable(name.to_owned(), segment.to_owned()))?;
    }
    place.insert(key.to_owned(), Value::String(value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: String,
        engine: Option<Engine>,
    }

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Engine {
        endpoint: String,
    }

    fn parsed(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        parse(text, "T_", variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_environment_outweighs_the_file() {
        let variables = [("T_NAME", "b"), ("T_ENGINE__ENDPOINT", "x"), ("HOME", "/root"), ("T_CONFIG", "/etc/t.toml")];
        let expected = Settings { name: "b".to_owned(), engine: Some(Engine { endpoint: "x".to_owned() }) };
        assert_eq!(parsed("name = \"a\"", &variables).unwrap(), expected);
    }

    #[test]
    fn an_unknown_key_is_refused_wherever_it_stands() {
        assert!(matches!(parsed("nam = \"a\"", &[]), Err(SettingsError::Malformed(_))));
        assert!(matches!(parsed("name = \"a\"", &[("T_NAM", "b")]), Err(SettingsError::Malformed(_))));
        assert!(matches!(parsed("name = \"a\"", &[("T_NAME__X", "b")]), Err(SettingsError::Variable(..))));
    }
}

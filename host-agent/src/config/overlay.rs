//! Variables of the environment laid over the file.

use toml::{Table, Value};

use super::ConfigError;

const PREFIX: &str = "TRESTLE_HOST_AGENT_";

/// Puts each variable with the agent's prefix in the place of the key that it names.
/// The value is text, as every key's is.
pub(super) fn lay_over(
    mut table: Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Table, ConfigError> {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path = path.to_ascii_lowercase();
        let (tables, key) = path.rsplit_once("__").map_or((None, path.as_str()), |(tables, key)| (Some(tables), key));
        let mut place = &mut table;
        for segment in tables.into_iter().flat_map(|tables| tables.split("__")) {
            let below = place.entry(segment).or_insert_with(|| Value::Table(Table::new()));
            place = below.as_table_mut().ok_or_else(|| ConfigError::Variable(name.clone(), segment.to_owned()))?;
        }
        place.insert(key.to_owned(), Value::String(text));
    }
    Ok(table)
}

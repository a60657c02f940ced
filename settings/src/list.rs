//! A list: in a file, a list; in the environment, a text with commas.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// Reads a list, or the text of one, separated by commas; an empty text is an empty list.
///
/// *Errors*: the first element that does not parse.
pub fn list<'de, D, T, L>(from: D) -> Result<L, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
    L: FromIterator<T>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    let texts = match Form::deserialize(from)? {
        Form::List(texts) => texts,
        Form::Text(text) => text.split(',').filter(|text| !text.trim().is_empty()).map(ToOwned::to_owned).collect(),
    };
    texts.iter().map(|text| text.trim().parse().map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Settings {
        #[serde(deserialize_with = "list")]
        ports: Vec<u16>,
    }

    #[test]
    fn a_list_and_its_text_are_the_same() {
        for (text, ports) in [
            ("ports = [\"1\", \"2\"]", vec![1, 2]),
            ("ports = \"1, 2\"", vec![1, 2]),
            ("ports = \"\"", vec![]),
            ("ports = []", vec![]),
        ] {
            assert_eq!(crate::parse::<Settings>(text, "X_", []).unwrap(), Settings { ports }, "{text}");
        }
        assert!(crate::parse::<Settings>("ports = [\"many\"]", "X_", []).is_err());
    }
}

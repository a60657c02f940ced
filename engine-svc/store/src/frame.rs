//! How a value lies on the disk: one byte for the format, then JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The newest format of a value. A change that older readers would misread makes a new one.
const FORMAT: u8 = 1;

/// Says why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("{key} has format {found}, this version knows {FORMAT} at most")]
    Format { key: String, found: u8 },
    #[error("{key} is empty")]
    Empty { key: String },
    #[error("{key} does not decode")]
    Json { key: String, source: serde_json::Error },
}

/// Encodes `value`.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, value)?;
    Ok(bytes)
}

/// Decodes the value of `key`, which is named in errors.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, BadFrame> {
    let key = || key.to_owned();
    match bytes.split_first() {
        None => Err(BadFrame::Empty { key: key() }),
        Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|source| BadFrame::Json { key: key(), source }),
        Some((&found, _)) => Err(BadFrame::Format { key: key(), found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let bytes = encode(&vec!["a", "b"]).unwrap();
        assert_eq!(decode::<Vec<String>>("key", &bytes).unwrap(), ["a", "b"]);
    }

    #[test]
    fn names_the_key_of_what_does_not_decode() {
        for (bytes, expected) in [
            (&b""[..], "hosts/h1 is empty"),
            (&b"\x02[]"[..], "hosts/h1 has format 2, this version knows 1 at most"),
            (&b"\x01["[..], "hosts/h1 does not decode"),
        ] {
            assert_eq!(decode::<Vec<String>>("hosts/h1", bytes).unwrap_err().to_string(), expected);
        }
    }
}

//! Frames around records: schema version, length and checksum, so that a damaged record is never taken for a good one.
//!
//! *Shape*: version (2 bytes), length of the body (4), CRC-32 of the body (4), all big-endian; then the body, JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the records' schema that this program writes, and the only one that it reads.
const SCHEMA: u16 = 1;
const HEADER: usize = 10;

/// Says why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("record is cut short")]
    Short,
    #[error("record is of schema {0}, this program reads {SCHEMA}")]
    Schema(u16),
    #[error("record's checksum is wrong")]
    Checksum,
    #[error("record does not parse: {0}")]
    Body(serde_json::Error),
}

pub(super) fn wrap<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len()).map_err(|_| serde::ser::Error::custom("record is over 4 GiB"))?;
    let mut framed = Vec::with_capacity(HEADER + body.len());
    framed.extend_from_slice(&SCHEMA.to_be_bytes());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    framed.extend_from_slice(&body);
    Ok(framed)
}

pub(super) fn unwrap<T: DeserializeOwned>(framed: &[u8]) -> Result<T, BadFrame> {
    let (schema, rest) = framed.split_first_chunk::<2>().ok_or(BadFrame::Short)?;
    let schema = u16::from_be_bytes(*schema);
    if schema != SCHEMA {
        return Err(BadFrame::Schema(schema));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(BadFrame::Short)?;
    let (checksum, body) = rest.split_first_chunk::<4>().ok_or(BadFrame::Short)?;
    if u32::try_from(body.len()).ok() != Some(u32::from_be_bytes(*length)) {
        return Err(BadFrame::Short);
    }
    if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
        return Err(BadFrame::Checksum);
    }
    serde_json::from_slice(body).map_err(BadFrame::Body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back() {
        let framed = wrap(&vec!["a", "b"]).unwrap();
        assert_eq!(unwrap::<Vec<String>>(&framed).unwrap(), ["a", "b"]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let framed = wrap(&"some words").unwrap();
        for position in 0..framed.len() {
            for bit in 0..8 {
                let mut damaged = framed.clone();
                damaged[position] ^= 1 << bit;
                assert!(unwrap::<String>(&damaged).is_err(), "bit {bit} of byte {position}");
            }
            assert!(unwrap::<String>(&framed[..position]).is_err(), "cut at {position}");
        }
    }
}

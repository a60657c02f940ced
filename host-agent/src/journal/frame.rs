//! Frames around records: schema version, length and checksum, so that a damaged record is never taken for a good one.
//!
//! *Shape*: version (2 bytes), length of the body (4), CRC-32 of the body (4), all big-endian; then the body: JSON in
//! schema 1; in schema 2 the JSON's length (4, little-endian) and the JSON as one block of LZ4 (D-0022).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The schema of small records.
const PLAIN: u16 = 1;
/// The schema of large ones, which repeat themselves.
const PACKED: u16 = 2;
/// From how many bytes on a record is packed.
const LARGE: usize = 4096;
const HEADER: usize = 10;

/// Says why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("record is cut short")]
    Short,
    #[error("record is of schema {0}, this program reads {PLAIN} and {PACKED}")]
    Schema(u16),
    #[error("record's checksum is wrong")]
    Checksum,
    #[error("record does not unpack: {0}")]
    Packing(lz4_flex::block::DecompressError),
    #[error("record does not parse: {0}")]
    Body(serde_json::Error),
}

pub(super) fn wrap<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(value)?;
    let (schema, body) =
        if json.len() < LARGE { (PLAIN, json) } else { (PACKED, lz4_flex::compress_prepend_size(&json)) };
    let length = u32::try_from(body.len()).map_err(|_| serde::ser::Error::custom("record is over 4 GiB"))?;
    let mut framed = Vec::with_capacity(HEADER + body.len());
    framed.extend_from_slice(&schema.to_be_bytes());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    framed.extend_from_slice(&body);
    Ok(framed)
}

pub(super) fn unwrap<T: DeserializeOwned>(framed: &[u8]) -> Result<T, BadFrame> {
    let (schema, rest) = framed.split_first_chunk::<2>().ok_or(BadFrame::Short)?;
    let schema = u16::from_be_bytes(*schema);
    if schema != PLAIN && schema != PACKED {
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
    if schema == PLAIN {
        return serde_json::from_slice(body).map_err(BadFrame::Body);
    }
    let json = lz4_flex::decompress_size_prepended(body).map_err(BadFrame::Packing)?;
    serde_json::from_slice(&json).map_err(BadFrame::Body)
}

/// Returns how long a record's JSON is; nonsense for bytes that are no record.
pub(super) fn unpacked_length(framed: &[u8]) -> usize {
    let body = framed.get(HEADER..).unwrap_or_default();
    let is_packed = framed.starts_with(&PACKED.to_be_bytes());
    match body.first_chunk::<4>().filter(|_| is_packed) {
        Some(length) => usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX),
        None => body.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_large_one_takes_little_room() {
        for (count, packed) in [(2, false), (10_000, true)] {
            let record = vec!["a network".to_owned(); count];
            let framed = wrap(&record).unwrap();
            assert_eq!(unwrap::<Vec<String>>(&framed).unwrap(), record);
            let json = serde_json::to_vec(&record).unwrap().len();
            assert_eq!(unpacked_length(&framed), json);
            assert_eq!(framed.len() < json / 50, packed, "{} of {json} bytes", framed.len());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        every_damage_is_noticed(&wrap(&"some words").unwrap());
        every_damage_is_noticed(&wrap(&"some words ".repeat(LARGE)).unwrap());
    }

    fn every_damage_is_noticed(framed: &[u8]) {
        for position in 0..framed.len() {
            for bit in 0..8 {
                let mut damaged = framed.to_vec();
                damaged[position] ^= 1 << bit;
                assert!(unwrap::<String>(&damaged).is_err(), "bit {bit} of byte {position}");
            }
            assert!(unwrap::<String>(&framed[..position]).is_err(), "cut at {position}");
        }
    }
}

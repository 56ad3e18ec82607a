//! The one module that reaches `bincode`: bounded encoding of what has no fixed layout.
//!
//! Every decode has a limit on what it may allocate and must consume its whole input: without a
//! limit nine hostile bytes make bincode 2.0.1 reserve a gigabyte, and without the second rule
//! trailing garbage would pass unseen.

#![forbid(unsafe_code)]

use std::marker::PhantomData;

use bincode::config::{Config, Configuration, LittleEndian, Varint};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};

use crate::limits::RECORD_BYTES_MAX;

/// Bytes that one decoded value may take in memory; the largest payload there is.
const DECODED_BYTES_MAX: usize = 16 << 20;

/// Bytes that the decoded content of a record may take in memory. No number takes more than 16 times the
/// bytes that it is encoded in, so every record that can be written can be read.
const DECODED_RECORD_BYTES_MAX: usize = 16 * RECORD_BYTES_MAX as usize;

type Settings = Configuration<LittleEndian, Varint, bincode::config::Limit<DECODED_BYTES_MAX>>;

/// What was wrong with a value or with its bytes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodingError {
    #[error("the value can not be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    #[error("the bytes are no encoded value of this type: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("{0} bytes follow the encoded value")]
    Trailing(usize),
}

fn settings() -> Settings {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
}

/// Encodes a value with bincode's standard configuration.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodingError> {
    Ok(bincode::serde::encode_to_vec(value, settings())?)
}

/// Decodes a value that fills `bytes` to the last one.
pub(crate) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, EncodingError> {
    decode_seed(PhantomData, bytes)
}

/// As [`decode`], where the seed says what the value is made of beside the bytes.
pub(crate) fn decode_seed<'de, S: DeserializeSeed<'de>>(
    seed: S,
    bytes: &'de [u8],
) -> Result<S::Value, EncodingError> {
    decode_whole(seed, bytes, settings())
}

/// Decodes the content of a record, which fills `bytes` to the last one.
pub(crate) fn decode_record<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<T, EncodingError> {
    let settings = bincode::config::standard().with_limit::<DECODED_RECORD_BYTES_MAX>();
    decode_whole(PhantomData, bytes, settings)
}

/// Decodes the value that the content of a record begins with.
pub(crate) fn decode_beginning<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<T, EncodingError> {
    let settings = bincode::config::standard().with_limit::<DECODED_RECORD_BYTES_MAX>();
    let (value, _) = bincode::serde::seed_decode_from_slice(PhantomData::<T>, bytes, settings)?;
    Ok(value)
}

fn decode_whole<'de, S: DeserializeSeed<'de>>(
    seed: S,
    bytes: &'de [u8],
    settings: impl Config,
) -> Result<S::Value, EncodingError> {
    let (value, consumed) = bincode::serde::seed_decode_from_slice(seed, bytes, settings)?;
    match bytes.len() - consumed {
        0 => Ok(value),
        trailing => Err(EncodingError::Trailing(trailing)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn hostile_lengths_are_refused_without_reserving_memory() {
        let bytes = [253, 255, 255, 255, 255, 255, 255, 255, 0];
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        assert!(decode::<BTreeMap<String, String>>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
    }

    #[test]
    fn bytes_behind_a_value_are_refused() {
        let mut bytes = encode(&7_u32).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(EncodingError::Trailing(1))));
        assert!(matches!(decode_record::<u32>(&bytes), Err(EncodingError::Trailing(1))));
    }

    #[test]
    fn a_record_that_decodes_to_sixteen_times_its_bytes_is_read() {
        let numbers = vec![1_u128; 4 << 20];
        let bytes = encode(&numbers).unwrap();
        assert!(decode::<Vec<u128>>(&bytes).is_err(), "a payload may not");
        assert_eq!(decode_record::<Vec<u128>>(&bytes).unwrap(), numbers);
    }
}

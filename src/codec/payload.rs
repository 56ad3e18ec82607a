//! Values as payload bytes, in each of the encodings that are known here.

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

use crate::encoding;
use crate::error::{DecodeFailure, Source};
use crate::event::ContentType;

/// Encodes a value. The content type is one of those that a codec writes or has decoded.
pub(super) fn encode<T: Serialize>(
    value: &T,
    content_type: ContentType,
) -> Result<Vec<u8>, Source> {
    match content_type {
        #[cfg(feature = "json")]
        ContentType::Json => Ok(serde_json::to_vec(value)?),
        _ => Ok(encoding::encode(value)?),
    }
}

/// Decodes a value that fills the bytes.
pub(super) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    content_type: ContentType,
) -> Result<T, DecodeFailure> {
    decode_seed(std::marker::PhantomData, bytes, content_type)
}

/// As [`decode`], where the seed says what the value is made of beside the bytes.
pub(super) fn decode_seed<'de, S: DeserializeSeed<'de>>(
    seed: S,
    bytes: &'de [u8],
    content_type: ContentType,
) -> Result<S::Value, DecodeFailure> {
    match content_type {
        ContentType::Bincode => {
            encoding::decode_seed(seed, bytes).map_err(|error| DecodeFailure::Payload(error.into()))
        }
        #[cfg(feature = "json")]
        ContentType::Json => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            let value = seed.deserialize(&mut deserializer);
            let value = value.and_then(|value| deserializer.end().map(|()| value));
            value.map_err(|error| DecodeFailure::Payload(error.into()))
        }
        other => Err(DecodeFailure::ContentType(other)),
    }
}

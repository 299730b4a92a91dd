//! What a caller's value is stored as. No I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// The longest value, in bytes of JSON: one mebibyte. A limit of ours: measured on Redis 7.0, values of
/// that size more than double how long other clients wait at worst (the 99th percentile).
pub const MAX_VALUE_LEN: usize = 1 << 20;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let body =
        serde_json::to_vec(value).map_err(|source| Error::Encode { source: source.into() })?;
    match body.len() {
        len if len > MAX_VALUE_LEN => Err(Error::ValueTooLarge { len }),
        _ => Ok(body),
    }
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|source| Error::Decode { source: source.into() })
}

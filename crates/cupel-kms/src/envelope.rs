//! The bytes of a sealed value (pure).

use std::fmt;

use crate::{Class, DataKeyId, MAX_PLAINTEXT, WrappedKey};

/// A sealed value: the bytes to store.
///
/// They are what [`ScopedKeys::seal`](crate::ScopedKeys::seal) gave, or bytes whose layout was checked.
/// That they open is another question. All integers are big endian.
///
/// | offset | bytes | |
/// |---|---|---|
/// | 0 | 4 | `CUPL` |
/// | 4 | 1 | version, 1 |
/// | 5 | 1 | suite, 1: AES-256-GCM (NIST SP 800-38D), HKDF-SHA-256 (RFC 5869), 32-byte commitment |
/// | 6 | 1 | flags: bit 0 stream, bit 1 carries its wrapped data key, the others zero |
/// | 7 | 1 | class |
/// | 8 | 16 | id of the data key |
/// | 24 | 32 | salt, random, which makes the message's key its own |
/// | 56 | 32 | commitment to the message's key and place |
/// | 88 | 2 + n | length of the wrapped data key, and the wrapped data key |
/// | 90 + n | m + 16 | ciphertext and tag |
///
/// This version writes and opens values that carry their wrapped data key, in one piece. The other
/// flags are defined, and refused as not built yet.
///
/// # Examples
///
/// ```
/// use cupel_kms::{InvalidSealed, Sealed};
///
/// assert_eq!(Sealed::parse(b"{\"password\":\"hunter2\"}").unwrap_err(), InvalidSealed::Magic);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Checks the layout of stored bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidSealed`] names the rule that the bytes broke.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidSealed> {
        let bytes = bytes.into();
        Header::read(&bytes)?;
        Ok(Self(bytes))
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes to store.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Joins a header and its body.
    pub(crate) fn join(header: Vec<u8>, body: &[u8]) -> Self {
        let mut bytes = header;
        bytes.extend_from_slice(body);
        Self(bytes)
    }
}

impl AsRef<[u8]> for Sealed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Sealed {
    type Error = InvalidSealed;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Self::parse(bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// The bytes before the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) class: Class,
    pub(crate) data_key: DataKeyId,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) wrapped: WrappedKey,
}

/// A header as read, with its own bytes and the body behind them.
pub(crate) struct Parsed<'a> {
    pub(crate) header: Header,
    pub(crate) header_bytes: &'a [u8],
    pub(crate) body: &'a [u8],
}

pub(crate) const MAGIC: [u8; 4] = *b"CUPL";
pub(crate) const VERSION: u8 = 1;
pub(crate) const SUITE: u8 = 1;
pub(crate) const TAG_LEN: usize = 16;
const FLAG_STREAM: u8 = 1;
const FLAG_CARRY: u8 = 2;
/// AWS KMS wraps a key in at most 6144 bytes (API reference, `CiphertextBlob`).
const MAX_WRAPPED: usize = 6144;

impl Header {
    pub(crate) fn write(&self) -> Result<Vec<u8>, InvalidSealed> {
        let wrapped = self.wrapped.as_bytes();
        let len = u16::try_from(wrapped.len()).map_err(|_| InvalidSealed::WrappedKey)?;
        let mut bytes = Vec::with_capacity(90 + wrapped.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, SUITE, FLAG_CARRY, self.class.code()]);
        bytes.extend_from_slice(self.data_key.as_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.commitment);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(wrapped);
        Ok(bytes)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Parsed<'_>, InvalidSealed> {
        let (magic, rest) = take::<4>(bytes)?;
        if magic != MAGIC {
            return Err(InvalidSealed::Magic);
        }
        let ([version, suite, flags, class], rest) = take::<4>(rest)?;
        if version != VERSION {
            return Err(InvalidSealed::Version);
        }
        if suite != SUITE {
            return Err(InvalidSealed::Suite);
        }
        match flags {
            FLAG_CARRY => {}
            0 => return Err(InvalidSealed::KeyTableNotBuilt),
            _ if flags & !(FLAG_STREAM | FLAG_CARRY) != 0 => return Err(InvalidSealed::Flags),
            _ => return Err(InvalidSealed::StreamNotBuilt),
        }
        let class = Class::from_code(class).ok_or(InvalidSealed::Class)?;
        let (data_key, rest) = take::<16>(rest)?;
        let (salt, rest) = take::<32>(rest)?;
        let (commitment, rest) = take::<32>(rest)?;
        let (len, rest) = take::<2>(rest)?;
        let len = usize::from(u16::from_be_bytes(len));
        if len == 0 || len > MAX_WRAPPED {
            return Err(InvalidSealed::WrappedKey);
        }
        let (wrapped, body) = rest.split_at_checked(len).ok_or(InvalidSealed::Truncated)?;
        if body.len() < TAG_LEN {
            return Err(InvalidSealed::Truncated);
        }
        if body.len() > MAX_PLAINTEXT + TAG_LEN {
            return Err(InvalidSealed::TooLong);
        }
        let header_bytes = bytes.get(..bytes.len() - body.len()).ok_or(InvalidSealed::Truncated)?;
        let header = Self {
            class,
            data_key: DataKeyId::from_bytes(data_key),
            salt,
            commitment,
            wrapped: WrappedKey::new(wrapped),
        };
        Ok(Parsed { header, header_bytes, body })
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), InvalidSealed> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(InvalidSealed::Truncated)?;
    Ok((*first, rest))
}

/// The rule that bytes broke, so that they are not a [`Sealed`] value that this version opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSealed {
    /// The class is unknown.
    #[error("the class is unknown")]
    Class,

    /// A reserved flag is set.
    #[error("a reserved flag is set")]
    Flags,

    /// The value does not carry its data key. Tables of wrapped keys are not built yet.
    #[error("the value does not carry its data key, and key tables are not built yet")]
    KeyTableNotBuilt,

    /// The first four bytes are not `CUPL`.
    #[error("the value does not start as a sealed value does")]
    Magic,

    /// The value is a stream. Streams are not built yet.
    #[error("the value is a stream, and streams are not built yet")]
    StreamNotBuilt,

    /// The suite is not allowed.
    #[error("the cipher suite is not one that is allowed")]
    Suite,

    /// The value is longer than any that is sealed in one piece.
    #[error("the value is longer than any that is sealed in one piece")]
    TooLong,

    /// The value ends early.
    #[error("the value ends early")]
    Truncated,

    /// The format's version is unknown.
    #[error("the version of the format is unknown")]
    Version,

    /// The wrapped data key is empty or longer than 6144 bytes.
    #[error("the wrapped data key is empty or too long")]
    WrappedKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let header = Header {
            class: Class::StagingData,
            data_key: DataKeyId::from_bytes([7; 16]),
            salt: [1; 32],
            commitment: [2; 32],
            wrapped: WrappedKey::new(b"wrapped"),
        };
        Sealed::join(header.write().unwrap(), &[9; 20]).into_bytes()
    }

    #[track_caller]
    fn refused_with(offset: usize, byte: u8, rule: InvalidSealed) {
        let mut bytes = sample();
        bytes[offset] = byte;
        assert_eq!(Sealed::parse(bytes).unwrap_err(), rule);
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = sample();
        assert_eq!(bytes.len(), 88 + 2 + 7 + 20);
        assert_eq!(&bytes[..8], b"CUPL\x01\x01\x02\x03");
        assert_eq!(&bytes[8..24], [7; 16]);
        assert_eq!(&bytes[24..56], [1; 32]);
        assert_eq!(&bytes[56..88], [2; 32]);
        assert_eq!(&bytes[88..97], b"\x00\x07wrapped");
    }

    #[test]
    fn each_rule_is_named() {
        refused_with(0, b'X', InvalidSealed::Magic);
        refused_with(4, 2, InvalidSealed::Version);
        refused_with(5, 2, InvalidSealed::Suite);
        refused_with(6, 0, InvalidSealed::KeyTableNotBuilt);
        refused_with(6, 1, InvalidSealed::StreamNotBuilt);
        refused_with(6, 3, InvalidSealed::StreamNotBuilt);
        refused_with(6, 6, InvalidSealed::Flags);
        refused_with(7, 9, InvalidSealed::Class);
        refused_with(88, 0xff, InvalidSealed::WrappedKey);
    }

    #[test]
    fn what_is_longer_than_one_piece_is_refused() {
        let bytes = [sample().as_slice(), &vec![0; MAX_PLAINTEXT]].concat();
        assert_eq!(Sealed::parse(bytes).unwrap_err(), InvalidSealed::TooLong);
    }

    #[test]
    fn every_cut_before_the_tag_is_truncated() {
        let bytes = sample();
        for len in 0..97 + TAG_LEN {
            assert_eq!(Sealed::parse(&bytes[..len]).unwrap_err(), InvalidSealed::Truncated);
        }
    }
}

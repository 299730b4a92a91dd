//! The keys that values are sealed with, and their wrapped form.

use std::fmt;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::Error;

/// A plaintext data key, 256 bits. Wiped when dropped, never printed.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// Takes ownership of key material.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Exposes the key material to a cipher.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// A data key as the key service wrapped it. Safe to store; useless without the key service.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WrappedKey(Box<[u8]>);

impl WrappedKey {
    /// Takes what a key service gave.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into_boxed_slice())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.0.len())
    }
}

/// The identity of one data key: 16 random bytes, which its encryption context names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataKeyId([u8; 16]);

impl DataKeyId {
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKeyId({self})")
    }
}

/// An opened value. Wiped when dropped, never printed.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Exposes the value.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Exposes the value as text; `None` if it is not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let key = DataKey::new([0x41; 32]);
        let text = Plaintext::new(Zeroizing::new(b"hunter2".to_vec()));
        assert_eq!(format!("{key:?} {text:?}"), "DataKey(..) Plaintext(..)");
    }
}

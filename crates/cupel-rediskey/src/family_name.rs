//! Which texts may name a family. No I/O.

/// Checks the name of a family.
pub(crate) fn check(name: &str) -> Result<(), InvalidFamily> {
    match name.as_bytes() {
        [] => Err(InvalidFamily::Empty),
        bytes if bytes.len() > InvalidFamily::MAX_LEN => {
            Err(InvalidFamily::TooLong { len: bytes.len() })
        }
        bytes => {
            let legal = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            match bytes.iter().position(|byte| !legal(byte)) {
                Some(offset) => Err(InvalidFamily::IllegalByte { offset }),
                None => Ok(()),
            }
        }
    }
}

/// Why a text is not the name of a family. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFamily {
    /// The name is empty.
    #[error("invalid family: its name is empty")]
    Empty,

    /// A byte is outside `a-z`, `0-9` and `-`.
    #[error(
        "invalid family: the byte at offset {offset} of its name is not one of a-z, 0-9 and '-'"
    )]
    IllegalByte {
        /// Where the byte stands in the name.
        offset: usize,
    },

    /// The name is longer than [`InvalidFamily::MAX_LEN`].
    #[error(
        "invalid family: its name is {len} bytes long, and at most {} are allowed",
        Self::MAX_LEN
    )]
    TooLong {
        /// The length of the name, in bytes.
        len: usize,
    },
}

impl InvalidFamily {
    /// The longest name of a family, in bytes. A limit of ours.
    pub const MAX_LEN: usize = 64;
}

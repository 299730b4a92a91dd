use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Who is acting, for audit and traces: a user, a service account, a job.
///
/// An actor is 1 to [`Actor::MAX_LEN`] printable ASCII bytes (space to `~`). It is not an identity
/// that anything is decided by, and it never becomes part of a statement or a key: it travels as a
/// parameter.
///
/// # Examples
///
/// ```
/// use cupel_tenant::Actor;
///
/// let actor = Actor::new("alice@acme.example")?;
/// assert_eq!(actor.as_str(), "alice@acme.example");
/// assert!(Actor::new("line\nbreak").is_err());
/// # Ok::<(), cupel_tenant::InvalidActor>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct Actor(Arc<str>);

impl Actor {
    /// The longest accepted text, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    ///
    /// [`InvalidActor`] names the rule that the text broke.
    pub fn new(text: &str) -> Result<Self, InvalidActor> {
        match text.as_bytes() {
            [] => Err(InvalidActor::Empty),
            bytes if bytes.len() > Self::MAX_LEN => Err(InvalidActor::TooLong { len: bytes.len() }),
            bytes => match bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')) {
                Some(offset) => Err(InvalidActor::Unprintable { offset }),
                None => Ok(Self(text.into())),
            },
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Actor {
    type Err = InvalidActor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for Actor {
    type Error = InvalidActor;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.as_str().to_owned()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({})", self.0)
    }
}

/// The text given was not an [`Actor`]. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidActor {
    /// The text was empty.
    #[error("invalid actor: it is empty")]
    Empty,

    /// The text is longer than [`Actor::MAX_LEN`].
    #[error("invalid actor: it is {len} bytes long, and at most {} are allowed", Actor::MAX_LEN)]
    TooLong {
        /// The length of the text, in bytes.
        len: usize,
    },

    /// A byte is not printable ASCII.
    #[error("invalid actor: the byte at offset {offset} is not printable ASCII")]
    Unprintable {
        /// Where the byte stands in the text.
        offset: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_printable_and_short() {
        assert_eq!(Actor::new(""), Err(InvalidActor::Empty));
        assert_eq!(Actor::new("a\tb"), Err(InvalidActor::Unprintable { offset: 1 }));
        assert_eq!(Actor::new(&"a".repeat(129)), Err(InvalidActor::TooLong { len: 129 }));
        assert!(Actor::new(&"a".repeat(128)).is_ok());
        assert!(Actor::new("O'Hara <o@acme.example>; --").is_ok());
    }
}

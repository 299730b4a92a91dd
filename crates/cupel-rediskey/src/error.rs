use cupel_tenant::{BoxError, LayerError, LayerErrorKind, LayerName};

use crate::family_name::InvalidFamily;
use crate::key::InvalidKey;

/// Why the cache did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// All connections of the pool were in use for as long as a caller waits. Retrying helps once the
    /// load is less.
    #[error("all connections to redis are in use; make the pool larger or call less at once")]
    Busy,

    /// Invalidations kept overtaking the write. Retrying helps.
    #[error("invalidations kept overtaking the write; try again")]
    Contended,

    /// The server refused the user or the password of the URL. Retrying does not help.
    #[error("redis refuses the user or the password; correct them in the url")]
    Credentials {
        /// What the server said.
        #[source]
        source: BoxError,
    },

    /// A stored value is not of the type that was asked for. Retrying does not help; removing or
    /// overwriting the value does.
    #[error("the stored value is not of the type asked for; remove it or write it again")]
    Decode {
        /// What the decoder said.
        #[source]
        source: BoxError,
    },

    /// The value given could not be encoded as JSON. Nothing was written.
    #[error("the value cannot be written as json")]
    Encode {
        /// What the encoder said.
        #[source]
        source: BoxError,
    },

    /// One of our own bookkeeping keys holds something else. Retrying does not help.
    #[error(
        "a generation of this organization holds something that is none; erase the organization's \
         keys, or remove that key"
    )]
    Generation,

    /// The name of a family broke a rule. Nothing was sent.
    #[error("{rule}")]
    InvalidFamily {
        /// The rule.
        rule: InvalidFamily,
    },

    /// A key broke a rule. Nothing was sent.
    #[error("{rule}")]
    InvalidKey {
        /// The rule.
        rule: InvalidKey,
    },

    /// The text given is no URL of a Redis server. It is not kept.
    #[error("invalid redis url: it has the form rediss://user:password@host:port/database")]
    InvalidUrl,

    /// The caller's own loader failed. Nothing was written.
    #[error("the value could not be loaded")]
    Load {
        /// What the loader said.
        #[source]
        source: BoxError,
    },

    /// The user of the URL may not use a command, or not on our keys. Retrying does not help.
    #[error(
        "the redis user may not use {command} on keys that start with org:; grant it with \
         ACL SETUSER … ~org:* +{}",
        command.to_ascii_lowercase()
    )]
    MissingRight {
        /// The command.
        command: &'static str,
        /// What the server said.
        #[source]
        source: BoxError,
    },

    /// What was asked for is not built yet. Nothing was sent.
    #[error("{what} is not built yet; {remedy}")]
    NotBuilt {
        /// What is not there.
        what: &'static str,
        /// What to use instead.
        remedy: &'static str,
    },

    /// The URL leaves the machine without encryption, or without checking whom it talks to.
    #[error(
        "the url of redis is not encrypted and not on loopback; use rediss://, or allow plain text \
         (development)"
    )]
    PlainText,

    /// The operating system gave no random bytes. Nothing was written.
    #[error("there is no randomness to make a session token of")]
    Randomness,

    /// The server answered with an error. Retrying may help.
    #[error("redis answered with an error")]
    Server {
        /// What the server said.
        #[source]
        source: BoxError,
    },

    /// The organization is suspended. Resuming it helps.
    #[error("the organization is suspended; resume it first")]
    Suspended,

    /// The server did not answer. Retrying may help.
    #[error("redis does not answer; check that it runs and that the url is right")]
    Unreachable {
        /// What the connection said.
        #[source]
        source: BoxError,
    },

    /// The value is larger than [`MAX_VALUE_LEN`](crate::MAX_VALUE_LEN). Nothing was written.
    #[error(
        "the value is {len} bytes long as json, and at most {} are allowed; keep it elsewhere and \
         cache where",
        crate::MAX_VALUE_LEN
    )]
    ValueTooLarge {
        /// Its length as JSON, in bytes.
        len: usize,
    },
}

impl Error {
    /// Returns what a caller can do about this: configure, retry, or look for the server.
    pub fn kind(&self) -> LayerErrorKind {
        match self {
            Self::Credentials { .. } | Self::Unreachable { .. } => LayerErrorKind::Unreachable,
            Self::Busy
            | Self::Contended
            | Self::Load { .. }
            | Self::Randomness
            | Self::Server { .. } => LayerErrorKind::Failed,
            Self::Decode { .. }
            | Self::Encode { .. }
            | Self::Generation
            | Self::InvalidFamily { .. }
            | Self::InvalidKey { .. }
            | Self::InvalidUrl
            | Self::MissingRight { .. }
            | Self::NotBuilt { .. }
            | Self::PlainText
            | Self::Suspended
            | Self::ValueTooLarge { .. } => LayerErrorKind::Refused,
        }
    }

    /// Says of a layer's method what the facade can do about this.
    pub(crate) fn in_layer(self, action: &'static str) -> LayerError {
        LayerError::new(LayerName::Cache, action, self.kind(), self)
    }
}

impl From<InvalidFamily> for Error {
    fn from(rule: InvalidFamily) -> Self {
        Self::InvalidFamily { rule }
    }
}

impl From<InvalidKey> for Error {
    fn from(rule: InvalidKey) -> Self {
        Self::InvalidKey { rule }
    }
}

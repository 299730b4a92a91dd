use std::error::Error as StdError;
use std::sync::Arc;

use cupel_tenant::{LayerError, LayerErrorKind, LayerName};

use crate::InvalidSealed;

/// The cause of an error, shared because one refusal answers everybody who waited for the same key.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// Why a key operation did not do what was asked.
///
/// No variant says whether something of another organization exists: what is foreign, altered or
/// absent looks the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The organization's key is scheduled for deletion. Retrying does not help.
    #[error(
        "the organization's key awaits deletion: finish offboarding it, or cancel the deletion at the key service"
    )]
    AwaitsDeletion,

    /// A part of a record context is empty or longer than
    /// [`RecordContext::MAX_PART`](crate::RecordContext::MAX_PART) bytes.
    #[error(
        "the record context's {part} must be 1 to 1024 bytes: give it one that names the record"
    )]
    Context {
        /// Which part.
        part: &'static str,
    },

    /// The key service refused the credentials, so nothing was tried.
    #[error("the key service refused the credentials: check them, and the clock")]
    Credentials {
        /// What the service reported.
        #[source]
        source: Cause,
    },

    /// The days between erasure and the end of a key are outside 7 to 30.
    #[error("a deletion window is 7 to 30 days: choose one of them")]
    DeletionWindow,

    /// The key service knows the caller and refuses the key to it. Cached keys of the organization
    /// were purged. Retrying does not help until permissions are given back.
    #[error("the key service denies the use of the organization's key: check the key's policy")]
    Denied {
        /// What the service reported.
        #[source]
        source: Cause,
    },

    /// The organization's key is disabled, as it is while an organization is suspended.
    #[error("the organization's key is disabled: resume the organization to use it")]
    Disabled,

    /// The sealed bytes do not open here: they were altered, or sealed elsewhere.
    ///
    /// Retrying does not help. Treat it as an attempt to cross tenants until shown otherwise.
    #[error(
        "the sealed bytes do not open here: they were altered, or sealed for another place; open them with the context they were sealed with"
    )]
    DoesNotOpen,

    /// The organization's alias points to a key that was not made for the organization, or a key
    /// service answered with another key than it was asked for.
    #[error(
        "the key under the organization's alias is not this organization's: point the alias back to the key whose tag cupel-org names the organization"
    )]
    ForeignKey,

    /// Another process keeps the keyring file locked for longer than ten seconds.
    #[error("the keyring is locked by another process: let it finish, then try again")]
    KeyringBusy,

    /// The keyring file does not open.
    #[error(
        "the keyring does not open: give the passphrase or key file that it was made with, or restore it from a backup if it was altered"
    )]
    KeyringClosed,

    /// The keyring, or its key file, cannot be read or written.
    #[error("the keyring's files cannot be read or written: check the path and its permissions")]
    KeyringIo {
        /// What the operating system reported.
        #[source]
        source: Cause,
    },

    /// A keyring exists, and the key file that opens it does not.
    #[error(
        "the keyring's key file is missing: put it back, since a new one could not open the keyring"
    )]
    KeyFileMissing,

    /// The keyring or its key file may be used by others than its owner.
    #[error("the keyring's files must be of mode 0600: run chmod 600 on them")]
    KeyFileMode,

    /// The key file is not 32 bytes long.
    #[error("a key file is 32 random bytes: put back the one that was generated")]
    KeyFileLength,

    /// A limit of the data-key cache is out of bounds.
    #[error(
        "the cache keeps data keys for at most 900 s and for at least one message: lower the time, or raise the count"
    )]
    CacheLimits,

    /// The keyring is a file of this machine, and the service runs in production.
    #[error(
        "a local keyring is refused in production: configure AWS KMS, or say that this is development"
    )]
    LocalKeyring,

    /// The bytes given are not a sealed value, or of a kind that this version does not open.
    #[error(
        "the bytes are not a sealed value that this version opens: read them unchanged from where they were stored"
    )]
    Malformed {
        /// The rule that they broke.
        #[source]
        source: InvalidSealed,
    },

    /// Keys cannot be made, disabled or deleted: no administrator was configured.
    #[error(
        "this process has no right to administer keys: build the keys with an administrator to onboard, suspend or erase"
    )]
    NoAdmin,

    /// The organization has no key.
    #[error("the organization has no key: onboard it first")]
    NoKey,

    /// The passphrase is shorter than 8 bytes.
    #[error("a passphrase has at least 8 bytes: choose a longer one")]
    Passphrase,

    /// The endpoint is plain HTTP beyond this machine.
    #[error(
        "a plain-text endpoint beyond loopback is refused: use https, or allow plain text (development)"
    )]
    PlainEndpoint,

    /// The endpoint is not a URL of http or https.
    #[error("the key service's endpoint is not a URL: write it as https://host")]
    InvalidEndpoint,

    /// No region is configured.
    #[error("no AWS region is configured: name one, or set AWS_REGION")]
    Region,

    /// The AWS SDK is told to log the bodies of requests, which hold keys.
    #[error("LOG_SENSITIVE_BODIES would log keys and is refused in production: unset it")]
    SensitiveBodies,

    /// The key service answered with an error of its own. Retrying may help.
    #[error("the key service failed: see its own words, and try again")]
    Service {
        /// What the service reported.
        #[source]
        source: Cause,
    },

    /// The key service asks to slow down. Nothing was purged; retrying later helps.
    #[error("the key service is throttling: try again later, or raise its quota")]
    Throttled {
        /// What the service reported.
        #[source]
        source: Cause,
    },

    /// The value is longer than [`MAX_PLAINTEXT`](crate::MAX_PLAINTEXT).
    #[error("a value of more than 64 MiB cannot be sealed: streams are not built yet, so split it")]
    TooLarge,

    /// The key service did not answer. Nothing was purged; retrying may help.
    #[error("the key service does not answer: check that its endpoint is reachable")]
    Unreachable {
        /// What the client reported.
        #[source]
        source: Cause,
    },

    /// The cryptographic library refused, which it does when the system gives no random bytes.
    #[error("the cryptographic library failed: check that the system gives random bytes")]
    Cryptography,
}

impl Error {
    /// Returns whether the key service takes the key away, so that no cached one may serve longer.
    pub(crate) fn takes_the_key_away(&self) -> bool {
        matches!(
            self,
            Self::AwaitsDeletion
                | Self::Denied { .. }
                | Self::Disabled
                | Self::ForeignKey
                | Self::NoKey
        )
    }

    /// Returns what a caller can do about this: configure, retry, or look for the service.
    pub fn kind(&self) -> LayerErrorKind {
        match self {
            Self::Credentials { .. } | Self::Unreachable { .. } => LayerErrorKind::Unreachable,
            Self::Cryptography
            | Self::Denied { .. }
            | Self::KeyringBusy
            | Self::KeyringIo { .. }
            | Self::Service { .. }
            | Self::Throttled { .. } => LayerErrorKind::Failed,
            _ => LayerErrorKind::Refused,
        }
    }

    /// Says what the layer was doing.
    pub(crate) fn during(self, action: &'static str) -> LayerError {
        LayerError::new(LayerName::Keys, action, self.kind(), self)
    }
}

impl From<InvalidSealed> for Error {
    fn from(source: InvalidSealed) -> Self {
        Self::Malformed { source }
    }
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Cryptography
    }
}

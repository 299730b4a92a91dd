//! What a ciphertext is bound to.

use cupel_tenant::TenantScope;

use crate::Error;

/// What a sealed value is: each class has data keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Credentials of connectors: passwords, tokens.
    ConnectorCredentials,
    /// Configuration that is not for everybody's eyes.
    SensitiveConfig,
    /// Data on its way through a pipeline.
    StagingData,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] =
        [Self::ConnectorCredentials, Self::SensitiveConfig, Self::StagingData];

    /// Returns the name that the key service sees in the encryption context.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectorCredentials => "connector-credentials",
            Self::SensitiveConfig => "sensitive-config",
            Self::StagingData => "staging-data",
        }
    }

    /// The byte of the header. Never reused.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::ConnectorCredentials => 1,
            Self::SensitiveConfig => 2,
            Self::StagingData => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }
}

/// The record that a value is sealed for: it opens there and nowhere else.
///
/// Made by the constructor of its class ([`Credential::of`], [`Staging::of`], [`Config::of`]), so that
/// no part of the class can be left out. The organization and the workspace come from the scope. The
/// caller says the context again when it opens: it is never read from the sealed bytes.
///
/// # Examples
///
/// ```
/// use cupel_kms::{Class, Credential};
///
/// let password = Credential::of("connectors", "crm-7", "password");
/// assert_eq!(password.class(), Class::ConnectorCredentials);
/// // A version of the record's shape, where it changes: 1 unless said otherwise.
/// let next = password.clone().schema_version(2);
/// assert_ne!(password, next);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordContext {
    pub(crate) class: Class,
    pub(crate) store: Vec<u8>,
    pub(crate) object: Vec<u8>,
    pub(crate) field: Vec<u8>,
    pub(crate) record: Vec<u8>,
    pub(crate) schema_version: u32,
}

impl RecordContext {
    /// The longest part, in bytes. Ours: names are shorter, and a hash is enough for what is not.
    pub const MAX_PART: usize = 1024;

    /// Returns the class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Binds the version of the record's shape. Contexts start at version 1.
    #[must_use]
    pub fn schema_version(self, version: u32) -> Self {
        Self { schema_version: version, ..self }
    }

    fn check(&self) -> Result<(), Error> {
        let parts = [
            ("store", &self.store),
            ("object", &self.object),
            ("field", &self.field),
            ("record key", &self.record),
        ];
        for (part, bytes) in parts {
            if bytes.is_empty() || bytes.len() > Self::MAX_PART {
                return Err(Error::Context { part });
            }
        }
        Ok(())
    }
}

/// Contexts of class [`Class::ConnectorCredentials`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Credential {}

impl Credential {
    /// The `field` of the `record` in `store`, as `("connectors", connector_id, "password")`.
    pub fn of(store: &str, record: impl AsRef<[u8]>, field: &str) -> RecordContext {
        RecordContext {
            class: Class::ConnectorCredentials,
            store: store.into(),
            object: b"credential".to_vec(),
            field: field.into(),
            record: record.as_ref().to_vec(),
            schema_version: 1,
        }
    }
}

/// Contexts of class [`Class::StagingData`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Staging {}

impl Staging {
    /// The `object` that `run` left in `dataset`, as `("orders", run_id, "part-0001.parquet")`.
    pub fn of(dataset: &str, run: impl AsRef<[u8]>, object: &str) -> RecordContext {
        RecordContext {
            class: Class::StagingData,
            store: dataset.into(),
            object: object.into(),
            field: b"content".to_vec(),
            record: run.as_ref().to_vec(),
            schema_version: 1,
        }
    }
}

/// Contexts of class [`Class::SensitiveConfig`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Config {}

impl Config {
    /// The `field` of `object` in `store`, as `("settings", "warehouse", "private_key")`.
    pub fn of(store: &str, object: &str, field: &str) -> RecordContext {
        RecordContext {
            class: Class::SensitiveConfig,
            store: store.into(),
            object: object.into(),
            field: field.into(),
            record: b"config".to_vec(),
            schema_version: 1,
        }
    }
}

/// Writes a place as bytes: what a message's key is derived for and its header is authenticated with.
///
/// Each part is a tag (2 bytes), a length (4 bytes, both big endian) and its bytes, in this order and
/// none left out, so that two different places never give the same bytes. An organization-wide scope
/// has a workspace of length 0, which no workspace id is.
pub(crate) fn canonical(
    environment: &str,
    scope: &TenantScope,
    record: &RecordContext,
) -> Result<Vec<u8>, Error> {
    record.check()?;
    let workspace = scope.workspace_id().map_or("", |id| id.as_str());
    let version = record.schema_version.to_be_bytes();
    let parts: [&[u8]; 10] = [
        DOMAIN,
        environment.as_bytes(),
        scope.org_id().as_str().as_bytes(),
        workspace.as_bytes(),
        record.class.as_str().as_bytes(),
        &record.store,
        &record.object,
        &record.field,
        &record.record,
        &version,
    ];
    let mut bytes = Vec::with_capacity(256);
    for (tag, part) in (0_u16..).zip(parts) {
        let len = u32::try_from(part.len()).map_err(|_| Error::Context { part: "parts" })?;
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// What keeps these derivations apart from every other use of HKDF and AES-GCM.
pub(crate) const DOMAIN: &[u8] = b"cupel/kms/1";

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> TenantScope {
        TenantScope::org("acme".parse().unwrap())
    }

    #[test]
    fn parts_cannot_flow_into_each_other() {
        let one = canonical("e", &scope(), &Credential::of("ab", "c", "d")).unwrap();
        let other = canonical("e", &scope(), &Credential::of("a", "bc", "d")).unwrap();
        assert_ne!(one, other);
    }

    #[test]
    fn an_empty_or_endless_part_is_refused() {
        for (context, part) in [
            (Credential::of("", "r", "f"), "store"),
            (Credential::of("s", "", "f"), "record key"),
            (Credential::of("s", "r", ""), "field"),
            (Staging::of("d", "r", ""), "object"),
            (Credential::of("s", vec![b'x'; 1025], "f"), "record key"),
        ] {
            let refused = canonical("e", &scope(), &context);
            assert!(matches!(refused, Err(Error::Context { part: named }) if named == part));
        }
    }
}

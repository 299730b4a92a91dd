//! Names of queues and runs, written and parsed back. No I/O.

use std::fmt;
use std::str::FromStr;

use cupel_tenant::OrgId;

/// The name of the task queue of one organization: `cupel-hosted-{org_id}`.
///
/// It is made from an [`OrgId`] only, or parsed back from text that is exactly such a name. What
/// Temporal itself checks of a queue's name (not empty, at most 1,000 bytes, not starting with
/// `/_sys/`) lets newlines and control characters through; the alphabet of an [`OrgId`] does not.
///
/// # Examples
///
/// ```
/// use cupel_queues::QueueName;
/// use cupel_tenant::OrgId;
///
/// let acme: OrgId = "acme-corp".parse()?;
/// let queue = QueueName::of(&acme);
/// assert_eq!(queue.to_string(), "cupel-hosted-acme-corp");
/// assert_eq!(queue.to_string().parse::<QueueName>()?.org_id(), &acme);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(OrgId);

impl QueueName {
    /// What the name of every organization's queue starts with.
    pub const PREFIX: &str = "cupel-hosted-";

    /// The queue of `org`.
    pub fn of(org: &OrgId) -> Self {
        Self(org.clone())
    }

    /// Returns whose queue it is.
    pub fn org_id(&self) -> &OrgId {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = InvalidQueueName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let org = text.strip_prefix(Self::PREFIX).and_then(|org| org.parse().ok());
        org.map(Self).ok_or(InvalidQueueName)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueName({self})")
    }
}

/// The text given is not the name of an organization's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a queue of an organization: its name is `cupel-hosted-` and an organization id")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct InvalidQueueName;

/// What an organization calls one of its runs: `nightly/2026-11-23`.
///
/// A name is 1 to [`RunName::MAX_LEN`] bytes of printable ASCII without spaces, quotes and
/// backslashes, so that it stands unescaped in a visibility query, a log line and a URL. Divided at
/// `/`, no part of it is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunName(String);

impl RunName {
    /// The longest name, in bytes.
    ///
    /// Temporal's SQL schemas keep workflow ids in `VARCHAR(255)`: 53 bytes for the organization, one
    /// for the `/`, and these.
    pub const MAX_LEN: usize = 200;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunName {
    type Err = InvalidRunName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidRunName::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidRunName::TooLong { len: text.len() });
        }
        if let Some(offset) = text.bytes().position(|byte| !is_plain(byte)) {
            return Err(InvalidRunName::IllegalByte { offset });
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(InvalidRunName::EmptyPart);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether `byte` means nothing to a query, a shell or a path: printable ASCII but no quote.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'"' | b'`' | b'\\')
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The rule that a text broke, so that it is not a [`RunName`].
///
/// The text itself is not kept: it is untrusted, and errors end up in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRunName {
    /// The text was empty.
    #[error("invalid run name: it is empty")]
    Empty,

    /// A part between slashes is empty, `.` or `..`.
    #[error("invalid run name: a part between slashes is empty, '.' or '..'")]
    EmptyPart,

    /// A byte is a space, a quote, a backslash, or not printable ASCII.
    #[error("invalid run name: the byte at offset {offset} is a space, a quote or not printable")]
    IllegalByte {
        /// Where the byte stands in the text.
        offset: usize,
    },

    /// The text is longer than [`RunName::MAX_LEN`].
    #[error(
        "invalid run name: it is {len} bytes long, and at most {max} are allowed",
        max = RunName::MAX_LEN
    )]
    TooLong {
        /// The length of the text, in bytes.
        len: usize,
    },
}

/// The workflow id of a run: `{org_id}/{name}`.
///
/// All organizations of a Temporal namespace share one space of workflow ids. An [`OrgId`] holds no
/// `/`, so the first one ends it, and no id of one organization is an id of another.
///
/// # Examples
///
/// ```
/// use cupel_queues::RunId;
/// use cupel_tenant::OrgId;
///
/// let acme: OrgId = "acme-corp".parse()?;
/// let id = RunId::new(&acme, "nightly/2026-11-23".parse()?);
/// assert_eq!(id.to_string(), "acme-corp/nightly/2026-11-23");
/// assert_eq!("acme-corp/nightly/2026-11-23".parse(), Ok(id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    org: OrgId,
    name: RunName,
}

impl RunId {
    /// The run that `org` calls `name`.
    pub fn new(org: &OrgId, name: RunName) -> Self {
        Self { org: org.clone(), name }
    }

    /// Returns whose run it is.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }

    /// Returns what its organization calls it.
    pub fn name(&self) -> &RunName {
        &self.name
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (org, name) = text.split_once('/').ok_or(InvalidRunId)?;
        let org = org.parse().map_err(|_| InvalidRunId)?;
        let name = name.parse().map_err(|_| InvalidRunId)?;
        Ok(Self { org, name })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.name)
    }
}

/// The text given is not the workflow id of an organization's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a run of an organization: its id is an organization id, a slash and a run name")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct InvalidRunId;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), InvalidRunName>) {
        assert_eq!(text.parse::<RunName>().map(drop), expected, "parsing {text:?}");
    }

    #[test]
    fn a_run_name_is_plain_text() {
        check("a", Ok(()));
        check("nightly/2026-11-23", Ok(()));
        check("crm.contacts@v2:full+delta=1", Ok(()));
        check(&"x".repeat(RunName::MAX_LEN), Ok(()));
        check("", Err(InvalidRunName::Empty));
        check(&"x".repeat(201), Err(InvalidRunName::TooLong { len: 201 }));
        for odd in ["'", "\"", "`", "\\", " ", "\n", "\0", "é"] {
            check(&format!("a{odd}"), Err(InvalidRunName::IllegalByte { offset: 1 }));
        }
    }

    #[test]
    fn a_run_name_does_not_climb() {
        for text in ["/a", "a/", "a//b", ".", "..", "../globex/a", "a/../b", "a/."] {
            check(text, Err(InvalidRunName::EmptyPart));
        }
    }

    #[test]
    fn only_exact_names_parse_back() {
        for text in ["cupel-hosted-", "cupel-hosted-A", "acme", "xcupel-hosted-acme", ""] {
            assert_eq!(text.parse::<QueueName>(), Err(InvalidQueueName), "parsing {text:?}");
        }
        for text in ["acme", "acme/", "/a", "Acme/a", "acme/../globex/a"] {
            assert_eq!(text.parse::<RunId>(), Err(InvalidRunId), "parsing {text:?}");
        }
    }
}

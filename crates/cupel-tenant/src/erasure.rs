use std::fmt;

/// What provisioning changed: one line each, empty when everything was as wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<String>);

impl Changes {
    /// Nothing changed yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a change, as "created alias/cupel-org-acme".
    pub fn push(&mut self, change: impl Into<String>) {
        self.0.push(change.into());
    }

    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the changes in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<S: Into<String>> FromIterator<S> for Changes {
    fn from_iter<I: IntoIterator<Item = S>>(changes: I) -> Self {
        Self(changes.into_iter().map(Into::into).collect())
    }
}

/// What was erased of one organization in one layer, and what a scan afterwards still found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    erased: Vec<Erased>,
    residue: Vec<Erased>,
}

impl Erasure {
    /// Nothing erased yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// Notes that `count` of `what` were erased. Nothing is noted for zero.
    pub fn erased(&mut self, what: impl Into<String>, count: u64) {
        push(&mut self.erased, what, count);
    }

    /// Notes that the scan afterwards still found `count` of `what`. Nothing is noted for zero.
    pub fn left(&mut self, what: impl Into<String>, count: u64) {
        push(&mut self.residue, what, count);
    }

    /// Returns what was erased.
    pub fn items(&self) -> &[Erased] {
        &self.erased
    }

    /// Returns what the scan still found. Empty means verified empty.
    pub fn residue(&self) -> &[Erased] {
        &self.residue
    }

    /// Returns whether the scan found nothing.
    pub fn is_complete(&self) -> bool {
        self.residue.is_empty()
    }
}

fn push(list: &mut Vec<Erased>, what: impl Into<String>, count: u64) {
    if count > 0 {
        list.push(Erased { what: what.into(), count });
    }
}

/// A number of things of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Erased {
    /// The kind, as "rows of pipelines".
    pub what: String,
    /// How many.
    pub count: u64,
}

impl fmt::Display for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.what)
    }
}

use std::path::PathBuf;

use cupel_tenant::{LayerError, LayerErrorKind, LayerName, OrgId, OrgState};

use crate::canaries::lines;
use crate::{Certificate, Leftover, Proof};

/// Why the facade did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration could not be read, has an unknown key, or a value of the wrong type.
    ///
    /// The cause names the key and where it was set.
    #[error("the configuration is not valid{}", .path.as_ref().map(|path| format!(": {}", path.display())).unwrap_or_default())]
    Config {
        /// The file, if one was given.
        path: Option<PathBuf>,
        /// What is wrong, with the key and its source.
        #[source]
        source: Box<figment::Error>,
    },

    /// A key of the configuration asks for what is refused, or for a mode that is not built.
    #[error("{key}: {problem}; {remedy}")]
    Setting {
        /// The key, as `database.context`.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
        /// What to write instead.
        remedy: String,
    },

    /// A layer is configured, and the program was built without it.
    #[error(
        "the {layer} layer is configured but not compiled in: enable the feature `{layer}` of cupel-isolation"
    )]
    NotCompiled {
        /// The layer.
        layer: LayerName,
    },

    /// A layer is asked for that is not configured.
    #[error("the {layer} layer is not configured: add a [{layer}] section, or do not ask for it")]
    NotConfigured {
        /// The layer.
        layer: LayerName,
    },

    /// A layer could not do its part. The cause is the layer's own error.
    #[error(transparent)]
    Layer(LayerError),

    /// There is no registry of organizations.
    #[error(
        "no registry of organizations: configure the database layer with an admin_url, or give the builder a registry of your own"
    )]
    NoRegistry,

    /// The server of an audit has no role of that name.
    #[error("the server has no role {role:?}; name the role that the application connects as")]
    NoSuchRole {
        /// The name that was asked for.
        role: String,
    },

    /// No table of the audited database has the column, so that nothing could be found.
    #[error(
        "no table has a column {column:?}, so nothing could be found; name the column that says which organization a row is of"
    )]
    NoTenantTables {
        /// The column that was asked for.
        column: String,
    },

    /// The organization was never onboarded.
    #[error("organization {org} is unknown: onboard it first")]
    Unknown {
        /// The organization that was asked for.
        org: OrgId,
    },

    /// The organization is in a state in which the act is refused.
    #[error("organization {org} is {state}: {remedy}")]
    State {
        /// The organization that was asked for.
        org: OrgId,
        /// The state it is in.
        state: OrgState,
        /// What to do instead.
        remedy: &'static str,
    },

    /// After an erasure something was still found. Offboarding again continues.
    #[error("organization {} is not erased completely: {}", .certificate.org(), .certificate.residue())]
    Residue {
        /// What was erased, and what was left.
        certificate: Certificate,
    },

    /// The canaries of a proof were not erased completely.
    ///
    /// The registry keeps each that is named, as `offboarding`; offboarding it again finishes the work. The
    /// cause is what the proof itself failed of, if it did.
    #[error(
        "the canaries were not erased; offboard each to erase what is left of it:{}", lines(.left)
    )]
    CanariesLeft {
        /// What may be left, canary by canary and layer by layer.
        left: Vec<Leftover>,
        /// The proof, if it came to its end.
        proof: Option<Box<Proof>>,
        /// Why it did not, unless it was cancelled.
        #[source]
        source: Option<Box<Self>>,
    },

    /// The proof was cancelled before its end, and its canaries were erased.
    #[error("interrupted; the canaries were erased")]
    Interrupted,

    /// Real organizations are attacked in development only.
    #[error(
        "organizations in use are not attacked in production: `prove` makes canaries of its own"
    )]
    AttackInProduction,
}

impl Error {
    /// Returns whether a server did not answer or refused the credentials.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Layer(error) if error.kind() == LayerErrorKind::Unreachable)
    }
}

impl From<LayerError> for Error {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

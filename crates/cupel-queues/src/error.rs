use cupel_tenant::{BoxError, LayerError, LayerErrorKind, LayerName, OrgId};
use temporal_client::errors::{ClientConnectError, ClientError, WorkflowInteractionError};
use temporal_client::tonic::{Code, Status};

use crate::InvalidRunName;

/// Why an operation on an organization's queue did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not that of a Temporal frontend. Retrying does not help.
    #[error("the address of Temporal is not a URL: write it as `https://HOST:7233`")]
    Address {
        /// What is wrong with it, where there is more to say.
        #[source]
        source: Option<BoxError>,
    },

    /// A run of this name is open already. Wait for it, or choose another name.
    #[error("a run of this name is open already: wait for it, or choose another name")]
    AlreadyRunning,

    /// What the server holds did not become as wanted in time. Retrying may help.
    #[error("the server did not finish in time: {waiting_for}")]
    Deadline {
        /// What was waited for.
        waiting_for: &'static str,
    },

    /// An input, a memo or a result could not be converted to or from a payload.
    #[error("a value could not be converted: it must be what the workflow declares")]
    Conversion {
        /// What the converter reported.
        #[source]
        source: BoxError,
    },

    /// The limits given to a worker cannot work.
    #[error("the limits of a worker are not possible: {rule}")]
    Limits {
        /// The rule they break.
        rule: &'static str,
    },

    /// The name is not a run's.
    #[error(transparent)]
    Name(#[from] InvalidRunName),

    /// The namespace does not exist on this server.
    #[error(
        "the Temporal namespace does not exist: create it with `temporal operator namespace create`"
    )]
    Namespace,

    /// The organization has no such run. A run that another organization has looks the same.
    #[error("this organization has no such run")]
    NotFound,

    /// Plain HTTP beyond loopback shows payloads and credentials to the network.
    #[error(
        "plain http beyond loopback is refused: use https, or `allow_plaintext` where the network is \
         trusted"
    )]
    Plaintext,

    /// The server, or the firewall in front of it, refused the call. Retrying does not help.
    #[error(
        "refused: the call is not open to this organization, or the credentials lack the right"
    )]
    Refused {
        /// What the server or the firewall reported.
        #[source]
        source: BoxError,
    },

    /// Workflows or activities could not be registered: two share a name, as a rule.
    #[error("workflows or activities could not be registered: give each its own name")]
    Registration {
        /// What the registry reported.
        #[source]
        source: BoxError,
    },

    /// The run was cancelled.
    #[error("the run was cancelled")]
    RunCancelled,

    /// The run ended with an error.
    #[error("the run failed")]
    RunFailed {
        /// The failure, as the workflow reported it.
        #[source]
        source: BoxError,
    },

    /// The run was terminated.
    #[error("the run was terminated")]
    RunTerminated,

    /// The run did not end within its time limit.
    #[error("the run timed out")]
    RunTimedOut,

    /// The server answered with an error of its own. Retrying may help.
    #[error("Temporal failed to answer")]
    Server {
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// The organization is suspended. Its runs stay; no new one starts until it is resumed.
    #[error("organization {org} is suspended: resume it to start runs")]
    Suspended {
        /// The organization.
        org: OrgId,
    },

    /// The server does not answer.
    #[error("Temporal does not answer: check the address, and that the server runs")]
    Unreachable {
        /// What the transport reported.
        #[source]
        source: BoxError,
    },

    /// The worker could not start, or ended by itself. Start another once the cause is gone.
    #[error("the worker ended")]
    Worker {
        /// What it reported.
        #[source]
        source: BoxError,
    },

    /// This process runs a worker of the organization already.
    #[error("this process runs a worker of the organization already: stop it first")]
    WorkerRuns,
}

impl Error {
    pub(crate) fn unreachable(source: ClientConnectError) -> Self {
        match source {
            ClientConnectError::SystemInfoCallError(status) => Self::from(status),
            source => Self::Unreachable { source: source.into() },
        }
    }

    pub(crate) fn worker(source: impl Into<BoxError>) -> Self {
        Self::Worker { source: source.into() }
    }

    /// Returns what a caller can do about it, in the words that all layers share.
    pub fn kind(&self) -> LayerErrorKind {
        match self {
            Self::Unreachable { .. } => LayerErrorKind::Unreachable,
            Self::Deadline { .. }
            | Self::RunCancelled
            | Self::RunFailed { .. }
            | Self::RunTerminated
            | Self::RunTimedOut
            | Self::Server { .. }
            | Self::Worker { .. } => LayerErrorKind::Failed,
            Self::Address { .. }
            | Self::AlreadyRunning
            | Self::Conversion { .. }
            | Self::Limits { .. }
            | Self::Name(_)
            | Self::Namespace
            | Self::NotFound
            | Self::Plaintext
            | Self::Refused { .. }
            | Self::Registration { .. }
            | Self::Suspended { .. }
            | Self::WorkerRuns => LayerErrorKind::Refused,
        }
    }

    pub(crate) fn during(self, action: &'static str) -> LayerError {
        LayerError::new(LayerName::Queues, action, self.kind(), self)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyRunning,
            Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented => {
                Self::Refused { source: status.into() }
            }
            Code::Unavailable | Code::Unauthenticated => {
                Self::Unreachable { source: status.into() }
            }
            _ => Self::Server { source: status.into() },
        }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Rpc(status) => status.into(),
            ClientError::PayloadConversion(source) => Self::Conversion { source: source.into() },
            source => Self::Server { source: source.into() },
        }
    }
}

impl From<WorkflowInteractionError> for Error {
    fn from(error: WorkflowInteractionError) -> Self {
        match error {
            WorkflowInteractionError::NotFound(_) => Self::NotFound,
            WorkflowInteractionError::Rpc(status) => status.into(),
            WorkflowInteractionError::PayloadConversion(source) => {
                Self::Conversion { source: source.into() }
            }
            source => Self::Server { source: source.into() },
        }
    }
}

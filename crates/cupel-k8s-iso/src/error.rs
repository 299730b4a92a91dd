use cupel_tenant::{BoxError, LayerError, LayerErrorKind, LayerName, OrgId, Tier};

use crate::{InvalidBlueprint, InvalidQuantity};

/// Why the cluster layer could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server answered with an error of its own. Retrying may help; the cause says more.
    #[error("the API server could not {action}; see the cause, and try again")]
    Api {
        /// What was asked of it.
        action: &'static str,
        /// What it answered.
        #[source]
        source: BoxError,
    },

    /// What is to be rendered breaks a rule. Nothing was rendered or written.
    #[error("the blueprint of namespaces is not valid")]
    Blueprint(#[from] InvalidBlueprint),

    /// Our account lacks a right that this needs. Retrying does not help.
    #[error("this account may not {action}; grant it the right, or use another kubeconfig")]
    Denied {
        /// What was asked.
        action: &'static str,
        /// What the API server answered.
        #[source]
        source: BoxError,
    },

    /// A namespace of this organization's name exists and was not made by cupel for it.
    ///
    /// Nothing was written. It may be somebody's work: it is never taken over.
    #[error(
        "the namespace of organization {org} exists and does not carry its labels; \
         it is not taken over: remove or rename it first"
    )]
    ForeignNamespace {
        /// The organization that was to be provisioned.
        org: OrgId,
    },

    /// The admission guards were written, and the API server does not act by them yet.
    #[error("the admission guards are not in force after {seconds} s; check the API server's log")]
    GuardsNotInForce {
        /// How long was waited, in seconds.
        seconds: u64,
    },

    /// The admission guards are missing or altered, and this account may not install them.
    #[error(
        "the admission guards are missing or altered, and this account may not install them; \
         have a cluster administrator apply them"
    )]
    GuardsMissing {
        /// Which right is missing.
        #[source]
        source: BoxError,
    },

    /// The kubeconfig could not be read, or does not name a usable context.
    #[error("the kubeconfig is not usable; check its path, its context and its credentials")]
    Kubeconfig {
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },

    /// The blueprint names the managers of the cluster, and this account is not one of them, so the
    /// guards would refuse it.
    #[error(
        "this account is not among the managers of the blueprint; add it, or use a manager's \
         kubeconfig"
    )]
    NotManager,

    /// The organization has no namespace.
    #[error("organization {org} has no namespace; onboard it first")]
    NotProvisioned {
        /// The organization.
        org: OrgId,
    },

    /// The namespace is being deleted. Retry when it is gone.
    #[error("the namespace of organization {org} is being deleted; try again when it is gone")]
    Terminating {
        /// The organization.
        org: OrgId,
    },

    /// Something that the cluster's controllers do was not done in time.
    #[error("{what} not within {seconds} s; check that kube-controller-manager runs")]
    TimedOut {
        /// What was waited for, as "the quotas were accounted for".
        what: &'static str,
        /// How long was waited, in seconds.
        seconds: u64,
    },

    /// The API server is older than the admission policies that the guards are made of.
    #[error("the API server is older than 1.30; ValidatingAdmissionPolicy v1 needs 1.30 or later")]
    TooOld,

    /// The credentials were refused.
    #[error("the API server does not accept these credentials; renew the kubeconfig")]
    Unauthenticated {
        /// What it answered.
        #[source]
        source: BoxError,
    },

    /// The tier is not in the blueprint. Nothing was rendered or written.
    #[error("tier {tier} has no limits; add [tiers.{tier}] to the configuration")]
    UnknownTier {
        /// The tier.
        tier: Tier,
    },

    /// The API server did not answer.
    #[error("the API server does not answer; check its address and the network")]
    Unreachable {
        /// What the client saw.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// Sorts a client's error by what the caller can do about it.
    pub(crate) fn of(action: &'static str, source: kube::Error) -> Self {
        match &source {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unauthenticated { source: source.into() },
                403 => Self::Denied { action, source: source.into() },
                _ => Self::Api { action, source: source.into() },
            },
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                Self::Unreachable { source: source.into() }
            }
            kube::Error::Auth(_) => Self::Unauthenticated { source: source.into() },
            _ => Self::Api { action, source: source.into() },
        }
    }

    /// Returns what a caller can do about it.
    pub fn kind(&self) -> LayerErrorKind {
        match self {
            Self::Api { .. } | Self::GuardsNotInForce { .. } | Self::TimedOut { .. } => {
                LayerErrorKind::Failed
            }
            Self::Unauthenticated { .. } | Self::Unreachable { .. } => LayerErrorKind::Unreachable,
            Self::Blueprint(_)
            | Self::Denied { .. }
            | Self::ForeignNamespace { .. }
            | Self::GuardsMissing { .. }
            | Self::Kubeconfig { .. }
            | Self::NotManager
            | Self::NotProvisioned { .. }
            | Self::Terminating { .. }
            | Self::TooOld
            | Self::UnknownTier { .. } => LayerErrorKind::Refused,
        }
    }

    /// Wraps the error for the facade.
    pub(crate) fn while_doing(self, action: &'static str) -> LayerError {
        LayerError::new(LayerName::Cluster, action, self.kind(), self)
    }
}

impl From<InvalidQuantity> for Error {
    fn from(source: InvalidQuantity) -> Self {
        Self::Blueprint(InvalidBlueprint::Quantity(source))
    }
}

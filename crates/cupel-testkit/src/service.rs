use std::fmt;

use crate::Provider;

/// A kind of server that the testkit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// A Kubernetes control plane.
    Cluster,
    /// A key management service with the interface of AWS KMS.
    Kms,
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// Temporal.
    Temporal,
}

impl Service {
    /// The variable that names a server which already runs.
    pub(crate) fn endpoint_variable(self) -> &'static str {
        match self {
            Self::Cluster => "TESTBED_KUBECONFIG",
            Self::Kms => "TESTBED_KMS_ENDPOINT",
            Self::Postgres => "TESTBED_POSTGRES_URL",
            Self::Redis => "TESTBED_REDIS_URL",
            Self::Temporal => "TESTBED_TEMPORAL_ADDRESS",
        }
    }

    /// What to do where none is found.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Cluster => {
                "run `scripts/install kubernetes`, name the folder of kube-apiserver, \
                 kube-controller-manager and etcd in TESTBED_KUBERNETES_BIN, or set \
                 TESTBED_KUBECONFIG"
            }
            Self::Kms => {
                "run `scripts/install kms`, name a Python that has moto[kms] and flask in \
                 TESTBED_KMS_PYTHON, or set TESTBED_KMS_ENDPOINT"
            }
            Self::Postgres => {
                "run `scripts/install postgres`, install the package postgresql, or set \
                 TESTBED_POSTGRES_URL"
            }
            Self::Redis => {
                "run `scripts/install redis`, install the package redis-server, or set \
                 TESTBED_REDIS_URL"
            }
            Self::Temporal => {
                "run `scripts/install temporal`, name the `temporal` program in \
                 TESTBED_TEMPORAL_BIN, or set TESTBED_TEMPORAL_ADDRESS"
            }
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "Kubernetes",
            Self::Kms => "KMS",
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Temporal => "Temporal",
        })
    }
}

/// Which server was taken, and where it listens.
///
/// It displays as one line: `PostgreSQL: local /usr/lib/postgresql/15/bin/postgres on
/// 127.0.0.1:40123`. Passwords and tokens are not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    service: Service,
    provider: Provider,
    what: String,
    at: String,
}

impl Source {
    pub(crate) fn new(
        service: Service,
        provider: Provider,
        what: impl fmt::Display,
        at: impl fmt::Display,
    ) -> Self {
        Self { service, provider, what: what.to_string(), at: at.to_string() }
    }

    /// Returns which server this is about.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Returns the way it was found.
    pub fn provider(&self) -> Provider {
        self.provider
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, provider, what, at } = self;
        write!(f, "{service}: {provider} {what} on {at}")
    }
}

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use crate::Error;
use crate::Service;

/// A way to come by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// A container of a Docker engine.
    Container,
    /// A server that runs already, named in the environment.
    Environment,
    /// A program of this machine.
    Local,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Environment => "environment",
            Self::Local => "local",
        })
    }
}

/// Where the testkit looks for servers.
///
/// It is read from the environment once for each server that is started. The variables are in
/// the crate's documentation.
#[derive(Clone, Debug)]
pub struct Settings {
    provider: Option<Provider>,
    values: BTreeMap<&'static str, String>,
}

/// Every variable that is looked at.
const VARIABLES: &[&str] = &[
    "TESTBED_CACHE",
    "DOCKER_HOST",
    "HOME",
    "PATH",
    "TESTBED_IMAGE_CLUSTER",
    "TESTBED_IMAGE_KMS",
    "TESTBED_IMAGE_POSTGRES",
    "TESTBED_IMAGE_REDIS",
    "TESTBED_IMAGE_TEMPORAL",
    "TESTBED_KMS_ENDPOINT",
    "TESTBED_KMS_PYTHON",
    "TESTBED_KUBECONFIG",
    "TESTBED_KUBERNETES_BIN",
    "TESTBED_POSTGRES_URL",
    "TESTBED_REDIS_URL",
    "TESTBED_TEMPORAL_ADDRESS",
    "TESTBED_TEMPORAL_BIN",
];

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if `TESTBED_PROVIDER` is neither `container` nor `local`.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(|variable| env::var(variable).ok())
    }

    /// Reads variables from somewhere else: a file, a test.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`].
    ///
    /// # Examples
    ///
    /// ```
    /// use cupel_testkit::{Error, Settings};
    ///
    /// let typo = |name: &str| (name == "TESTBED_PROVIDER").then(|| "docker".to_owned());
    /// assert!(matches!(Settings::from_lookup(typo), Err(Error::InvalidSetting { .. })));
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        // A variable that is set to nothing counts as not set, as a shell's `VARIABLE=` means it.
        let lookup = |variable: &str| lookup(variable).filter(|value| !value.is_empty());
        let provider = match lookup("TESTBED_PROVIDER").as_deref() {
            None => None,
            Some("container") => Some(Provider::Container),
            Some("local") => Some(Provider::Local),
            Some(_) => {
                return Err(Error::InvalidSetting {
                    variable: "TESTBED_PROVIDER",
                    rule: "it is `container` or `local`, or not set at all",
                });
            }
        };
        let values =
            VARIABLES.iter().filter_map(|variable| Some((*variable, lookup(variable)?))).collect();
        Ok(Self { provider, values })
    }

    /// Returns whether servers may come in this way.
    ///
    /// An endpoint in the environment is the most explicit of the three, so it is never ruled
    /// out.
    pub(crate) fn allows(&self, provider: Provider) -> bool {
        provider == Provider::Environment || self.provider.is_none_or(|only| only == provider)
    }

    /// Returns whether servers come as containers and in no other way.
    pub(crate) fn wants_containers(&self) -> bool {
        self.provider == Some(Provider::Container)
    }

    pub(crate) fn get(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(String::as_str)
    }

    /// Returns the server that the environment names.
    pub(crate) fn endpoint(&self, service: Service) -> Option<&str> {
        self.get(service.endpoint_variable())
    }

    /// Returns the folder in which `scripts/install` keeps what no system package holds.
    pub(crate) fn cache(&self) -> Option<PathBuf> {
        match self.get("TESTBED_CACHE") {
            Some(folder) => Some(folder.into()),
            None => Some(Path::new(self.get("HOME")?).join(".cache/cupel")),
        }
    }

    /// Finds a program on the search path.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(self.get("PATH")?).map(|folder| folder.join(name)).find(|it| it.is_file())
    }
}

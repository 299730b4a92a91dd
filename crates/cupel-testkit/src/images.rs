//! Which container images stand for which server.

use crate::Service;
use crate::Settings;

/// An image, and the variable that names another.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) tag: String,
    pub(crate) variable: &'static str,
}

impl Image {
    /// Returns the image that a service is started from: that of the environment, as `NAME:TAG`,
    /// or else that of this table.
    ///
    /// `scripts/images` builds PostgreSQL's and Redis' from Debian's packages under these very
    /// names, for machines that reach no registry.
    pub(crate) fn of(service: Service, settings: &Settings) -> Self {
        let (usual, variable) = match service {
            Service::Cluster => ("rancher/k3s:v1.35.4-k3s1", "TESTBED_IMAGE_CLUSTER"),
            Service::Kms => ("motoserver/moto:5.2.5", "TESTBED_IMAGE_KMS"),
            Service::Postgres => ("postgres:15", "TESTBED_IMAGE_POSTGRES"),
            Service::Redis => ("redis:7", "TESTBED_IMAGE_REDIS"),
            Service::Temporal => ("temporalio/temporal:1.9.1", "TESTBED_IMAGE_TEMPORAL"),
        };
        let image = settings.get(variable).unwrap_or(usual);
        // A colon before the last slash belongs to a registry's port.
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (image, "latest"),
        };
        Self { name: name.to_owned(), tag: tag.to_owned(), variable }
    }

    /// Returns the image as it is written on a command line.
    pub(crate) fn descriptor(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: Option<&str>, expected: &str) {
        let lookup = |variable: &str| {
            if variable == "TESTBED_IMAGE_REDIS" { named.map(str::to_owned) } else { None }
        };
        let settings = Settings::from_lookup(lookup).unwrap();
        assert_eq!(Image::of(Service::Redis, &settings).descriptor(), expected);
    }

    #[test]
    fn an_image_is_named_by_the_environment_or_by_the_table() {
        check(None, "redis:7");
        check(Some("valkey/valkey:8"), "valkey/valkey:8");
        check(Some("localhost:5000/redis"), "localhost:5000/redis:latest");
        check(Some("localhost:5000/redis:7.2"), "localhost:5000/redis:7.2");
    }
}

//! Which container images stand for which server.

use crate::Service;
use crate::Settings;

/// What a service is taken from where nothing else is said, and the variable that says something
/// else, as `NAME:TAG`.
///
/// `scripts/images` builds the first two from Debian's packages under these very names, for
/// machines that reach no registry.
const IMAGES: [(Service, &str, &str); 5] = [
    (Service::Postgres, "postgres:15", "TESTBED_IMAGE_POSTGRES"),
    (Service::Redis, "redis:7", "TESTBED_IMAGE_REDIS"),
    (Service::Temporal, "temporalio/temporal:1.9.1", "TESTBED_IMAGE_TEMPORAL"),
    (Service::Kms, "motoserver/moto:5.2.5", "TESTBED_IMAGE_KMS"),
    (Service::Cluster, "rancher/k3s:v1.35.4-k3s1", "TESTBED_IMAGE_CLUSTER"),
];

/// An image, and the variable that names another.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) tag: String,
    pub(crate) variable: &'static str,
}

impl Image {
    /// Returns the image that a service is started from; `None` for a service that has none.
    pub(crate) fn of(service: Service, settings: &Settings) -> Option<Self> {
        let (_, usual, variable) = *IMAGES.iter().find(|(of, ..)| *of == service)?;
        let image = settings.get(variable).unwrap_or(usual);
        // A colon before the last slash belongs to a registry's port.
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (image, "latest"),
        };
        Some(Self { name: name.to_owned(), tag: tag.to_owned(), variable })
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
        assert_eq!(Image::of(Service::Redis, &settings).unwrap().descriptor(), expected);
    }

    #[test]
    fn an_image_is_named_by_the_environment_or_by_the_table() {
        check(None, "redis:7");
        check(Some("valkey/valkey:8"), "valkey/valkey:8");
        check(Some("localhost:5000/redis"), "localhost:5000/redis:latest");
        check(Some("localhost:5000/redis:7.2"), "localhost:5000/redis:7.2");
    }
}

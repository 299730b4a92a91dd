use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Credentials;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::Error;
use crate::aws::AwsKms;
use crate::provider::KeyProvider;

/// How [`AwsKms`] is reached. What is left out comes from the usual places of the AWS SDK.
#[derive(Default)]
#[must_use = "a builder does nothing until it connects"]
pub struct AwsKmsBuilder {
    region: Option<String>,
    endpoint: Option<String>,
    credentials: Option<(String, SecretString)>,
    allow_plaintext: bool,
}

impl AwsKmsBuilder {
    /// The region, as `eu-central-1`.
    pub fn region(self, region: impl Into<String>) -> Self {
        Self { region: Some(region.into()), ..self }
    }

    /// Another endpoint than the region's: a VPC endpoint, an emulator. Without one, `AWS_ENDPOINT_URL`
    /// counts and `AWS_ENDPOINT_URL_KMS` does not, so that production checks what is used.
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        Self { endpoint: Some(url.into()), ..self }
    }

    /// A fixed access key, for emulators. A service on AWS has a role instead.
    pub fn credentials(self, access_key_id: impl Into<String>, secret: SecretString) -> Self {
        Self { credentials: Some((access_key_id.into(), secret)), ..self }
    }

    /// Whether an endpoint may be plain HTTP beyond this machine. `false` unless said otherwise.
    pub fn allow_plaintext(self, allow_plaintext: bool) -> Self {
        Self { allow_plaintext, ..self }
    }

    /// Connects, and asks the service for a sign of life.
    ///
    /// # Errors
    ///
    /// [`Error::Region`], [`Error::InvalidEndpoint`] or [`Error::PlainEndpoint`] before anything is
    /// sent; [`Error::Unreachable`] or [`Error::Credentials`].
    pub async fn connect(self) -> Result<AwsKms, Error> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(15))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if let Some(region) = self.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some((id, secret)) = self.credentials {
            let secret = secret.expose_secret();
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "cupel"));
        }
        let shared = loader.load().await;
        let region = shared.region().ok_or(Error::Region)?.to_string();
        let endpoint = shared.endpoint_url().map(str::to_owned);
        let exposed = endpoint.as_deref().map(exposed).transpose()?.unwrap_or(false);
        if exposed && !self.allow_plaintext {
            return Err(Error::PlainEndpoint);
        }
        let mut config = aws_sdk_kms::config::Builder::from(&shared);
        config.set_endpoint_url(endpoint.clone());
        let client = Client::from_conf(config.build());
        let kms =
            AwsKms { client, region, endpoint: endpoint.as_deref().map(without_secrets), exposed };
        kms.health().await?;
        Ok(kms)
    }
}

impl fmt::Debug for AwsKmsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKmsBuilder").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Returns whether an endpoint sends keys in plain text beyond this machine.
fn exposed(endpoint: &str) -> Result<bool, Error> {
    let url = Url::parse(endpoint).map_err(|_| Error::InvalidEndpoint)?;
    let host = url.host().ok_or(Error::InvalidEndpoint)?;
    match url.scheme() {
        "https" => Ok(false),
        "http" => Ok(!match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => IpAddr::from(address).is_loopback(),
            Host::Ipv6(address) => IpAddr::from(address).is_loopback(),
        }),
        _ => Err(Error::InvalidEndpoint),
    }
}

/// A URL as a report may show it.
fn without_secrets(endpoint: &str) -> String {
    match Url::parse(endpoint) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_exposed_beyond_loopback_only() {
        for (endpoint, expected) in [
            ("https://kms.eu-central-1.amazonaws.com", false),
            ("http://127.0.0.1:5000", false),
            ("http://[::1]:5000", false),
            ("http://localhost:5000", false),
            ("http://kms.internal", true),
            ("http://localhost.evil.example", true),
            ("http://10.0.0.7:5000", true),
        ] {
            assert_eq!(exposed(endpoint).unwrap(), expected, "{endpoint}");
        }
        for endpoint in ["kms", "ftp://kms", "http://"] {
            assert!(matches!(exposed(endpoint), Err(Error::InvalidEndpoint)), "{endpoint}");
        }
        assert_eq!(without_secrets("http://user:secret@host:1/x"), "http://host:1");
    }
}

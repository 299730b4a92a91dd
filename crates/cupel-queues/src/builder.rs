use std::fmt;
use std::time::Duration;

use temporal_client::tonic::Request;
use temporal_client::{Connection, ConnectionOptions, RetryOptions, TlsOptions};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use url::{Host, Url};

use crate::standing::SIGNATURE;
use crate::{Error, TenantQueues, WorkerLimits};

/// How long connecting may take. The client sets no limit by itself.
const CONNECT: Duration = Duration::from_secs(10);

/// Where Temporal is, and how to reach it. Made by [`TenantQueues::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    address: String,
    namespace: String,
    api_key: Option<String>,
    limits: WorkerLimits,
    allow_plaintext: bool,
}

impl Builder {
    pub(crate) fn new(address: &str, namespace: &str) -> Self {
        Self {
            address: address.to_owned(),
            namespace: namespace.to_owned(),
            api_key: None,
            limits: WorkerLimits::default(),
            allow_plaintext: false,
        }
    }

    /// Signs every call with this key, as Temporal Cloud asks for.
    pub fn api_key(self, key: impl Into<String>) -> Self {
        Self { api_key: Some(key.into()), ..self }
    }

    /// Lets plain HTTP through to other machines. Without this it is loopback's alone.
    pub fn allow_plaintext(self) -> Self {
        Self { allow_plaintext: true, ..self }
    }

    /// The limits that [`TenantQueues::limits`] hands to whoever starts workers.
    pub fn limits(self, limits: WorkerLimits) -> Self {
        Self { limits, ..self }
    }

    /// Connects, and looks whether the namespace is there.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] and [`Error::Plaintext`] before anything is sent, [`Error::Limits`] if the
    /// limits cannot work, [`Error::Unreachable`] if the server does not answer,
    /// [`Error::Namespace`] if it does not know the namespace.
    pub async fn connect(self) -> Result<TenantQueues, Error> {
        let url = self.url()?;
        if let Some(rule) = self.limits.broken_rule() {
            return Err(Error::Limits { rule });
        }
        let secure = url.scheme() == "https";
        let endpoint = format!(
            "{}:{}",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default()
        );
        let options = ConnectionOptions::new(url)
            .identity(SIGNATURE)
            .connect_timeout(CONNECT)
            .maybe_tls_options(secure.then(TlsOptions::default))
            .maybe_api_key(self.api_key)
            .build();
        let server = Connection::connect(options).await.map_err(Error::unreachable)?;
        let request = DescribeNamespaceRequest {
            namespace: self.namespace.clone(),
            ..DescribeNamespaceRequest::default()
        };
        match server.workflow_service().describe_namespace(Request::new(request)).await {
            Ok(_) => {}
            Err(status) => {
                return Err(match Error::from(status) {
                    Error::NotFound => Error::Namespace,
                    error => error,
                });
            }
        }
        // What passes the firewall was sent by a client that retries already.
        let mut passage = server.clone();
        *passage.retry_options_mut() = RetryOptions::no_retries();
        Ok(TenantQueues::new(server, passage, &self.namespace, endpoint, self.limits))
    }

    fn url(&self) -> Result<Url, Error> {
        let url: Url = self
            .address
            .parse()
            .map_err(|source: url::ParseError| Error::Address { source: Some(source.into()) })?;
        let loopback = match url.host() {
            None => return Err(Error::Address { source: None }),
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
        };
        match url.scheme() {
            "https" => Ok(url),
            // A key turns TLS on in the client, whatever the scheme says; say so instead.
            "http" if self.api_key.is_some() => Err(Error::Plaintext),
            "http" if loopback || self.allow_plaintext => Ok(url),
            "http" => Err(Error::Plaintext),
            _ => Err(Error::Address { source: None }),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("namespace", &self.namespace)
            .field("limits", &self.limits)
            .field("allow_plaintext", &self.allow_plaintext)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for address in ["http://127.0.0.1:7233", "http://[::1]:7233", "http://localhost:7233"] {
            assert!(Builder::new(address, "default").url().is_ok(), "{address}");
        }
        for address in ["http://10.0.0.1:7233", "http://temporal:7233", "http://localhost.x:7233"] {
            let builder = Builder::new(address, "default");
            assert!(matches!(builder.url(), Err(Error::Plaintext)), "{address}");
            assert!(builder.allow_plaintext().url().is_ok(), "{address}");
        }
        let keyed = Builder::new("http://127.0.0.1:7233", "default").api_key("k");
        assert!(matches!(keyed.url(), Err(Error::Plaintext)));
        assert!(Builder::new("https://temporal:7233", "default").url().is_ok());
    }

    #[test]
    fn an_address_is_a_url_with_a_host() {
        for address in ["", "localhost:7233", "127.0.0.1:7233", "grpc://localhost:7233", "http://"]
        {
            let url = Builder::new(address, "default").url();
            assert!(matches!(url, Err(Error::Address { .. })), "{address:?}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let builder = Builder::new("https://temporal:7233", "default").api_key("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}

use std::fmt::Write;

use url::Url;

use crate::Cluster;
use crate::Error;
use crate::Kms;
use crate::Postgres;
use crate::Redis;
use crate::Service;
use crate::Temporal;

/// Returns the text of a `cupel.toml` for these layers, on the servers that the tests of this
/// process share.
///
/// The layers are `database`, `cache`, `queues`, `cluster` and `keys`; only their servers are
/// started. The database is new each time and not migrated yet. Its roles are `cupel_app` and
/// `cupel_admin`, made by the migration, with their names for passwords.
///
/// # Errors
///
/// [`Error::UnknownLayer`] for any other name; otherwise what went wrong with a server.
///
/// # Examples
///
/// ```no_run
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let text = cupel_testkit::config(&["database", "cache"]).await?;
/// assert!(text.contains("[database]") && text.contains("[cache]"));
/// # Ok(())
/// # }
/// ```
pub async fn config(layers: &[&str]) -> Result<String, Error> {
    if layers.iter().any(|layer| service(layer).is_none()) {
        return Err(Error::UnknownLayer);
    }
    let mut text = Text::new();
    for layer in layers {
        match service(layer) {
            Some(Service::Postgres) => text.database(Postgres::shared().await?).await?,
            Some(Service::Redis) => text.cache(Redis::shared().await?),
            Some(Service::Temporal) => text.queues(Temporal::shared().await?),
            Some(Service::Cluster) => text.cluster(Cluster::shared().await?),
            Some(Service::Kms) => text.keys(Kms::shared().await?),
            None => return Err(Error::UnknownLayer),
        }
    }
    Ok(text.0)
}

/// Returns the server that a layer needs.
fn service(layer: &str) -> Option<Service> {
    Some(match layer {
        "cache" => Service::Redis,
        "cluster" => Service::Cluster,
        "database" => Service::Postgres,
        "keys" => Service::Kms,
        "queues" => Service::Temporal,
        _ => return None,
    })
}

/// A configuration that is being written.
pub(crate) struct Text(pub(crate) String);

impl Text {
    pub(crate) fn new() -> Self {
        // Servers on loopback, without certificates, are not what production would accept.
        Self("environment = \"development\"\n".to_owned())
    }

    pub(crate) async fn database(&mut self, postgres: &Postgres) -> Result<(), Error> {
        let owner = postgres.database().await?;
        self.section("database");
        self.key("url", &as_role(&owner, "cupel_app")?);
        self.key("admin_url", &as_role(&owner, "cupel_admin")?);
        self.key("owner_url", &owner);
        Ok(())
    }

    pub(crate) fn cache(&mut self, redis: &Redis) {
        self.section("cache");
        self.key("url", redis.url());
    }

    pub(crate) fn queues(&mut self, temporal: &Temporal) {
        self.section("queues");
        self.key("address", temporal.address());
        self.key("namespace", temporal.namespace());
    }

    pub(crate) fn cluster(&mut self, cluster: &Cluster) {
        self.section("cluster");
        self.key("kubeconfig", &cluster.kubeconfig_path().to_string_lossy());
    }

    pub(crate) fn keys(&mut self, kms: &Kms) {
        self.section("keys");
        self.key("provider", "aws-kms");
        self.key("region", kms.region());
        self.key("endpoint", kms.endpoint());
        self.key("access_key_id", kms.access_key_id());
        self.key("secret_access_key", kms.secret_access_key());
    }

    fn section(&mut self, name: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "\n[{name}]\n");
    }

    fn key(&mut self, name: &str, value: &str) {
        // What TOML and Rust escape in these values, URLs and paths, they escape alike.
        let _ = writeln!(self.0, "{name} = {value:?}");
    }
}

/// The same database as a role whose password is its name.
fn as_role(url: &str, role: &str) -> Result<String, Error> {
    let unusable = || Error::InvalidSetting {
        variable: Service::Postgres.endpoint_variable(),
        rule: "it is a URL like postgres://user:password@host:port/database",
    };
    let mut url = Url::parse(url).map_err(|_| unusable())?;
    url.set_username(role).map_err(|()| unusable())?;
    url.set_password(Some(role)).map_err(|()| unusable())?;
    Ok(url.into())
}

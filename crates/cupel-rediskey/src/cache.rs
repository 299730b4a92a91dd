use std::fmt;

use cupel_tenant::TenantScope;

use crate::Error;
use crate::ScopedCache;
use crate::rights;
use crate::server::Server;

/// A Redis server that many organizations share, each behind its own handle. Cloning is cheap.
///
/// # Examples
///
/// ```no_run
/// use cupel_rediskey::{TenantCache, Ttl};
/// use cupel_tenant::TenantScope;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = TenantCache::connect("rediss://cupel:password@redis.example").await?;
/// let acme = cache.scoped(&TenantScope::org("acme-corp".parse()?));
/// acme.family("schemas").set("crm.contacts", "id, name", Ttl::minutes(10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TenantCache {
    pub(crate) server: Server,
}

impl TenantCache {
    /// Connects as [`TenantCache::builder`] does with nothing else said.
    ///
    /// # Errors
    ///
    /// As [`TenantCacheBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Begins to describe a connection: `rediss://user:password@host:port/database`.
    pub fn builder(url: impl Into<String>) -> TenantCacheBuilder {
        TenantCacheBuilder {
            url: url.into(),
            isolation: CacheIsolation::default(),
            allow_plaintext: false,
        }
    }

    /// Returns the handle of one tenant.
    pub fn scoped(&self, scope: &TenantScope) -> ScopedCache {
        ScopedCache::new(self.server.clone(), scope.clone())
    }

    /// Returns how many values were read, by this value and its clones, that had not been written
    /// under their key. Each was treated as missing. Anything but zero deserves an alarm: a key was
    /// renamed or copied on the server, or an answer delivered to the wrong caller.
    pub fn foreign_values(&self) -> u64 {
        self.server.foreign_values()
    }
}

/// A connection being described. Made by [`TenantCache::builder`].
#[derive(Clone)]
#[must_use = "nothing is connected until `connect` is called"]
pub struct TenantCacheBuilder {
    url: String,
    isolation: CacheIsolation,
    allow_plaintext: bool,
}

impl TenantCacheBuilder {
    /// Says what keeps organizations apart. [`CacheIsolation::Prefix`] without this.
    pub fn isolation(self, isolation: CacheIsolation) -> Self {
        Self { isolation, ..self }
    }

    /// Says whether the network beyond loopback may be used without encryption, or without checking
    /// the server's certificate. It may not without this; a development environment may.
    pub fn allow_plaintext(self, allow_plaintext: bool) -> Self {
        Self { allow_plaintext, ..self }
    }

    /// Connects, and tries every command that will be needed on a key that no organization can have.
    /// Nothing is written.
    ///
    /// # Errors
    ///
    /// [`Error::NotBuilt`], [`Error::InvalidUrl`] or [`Error::PlainText`] before anything is sent;
    /// [`Error::Unreachable`], [`Error::Credentials`] or [`Error::MissingRight`] from the server.
    pub async fn connect(self) -> Result<TenantCache, Error> {
        match self.isolation {
            CacheIsolation::Prefix => {}
            CacheIsolation::Acl => {
                return Err(Error::NotBuilt {
                    what: "isolation by redis users",
                    remedy: "use prefix isolation",
                });
            }
        }
        let server = Server::new(&self.url, self.allow_plaintext)?;
        rights::check(&server).await?;
        Ok(TenantCache { server })
    }
}

impl fmt::Debug for TenantCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantCacheBuilder")
            .field("isolation", &self.isolation)
            .field("allow_plaintext", &self.allow_plaintext)
            .finish_non_exhaustive()
    }
}

/// What keeps organizations apart in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheIsolation {
    /// A Redis user per organization, so that the server refuses other organizations' keys. Not built
    /// yet: refused at connect.
    Acl,
    /// Keys that no handle can leave, and values that open under their own key only.
    #[default]
    Prefix,
}

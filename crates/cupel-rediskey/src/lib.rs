//! Redis keys that carry their organization, and handles that cannot leave it.
//!
//! Many organizations share one Redis. Each is reached through a [`ScopedCache`], which names every
//! key after its scope (`org:acme-corp:cache:schemas:crm.contacts`) and has no method that takes a
//! whole key or a command. Every value is bound to the key that it was written under: one that turns
//! up elsewhere is treated as missing, counted and logged. Invalidating a family or an organization
//! is one step, whatever its size, and a slow writer cannot bring back what was invalidated.
//!
//! ```no_run
//! use cupel_rediskey::{TenantCache, Ttl};
//! use cupel_tenant::TenantScope;
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = TenantCache::connect("redis://localhost").await?;
//! let acme = cache.scoped(&TenantScope::org("acme-corp".parse()?));
//!
//! let schemas = acme.family("schemas");
//! schemas.set("crm.contacts", "id, name", Ttl::minutes(10)).await?;
//! assert_eq!(schemas.get("crm.contacts").await?, Some("id, name".to_owned()));
//!
//! acme.invalidate("schemas").await?;
//! assert_eq!(schemas.get::<String>("crm.contacts").await?, None);
//! # Ok(())
//! # }
//! ```
//!
//! # What is in a scope
//!
//! - [`Family`]: values that can be made again.
//! - [`Status`]: what live pipelines last said of themselves.
//! - [`Sessions`]: by a random token of which only a digest is stored.
//!
//! A [`TenantCache`] is an [`IsolationLayer`](cupel_tenant::IsolationLayer): it provisions, audits,
//! suspends, resumes and erases an organization, and proves by attacking that it keeps two apart.
//!
//! # What the server must allow
//!
//! Redis 7.0 or later (or Valkey), not in cluster mode. A user of its own may be limited to
//!
//! ```text
//! ACL SETUSER cupel on >password resetkeys ~org:* resetchannels -@all
//!   +ping +unwatch +info +time +scan +eval +exists +get +mget +set +unlink +pexpire +pttl
//!   +zadd +zrange +zrem +zremrangebyscore
//! ```
//!
//! and `+select` where the URL names a database.
//!
//! # What this crate does not do
//!
//! It is the client that keeps organizations apart, not yet the server: whoever else can write to this
//! Redis can forge a value, since the digest that binds a value to its key is no secret. The stored
//! layout has room for a tag under a secret key, and Redis users per organization are named in
//! [`CacheIsolation::Acl`]; both are refused today. The mark of a suspended organization is one key: a
//! server that evicts keys without a time to live can lose it, and [audit] says so. Who a session
//! belongs to, and whether an organization exists, is the application's question.
//!
//! [audit]: cupel_tenant::IsolationLayer::audit
//!
//! # Crate features
//!
//! None.

mod audit;
mod body;
mod cache;
mod envelope;
mod erase;
mod error;
mod family;
mod family_name;
mod key;
mod layer;
mod prove;
mod rights;
mod room;
mod scoped;
mod script;
mod server;
mod sessions;
mod status;
mod ttl;

pub use body::MAX_VALUE_LEN;
pub use cache::{CacheIsolation, TenantCache, TenantCacheBuilder};
pub use error::Error;
pub use family::Family;
pub use family_name::InvalidFamily;
pub use key::{InvalidKey, Key, Namespace};
pub use scoped::ScopedCache;
pub use sessions::{InvalidToken, SessionToken, Sessions};
pub use status::Status;
pub use ttl::{InvalidTtl, Ttl};

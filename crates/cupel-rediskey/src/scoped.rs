use cupel_tenant::TenantScope;

use crate::Error;
use crate::Family;
use crate::Sessions;
use crate::Status;
use crate::family_name;
use crate::key::Namespace;
use crate::room::Room;
use crate::server::Server;

/// One tenant's part of the cache. Cloning is cheap.
///
/// There is no way from here to the connection or to a command: what is reached is a family, a status
/// or a session of this scope.
///
/// ```compile_fail
/// async fn wipe(mut acme: cupel_rediskey::ScopedCache) {
///     deadpool_redis::redis::cmd("FLUSHALL").query_async::<()>(&mut acme).await.unwrap();
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ScopedCache {
    server: Server,
    scope: TenantScope,
}

impl ScopedCache {
    pub(crate) fn new(server: Server, scope: TenantScope) -> Self {
        Self { server, scope }
    }

    /// Returns whose part it is.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Returns one family of cached values. A name that breaks a rule (1 to 64 bytes of `a-z 0-9 -`)
    /// is refused by every method of the family, before anything is sent.
    pub fn family(&self, name: &str) -> Family {
        Family::new(family_name::check(name).map(|()| self.room(Namespace::Cache, Some(name))))
    }

    /// Returns what the live pipelines say.
    pub fn status(&self) -> Status {
        Status::new(self.room(Namespace::Status, None))
    }

    /// Returns the sessions.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.room(Namespace::Session, None))
    }

    /// Invalidates every value of one family, in one step; in the scope of an organization those of
    /// its workspaces too.
    ///
    /// # Errors
    ///
    /// As [`Family::invalidate`].
    pub async fn invalidate(&self, family: &str) -> Result<(), Error> {
        self.family(family).invalidate().await
    }

    /// Invalidates every value of every family, in one step; in the scope of an organization those of
    /// its workspaces too. Status and sessions stay.
    ///
    /// # Errors
    ///
    /// As [`Family::invalidate`].
    pub async fn invalidate_all(&self) -> Result<(), Error> {
        self.room(Namespace::Cache, None).bump().await
    }

    fn room(&self, namespace: Namespace, family: Option<&str>) -> Room {
        Room::new(self.server.clone(), self.scope.clone(), namespace, family)
    }
}

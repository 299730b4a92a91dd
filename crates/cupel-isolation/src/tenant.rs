use std::fmt;
use std::sync::Arc;

use cupel_tenant::TenantScope;

use crate::layers::Layers;

/// The handles of one tenant, in every configured layer.
///
/// Made by [`Isolation::enter`](crate::Isolation::enter). Each layer's feature brings a method of its
/// name, which gives that layer's own handle for this scope. Cloning is cheap.
#[derive(Clone)]
pub struct Tenant {
    scope: TenantScope,
    #[cfg_attr(
        not(any(
            feature = "cache",
            feature = "cluster",
            feature = "database",
            feature = "keys",
            feature = "queues"
        )),
        expect(dead_code, reason = "read by each layer's accessor")
    )]
    pub(crate) layers: Arc<Layers>,
}

impl Tenant {
    pub(crate) fn new(scope: TenantScope, layers: Arc<Layers>) -> Self {
        Self { scope, layers }
    }

    /// Returns whose handles these are.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant").field("scope", &self.scope).finish_non_exhaustive()
    }
}

//! Ways around the isolation.
//!
//! Nothing in this module is needed to serve a tenant. It is here for tests that show what the guards
//! are for, and for code that needs a raw client; it has its own path so that a reviewer finds every
//! use with one search.

use temporal_client::Client;

use crate::lane::Guards;
use crate::{Error, ScopedQueues, TenantQueues};

/// Returns the Temporal client of one organization: for signals, queries, updates.
///
/// It is the one that the scope itself uses, behind the same firewall: what names another
/// organization's queue or run is refused with `PERMISSION_DENIED`. What it may name within the
/// organization is no longer checked.
///
/// # Errors
///
/// [`Error::Unreachable`] if the client cannot be made.
pub async fn client(scoped: &ScopedQueues) -> Result<Client, Error> {
    scoped.lane().client().await
}

/// The same queues without the firewall: clients and workers reach every organization's queues and
/// runs.
pub fn without_firewall(queues: &TenantQueues) -> TenantQueues {
    queues.guarded_by(Guards { firewall: false, ..queues.guards() })
}

/// The same queues without the fence around workflow code: it may name queues and runs that are not
/// its organization's, and the firewall alone stands against it.
pub fn without_fence(queues: &TenantQueues) -> TenantQueues {
    queues.guarded_by(Guards { fence: false, ..queues.guards() })
}

//! Ways around the isolation.
//!
//! Nothing in this module is needed to serve an organization. It has its own path so that a reviewer
//! finds every use with one search.

use sqlx::PgConnection;

use crate::TenantTx;

/// Returns the connection under an organization's transaction, for code that takes nothing else.
///
/// The context is set and the policies hold. Commands that end the transaction or change the context
/// are noticed only at the commit or when the connection is given back.
pub fn connection(tx: &mut TenantTx) -> &mut PgConnection {
    tx.unwatched()
}

//! How a session comes back.

use sqlx::{Executor, Row};
use tokio::runtime::Handle;

use super::{Lease, Phase};
use crate::context::IS_CLEAN;
use crate::pool::Session;

impl Drop for Lease {
    /// What must be asked or rolled back is, in a task of its own that ends with the answer: `drop`
    /// cannot wait, and the pool would give the connection to the next borrower as it is.
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        match self.phase {
            Phase::Idle if !self.trace.residue => session.give_back(),
            Phase::Unknown => drop(session),
            phase => match Handle::try_current() {
                Ok(runtime) => {
                    let rollback = self.trace.rollback(self.is_behind_pooler());
                    let rollback = (phase == Phase::Open).then_some(rollback);
                    let ask = self.trace.residue && !self.is_behind_pooler();
                    drop(runtime.spawn(clean_up(session, rollback, ask)));
                }
                Err(_) => drop(session),
            },
        }
    }
}

/// Gives the session back if it is clean. A runtime that ends in the middle of this closes it.
async fn clean_up(mut session: Session, rollback: Option<&'static str>, ask: bool) {
    match is_clean(&mut session, rollback, ask).await {
        Ok(true) => session.give_back(),
        Ok(false) => {
            metrics::counter!("cupel_db_sessions_closed_total", "reason" => "residue").increment(1);
            tracing::debug!("a session held something of its borrower and was closed");
        }
        Err(error) => {
            metrics::counter!("cupel_db_sessions_closed_total", "reason" => "broken").increment(1);
            tracing::warn!(error = &error as &dyn std::error::Error, "a connection broke");
        }
    }
}

/// By the simple protocol: a prepared statement could have been replaced under its name.
async fn is_clean(
    session: &mut Session,
    rollback: Option<&'static str>,
    ask: bool,
) -> Result<bool, sqlx::Error> {
    if let Some(rollback) = rollback {
        session.connection().execute(rollback).await?;
    }
    if !ask {
        return Ok(true);
    }
    metrics::counter!("cupel_db_sessions_checked_total").increment(1);
    // Whom it is bound to is not known for sure either.
    session.unbind().await?;
    session.connection().fetch_one(IS_CLEAN).await?.try_get(0)
}

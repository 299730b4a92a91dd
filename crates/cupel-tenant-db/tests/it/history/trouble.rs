//! What goes wrong on the server's side.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cupel_testkit::PgBouncer;
use sqlx::{Connection, Executor, PgConnection};

use super::History;
use super::dice::Dice;

/// How often each kind of trouble has happened.
#[derive(Default)]
pub(super) struct Trouble {
    crashes: AtomicU64,
    kills: AtomicU64,
    restarts: AtomicU64,
    /// Whether there is a pooler to restart.
    pooled: bool,
}

impl Trouble {
    pub(super) fn new(pooled: bool) -> Self {
        Self { pooled, ..Self::default() }
    }

    /// Whether there is a kind that is meant to happen and has not yet.
    pub(super) fn is_missing(&self) -> bool {
        let none = |count: &AtomicU64| count.load(Ordering::Relaxed) == 0;
        none(&self.crashes) || none(&self.kills) || self.pooled && none(&self.restarts)
    }

    fn happened(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (crashes, kills) = (count(&self.crashes), count(&self.kills));
        write!(f, "{crashes} crashes, {kills} backends killed")?;
        if self.pooled {
            write!(f, ", {} restarts of the pooler", count(&self.restarts))?;
        }
        Ok(())
    }
}

/// Kills a backend of the application now and then, and crashes the server or restarts the pooler: each once in the
/// beginning, so that a short history has all of it too.
pub(super) async fn make(
    owner_url: String,
    mut pooler: Option<PgBouncer>,
    history: Arc<History>,
) -> Result<(), String> {
    let mut dice = Dice(77);
    let trouble = &history.trouble;
    let mut rounds = 0;
    while !history.over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(40 + dice.roll(120))).await;
        let Ok(mut owner) = PgConnection::connect(&owner_url).await else { continue };
        rounds += 1;
        if dice.roll(16) == 0 || rounds == 2 {
            // One backend that dies without a word has the postmaster restart them all.
            let crash = "DO $$ BEGIN EXECUTE format('COPY (SELECT 1) TO PROGRAM %L',
                'kill -9 ' || pg_backend_pid()); END $$";
            let crashed = owner.execute(crash).await;
            // An answer, be it an error, comes from one that lives.
            if crashed.is_err_and(|error| error.as_database_error().is_none()) {
                Trouble::happened(&trouble.crashes);
            }
        } else {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE usename LIKE '%cupel_app' ORDER BY random() LIMIT 1";
            let killed: Result<Option<bool>, _> =
                sqlx::query_scalar(kill).fetch_optional(&mut owner).await;
            if matches!(killed, Ok(Some(true))) {
                Trouble::happened(&trouble.kills);
            }
        }
        if (dice.roll(12) == 0 || rounds == 3)
            && let Some(pooler) = &mut pooler
        {
            pooler.restart().await.map_err(|error| error.to_string())?;
            Trouble::happened(&trouble.restarts);
        }
    }
    Ok(())
}

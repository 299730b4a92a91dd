use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{AdoptionStep, rows};
use crate::error::sqlstate;
use crate::keys::Swap;
use crate::login::lacks;
use crate::schema::{self, TableName};
use crate::shape::Shape;
use crate::{Error, apply};

/// How long a statement waits at the most for a lock that others would then wait behind, in milliseconds.
const PATIENCE: i32 = 2_000;

/// The owner's connection during an adoption.
pub(super) struct Steps<'a> {
    pub(super) conn: &'a mut PgConnection,
    tell: &'a (dyn Fn(&AdoptionStep) + Send + Sync),
    /// The statement that says how long a lock is waited for.
    patience: String,
}

impl<'a> Steps<'a> {
    /// What the adoption itself reads is not counted as a violation. And where a statement needs the locks of two
    /// tables and somebody else takes them in another order, it gives way before the server looks for a deadlock
    /// and ends one of the two.
    pub(super) async fn new(
        conn: &'a mut PgConnection,
        tell: &'a (dyn Fn(&AdoptionStep) + Send + Sync),
    ) -> Result<Self, Error> {
        conn.execute("SET cupel.adopting = 'on'")
            .await
            .map_err(Error::statement("beginning the adoption"))?;
        let deadlock: i32 = sqlx::query_scalar(
            "SELECT setting::int4 FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'",
        )
        .fetch_one(&mut *conn)
        .await
        .map_err(Error::statement("beginning the adoption"))?;
        let patience = (deadlock / 2).clamp(1, PATIENCE);
        let patience = format!("SET LOCAL lock_timeout = {patience};\n");
        Ok(Self { conn, tell, patience })
    }

    pub(super) fn tell(&self, shape: &Shape, action: &str) {
        self.tell_of(shape.name(), action.to_owned(), None);
    }

    pub(super) fn tell_of(&self, table: &TableName, action: String, rows: Option<(u64, u64)>) {
        (self.tell)(&AdoptionStep { table: table.to_string(), action, rows });
    }

    /// Runs statements that take a strong lock for a short time, in one transaction. Others wait behind
    /// whoever waits for such a lock, so it is not waited for long, and asked for again.
    pub(super) async fn short(&mut self, sql: &str) -> Result<(), Error> {
        let text = format!("{}{sql}", self.patience);
        let mut waits = Waits::new();
        while let Err(error) = at_once(self.conn, &text).await {
            waits.after(error).await?;
        }
        Ok(())
    }

    /// Runs one statement that takes long and lets others go on, outside a transaction.
    pub(super) async fn long(&mut self, sql: String) -> Result<(), Error> {
        self.conn
            .execute(AssertSqlSafe(sql))
            .await
            .map(drop)
            .map_err(lacks("the ownership of the tables"))
    }

    /// Sees to it that every table has the column of the organization, with no row that lacks it.
    pub(super) async fn columns(&mut self, shapes: &[Shape]) -> Result<Vec<String>, Error> {
        let mut changes = Vec::new();
        for shape in rows::parents_first(shapes) {
            let Some(org) = &shape.org else {
                let problem = format!(
                    "has no column {}; begin with its shadow, which adds it",
                    shape.declared.org_column
                );
                return Err(Error::TableUnfit { table: shape.name().to_string(), problem });
            };
            if !org.not_null {
                changes.extend(self.fill(shape).await?);
            }
            self.look_at_rows(shape).await?;
            if !org.not_null {
                self.require(shape).await?;
                changes.push(format!("{}.{} is NOT NULL", shape.name(), shape.declared.org_column));
            }
        }
        Ok(changes)
    }

    /// Makes the column NOT NULL without reading all rows under a strong lock.
    async fn require(&mut self, shape: &Shape) -> Result<(), Error> {
        let table = shape.name().quoted();
        let column = schema::ident(&shape.declared.org_column);
        self.tell(shape, "checking that every row has its organization");
        self.short(&format!(
            "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS cupel_org_not_null;
ALTER TABLE {table} ADD CONSTRAINT cupel_org_not_null CHECK ({column} IS NOT NULL) NOT VALID"
        ))
        .await?;
        self.long(format!("ALTER TABLE {table} VALIDATE CONSTRAINT cupel_org_not_null")).await?;
        self.short(&format!(
            "ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;
ALTER TABLE {table} DROP CONSTRAINT cupel_org_not_null"
        ))
        .await
    }

    /// Isolates the table, with its new keys, and takes its shadow away. The keys come with the policies: a query
    /// that names no organization by itself would find no row by a key that begins with one, and read them all.
    pub(super) async fn enforce(
        &mut self,
        shape: &Shape,
        app: &str,
        admin: Option<&str>,
        keys: &[&Swap],
    ) -> Result<(), Error> {
        self.tell(shape, "enforcing");
        let lift = schema::lift_shadow(&shape.declared.name);
        let keys: String = keys.iter().map(|it| format!("{};\n", it.in_use())).collect();
        let after = format!("{keys}{}{lift}", rows::settled_default(shape));
        let mut waits = Waits::new();
        while let Err(error) = self.isolate(shape, app, admin, &after).await {
            waits.after(error).await?;
        }
        Ok(())
    }

    async fn isolate(
        &mut self,
        shape: &Shape,
        app: &str,
        admin: Option<&str>,
        after: &str,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.conn.begin().await?;
        tx.execute(AssertSqlSafe(self.patience.as_str())).await?;
        apply::isolate(&mut tx, &shape.declared, app, admin).await?;
        sqlx::raw_sql(AssertSqlSafe(after)).execute(&mut *tx).await?;
        tx.commit().await
    }
}

/// In one transaction.
async fn at_once(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    tx.commit().await
}

/// How long is waited before a lock is asked for again: about two minutes in all.
struct Waits(ExponentialBackoff);

impl Waits {
    fn new() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .with_max_times(15)
            .with_jitter();
        Self(pauses.build())
    }

    /// Waits if the failure was of a lock, and not for the last time.
    async fn after(&mut self, error: sqlx::Error) -> Result<(), Error> {
        if !is_locked(&error) {
            return Err(lacks("the ownership of the tables")(error));
        }
        match self.0.next() {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(Error::TableInUse { source: error.into() }),
        }
    }
}

/// lock_not_available, and deadlock_detected: PostgreSQL documentation, appendix A.
fn is_locked(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("55P03" | "40P01"))
}

//! Taking an organization's rows away, and looking whether any is left.

use std::time::Duration;

use cupel_tenant::{Erasure, OrgId, OrgState, TenantScope};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::catalog::{self, Relation};
use crate::states::BELIEVED;
use crate::{AdminGrant, DbRegistry, Error, TenantDb};

/// A delete of many rows takes its time: the longest that a grant can be for.
const ERASING: Duration = Duration::from_secs(24 * 60 * 60);
/// How long older transactions are waited for, and how often they are looked for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

impl TenantDb {
    /// Deletes the organization's rows, children first, and counts what is left.
    ///
    /// The deletes run under row-level security, so that none can reach further than meant. The count
    /// runs exempt from it where there is an admin path, so that nothing hides from it.
    pub(crate) async fn erase_rows(&self, org: &OrgId) -> Result<Erasure, Error> {
        self.column_type().check(&TenantScope::org(org.clone()))?;
        let mut look = self.look().await?;
        let mut relations = catalog::relations(look.connection()).await?;
        look.done().await?;
        relations.retain(Relation::is_declared_of_orgs);
        relations.reverse();
        let mut erasing =
            Erasing { org, key: self.column_type().as_str(), erasure: Erasure::none() };
        let Some(registry) = self.registry() else {
            let mut tx = self.begin(&TenantScope::org(org.clone())).await?;
            for relation in &relations {
                erasing.delete(tx.connection(), relation).await?;
            }
            for relation in &relations {
                erasing.count(tx.connection(), relation).await?;
            }
            tx.commit().await?;
            return Ok(erasing.erasure);
        };
        if registry.present(org).await?.is_some_and(|state| state != OrgState::Erased) {
            registry.change(org, OrgState::Offboarding).await?;
        }
        registry.outlive_the_transactions_of_before(self.admin_pool()?).await?;
        let grant = AdminGrant::read_write("cupel", "erase an organization")
            .orgs([org.clone()])
            .expires_in(ERASING);
        for relation in &relations {
            // Each table for itself: what is deleted stays deleted if a later one fails.
            let mut tx = self.admin(&grant).await?;
            erasing.delete(tx.connection(), relation).await?;
            tx.commit().await?;
        }
        let grant = AdminGrant::read_only("cupel", "verify that an organization is erased")
            .all_orgs()
            .expires_in(ERASING);
        let mut tx = self.admin(&grant).await?;
        for relation in &relations {
            erasing.count(tx.connection(), relation).await?;
        }
        tx.rollback().await?;
        Ok(erasing.erasure)
    }
}

impl DbRegistry {
    /// Waits until every transaction of the application is over that could have been let in before the
    /// registry refused the organization.
    ///
    /// The server does not say whose transaction it is, so all of them are waited for. One that is prepared
    /// has no session any more, and can be seen by its locks alone; it is asked for last, because the others
    /// may become such.
    async fn outlive_the_transactions_of_before(
        &self,
        pool: &crate::pool::Pool,
    ) -> Result<(), Error> {
        let mut session = pool.lend_tested().await?;
        let refused: f64 =
            sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
                .fetch_one(session.connection())
                .await
                .map_err(Error::statement("asking for the time"))?;
        // Whoever was let in by belief was so at the latest then.
        let last = refused + BELIEVED.as_secs_f64();
        tokio::time::sleep(BELIEVED).await;
        let mut waited = Duration::ZERO;
        loop {
            let transactions: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity a, cupel.settings() s
                     WHERE a.datname = current_database() AND a.usename = s.app_role
                       AND a.xact_start < to_timestamp($1))
                   + (SELECT count(DISTINCT l.virtualtransaction) FROM pg_catalog.pg_locks l
                     JOIN pg_catalog.pg_database d ON d.oid = l.database
                     WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.pid IS NULL)",
            )
            .bind(last)
            .fetch_one(session.connection())
            .await
            .map_err(Error::statement("looking for older transactions"))?;
            if transactions == 0 {
                session.give_back();
                return Ok(());
            }
            if waited >= LONGEST_WAIT {
                return Err(Error::StillInUse { transactions });
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }
}

/// The rows of one organization on their way out.
struct Erasing<'a> {
    org: &'a OrgId,
    /// The type of the column that names it.
    key: &'static str,
    erasure: Erasure,
}

impl Erasing<'_> {
    async fn delete(&mut self, conn: &mut PgConnection, relation: &Relation) -> Result<(), Error> {
        let (name, org, key) = (relation.name.quoted(), relation.org(), self.key);
        let done =
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {name} WHERE {org} = $1::{key}")))
                .bind(self.org.as_str())
                .execute(conn)
                .await
                .map_err(Error::statement("erasing rows"))?;
        self.erasure.erased(format!("rows of {}", relation.name), done.rows_affected());
        Ok(())
    }

    async fn count(&mut self, conn: &mut PgConnection, relation: &Relation) -> Result<(), Error> {
        let (name, org, key) = (relation.name.quoted(), relation.org(), self.key);
        let count = format!("SELECT count(*) FROM {name} WHERE {org} = $1::{key}");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(self.org.as_str())
            .fetch_one(conn)
            .await
            .map_err(Error::statement("counting rows"))?;
        self.erasure.left(format!("rows of {}", relation.name), left.unsigned_abs());
        Ok(())
    }
}

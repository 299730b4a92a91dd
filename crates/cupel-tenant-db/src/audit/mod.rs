//! What the catalogs say about isolation: rules that only read, and the SQL that puts each right.

mod roles;
mod tables;

use cupel_tenant::{Finding, LayerName, Severity};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{Error, TenantDb};

/// One thing that can be wrong. Its query returns a row for each place: the object, and the fix.
struct Rule {
    id: &'static str,
    severity: Severity,
    problem: &'static str,
    allows: &'static str,
    query: &'static str,
}

/// What every query can use: `reach`, the roles that the application's can become, itself included;
/// `tenant`, the tables that carry `org_id`, with their quoted names.
const COMMON: &str = "WITH RECURSIVE reach(role) AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user
    UNION SELECT m.roleid FROM reach JOIN pg_catalog.pg_auth_members m ON m.member = reach.role
  ), tenant AS (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS quoted, n.nspname AS schema, t.kind,
      t.policies
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN cupel.tenant_tables t ON t.schema_name = n.nspname AND t.table_name = c.relname
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cupel')
      AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped)
  ), app AS (SELECT quote_ident(session_user) AS name) ";

impl Rule {
    async fn check(&self, conn: &mut PgConnection) -> Result<Vec<Finding>, Error> {
        let sql = format!("{COMMON}{}", self.query);
        let places: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(conn)
            .await
            .map_err(Error::statement("the audit"))?;
        Ok(places
            .into_iter()
            .map(|(object, fix)| {
                Finding::new(
                    LayerName::Database,
                    self.id,
                    self.severity,
                    object,
                    self.problem,
                    self.allows,
                    fix,
                )
            })
            .collect())
    }
}

/// Reads the whole database, as the application's role.
pub(crate) async fn audit(db: &TenantDb) -> Result<Vec<Finding>, Error> {
    let mut look = db.look().await?;
    let mut findings = Vec::new();
    for rule in roles::RULES.iter().chain(tables::RULES) {
        findings.extend(rule.check(look.connection()).await?);
    }
    look.done().await?;
    Ok(findings)
}

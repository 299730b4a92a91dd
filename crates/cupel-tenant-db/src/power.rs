//! What a role is, and what it may become.

use std::time::SystemTime;

use sqlx::PgConnection;

use crate::{ColumnType, ContextMode, Error};

/// Everything that a role can become by SET ROLE, itself first. A superuser can become everything, so it
/// is left to its own line.
const REACH: &str = "WITH RECURSIVE reach(role) AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1
    UNION
    SELECT m.roleid FROM reach JOIN pg_catalog.pg_auth_members m ON m.member = reach.role
)";

/// The attributes of a role and of everything that it can become, put together.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Powers {
    superuser: bool,
    bypass: bool,
    replication: bool,
    create_role: bool,
}

impl Powers {
    /// Reads them; `None` if there is no such role.
    pub(crate) async fn of(conn: &mut PgConnection, role: &str) -> Result<Option<Self>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{REACH} SELECT bool_or(r.rolsuper) AS superuser, bool_or(r.rolbypassrls) AS bypass,
               bool_or(r.rolreplication) AS replication, bool_or(r.rolcreaterole) AS create_role
             FROM reach JOIN pg_catalog.pg_roles r ON r.oid = reach.role HAVING count(*) > 0"
        )))
        .bind(role)
        .fetch_optional(conn)
        .await
        .map_err(Error::statement("looking at the role"))
    }

    /// Returns what makes the role unfit, in words, first the worst. The admin role is exempt from
    /// row-level security on purpose.
    pub(crate) fn too_much(self, is_admin: bool) -> Option<&'static str> {
        [
            (self.superuser, "is, or can become, a superuser"),
            (
                self.bypass && !is_admin,
                "is, or can become, exempt from row-level security (BYPASSRLS)",
            ),
            // Whoever streams the log reads every row of the server.
            (self.replication, "is, or can become, a role that replicates (REPLICATION)"),
            // Up to PostgreSQL 15 it makes itself a member of any role but a superuser.
            (self.create_role, "is, or can become, a role that makes roles (CREATEROLE)"),
        ]
        .into_iter()
        .find_map(|(has, words)| has.then_some(words))
    }
}

/// Refuses a role that reaches around row-level security, and a database that is not migrated.
pub(crate) async fn check(conn: &mut PgConnection, which: &'static str) -> Result<Facts, Error> {
    let me: String = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(&mut *conn)
        .await
        .map_err(Error::statement("looking at the role"))?;
    let powers = Powers::of(conn, &me).await?;
    if let Some(power) = powers.and_then(|powers| powers.too_much(which == "admin")) {
        return Err(Error::PowerfulRole { which, power });
    }
    // Before the migration is asked for: an owner's URL is the likelier mistake.
    let owner: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "{REACH} SELECT EXISTS (
            SELECT FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND a.attname = 'org_id'
              AND c.relowner IN (SELECT role FROM reach))
         OR EXISTS (
            SELECT FROM pg_catalog.pg_namespace n
            WHERE n.nspname = 'cupel' AND n.nspowner IN (SELECT role FROM reach))"
    )))
    .bind(&me)
    .fetch_one(&mut *conn)
    .await
    .map_err(Error::statement("looking at what the role owns"))?;
    if owner {
        return Err(Error::PowerfulRole { which, power: "owns, or can own, tables of tenants" });
    }
    let migrated: Option<bool> = sqlx::query_scalar(
        "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                AND pg_catalog.to_regprocedure('cupel.settings()') IS NOT NULL
         FROM pg_catalog.pg_namespace n WHERE n.nspname = 'cupel'",
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(Error::statement("looking for the migration"))?;
    if migrated != Some(true) {
        return Err(Error::NotMigrated);
    }
    let facts: Option<(String, String, f64)> = sqlx::query_as(
        "SELECT column_type, context, extract(epoch FROM clock_timestamp())::float8
         FROM cupel.settings()",
    )
    .fetch_optional(conn)
    .await
    .map_err(Error::statement("reading the migration's settings"))?;
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (column_type, mode, clock) = facts.ok_or(Error::NotMigrated)?;
    Ok(Facts {
        column_type: ColumnType::parse(&column_type).ok_or(Error::NotMigrated)?,
        mode: ContextMode::parse(&mode).ok_or(Error::NotMigrated)?,
        ahead: clock - ours.as_secs_f64(),
    })
}

/// What a migrated database says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) column_type: ColumnType,
    pub(crate) mode: ContextMode,
    /// What the server's clock is ahead of ours, in seconds.
    pub(crate) ahead: f64,
}

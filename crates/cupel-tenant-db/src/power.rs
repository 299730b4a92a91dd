//! What a role may be, and what it may become.

use sqlx::PgConnection;

use crate::{ColumnType, Error};

/// Everything the role can become by SET ROLE, itself first. A superuser can become everything, so it
/// is left to its own line.
const REACH: &str = "WITH RECURSIVE reach(role) AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user
    UNION
    SELECT m.roleid FROM reach JOIN pg_catalog.pg_auth_members m ON m.member = reach.role
)";

/// Refuses a role that reaches around row-level security, and a database that is not migrated.
///
/// The admin role is exempt from row-level security on purpose; it may still not be a superuser.
pub(crate) async fn check(
    conn: &mut PgConnection,
    which: &'static str,
) -> Result<ColumnType, Error> {
    let migrated: Option<bool> = sqlx::query_scalar(
        "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                AND pg_catalog.to_regprocedure('cupel.settings()') IS NOT NULL
         FROM pg_catalog.pg_namespace n WHERE n.nspname = 'cupel'",
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(Error::statement("looking for the migration"))?;
    let (superuser, bypass): (bool, bool) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "{REACH} SELECT bool_or(r.rolsuper), bool_or(r.rolbypassrls)
         FROM reach JOIN pg_catalog.pg_roles r ON r.oid = reach.role"
    )))
    .fetch_one(&mut *conn)
    .await
    .map_err(Error::statement("looking at the role"))?;
    if superuser {
        return Err(Error::PowerfulRole { which, power: "is, or can become, a superuser" });
    }
    if bypass && which == "app" {
        return Err(Error::PowerfulRole {
            which,
            power: "is, or can become, exempt from row-level security (BYPASSRLS)",
        });
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
    .fetch_one(&mut *conn)
    .await
    .map_err(Error::statement("looking at what the role owns"))?;
    if owner {
        return Err(Error::PowerfulRole { which, power: "owns, or can own, tables of tenants" });
    }
    if migrated != Some(true) {
        return Err(Error::NotMigrated);
    }
    let column_type: Option<String> =
        sqlx::query_scalar("SELECT column_type FROM cupel.settings()")
            .fetch_optional(conn)
            .await
            .map_err(Error::statement("reading the migration's settings"))?;
    column_type.and_then(|text| ColumnType::parse(&text)).ok_or(Error::NotMigrated)
}

use sqlx::{AssertSqlSafe, PgConnection};

use super::super::server::Declaration;
use super::Installed;
use crate::schema::Grant;

/// A right that a migration grants and its role does not have, also not by way of another.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Ungranted {
    /// What it is on, with its schema and the arguments of a routine.
    pub(crate) object: String,
    /// The same, as GRANT takes it.
    pub(crate) target: String,
    /// As GRANT takes it.
    pub(crate) kind: String,
    pub(crate) privilege: String,
    pub(crate) role: String,
}

/// What is granted in and around the schema `cupel`, by the kind of its object. A right is asked of its own kind of object
/// only, which CASE sees to: of another it is an error. Objects are found by name in the catalogs: whoever may not use a
/// schema is refused a look by name.
const AROUND: &str = "WITH granted(kind, schema, name, privilege, role, rolname) AS (
       SELECT kind, schema, name, privilege, r.oid, r.rolname::text
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
         g(kind, schema, name, privilege, role)
       JOIN pg_catalog.pg_roles r ON r.rolname = g.role)
     SELECT n.nspname || '.' || c.relname AS object, format('%I.%I', n.nspname, c.relname) AS target,
       g.kind, g.privilege, g.rolname AS role
     FROM granted g JOIN pg_catalog.pg_namespace n ON n.nspname = g.schema
     JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = g.name
     WHERE CASE g.kind WHEN 'TABLE' THEN NOT has_table_privilege(g.role, c.oid, g.privilege) END
     UNION ALL
     SELECT p.oid::regprocedure::text, p.oid::regprocedure::text, g.kind, g.privilege, g.rolname
     FROM granted g JOIN pg_catalog.pg_namespace n ON n.nspname = g.schema
     JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = g.name
     WHERE CASE g.kind WHEN 'ROUTINE' THEN NOT has_function_privilege(g.role, p.oid, g.privilege) END
     UNION ALL
     SELECT g.name, quote_ident(g.name), g.kind, g.privilege, g.rolname
     FROM granted g JOIN pg_catalog.pg_namespace n ON n.nspname = g.name
     WHERE CASE g.kind WHEN 'SCHEMA' THEN NOT has_schema_privilege(g.role, n.oid, g.privilege) END
     UNION ALL
     SELECT g.name, g.name, g.kind, g.privilege, g.rolname FROM granted g
     WHERE CASE g.kind WHEN 'PARAMETER' THEN NOT has_parameter_privilege(g.role, g.name, g.privilege) END";

/// What is granted on the tables that a migration was told of, and on their schemas. They may be many, so it is the server
/// that goes through them.
const ON_TABLES: &str = "UNION ALL
     SELECT n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), 'TABLE', p, r.rolname::text
     FROM cupel.tenant_tables t
     JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
     JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
     CROSS JOIN pg_catalog.pg_roles r CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
     WHERE (r.rolname = $7 OR r.rolname = $6 AND (t.kind <> 'global' OR p = 'SELECT'))
       AND NOT has_table_privilege(r.oid, c.oid, p)
     UNION ALL
     SELECT n.nspname::text, quote_ident(n.nspname), 'SCHEMA', 'USAGE', r.rolname::text
     FROM (SELECT DISTINCT schema_name FROM cupel.tenant_tables) t
     JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name CROSS JOIN pg_catalog.pg_roles r
     WHERE r.rolname IN ($6, $7) AND NOT has_schema_privilege(r.oid, n.oid, 'USAGE')";

/// The same where it cannot be read which tables these are.
const NO_TABLES: &str = "UNION ALL SELECT NULL, NULL, NULL, $6::text, $7::text WHERE false";

/// Reads them, by object; none where it is not recorded for whom the migration was.
pub(in crate::audit::facts) async fn ungranted(
    conn: &mut PgConnection,
    installed: Option<&Installed>,
    declaration: &Declaration,
) -> Result<Vec<Ungranted>, sqlx::Error> {
    let Some((installed, recorded)) = installed.and_then(|it| Some((it, it.recorded.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    let column = |of: fn(&Grant) -> &str| installed.grants.iter().map(of).collect::<Vec<_>>();
    let on_tables = if declaration.is_ours { ON_TABLES } else { NO_TABLES };
    let sql = format!("{AROUND} {on_tables} ORDER BY 3, 1, 5, 4");
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(column(|it| it.kind))
        .bind(column(|it| it.schema.as_deref().unwrap_or_default()))
        .bind(column(|it| &it.name))
        .bind(column(|it| &it.privilege))
        .bind(column(|it| &it.role))
        .bind(&recorded.app)
        .bind(&recorded.admin)
        .fetch_all(conn)
        .await
}

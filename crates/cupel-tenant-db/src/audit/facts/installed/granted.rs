use sqlx::PgConnection;

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

/// Reads them, by object; none where it is not recorded for whom the migration was.
pub(in crate::audit::facts) async fn ungranted(
    conn: &mut PgConnection,
    installed: Option<&Installed>,
    declaration: &Declaration,
) -> Result<Vec<Ungranted>, sqlx::Error> {
    let Some(installed) = installed else { return Ok(Vec::new()) };
    let mut grants = installed.grants.clone();
    if let Some(recorded) = &installed.recorded {
        for (role, is_admin) in [(&recorded.app, false), (&recorded.admin, true)] {
            let role = role.as_deref();
            grants.extend(role.into_iter().flat_map(|it| on_tables(declaration, it, is_admin)));
        }
    }
    let column = |of: fn(&Grant) -> &str| grants.iter().map(of).collect::<Vec<_>>();
    // By name in the catalogs: whoever may not use a schema is refused a look by name. A right is asked of its own kind
    // of object only, which CASE sees to: of another it is an error.
    sqlx::query_as(
        "WITH granted(kind, schema, name, privilege, role, rolname) AS (
           SELECT kind, schema, name, privilege, r.oid, r.rolname::text
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
             g(kind, schema, name, privilege, role)
           JOIN pg_catalog.pg_roles r ON r.rolname = g.role)
         SELECT n.nspname || '.' || c.relname AS object, format('%I.%I', n.nspname, c.relname) AS target, g.kind, g.privilege, g.rolname AS role
         FROM granted g JOIN pg_catalog.pg_namespace n ON n.nspname = g.schema
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = g.name
         WHERE CASE g.kind WHEN 'TABLE' THEN NOT has_table_privilege(g.role, c.oid, g.privilege) END
         UNION ALL
         SELECT p.oid::regprocedure::text, p.oid::regprocedure::text, g.kind, g.privilege, g.rolname
         FROM granted g JOIN pg_catalog.pg_namespace n ON n.nspname = g.schema
         JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = g.name
         WHERE CASE g.kind WHEN 'ROUTINE' THEN NOT has_function_privilege(g.role, p.oid, g.privilege) END
         UNION ALL
         SELECT n.nspname::text, quote_ident(n.nspname), 'SCHEMA', 'USAGE', g.rolname
         FROM granted g JOIN pg_catalog.pg_namespace n
           ON n.nspname = CASE g.kind WHEN 'SCHEMA' THEN g.name WHEN 'TABLE' THEN g.schema END
         WHERE NOT has_schema_privilege(g.role, n.oid, 'USAGE')
         UNION
         SELECT g.name, g.name, g.kind, g.privilege, g.rolname FROM granted g
         WHERE CASE g.kind WHEN 'PARAMETER' THEN NOT has_parameter_privilege(g.role, g.name, g.privilege) END
         ORDER BY 3, 1, 5, 4",
    )
    .bind(column(|it| it.kind))
    .bind(column(|it| it.schema.as_deref().unwrap_or_default()))
    .bind(column(|it| &it.name))
    .bind(column(|it| &it.privilege))
    .bind(column(|it| &it.role))
    .fetch_all(conn)
    .await
}

/// What a role is granted on the tables that a migration was told of.
fn on_tables(declaration: &Declaration, role: &str, is_admin: bool) -> Vec<Grant> {
    let rights = |kind: &str| match kind {
        "global" if !is_admin => &["SELECT"][..],
        _ => &["SELECT", "INSERT", "UPDATE", "DELETE"][..],
    };
    let tables = declaration.migrated.iter();
    let grants = tables.flat_map(|((schema, name), (kind, ..))| {
        rights(kind).iter().map(|privilege| Grant {
            kind: "TABLE",
            schema: Some(schema.clone()),
            name: name.clone(),
            privilege: (*privilege).to_owned(),
            role: role.to_owned(),
        })
    });
    grants.collect()
}

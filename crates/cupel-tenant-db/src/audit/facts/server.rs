use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::super::Question;
use super::{Installed, Oid};

/// What the server is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Server {
    /// As 150018.
    pub(crate) version: i32,
    /// As the server writes it.
    pub(crate) text: String,
    pub(crate) database_owner: Oid,
    /// What the context is in a session that set none.
    pub(crate) preset: Option<String>,
    pub(crate) wal_level: String,
    /// How many transactions can be prepared.
    pub(crate) max_prepared: i32,
    /// Whether whoever asks may see those that are.
    sees_prepared: bool,
}

pub(super) async fn read(conn: &mut PgConnection, context: &str) -> Result<Server, sqlx::Error> {
    sqlx::query_as(
        "SELECT current_setting('server_version_num')::int4 AS version,
           current_setting('server_version') AS text,
           d.datdba::int8 AS database_owner, nullif(current_setting($1, true), '') AS preset,
           current_setting('wal_level') AS wal_level,
           current_setting('max_prepared_transactions')::int4 AS max_prepared,
           has_function_privilege('pg_prepared_xact()', 'EXECUTE') AS sees_prepared
         FROM pg_catalog.pg_database d WHERE d.datname = current_database()",
    )
    .bind(context)
    .fetch_one(conn)
    .await
}

/// The identifiers of prepared transactions that the application can end, quoted, as far as they are seen.
pub(super) async fn prepared(
    conn: &mut PgConnection,
    server: &Server,
    acting: &[Oid],
) -> Result<Vec<String>, sqlx::Error> {
    if !server.sees_prepared {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "SELECT quote_literal(x.gid) FROM pg_catalog.pg_prepared_xacts x
         JOIN pg_catalog.pg_roles o ON o.rolname = x.owner
         WHERE x.database = current_database() AND o.oid = ANY ($1::int8[]::oid[]) ORDER BY x.prepared, x.gid",
    )
    .bind(acting)
    .fetch_all(conn)
    .await
}

/// What the application can make in the database.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Makes {
    /// Tables, functions: in a schema that is there, or in one of its own.
    pub(crate) objects: bool,
    /// Temporary tables.
    pub(crate) temporary: bool,
}

pub(super) async fn makes(conn: &mut PgConnection, acting: &[Oid]) -> Result<Makes, sqlx::Error> {
    sqlx::query_as(
        "SELECT coalesce(bool_or(has_database_privilege(r.role, current_database(), 'CREATE')
             OR EXISTS (SELECT FROM pg_catalog.pg_namespace n
               WHERE n.nspname NOT LIKE 'pg\\_%' AND has_schema_privilege(r.role, n.oid, 'CREATE'))), false)
             AS objects,
           coalesce(bool_or(has_database_privilege(r.role, current_database(), 'TEMPORARY')), false)
             AS temporary
         FROM unnest($1::int8[]::oid[]) r(role)",
    )
    .bind(acting)
    .fetch_one(conn)
    .await
}

/// Who owns each schema.
pub(super) async fn schemas(conn: &mut PgConnection) -> Result<HashMap<String, Oid>, sqlx::Error> {
    let rows: Vec<(String, Oid)> =
        sqlx::query_as("SELECT nspname::text, nspowner::int8 FROM pg_catalog.pg_namespace")
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().collect())
}

/// What was said of the tables, by a migration of ours or by whoever asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declaration {
    /// Whether the schema `cupel` is there and can be read.
    pub(crate) is_ours: bool,
    /// How transactions name their organization: plain, sealed or register.
    pub(crate) mode: Option<String>,
    /// Whom the policies let in.
    pub(crate) app_role: Option<String>,
    /// Whether whoever asks is the owner of the migration, and may make a temporary table without running
    /// the code of an event trigger.
    pub(crate) can_be_made: bool,
    /// Whether tables that nobody names are then undeclared ones.
    pub(crate) is_whole: bool,
    /// By schema and name, the column that names the organization.
    pub(crate) tables: HashMap<(String, String), String>,
    /// What a migration remembers of each table: its kind, and the columns of organization and workspace.
    pub(crate) migrated: HashMap<(String, String), (String, String, String)>,
    /// By schema and name, the policies that the migration made, as the server wrote them out then.
    pub(crate) recorded: HashMap<(String, String), String>,
    /// Tables that are the same for everybody.
    pub(crate) shared: HashSet<(String, String)>,
}

impl Declaration {
    /// Whether the context is not a plain setting.
    pub(crate) fn is_sealed(&self) -> bool {
        self.mode.as_deref().is_some_and(|mode| mode != "plain")
    }
}

pub(super) async fn declaration(
    conn: &mut PgConnection,
    question: &Question,
    installed: Option<&Installed>,
) -> Result<Declaration, sqlx::Error> {
    let mut declaration = Declaration::default();
    for name in &question.shared {
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        declaration.shared.insert((schema.to_owned(), table.to_owned()));
    }
    declaration.is_whole = !question.declared.is_empty();
    for table in &question.declared {
        let name = (table.name.schema.clone(), table.name.table.clone());
        if table.is_of_orgs() {
            declaration.tables.insert(name, table.org_column.clone());
        } else {
            declaration.shared.insert(name);
        }
    }
    let recorded = installed.and_then(|it| it.recorded.as_ref());
    declaration.mode = recorded.map(|it| it.mode.clone());
    declaration.app_role = recorded.and_then(|it| it.app.clone());
    let rights: Option<(bool, bool)> = sqlx::query_as(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
           NOT pg_is_in_recovery() AND has_database_privilege(current_database(), 'TEMPORARY')
             AND pg_has_role(n.nspowner, 'USAGE')
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger t WHERE t.evtenabled <> 'D')
         FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
         WHERE n.nspname = 'cupel' AND c.relname = 'tenant_tables'",
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some((true, can_be_made)) = rights else { return Ok(declaration) };
    (declaration.is_ours, declaration.is_whole) = (true, true);
    declaration.can_be_made = can_be_made;
    // By way of JSON: a database of an earlier version does not name the columns.
    let tables: Vec<(String, String, String, String, String, String)> = sqlx::query_as(
        "SELECT t.schema_name::text, t.table_name::text, t.kind, t.policies,
           coalesce(to_jsonb(t) ->> 'org_column', $1), coalesce(to_jsonb(t) ->> 'workspace_column', $2)
         FROM cupel.tenant_tables t",
    )
    .bind(crate::ORG_COLUMN)
    .bind(crate::WORKSPACE_COLUMN)
    .fetch_all(conn)
    .await?;
    for (schema, table, kind, policies, org, workspace) in tables {
        let name = (schema, table);
        declaration.recorded.insert(name.clone(), policies);
        if kind == "global" {
            declaration.shared.insert(name.clone());
        } else {
            declaration.tables.insert(name.clone(), org.clone());
        }
        declaration.migrated.insert(name, (kind, org, workspace));
    }
    Ok(declaration)
}

//! The policies that a migration makes, as this server writes them out: made on tables of our own, in a
//! transaction that is rolled back.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::facts::{Facts, Oid, Policy};
use super::rules::declared::Lines;
use crate::{Table, TableKind, schema};

/// Declared tables of which the server writes the policies out alike.
#[derive(Debug, sqlx::FromRow)]
struct Shape {
    kind: String,
    org_column: String,
    workspace_column: String,
    /// Type and collation; none if there is no such column.
    org_type: Option<String>,
    workspace_type: Option<String>,
    tables: Vec<Oid>,
}

/// The one place that knows what a declaration becomes.
fn policies(shape: &Shape, scratch: &str, app: &str) -> Option<String> {
    let kind = TableKind::parse(&shape.kind)?;
    let whole =
        shape.org_type.is_some() && (!kind.has_workspaces() || shape.workspace_type.is_some());
    let table = Table::of_kind(scratch, kind)
        .org_column(&shape.org_column)
        .workspace_column(&shape.workspace_column);
    let declared = table.parsed().ok().filter(|_| kind == TableKind::Global || whole)?;
    Some(schema::policies(scratch, &declared, &schema::ident(app)))
}

/// The policies that each declared table should have; `None` where they cannot be made.
///
/// The tables themselves are not touched, nor locked: one temporary table stands for all of a shape.
pub(super) async fn made(
    conn: &mut PgConnection,
    facts: &Facts,
) -> Result<Option<Lines>, sqlx::Error> {
    let declaration = &facts.declaration;
    let Some(app) = declaration.app_role.as_deref().filter(|_| declaration.can_be_made) else {
        return Ok(None);
    };
    let opening = "BEGIN READ WRITE; SET LOCAL search_path = pg_catalog;
        SET LOCAL quote_all_identifiers = off";
    sqlx::raw_sql(opening).execute(&mut *conn).await?;
    let made = make(conn, app).await;
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    match made {
        Ok(made) => Ok(Some(made)),
        // What the migration wrote down is still there to go by, and the report says that it was.
        Err(sqlx::Error::Database(error)) => {
            tracing::warn!(%error, "the declared policies could not be made to compare with");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn make(conn: &mut PgConnection, app: &str) -> Result<Lines, sqlx::Error> {
    // By way of JSON: a database of an earlier version does not name the columns.
    let shapes: Vec<Shape> = sqlx::query_as(
        "SELECT t.kind, d.org_column, d.workspace_column, o.type AS org_type, w.type AS workspace_type,
           array_agg(c.oid::int8) AS tables
         FROM cupel.tenant_tables t JOIN pg_namespace n ON n.nspname = t.schema_name
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
         CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(t) ->> 'org_column', $1) AS org_column,
           coalesce(to_jsonb(t) ->> 'workspace_column', $2) AS workspace_column) d
         LEFT JOIN LATERAL (SELECT format_type(a.atttypid, a.atttypmod)
             || CASE WHEN m.oid IS NULL THEN '' ELSE format(' COLLATE %I.%I', m.nspname, l.collname) END AS type
           FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
           LEFT JOIN pg_namespace m ON m.oid = l.collnamespace
           WHERE a.attrelid = c.oid AND a.attname = d.org_column) o ON true
         LEFT JOIN LATERAL (SELECT format_type(a.atttypid, a.atttypmod)
             || CASE WHEN m.oid IS NULL THEN '' ELSE format(' COLLATE %I.%I', m.nspname, l.collname) END AS type
           FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
           LEFT JOIN pg_namespace m ON m.oid = l.collnamespace
           WHERE a.attrelid = c.oid AND a.attname = d.workspace_column) w ON true
         GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
    )
    .bind(schema::ORG_COLUMN)
    .bind(schema::WORKSPACE_COLUMN)
    .fetch_all(&mut *conn)
    .await?;
    let mut lines = HashMap::new();
    for (at, shape) in shapes.iter().enumerate() {
        let scratch = format!("pg_temp.cupel_expected_{at}");
        let made = match policies(shape, &scratch, app) {
            Some(policies) => {
                let sql = format!("CREATE TABLE {scratch} ({});\n{policies}", columns(shape));
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
                written_out(conn, &scratch).await?
            }
            None => vec!["the column that it is declared by".to_owned()],
        };
        lines.extend(shape.tables.iter().map(|table| (*table, made.clone())));
    }
    Ok(lines)
}

fn columns(shape: &Shape) -> String {
    let columns =
        [(&shape.org_column, &shape.org_type), (&shape.workspace_column, &shape.workspace_type)];
    let columns = columns.into_iter().filter_map(|(name, kind)| {
        kind.as_ref().map(|kind| format!("{} {kind}", schema::ident(name)))
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// One policy, with all that makes it what it is.
type Written = (String, String, bool, Vec<Oid>, Option<String>, Option<String>);

async fn written_out(conn: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows: Vec<Written> = sqlx::query_as(
        "SELECT p.polname::text, p.polcmd::text, p.polpermissive, p.polroles::int8[],
           pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
         FROM pg_policy p WHERE p.polrelid = $1::regclass ORDER BY 1",
    )
    .bind(table)
    .fetch_all(conn)
    .await?;
    Ok(rows.iter().map(|it| line(&it.0, &it.1, it.2, &it.3, [&it.4, &it.5])).collect())
}

fn line(
    name: &str,
    command: &str,
    permissive: bool,
    roles: &[Oid],
    conditions: [&Option<String>; 2],
) -> String {
    format!("{name} | {command} | {permissive} | {roles:?} | {conditions:?}")
}

/// What the migration wrote down as it made the policies, and the same of those that are there now.
pub(super) fn recorded(facts: &Facts) -> (Lines, Lines) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (mut made, mut now) = (HashMap::new(), HashMap::new());
    for table in facts.relations() {
        let name = (table.schema.clone(), table.name.clone());
        let Some(text) = facts.declaration.recorded.get(&name) else { continue };
        let policies = facts.policies.get(&table.oid).into_iter().flatten();
        let ours = policies.filter(|it| it.name.starts_with("cupel_"));
        let written = ours.map(as_recorded).collect::<Vec<_>>().join("\n");
        made.insert(table.oid, lines(text));
        now.insert(table.oid, lines(&written));
    }
    (made, now)
}

/// As the function cupel.policies_of writes it, which somebody could have replaced.
fn as_recorded(policy: &Policy) -> String {
    let kind = if policy.permissive { "t" } else { "f" };
    let mut text = format!("{} | {} | {kind} | {}", policy.name, policy.command, policy.role_names);
    for condition in [&policy.using, &policy.check].into_iter().flatten() {
        text += " | ";
        text += condition;
    }
    text
}

/// The policies of ours that the tables have.
pub(super) fn present(facts: &Facts) -> Lines {
    let written = |it: &Policy| {
        let command = it.command.to_string();
        line(&it.name, &command, it.permissive, &it.roles, [&it.using, &it.check])
    };
    let ours = |policies: &[Policy]| {
        policies.iter().filter(|it| it.name.starts_with("cupel_")).map(written).collect()
    };
    facts.policies.iter().map(|(table, policies)| (*table, ours(policies))).collect()
}

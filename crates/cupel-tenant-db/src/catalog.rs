//! The tables of organizations as the server's catalogs show them.

use sqlx::PgConnection;

use crate::schema::{TableName, ident};
use crate::{Error, TableKind};

/// A table of organizations: one that is declared, or that has a column like one that is.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) name: TableName,
    /// The column that names the organization of a row.
    pub(crate) org_column: String,
    /// The column that names its workspace, if the table has workspaces.
    pub(crate) workspace_column: String,
    /// `None` if nobody declared it.
    pub(crate) kind: Option<TableKind>,
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) references: Vec<Reference>,
    /// Whether the asking role may read any of it.
    pub(crate) readable: bool,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type, as `numeric(10,2)`.
    pub(crate) type_name: String,
    /// The category: PostgreSQL documentation, table 53.65 (`typcategory`).
    pub(crate) category: String,
    /// The longest value of a `varchar(n)` or `char(n)`.
    pub(crate) longest: Option<i32>,
    /// The first label of an enumeration.
    pub(crate) label: Option<String>,
    pub(crate) required: bool,
    pub(crate) generated: bool,
}

/// A foreign key, column by column.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) constraint: String,
    pub(crate) to: TableName,
    /// Pairs of a column here and the one there that it refers to.
    pub(crate) columns: Vec<(String, String)>,
}

impl Relation {
    pub(crate) fn is_declared_of_orgs(&self) -> bool {
        !matches!(self.kind, None | Some(TableKind::Global))
    }

    pub(crate) fn has_workspaces(&self) -> bool {
        self.kind.is_some_and(TableKind::has_workspaces)
    }

    /// Whether it has one row for each organization, as the table of the organizations themselves.
    pub(crate) fn is_one_per_org(&self) -> bool {
        self.primary_key == [self.org_column.as_str()]
    }

    /// The column that names the organization, quoted.
    pub(crate) fn org(&self) -> String {
        ident(&self.org_column)
    }

    /// The column that names the workspace, quoted.
    pub(crate) fn workspace(&self) -> String {
        ident(&self.workspace_column)
    }

    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|it| it.name == name)
    }
}

/// Constraint, schema and table referred to, columns here and there.
type ReferenceRow = (String, String, String, Vec<String>, Vec<String>);
type TableRow = (String, String, Option<String>, String, String, bool, Vec<String>);

/// Reads every table of organizations, parents before children. Of those that nobody declared, these are the
/// tables that have a column by which another names its organizations; partitions and children are reached by
/// their parents alone, unless they can be read.
pub(crate) async fn relations(conn: &mut PgConnection) -> Result<Vec<Relation>, Error> {
    read(conn).await.map_err(Error::statement("reading the catalogs"))
}

async fn read(conn: &mut PgConnection) -> Result<Vec<Relation>, sqlx::Error> {
    let tables: Vec<TableRow> = sqlx::query_as(
        "WITH org_columns AS (
           SELECT 'org_id'::name AS name UNION SELECT org_column FROM cupel.tenant_tables WHERE org_column <> 'id')
         SELECT n.nspname::text, c.relname::text, t.kind, o.name::text,
            coalesce(t.workspace_column, 'workspace_id')::text,
            has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'),
            ARRAY(SELECT a.attname::text FROM pg_constraint k, unnest(k.conkey) WITH ORDINALITY u(num, at)
                  JOIN pg_attribute a ON a.attnum = u.num
                  WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attrelid = c.oid ORDER BY u.at)
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN cupel.tenant_tables t ON t.schema_name = n.nspname AND t.table_name = c.relname
         JOIN LATERAL (SELECT a.attname AS name FROM pg_attribute a
           WHERE a.attrelid = c.oid AND NOT a.attisdropped
             AND CASE WHEN t.kind IS NULL THEN a.attname IN (SELECT name FROM org_columns)
                      ELSE a.attname = t.org_column END
           ORDER BY a.attname <> 'org_id', 1 LIMIT 1) o ON true
         WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cupel')
           AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'
           AND (t.kind IS NOT NULL OR has_any_column_privilege(c.oid, 'SELECT')
             OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid))
         ORDER BY 1, 2",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut relations = Vec::with_capacity(tables.len());
    for (schema, table, kind, org_column, workspace_column, readable, primary_key) in tables {
        let name = TableName { schema, table };
        let columns = columns(conn, &name).await?;
        let references = references(conn, &name).await?;
        let kind = kind.as_deref().and_then(TableKind::parse);
        relations.push(Relation {
            name,
            org_column,
            workspace_column,
            kind,
            columns,
            primary_key,
            references,
            readable,
        });
    }
    Ok(parents_first(relations))
}

async fn columns(conn: &mut PgConnection, name: &TableName) -> Result<Vec<Column>, sqlx::Error> {
    sqlx::query_as(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type_name,
            t.typcategory::text AS category,
            CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar')
                 THEN a.atttypmod - 4 END AS longest,
            (SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid
             ORDER BY e.enumsortorder LIMIT 1) AS label,
            a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required,
            a.attgenerated <> '' AS generated
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                             WHERE n.nspname = $1 AND c.relname = $2)
           AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attnum",
    )
    .bind(&name.schema)
    .bind(&name.table)
    .fetch_all(conn)
    .await
}

async fn references(
    conn: &mut PgConnection,
    name: &TableName,
) -> Result<Vec<Reference>, sqlx::Error> {
    let rows: Vec<ReferenceRow> = sqlx::query_as(
        "SELECT k.conname::text, tn.nspname::text, tc.relname::text,
            ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(num, at)
                  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.at),
            ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(num, at)
                  JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.at)
         FROM pg_constraint k
         JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_class tc ON tc.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
         WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2 ORDER BY 1",
    )
    .bind(&name.schema)
    .bind(&name.table)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(constraint, schema, table, here, there)| Reference {
            constraint,
            to: TableName { schema, table },
            columns: here.into_iter().zip(there).collect(),
        })
        .collect())
}

/// Orders tables so that each comes after those it refers to. Tables that refer to each other in a
/// circle come last, in the order of their names.
fn parents_first(mut waiting: Vec<Relation>) -> Vec<Relation> {
    let mut ordered: Vec<Relation> = Vec::with_capacity(waiting.len());
    loop {
        let names: Vec<TableName> = waiting.iter().map(|it| it.name.clone()).collect();
        let is_free = |relation: &Relation| {
            relation.references.iter().all(|to| to.to == relation.name || !names.contains(&to.to))
        };
        let (free, bound): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_free);
        if free.is_empty() {
            ordered.extend(bound);
            return ordered;
        }
        ordered.extend(free);
        waiting = bound;
    }
}

//! The declared tables as they are: what a migration and an adoption go by.

use sqlx::PgConnection;

use crate::ColumnType;
use crate::keys::UNVALIDATED;
use crate::pieces::{self, Partition, Piece};
use crate::schema::{Declared, TableName};

/// A declared table that is there.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) declared: Declared,
    /// The column of the organization, if it is there.
    pub(crate) org: Option<ColumnShape>,
    pub(crate) workspace: Option<ColumnShape>,
    pub(crate) partitioned: bool,
    /// Itself and its partitions, where it is partitioned: each after what it is a partition of.
    pub(crate) partitions: Vec<Partition>,
    pub(crate) row_security: bool,
    pub(crate) has_rows: bool,
    /// Whether it is in the shadow phase of an adoption.
    pub(crate) in_shadow: bool,
    /// Whether it has been isolated: what binds writes is in place.
    pub(crate) enforced: bool,
    pub(crate) indexes: Vec<Index>,
    pub(crate) references: Vec<Reference>,
    pub(crate) referrers: Vec<Referrer>,
    /// The parent's column of the organization, where one is declared.
    pub(crate) parent_org: Option<String>,
    /// Whether its column of the organization was added by an adoption that goes on.
    pub(crate) shadow_default: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnShape {
    pub(crate) type_name: String,
    pub(crate) not_null: bool,
    /// Whether its collation calls equal only what is the same.
    pub(crate) exact: bool,
}

/// An index, or the constraint that it is of.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) primary: bool,
    pub(crate) exclusion: bool,
    /// How the constraint is defined that stands on it, as the server writes it.
    pub(crate) constraint: Option<String>,
    pub(crate) deferrable: bool,
    pub(crate) deferred: bool,
    /// Whether it can be referred to: of columns alone, whole, and checked at once.
    pub(crate) referable: bool,
    pub(crate) valid: bool,
    /// The access method.
    pub(crate) method: String,
    /// Whether that can take the column of the organization before the others.
    pub(crate) takes_org: bool,
    /// Whether it compares organizations by an operator other than `=`.
    pub(crate) crosses: bool,
    /// `CREATE INDEX …`, as the server writes it.
    pub(crate) definition: String,
    /// Its key columns; of an expression an empty name.
    pub(crate) columns: Vec<String>,
    /// What it is made of, where the table is partitioned.
    #[sqlx(skip)]
    pub(crate) pieces: Vec<Piece>,
}

/// A foreign key.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) to: TableName,
    pub(crate) columns: Vec<String>,
    pub(crate) to_columns: Vec<String>,
    /// `a`, `r`, `c`, `n` or `d`: PostgreSQL documentation, section 53.13 (`confdeltype`).
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
    pub(crate) full_match: bool,
    pub(crate) deferrable: bool,
    pub(crate) deferred: bool,
    /// Whether an adoption put it in the place of another and has not validated its rows yet.
    pub(crate) unvalidated: bool,
    /// What it is made of, where the table is partitioned.
    pub(crate) pieces: Vec<Piece>,
}

/// A foreign key of another table that refers to this one.
#[derive(Clone, Debug)]
pub(crate) struct Referrer {
    pub(crate) constraint: String,
    pub(crate) table: TableName,
    /// The unique index that it relies on.
    pub(crate) index: String,
}

type ReferenceRow =
    (String, String, String, Vec<String>, Vec<String>, String, String, bool, bool, bool, bool);

impl Shape {
    /// Reads the table; `None` if there is none.
    pub(crate) async fn read(
        conn: &mut PgConnection,
        declared: Declared,
        column_type: ColumnType,
    ) -> Result<Option<Self>, sqlx::Error> {
        let name = declared.name.quoted();
        // By what it holds on disk: the rows themselves may be hidden from the owner, too.
        let head: Option<(bool, bool, bool, bool, bool)> = sqlx::query_as(
            "SELECT c.relkind = 'p', c.relrowsecurity,
                (SELECT coalesce(sum(pg_catalog.pg_relation_size(t.relid)), pg_catalog.pg_relation_size(c.oid)) > 0
                 FROM pg_catalog.pg_partition_tree(c.oid) t),
                EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'cupel_shadow'),
                EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'cupel_floor')
             FROM pg_catalog.pg_class c
             WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p')",
        )
        .bind(&name)
        .fetch_optional(&mut *conn)
        .await?;
        let Some((partitioned, row_security, has_rows, in_shadow, enforced)) = head else {
            return Ok(None);
        };
        let shadow_default: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_attrdef d
               JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
             WHERE d.adrelid = pg_catalog.to_regclass($1) AND a.attname = $2
               AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE '%cupel\\_shadow.org\\_id()%')",
        )
        .bind(&name)
        .bind(&declared.org_column)
        .fetch_one(&mut *conn)
        .await?;
        let org = column(conn, &declared.name, &declared.org_column).await?;
        let workspace = column(conn, &declared.name, &declared.workspace_column).await?;
        let mut indexes = indexes(conn, &declared, column_type).await?;
        let mut references = references(conn, &name).await?;
        let mut partitions = Vec::new();
        if partitioned {
            partitions = pieces::partitions(conn, &name, &declared.org_column).await?;
            pieces::of_indexes(conn, &name, &mut indexes).await?;
            pieces::of_references(conn, &name, &mut references).await?;
        }
        let referrers = referrers(conn, &name).await?;
        Ok(Some(Self {
            declared,
            org,
            workspace,
            partitioned,
            partitions,
            row_security,
            has_rows,
            in_shadow,
            enforced,
            indexes,
            references,
            referrers,
            parent_org: None,
            shadow_default,
        }))
    }

    pub(crate) fn name(&self) -> &TableName {
        &self.declared.name
    }
}

async fn column(
    conn: &mut PgConnection,
    table: &TableName,
    name: &str,
) -> Result<Option<ColumnShape>, sqlx::Error> {
    let column: Option<(String, bool, bool)> = sqlx::query_as(
        "SELECT pg_catalog.format_type(a.atttypid, NULL), a.attnotnull,
                coalesce(c.collisdeterministic, true)
         FROM pg_catalog.pg_attribute a
         LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
         WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped",
    )
    .bind(table.quoted())
    .bind(name)
    .fetch_optional(conn)
    .await?;
    Ok(column.map(|(type_name, not_null, exact)| ColumnShape { type_name, not_null, exact }))
}

async fn indexes(
    conn: &mut PgConnection,
    declared: &Declared,
    column_type: ColumnType,
) -> Result<Vec<Index>, sqlx::Error> {
    sqlx::query_as(
        "SELECT c.relname::text AS name, i.indisunique AS unique, i.indisprimary AS primary,
           i.indisexclusion AS exclusion, pg_catalog.pg_get_constraintdef(k.oid) AS constraint,
           coalesce(k.condeferrable, false) AS deferrable, coalesce(k.condeferred, false) AS deferred,
           i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
             AND i.indexprs IS NULL AS referable,
           i.indisvalid AS valid, m.amname::text AS method,
           pg_catalog.pg_indexam_has_property(m.oid, 'can_multi_col') AND EXISTS (
             SELECT FROM pg_catalog.pg_opclass o WHERE o.opcmethod = m.oid AND o.opcdefault
               AND o.opcintype = $2::pg_catalog.regtype) AS takes_org,
           EXISTS (SELECT FROM unnest(k.conexclop) WITH ORDINALITY e(operator, at)
             JOIN pg_catalog.pg_operator o ON o.oid = e.operator AND o.oprname <> '='
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attname = $3
               AND a.attnum = i.indkey[e.at::int4 - 1]) AS crosses,
           pg_catalog.pg_get_indexdef(c.oid) AS definition,
           ARRAY(SELECT coalesce(a.attname::text, '')
                 FROM unnest(i.indkey) WITH ORDINALITY u(num, at)
                 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num AND u.num > 0
                 WHERE u.at <= i.indnkeyatts ORDER BY u.at) AS columns
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_am m ON m.oid = c.relam
         LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = c.oid AND k.conrelid = i.indrelid
           AND k.contype IN ('p', 'u', 'x')
         WHERE i.indrelid = pg_catalog.to_regclass($1) ORDER BY 1",
    )
    .bind(declared.name.quoted())
    .bind(column_type.as_str())
    .bind(&declared.org_column)
    .fetch_all(conn)
    .await
}

async fn references(conn: &mut PgConnection, table: &str) -> Result<Vec<Reference>, sqlx::Error> {
    let rows: Vec<ReferenceRow> = sqlx::query_as(
        "SELECT k.conname::text, n.nspname::text, c.relname::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(num, at)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.at),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(num, at)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.at),
           k.confdeltype::text, k.confupdtype::text, k.confmatchtype = 'f', k.condeferrable, k.condeferred,
           coalesce(pg_catalog.obj_description(k.oid, 'pg_constraint') = $2, false)
         FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = pg_catalog.to_regclass($1) ORDER BY 1",
    )
    .bind(table)
    .bind(UNVALIDATED)
    .fetch_all(conn)
    .await?;
    let reference = |row: ReferenceRow| {
        let (name, schema, table, columns, to_columns, on_delete, on_update, ..) = row;
        let (full_match, deferrable, deferred, unvalidated) = (row.7, row.8, row.9, row.10);
        Reference {
            name,
            to: TableName { schema, table },
            columns,
            to_columns,
            on_delete,
            on_update,
            full_match,
            deferrable,
            deferred,
            unvalidated,
            pieces: Vec::new(),
        }
    };
    Ok(rows.into_iter().map(reference).collect())
}

async fn referrers(conn: &mut PgConnection, table: &str) -> Result<Vec<Referrer>, sqlx::Error> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT k.conname::text, n.nspname::text, c.relname::text, i.relname::text
         FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_catalog.pg_class i ON i.oid = k.conindid
         WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = pg_catalog.to_regclass($1) ORDER BY 2, 3, 1",
    )
    .bind(table)
    .fetch_all(conn)
    .await?;
    let referrer = |(constraint, schema, table, index)| Referrer {
        constraint,
        table: TableName { schema, table },
        index,
    };
    Ok(rows.into_iter().map(referrer).collect())
}

use sqlx::PgConnection;

use super::relations::TenantColumns;
use super::{Oid, Server};

/// A foreign key that the server enforces.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ForeignKey {
    pub(crate) name: String,
    pub(crate) from: Oid,
    pub(crate) to: Oid,
    /// What happens to the row when the one it refers to goes: `a`, `r`, `c`, `n` or `d`.
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
    pub(crate) columns: Vec<String>,
    pub(crate) to_columns: Vec<String>,
    /// Whether the application can write its columns.
    pub(crate) writable: bool,
}

/// A unique or exclusion index, or any other: what its columns are.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct UniqueKey {
    pub(crate) relation: Oid,
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) exclusion: bool,
    pub(crate) primary: bool,
    /// Whether the tenant column is one of its keys, compared for equality.
    pub(crate) carries: bool,
    /// Whether the tenant column is in one of its expressions.
    pub(crate) mentions: bool,
    pub(crate) leads: bool,
    pub(crate) insertable: bool,
    pub(crate) updatable: bool,
    pub(crate) constraint: bool,
    pub(crate) partial: bool,
    /// Its plain columns, quoted.
    pub(crate) columns: Vec<String>,
}

pub(super) async fn foreign(
    conn: &mut PgConnection,
    acting: &[Oid],
    server: &Server,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    // A key that is not enforced tells nothing: from 18 on there are such.
    let enforced = if server.version >= 180_000 { "AND k.conenforced" } else { "" };
    sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT k.conname::text AS name, k.conrelid::int8 AS from, k.confrelid::int8 AS to,
           k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
           h.names AS columns, t.names AS to_columns,
           EXISTS (SELECT FROM unnest($1::int8[]::oid[]) r(role) WHERE
             (SELECT bool_and(has_column_privilege(r.role, k.conrelid, u.num, 'INSERT'))
                OR bool_or(has_column_privilege(r.role, k.conrelid, u.num, 'UPDATE'))
              FROM unnest(k.conkey) u(num))) AS writable
         FROM pg_catalog.pg_constraint k
         CROSS JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY u.at) AS names
           FROM unnest(k.conkey) WITH ORDINALITY u(num, at)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) h
         CROSS JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY u.at) AS names
           FROM unnest(k.confkey) WITH ORDINALITY u(num, at)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num) t
         WHERE k.contype = 'f' AND k.conparentid = 0 {enforced} ORDER BY k.conrelid, k.conname"
    )))
    .bind(acting)
    .fetch_all(conn)
    .await
}

pub(super) async fn unique(
    conn: &mut PgConnection,
    acting: &[Oid],
    columns: &TenantColumns,
) -> Result<Vec<UniqueKey>, sqlx::Error> {
    sqlx::query_as(
        "SELECT i.indrelid::int8 AS relation, c.relname::text AS name, i.indisunique AS unique,
           i.indisexclusion AS exclusion, i.indisprimary AS primary,
           coalesce(bool_or(u.num = a.attnum AND (k.conexclop IS NULL OR o.oprname = '='))
             FILTER (WHERE u.at <= i.indnkeyatts), false) AS carries,
           bool_or(u.num = 0) AND coalesce(position(a.attname IN pg_get_expr(i.indexprs, i.indrelid)) > 0, false)
             AS mentions,
           coalesce(i.indkey[0] = a.attnum, false) AS leads,
           EXISTS (SELECT FROM unnest($1::int8[]::oid[]) r(role) WHERE
             has_any_column_privilege(r.role, i.indrelid, 'INSERT') AND (i.indisunique OR i.indisexclusion)
             AND (SELECT bool_and(v.num = 0 OR has_column_privilege(r.role, i.indrelid, v.num, 'INSERT'))
                  FROM unnest(i.indkey) v(num))) AS insertable,
           EXISTS (SELECT FROM unnest($1::int8[]::oid[]) r(role) WHERE
             has_any_column_privilege(r.role, i.indrelid, 'UPDATE') AND (i.indisunique OR i.indisexclusion)
             AND (SELECT bool_or(v.num = 0 OR has_column_privilege(r.role, i.indrelid, v.num, 'UPDATE'))
                  FROM unnest(i.indkey) v(num))) AS updatable,
           k.oid IS NOT NULL AS constraint, i.indpred IS NOT NULL AS partial,
           coalesce(array_agg(quote_ident(b.attname) ORDER BY u.at)
             FILTER (WHERE b.attname IS NOT NULL AND u.at <= i.indnkeyatts), '{}') AS columns
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN unnest($2::int8[]::oid[], $3::text[]) l(relation, name) ON l.relation = i.indrelid
         LEFT JOIN pg_catalog.pg_attribute a
           ON a.attrelid = i.indrelid AND a.attname = l.name::name AND NOT a.attisdropped
         LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY u(num, at)
         LEFT JOIN pg_catalog.pg_operator o ON o.oid = k.conexclop[u.at::int4]
         LEFT JOIN pg_catalog.pg_attribute b ON b.attrelid = i.indrelid AND b.attnum = u.num AND u.num > 0
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'cupel')
           AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'
           AND i.indisready AND NOT c.relispartition
         GROUP BY i.indexrelid, c.oid, a.attnum, a.attname, k.oid
         ORDER BY i.indrelid, c.relname",
    )
    .bind(acting)
    .bind(&columns.relations)
    .bind(&columns.names)
    .fetch_all(conn)
    .await
}

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Oid;
use super::relations::{OURS, TenantColumns};

/// A right on a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Delete,
    Insert,
    Maintain,
    References,
    Select,
    Trigger,
    Truncate,
    Update,
    /// Writing the tenant column of a new row.
    InsertTenant,
    /// Writing the tenant column of a row that is there.
    UpdateTenant,
    /// Of the schema that it stands in.
    Usage,
}

impl Right {
    pub(crate) fn bit(self) -> u32 {
        1 << match self {
            Self::Select => 0,
            Self::Insert => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::Truncate => 4,
            Self::References => 5,
            Self::Trigger => 6,
            Self::Maintain => 7,
            Self::Usage => 8,
            Self::InsertTenant => 9,
            Self::UpdateTenant => 10,
        }
    }

    /// Reading and writing rows.
    pub(crate) const ROWS: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];
}

/// What each of the roles may do with each relation, as bits of [`Right`].
pub(super) async fn rights(
    conn: &mut PgConnection,
    roles: &[Oid],
    version: i32,
    columns: &TenantColumns,
) -> Result<HashMap<(Oid, Oid), u32>, sqlx::Error> {
    let maintain = if version >= 170_000 {
        "has_table_privilege(r.role, c.oid, 'MAINTAIN')::int4 * 128"
    } else {
        "0"
    };
    let rows: Vec<(Oid, Oid, i32)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT r.role::int8, c.oid::int8, has_any_column_privilege(r.role, c.oid, 'SELECT')::int4
             + has_any_column_privilege(r.role, c.oid, 'INSERT')::int4 * 2
             + has_any_column_privilege(r.role, c.oid, 'UPDATE')::int4 * 4
             + has_table_privilege(r.role, c.oid, 'DELETE')::int4 * 8
             + has_table_privilege(r.role, c.oid, 'TRUNCATE')::int4 * 16
             + has_any_column_privilege(r.role, c.oid, 'REFERENCES')::int4 * 32
             + has_table_privilege(r.role, c.oid, 'TRIGGER')::int4 * 64
             + {maintain}
             + s.usage * 256
             + coalesce(has_column_privilege(r.role, c.oid, a.attnum, 'INSERT')::int4 * 512
               + has_column_privilege(r.role, c.oid, a.attnum, 'UPDATE')::int4 * 1024, 0)
         FROM unnest($1::int8[]::oid[]) r(role)
         CROSS JOIN LATERAL (SELECT n.oid, n.nspname,
             has_schema_privilege(r.role, n.oid, 'USAGE')::int4 AS usage
           FROM pg_catalog.pg_namespace n) s
         JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid
         JOIN pg_catalog.pg_namespace n ON n.oid = s.oid
         LEFT JOIN unnest($2::int8[]::oid[], $3::text[]) l(relation, name) ON l.relation = c.oid
         LEFT JOIN pg_catalog.pg_attribute a
           ON a.attrelid = c.oid AND a.attname = l.name::name AND NOT a.attisdropped
         WHERE {OURS}"
    )))
    .bind(roles)
    .bind(&columns.relations)
    .bind(&columns.names)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(role, relation, bits)| Some(((role, relation), u32::try_from(bits).ok()?)))
        .collect())
}

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Oid;
use super::relations::grouped;

/// What the queries of views read.
pub(super) async fn reads(conn: &mut PgConnection) -> Result<HashMap<Oid, Vec<Oid>>, sqlx::Error> {
    let rows: Vec<(Oid, Oid)> = sqlx::query_as(
        "SELECT DISTINCT r.ev_class::int8, d.refobjid::int8
         FROM pg_catalog.pg_rewrite r
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
           AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
           AND d.refobjid <> r.ev_class
         WHERE r.ev_type = '1' AND r.oid >= 16384 ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await?;
    Ok(grouped(rows))
}

/// A rewrite rule that is not a view's.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Rewrite {
    pub(crate) relation: Oid,
    pub(crate) name: String,
    /// `2` UPDATE, `3` INSERT, `4` DELETE.
    pub(crate) event: String,
    pub(crate) touches: Vec<Oid>,
}

/// The rules, with what their actions touch.
pub(super) async fn rewrites(conn: &mut PgConnection) -> Result<Vec<Rewrite>, sqlx::Error> {
    sqlx::query_as(
        "SELECT r.ev_class::int8 AS relation, r.rulename::text AS name, r.ev_type::text AS event,
           array_agg(DISTINCT d.refobjid::int8) AS touches
         FROM pg_catalog.pg_rewrite r
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
           AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
         WHERE r.ev_type <> '1' AND r.oid >= 16384 GROUP BY 1, 2, 3 ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await
}

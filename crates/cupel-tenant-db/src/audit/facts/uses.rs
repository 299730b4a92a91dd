use sqlx::PgConnection;

use super::Oid;

/// A function that is called where nobody names it: when a row is written, or a view is read.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Use {
    pub(crate) relation: Oid,
    pub(crate) function: Oid,
    /// What calls it, in words and with its name.
    pub(crate) by: String,
}

/// Everything of tables and views that calls functions outside the system's schemas, but for policies and
/// for what triggers run.
pub(super) async fn uses(conn: &mut PgConnection) -> Result<Vec<Use>, sqlx::Error> {
    sqlx::query_as(
        "SELECT DISTINCT u.relation::int8 AS relation, u.function::int8 AS function, u.by
         FROM (
           SELECT d.adrelid, p.refobjid, 'the default of ' || a.attname
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_attrdef d ON d.oid = p.objid
           JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
           WHERE p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.refclassid = 'pg_catalog.pg_proc'::regclass
           UNION ALL
           SELECT p.objid, p.refobjid, coalesce('the generated column ' || a.attname, 'the partition key')
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_class c ON c.oid = p.objid AND c.relkind IN ('r', 'p')
           LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = p.objid AND a.attnum = p.objsubid AND a.attnum > 0
           WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.refclassid = 'pg_catalog.pg_proc'::regclass
           UNION ALL
           SELECT i.indrelid, p.refobjid, 'the index ' || c.relname
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_index i ON i.indexrelid = p.objid
           JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
           WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.refclassid = 'pg_catalog.pg_proc'::regclass
           UNION ALL
           SELECT k.conrelid, p.refobjid, 'the check ' || k.conname
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_constraint k ON k.oid = p.objid AND k.conrelid <> 0
           WHERE p.classid = 'pg_catalog.pg_constraint'::regclass
             AND p.refclassid = 'pg_catalog.pg_proc'::regclass
           UNION ALL
           SELECT a.attrelid, p.refobjid, 'the check ' || k.conname || ' of the type of ' || a.attname
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_constraint k ON k.oid = p.objid AND k.contypid <> 0
           JOIN pg_catalog.pg_attribute a ON a.atttypid = k.contypid AND a.attnum > 0 AND NOT a.attisdropped
           WHERE p.classid = 'pg_catalog.pg_constraint'::regclass
             AND p.refclassid = 'pg_catalog.pg_proc'::regclass
           UNION ALL
           SELECT t.tgrelid, p.refobjid, 'the condition of the trigger ' || t.tgname
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_trigger t ON t.oid = p.objid AND t.tgfoid <> p.refobjid
           WHERE p.classid = 'pg_catalog.pg_trigger'::regclass AND p.refclassid = 'pg_catalog.pg_proc'::regclass
           UNION ALL
           SELECT r.ev_class, p.refobjid, 'the view'
           FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_rewrite r ON r.oid = p.objid
           WHERE p.classid = 'pg_catalog.pg_rewrite'::regclass AND p.refclassid = 'pg_catalog.pg_proc'::regclass
         ) u(relation, function, by)
         ORDER BY 1, 3, 2",
    )
    .fetch_all(conn)
    .await
}

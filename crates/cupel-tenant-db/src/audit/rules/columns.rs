//! Columns of tenant tables, and their types.

use cupel_tenant::Severity;

use super::{Asked, Rule};

pub(super) const ASKED: &[Asked] = &[Asked {
        rule: Rule {
            id: "T12",
            severity: Severity::Critical,
            phase: 5,
            problem: "a column of a tenant table is of a domain that the application's role owns, or can become the owner of",
            allows: "a check of its own to run in other organizations' statements, and to keep what it sees",
        },
        query: "SELECT n.nspname || '.' || c.relname, format('ALTER DOMAIN %s OWNER TO ', d.oid::regtype)
                || quote_ident(pg_catalog.pg_get_userbyid(c.relowner)),
              CASE WHEN NOT EXISTS (SELECT FROM r, pg_catalog.pg_namespace m
                WHERE has_schema_privilege(r.role, m.oid, 'CREATE')) THEN 'medium' END
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            CROSS JOIN LATERAL (WITH RECURSIVE base(oid, next) AS (
                SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'd'
                UNION SELECT t.oid, t.typbasetype FROM base b
                JOIN pg_catalog.pg_type t ON t.oid = b.next AND t.typtype = 'd') SELECT oid FROM base) b
            JOIN pg_catalog.pg_type d ON d.oid = b.oid, q
            WHERE c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_catalog.pg_attribute o
                WHERE o.attrelid = c.oid AND o.attname = ANY (q.tenant_columns) AND NOT o.attisdropped)
              AND EXISTS (SELECT FROM r WHERE r.role <> 0 AND pg_has_role(r.role, d.typowner, 'USAGE'))",
}];

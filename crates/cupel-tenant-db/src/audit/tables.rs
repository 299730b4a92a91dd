use cupel_tenant::Severity;

use super::Rule;

/// What each table of organizations is missing.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "T1",
        severity: Severity::Critical,
        problem: "row security is off",
        allows: "every organization to read and write every row",
        query: "SELECT t.schema || '.' || t.relname,
              format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.quoted)
            FROM tenant t WHERE NOT t.relrowsecurity AND t.kind IS NOT NULL",
    },
    Rule {
        id: "T2",
        severity: Severity::Medium,
        problem: "row security does not bind the owner",
        allows: "code that runs as the owner to see every organization",
        query: "SELECT t.schema || '.' || t.relname,
              format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.quoted)
            FROM tenant t WHERE t.relrowsecurity AND NOT t.relforcerowsecurity",
    },
    Rule {
        id: "T3",
        severity: Severity::Low,
        problem: "no policy permits anything",
        allows: "nothing: nobody can read the table",
        query: "SELECT t.schema || '.' || t.relname, 'run the migration'::text
            FROM tenant t WHERE t.kind IS NOT NULL AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = t.oid AND p.polpermissive)",
    },
    Rule {
        id: "T4",
        severity: Severity::Medium,
        problem: "org_id can be NULL",
        allows: "rows that vanish from everybody, and foreign keys that are not checked",
        query: "SELECT t.schema || '.' || t.relname,
              format('ALTER TABLE %s ALTER COLUMN org_id SET NOT NULL', t.quoted)
            FROM tenant t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attname = 'org_id'
            WHERE NOT a.attnotnull",
    },
    Rule {
        id: "T5",
        severity: Severity::Critical,
        problem: "a partition or child can be reached directly and has no row security of its own",
        allows: "reading every organization's rows through it",
        query: "SELECT c.oid::regclass::text, format('REVOKE ALL ON %s FROM %s, PUBLIC',
              c.oid::regclass, app.name)
            FROM tenant t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
            JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid, app
            WHERE t.relrowsecurity AND NOT c.relrowsecurity
              AND has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')",
    },
    Rule {
        id: "T6",
        severity: Severity::Critical,
        problem: "the table carries org_id, can be reached and is not declared",
        allows: "whatever its own policies allow, if it has any",
        query: "SELECT t.schema || '.' || t.relname,
              format('declare %s in the migration, or REVOKE ALL ON %s FROM %s', t.relname, t.quoted,
                app.name)
            FROM tenant t, app WHERE t.kind IS NULL
              AND has_any_column_privilege(t.oid, 'SELECT, INSERT, UPDATE')",
    },
    Rule {
        id: "G1",
        severity: Severity::Critical,
        problem: "the application's role has a right that row security does not cover",
        allows: "emptying the table, probing it by a constraint, or running code as others",
        query: "SELECT t.schema || '.' || t.relname, format('REVOKE %s ON %s FROM %s, PUBLIC',
              string_agg(p, ', '), t.quoted, app.name)
            FROM tenant t, app, unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) p
            WHERE has_table_privilege(t.oid, p) GROUP BY t.schema, t.relname, t.quoted, app.name",
    },
    Rule {
        id: "P1",
        severity: Severity::Critical,
        problem: "the policies that the migration made were changed or dropped",
        allows: "rows to be reached that the declaration keeps apart",
        query: "SELECT t.schema || '.' || t.relname, 'run the migration'::text
            FROM tenant t WHERE t.policies <> cupel.policies_of(t.oid)",
    },
    Rule {
        id: "K1",
        severity: Severity::Critical,
        problem: "a foreign key lets one organization refer to another's row",
        allows: "an organization to learn which ids exist elsewhere, and its rows to be deleted by their owner",
        query: "SELECT t.schema || '.' || t.relname || ' ' || k.conname,
              format('FOREIGN KEY (org_id, %s) REFERENCES %s (org_id, %s)',
                (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)), f.quoted,
                (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)))
            FROM pg_catalog.pg_constraint k JOIN tenant t ON t.oid = k.conrelid
            JOIN tenant f ON f.oid = k.confrelid
            WHERE k.contype = 'f' AND NOT EXISTS (
              SELECT FROM unnest(k.conkey, k.confkey) u(here, there)
              JOIN pg_catalog.pg_attribute x ON x.attrelid = k.conrelid AND x.attnum = u.here
              JOIN pg_catalog.pg_attribute y ON y.attrelid = k.confrelid AND y.attnum = u.there
              WHERE x.attname = 'org_id' AND y.attname = 'org_id')",
    },
    Rule {
        id: "K2",
        severity: Severity::Critical,
        problem: "a unique index spans organizations",
        allows: "an organization to learn which ids exist elsewhere",
        query: "SELECT t.schema || '.' || t.relname || ' ' || c.relname,
              'make org_id its first column'::text
            FROM pg_catalog.pg_index i JOIN tenant t ON t.oid = i.indrelid
            JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            WHERE (i.indisunique OR i.indisexclusion) AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid
                AND a.attname = 'org_id' AND a.attnum = ANY (i.indkey))",
    },
    Rule {
        id: "V1",
        severity: Severity::Critical,
        problem: "a view reads the table as its owner",
        allows: "every organization's rows to be read through it, if row security does not bind the owner",
        query: "SELECT DISTINCT v.oid::regclass::text,
              format('ALTER VIEW %s SET (security_invoker = true)', v.oid::regclass)
            FROM pg_catalog.pg_rewrite r
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
              AND d.refclassid = 'pg_class'::regclass
            JOIN tenant t ON t.oid = d.refobjid JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
            WHERE v.relkind = 'v' AND has_any_column_privilege(v.oid, 'SELECT, INSERT, UPDATE')
              AND NOT coalesce((SELECT option_value::bool FROM pg_options_to_table(v.reloptions)
                                WHERE option_name = 'security_invoker'), false)",
    },
    Rule {
        id: "V2",
        severity: Severity::Critical,
        problem: "a materialized view holds the rows of every organization",
        allows: "reading them: row security does not reach materialized views",
        query: "SELECT DISTINCT v.oid::regclass::text,
              format('REVOKE ALL ON %s FROM %s, PUBLIC', v.oid::regclass, app.name)
            FROM pg_catalog.pg_rewrite r
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
              AND d.refclassid = 'pg_class'::regclass
            JOIN tenant t ON t.oid = d.refobjid JOIN pg_catalog.pg_class v ON v.oid = r.ev_class, app
            WHERE v.relkind = 'm' AND has_any_column_privilege(v.oid, 'SELECT')",
    },
    Rule {
        id: "X1",
        severity: Severity::Low,
        problem: "an index does not begin with org_id",
        allows: "how long a query takes to tell of rows elsewhere",
        query: "SELECT t.schema || '.' || t.relname || ' ' || c.relname,
              'make org_id its first column'::text
            FROM pg_catalog.pg_index i JOIN tenant t ON t.oid = i.indrelid
            JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attname = 'org_id'
            WHERE i.indkey[0] <> a.attnum AND a.attnum = ANY (i.indkey)",
    },
];

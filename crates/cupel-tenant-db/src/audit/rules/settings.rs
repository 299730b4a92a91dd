//! Settings that are preset, granted or published.

use cupel_tenant::Severity;

use super::{Asked, Rule};

pub(super) const ASKED: &[Asked] = &[
    Asked {
        rule: Rule {
            id: "S1",
            severity: Severity::Critical,
            phase: 1,
            problem: "a setting that isolation rests on is preset for the application's sessions",
            allows: "sessions to begin as another organization, or without what holds them",
        },
        query: "SELECT p.of || ': ' || split_part(s.text, '=', 1),
              'ALTER ' || p.of || ' RESET ' || split_part(s.text, '=', 1),
              CASE WHEN lower(split_part(s.text, '=', 1)) = lower(q.context) THEN 'critical'
                WHEN split_part(s.text, '=', 1) = 'role' THEN 'high'
                WHEN s.text LIKE 'session_replication_role=%' THEN 'high'
                WHEN split_part(s.text, '=', 1) = 'search_path' THEN 'medium' ELSE 'low' END
            FROM q, pg_catalog.pg_db_role_setting d
            CROSS JOIN LATERAL (SELECT CASE WHEN d.setrole = 0 THEN format('DATABASE %I', current_database())
              ELSE format('ROLE %I%s', pg_get_userbyid(d.setrole),
                CASE WHEN d.setdatabase = 0 THEN '' ELSE format(' IN DATABASE %I', current_database()) END) END) p(of)
            CROSS JOIN LATERAL unnest(d.setconfig) s(text)
            WHERE d.setrole IN (0, q.app)
              AND (d.setdatabase = 0 OR d.setdatabase = (SELECT oid FROM pg_catalog.pg_database
                WHERE datname = current_database()))
              AND (lower(split_part(s.text, '=', 1)) = lower(q.context)
                OR s.text IN ('row_security=off', 'session_replication_role=replica', 'session_replication_role=local')
                OR s.text LIKE 'role=%' AND s.text <> 'role=none'
                OR s.text LIKE 'search_path=%' AND (s.text ~ '^search_path=\"?pg_temp\"?,' OR EXISTS (
                  SELECT FROM unnest(string_to_array(substr(s.text, 13), ',')) e(name)
                  JOIN pg_catalog.pg_namespace n ON n.nspname = btrim(e.name, ' \"'), r
                  WHERE has_schema_privilege(r.role, n.oid, 'CREATE'))))",
    },
    Asked {
        rule: Rule {
            id: "S2",
            severity: Severity::Medium,
            phase: 2,
            problem: "the application's role may set a parameter that only superusers can",
            allows: "what the parameter guards: keys, triggers, libraries, or a sealed context",
        },
        query: "SELECT 'parameter ' || p.parname, format('REVOKE %s ON PARAMETER %s FROM %s',
              string_agg(DISTINCT a.privilege_type, ', '), p.parname, q.revokees),
              CASE WHEN p.parname = 'backtrace_functions' AND EXISTS (SELECT FROM pg_catalog.pg_proc f
                    JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
                    WHERE n.nspname = 'cupel' AND f.proname = 'enter')
                  THEN 'critical'
                WHEN p.parname IN ('session_replication_role', 'session_preload_libraries', 'dynamic_library_path')
                  OR bool_or(a.privilege_type = 'ALTER SYSTEM') THEN 'high' END
            FROM pg_catalog.pg_parameter_acl p, aclexplode(p.paracl) a, q
            WHERE a.grantee = 0 OR EXISTS (SELECT FROM r WHERE r.role <> 0 AND pg_has_role(r.role, a.grantee, 'USAGE'))
            GROUP BY p.parname, q.revokees",
    },
    Asked {
        rule: Rule {
            id: "S3",
            severity: Severity::Low,
            phase: 8,
            problem: "a publication sends rows of tenant tables, and no row filter on the tenant column says whose",
            allows: "whoever subscribes to have them: row security does not cover replication",
        },
        query: "SELECT 'publication ' || p.pubname,
              '-- publish with a row filter on the tenant column, or guard the subscribers as administration'::text,
              NULL::text
            FROM pg_catalog.pg_publication p, q
            WHERE p.puballtables
              OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel l
                JOIN pg_catalog.pg_attribute a ON a.attrelid = l.prrelid AND a.attname = ANY (q.tenant_columns)
                WHERE l.prpubid = p.oid AND NOT a.attisdropped GROUP BY l.oid
                HAVING NOT coalesce(bool_or(strpos(l.prqual::text, ':varattno ' || a.attnum || ' ') > 0), false))
              OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s
                JOIN pg_catalog.pg_class c ON c.relnamespace = s.pnnspid
                JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (q.tenant_columns)
                WHERE s.pnpubid = p.oid AND NOT a.attisdropped)",
    },
    Asked {
        rule: Rule {
            id: "S5",
            severity: Severity::Info,
            phase: 2,
            problem: "sessions of the application's role see each other's statements",
            allows: "literals in the statements of one organization to be read by another",
        },
        query: "SELECT p.oid::regprocedure::text,
              format('REVOKE EXECUTE ON FUNCTION %s FROM %s', p.oid::regprocedure, q.revokees), NULL::text
            FROM pg_catalog.pg_proc p, q
            WHERE p.oid IN ('pg_catalog.pg_stat_get_activity(integer)'::regprocedure,
                'pg_catalog.pg_stat_get_backend_activity(integer)'::regprocedure)
              AND EXISTS (SELECT FROM r WHERE has_function_privilege(r.role, p.oid, 'EXECUTE'))
            UNION ALL
            SELECT n.nspname || '.' || c.relname,
              format('REVOKE ALL ON %I.%I FROM %s', n.nspname, c.relname, q.revokees), 'low'
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, q
            WHERE c.relname = 'pg_stat_statements' AND c.relkind = 'v'
              AND EXISTS (SELECT FROM r WHERE has_table_privilege(r.role, c.oid, 'SELECT')
                AND has_schema_privilege(r.role, n.oid, 'USAGE'))
            UNION ALL
            SELECT p.oid::regprocedure::text,
              format('REVOKE ALL ON FUNCTION %s FROM %s', p.oid::regprocedure, q.revokees), 'low'
            FROM pg_catalog.pg_proc p, q
            WHERE p.proname = 'pg_stat_statements' AND EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
              AND EXISTS (SELECT FROM r WHERE has_function_privilege(r.role, p.oid, 'EXECUTE')
                AND has_schema_privilege(r.role, p.pronamespace, 'USAGE'))",
    },
    Asked {
        rule: Rule {
            id: "S11",
            severity: Severity::Info,
            phase: 2,
            problem: "sessions of the application's role can end each other",
            allows: "an organization to stop the statements of another, which have the same role",
        },
        query: "SELECT p.oid::regprocedure::text,
              format('REVOKE EXECUTE ON FUNCTION %s FROM %s', p.oid::regprocedure, q.revokees), NULL::text
            FROM pg_catalog.pg_proc p, q
            WHERE p.pronamespace = 'pg_catalog'::regnamespace
              AND p.proname IN ('pg_terminate_backend', 'pg_cancel_backend')
              AND EXISTS (SELECT FROM r WHERE has_function_privilege(r.role, p.oid, 'EXECUTE'))",
    },
];

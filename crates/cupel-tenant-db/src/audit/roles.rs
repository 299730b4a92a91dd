use cupel_tenant::Severity;

use super::Rule;

/// What the application's role is, can become, and may do beyond its tables.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "R1",
        severity: Severity::Critical,
        problem: "the application's role is, or can become, a role with a powerful attribute",
        allows: "reading and writing every organization's rows",
        query: "SELECT r.rolname::text, CASE WHEN r.rolname = session_user
              THEN format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOREPLICATION NOCREATEROLE', r.rolname)
              ELSE format('REVOKE %I FROM %s', r.rolname, app.name) END
            FROM reach JOIN pg_catalog.pg_roles r ON r.oid = reach.role, app
            WHERE r.rolsuper OR r.rolbypassrls OR r.rolreplication OR r.rolcreaterole",
    },
    Rule {
        id: "R2",
        severity: Severity::Critical,
        problem: "the application's role is a member of a predefined role that reaches the server",
        allows: "reading files, running programs or watching the statements of others",
        query: "SELECT r.rolname::text, format('REVOKE %I FROM %s', r.rolname, app.name)
            FROM reach JOIN pg_catalog.pg_roles r ON r.oid = reach.role, app
            WHERE r.rolname IN ('pg_read_server_files', 'pg_write_server_files',
              'pg_execute_server_program', 'pg_signal_backend', 'pg_read_all_stats', 'pg_monitor',
              'pg_maintain', 'pg_create_subscription', 'pg_read_all_settings')",
    },
    Rule {
        id: "R3",
        severity: Severity::Critical,
        problem: "the application's role owns the table, or can become its owner",
        allows: "turning row security off",
        query: "SELECT t.schema || '.' || t.relname,
              format('ALTER TABLE %s OWNER TO a role that the application cannot become', t.quoted)
            FROM tenant t WHERE t.relowner IN (SELECT role FROM reach)",
    },
    Rule {
        id: "R4",
        severity: Severity::Medium,
        problem: "the application's role may create objects",
        allows: "functions, tables and temporary tables that others then use unknowingly",
        query: "SELECT 'schema ' || n.nspname, format('REVOKE CREATE ON SCHEMA %I FROM %s, PUBLIC',
              n.nspname, app.name)
            FROM pg_catalog.pg_namespace n, app
            WHERE n.nspname NOT LIKE 'pg\\_%' AND has_schema_privilege(n.oid, 'CREATE')
            UNION ALL
            SELECT 'database ' || current_database(), format('REVOKE %s ON DATABASE %I FROM %s, PUBLIC',
              p, current_database(), app.name)
            FROM unnest(ARRAY['CREATE', 'TEMPORARY']) p, app
            WHERE has_database_privilege(current_database(), p)",
    },
    Rule {
        id: "F4",
        severity: Severity::Medium,
        problem: "the application's role may call set_config",
        allows: "one injected expression to switch organizations inside a SELECT",
        query: "SELECT 'pg_catalog.set_config'::text,
              'REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC'::text
            WHERE has_function_privilege('pg_catalog.set_config(text, text, boolean)', 'EXECUTE')",
    },
];

//! Cases of settings, and of what sessions see of each other.

use cupel_tenant::Severity;

use super::stage::Shows::Changed;
use super::stage::Who::{A, B, Nobody, Root};
use super::stage::{CASE, Case, Outcome, play};

pub(super) const SETTINGS: &[Case] = &[
    Case {
        rule: "S1",
        object: "",
        broken: "ALTER ROLE {app} SET app.current_org_id = 'b'",
        near: "ALTER ROLE {own} SET app.current_org_id = 'b'",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "S1",
        object: "",
        broken: "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.current_org_id = ''b''', current_database()); END $$",
        near: "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.other = ''b''', current_database()); END $$",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "S2",
        object: "session_replication_role",
        severity: Severity::High,
        broken: "GRANT SET ON PARAMETER session_replication_role TO {app};
            CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              FOREIGN KEY (org_id, item) REFERENCES items); {isolate notes}",
        near:
            "CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              FOREIGN KEY (org_id, item) REFERENCES items); {isolate notes}",
        attack: &[
            (A, "SET session_replication_role = replica"),
            (A, "INSERT INTO notes VALUES ('a', 1, 99)"),
            (Root, "SELECT (count(*) = 1)::text FROM notes"),
        ],
        shows: Changed,
        ..CASE
    },
    // The register of a context is such a parameter.
    Case {
        rule: "S2",
        object: "backtrace_functions",
        broken: "CREATE SCHEMA cupel; CREATE FUNCTION cupel.enter(text) RETURNS text STABLE LANGUAGE sql
              AS $$ SELECT split_part(current_setting('backtrace_functions'), '_', 2) $$;
            GRANT USAGE ON SCHEMA cupel TO {app}; GRANT SET ON PARAMETER backtrace_functions TO {app};
            ALTER POLICY floor ON items USING (org_id = (SELECT cupel.enter('')));
            ALTER POLICY access ON items USING (org_id = (SELECT cupel.enter('')))",
        near: "CREATE SCHEMA cupel; CREATE FUNCTION cupel.enter(text) RETURNS text STABLE LANGUAGE sql
              AS $$ SELECT split_part(current_setting('backtrace_functions'), '_', 2) $$;
            GRANT USAGE ON SCHEMA cupel TO {app};
            ALTER POLICY floor ON items USING (org_id = (SELECT cupel.enter('')));
            ALTER POLICY access ON items USING (org_id = (SELECT cupel.enter('')))",
        attack: &[(A, "SET backtrace_functions = 'cupel_b'"), (A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "S5",
        object: "pg_stat_get_activity(integer)",
        severity: Severity::Info,
        broken: "SELECT",
        near: "REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(integer), pg_stat_get_backend_activity(integer) FROM PUBLIC",
        attack: &[
            (B, "SELECT length('theirs')::text"),
            (A, "SELECT query FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"),
        ],
        ..CASE
    },
    Case {
        rule: "S5",
        object: "pg_stat_get_backend_activity(integer)",
        severity: Severity::Info,
        broken: "REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(integer) FROM PUBLIC",
        near: "REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(integer), pg_stat_get_backend_activity(integer) FROM PUBLIC",
        attack: &[
            (B, "SELECT length('theirs')::text"),
            (A, "SELECT pg_stat_get_backend_activity(id) FROM pg_stat_get_backend_idset() b(id)
               WHERE pg_stat_get_backend_activity(id) LIKE '%theirs%' AND pg_stat_get_backend_pid(id) <> pg_backend_pid()"),
        ],
        ..CASE
    },
    Case {
        rule: "S5",
        object: "public.pg_stat_statements",
        severity: Severity::Low,
        broken: "CREATE EXTENSION pg_stat_statements",
        near: "CREATE EXTENSION pg_stat_statements; REVOKE ALL ON pg_stat_statements FROM PUBLIC;
            REVOKE ALL ON FUNCTION pg_stat_statements FROM PUBLIC",
        ..CASE
    },
    // What the view reads from can be asked by itself.
    Case {
        rule: "S5",
        object: "public.pg_stat_statements(boolean)",
        severity: Severity::Low,
        broken: "CREATE EXTENSION pg_stat_statements; REVOKE ALL ON pg_stat_statements FROM PUBLIC",
        near: "CREATE EXTENSION pg_stat_statements; REVOKE ALL ON pg_stat_statements FROM PUBLIC;
            REVOKE ALL ON FUNCTION pg_stat_statements FROM PUBLIC",
        ..CASE
    },
    Case {
        rule: "S11",
        object: "pg_terminate_backend(integer,bigint)",
        severity: Severity::Info,
        broken: "SELECT",
        near: "REVOKE EXECUTE ON FUNCTION pg_terminate_backend, pg_cancel_backend FROM PUBLIC",
        attack: &[
            (B, "SELECT 1::text"),
            (A, "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity
               WHERE usename = current_user AND pid <> pg_backend_pid()"),
            (Root, "SELECT (count(*) = 1)::text FROM pg_stat_activity WHERE usename = '{app}'"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "S11",
        object: "pg_cancel_backend(integer)",
        severity: Severity::Info,
        broken: "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC",
        near: "REVOKE EXECUTE ON FUNCTION pg_terminate_backend, pg_cancel_backend FROM PUBLIC",
        attack: &[
            (B, "SELECT 1::text"),
            (A, "SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity
               WHERE usename = current_user AND pid <> pg_backend_pid()"),
        ],
        shows: Changed,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_settings() -> Outcome<()> {
    play(SETTINGS).await
}

//! Cases of roles: what the application's is, and what it can become.

use cupel_tenant::Severity;

use super::stage::Shows::Changed;
use super::stage::Who::{A, B, Root};
use super::stage::{CASE, Case, Outcome, play};

/// What the planner keeps of the notes.
pub(super) const PLANNED: &str = "SELECT stavalues1::text FROM pg_statistic WHERE starelid = 'items'::regclass AND staattnum = 4";

pub(super) const ROLES: &[Case] = &[
    Case {
        rule: "R1",
        object: "",
        broken: "ALTER ROLE {app} BYPASSRLS",
        near: "ALTER ROLE {grp} BYPASSRLS; GRANT {app} TO {grp}",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "R1",
        object: "",
        broken: "ALTER ROLE {grp} BYPASSRLS; GRANT {grp} TO {app}; GRANT SELECT ON items TO {grp}",
        near: "GRANT {grp} TO {app}; GRANT SELECT ON items TO {grp}",
        attack: &[(A, "SET ROLE {grp}; SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "R2",
        object: "pg_execute_server_program",
        broken: "GRANT pg_execute_server_program TO {app}; CREATE TABLE bag (note text);
            GRANT SELECT, INSERT ON bag TO {app}",
        near: "CREATE TABLE bag (note text); GRANT SELECT, INSERT ON bag TO {app}",
        attack: &[(A, "COPY bag FROM PROGRAM 'echo theirs'; SELECT note FROM bag")],
        shared: &["bag"],
        ..CASE
    },
    // All data is also what the planner knows of the rows that policies hide.
    Case {
        rule: "R2",
        object: "pg_read_all_data",
        broken: "GRANT pg_read_all_data TO {app}; ANALYZE items",
        near: "GRANT pg_read_all_data TO {own}; ANALYZE items",
        attack: &[(A, PLANNED)],
        ..CASE
    },
    Case {
        rule: "R2",
        object: "pg_monitor",
        severity: Severity::Medium,
        broken: "GRANT pg_monitor TO {app}",
        near: "GRANT pg_monitor TO {own}",
        ..CASE
    },
    Case {
        rule: "R3",
        broken: "ALTER TABLE items OWNER TO {app}",
        near: "GRANT {app} TO {own}",
        attack: &[(A, "ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT note FROM items")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "R3",
        broken: "GRANT {grp} TO {app}; GRANT {own} TO {grp}",
        near: "GRANT {app} TO {grp}",
        attack: &[(A, "ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT note FROM items")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "R5",
        object: "s",
        broken: "CREATE SCHEMA s; CREATE TABLE s.t (org_id text NOT NULL, id int, PRIMARY KEY (org_id, id));
            {isolate s.t} ALTER SCHEMA s OWNER TO {app}",
        near: "CREATE SCHEMA s; CREATE TABLE s.t (org_id text NOT NULL, id int, PRIMARY KEY (org_id, id));
            {isolate s.t} GRANT USAGE ON SCHEMA s TO {app}",
        attack: &[(A, "DROP TABLE s.t"), (Root, "SELECT (to_regclass('s.t') IS NULL)::text")],
        shows: Changed,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "R6",
        object: "",
        broken: "ALTER ROLE {app} CREATEROLE",
        near: "ALTER ROLE {own} CREATEROLE",
        attack: &[
            (A, "GRANT {own} TO {app}"),
            (A, "ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT note FROM items"),
        ],
        until: 160_000,
        ..CASE
    },
    Case {
        rule: "R7",
        object: "",
        broken: "ALTER ROLE {app} REPLICATION",
        near: "ALTER ROLE {own} REPLICATION",
        attack: &[
            (A, "SELECT slot_name::text FROM pg_create_physical_replication_slot('theirs_{app}')"),
            (A, "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = 'theirs_{app}'"),
        ],
        ..CASE
    },
    // A function that fits better than the one that is meant.
    Case {
        rule: "R4",
        object: "schema public",
        severity: Severity::Medium,
        broken: "GRANT CREATE ON SCHEMA public TO {app}",
        near: "GRANT USAGE ON SCHEMA public TO {app}",
        attack: &[
            (
                A,
                "CREATE TABLE public.bag (note text);
                CREATE FUNCTION public.upper(t varchar) RETURNS text LANGUAGE plpgsql AS
                  $$ BEGIN INSERT INTO public.bag SELECT note FROM public.items; RETURN t; END $$",
            ),
            (B, "SELECT upper(note::varchar) FROM items"),
            (A, "SELECT note FROM public.bag"),
        ],
        ..CASE
    },
    // A schema of the role's name comes first on the path as it is delivered.
    Case {
        rule: "R4",
        object: "",
        severity: Severity::Medium,
        broken: "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {app}', current_database()); END $$",
        near: "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {own}', current_database()); END $$",
        attack: &[
            (A, "CREATE SCHEMA {app}; CREATE TABLE {app}.items (org_id text, id int, n int, note text)"),
            (B, "INSERT INTO items VALUES ('b', 9, 9, 'theirs')"),
            (A, "SELECT note FROM items"),
        ],
        ..CASE
    },
    // One session serves both, as behind a pool.
    Case {
        rule: "R4",
        object: "",
        severity: Severity::Medium,
        broken: "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {app}', current_database()); END $$",
        near: "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {own}', current_database()); END $$",
        attack: &[
            (A, "CREATE TEMPORARY TABLE items (org_id text, id int, n int, note text)"),
            (A, "SET app.current_org_id = 'b'; INSERT INTO items VALUES ('b', 9, 9, 'theirs')"),
            (A, "SET app.current_org_id = 'a'; SELECT note FROM items"),
        ],
        ..CASE
    },
    Case {
        rule: "F4",
        object: "",
        severity: Severity::Medium,
        broken: "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
        near: "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {own}",
        attack: &[(A, "SELECT i.note FROM (SELECT set_config('app.current_org_id', 'b', false) OFFSET 0) s(v),
            LATERAL (SELECT note FROM items WHERE s.v IS NOT NULL OFFSET 0) i")],
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_roles() -> Outcome<()> {
    play(ROLES).await
}

//! Cases of roles and rights.

use cupel_tenant::Severity;

use super::stage::Shows::{Changed, Differ};
use super::stage::Who::{A, B, Root};
use super::stage::{CASE, Case, Outcome, play};

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
    Case {
        rule: "R4",
        object: "schema public",
        severity: Severity::Medium,
        broken: "GRANT CREATE ON SCHEMA public TO {app}",
        near: "GRANT USAGE ON SCHEMA public TO {app}",
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

/// What the planner keeps of the notes.
const PLANNED: &str = "SELECT stavalues1::text FROM pg_statistic WHERE starelid = 'items'::regclass AND staattnum = 4";

pub(super) const RIGHTS: &[Case] = &[
    Case {
        rule: "G6",
        object: "pg_catalog.pg_statistic",
        broken: "GRANT SELECT ON pg_statistic TO {app}; ANALYZE items",
        near: "GRANT SELECT ON pg_statistic TO {own}; ANALYZE items",
        attack: &[(A, PLANNED)],
        ..CASE
    },
    Case {
        rule: "G6",
        object: "pg_catalog.pg_statistic",
        broken: "GRANT {grp} TO {app}; ANALYZE items;
            GRANT SELECT (starelid, staattnum, stavalues1) ON pg_statistic TO {grp}",
        near: "GRANT {grp} TO {app}; ANALYZE items; GRANT SELECT ON pg_stats TO {grp}",
        attack: &[(A, PLANNED)],
        ..CASE
    },
    Case {
        rule: "G6",
        object: "pg_read_binary_file(text)",
        broken: "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO {app}; CHECKPOINT",
        near: "GRANT EXECUTE ON FUNCTION pg_relation_filepath(regclass) TO {app}; CHECKPOINT",
        attack: &[(
            A,
            "SELECT encode(pg_read_binary_file(pg_relation_filepath('items')), 'escape')",
        )],
        ..CASE
    },
    Case {
        rule: "G1",
        broken: "GRANT TRUNCATE ON items TO {app}",
        near: "GRANT TRUNCATE ON items TO {grp}",
        attack: &[(A, "TRUNCATE items"), (Root, "SELECT (count(*) = 0)::text FROM items")],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "G1",
        broken: "GRANT {grp} TO {app}; GRANT TRUNCATE ON items TO {grp}",
        near: "GRANT {grp} TO {app}",
        attack: &[(A, "TRUNCATE items"), (Root, "SELECT (count(*) = 0)::text FROM items")],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "G1",
        broken:
            "CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              FOREIGN KEY (org_id, item) REFERENCES items); {isolate notes}
            GRANT TRUNCATE ON items, notes TO {app}",
        near:
            "CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              FOREIGN KEY (org_id, item) REFERENCES items); {isolate notes}
            GRANT TRUNCATE ON items TO {app}",
        attack: &[(A, "TRUNCATE items CASCADE"), (Root, "SELECT (count(*) = 0)::text FROM items")],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "G3",
        severity: Severity::High,
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; GRANT REFERENCES ON items TO {app}",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}",
        attack: &[
            (A, "CREATE TABLE s.probe (o text, i int, FOREIGN KEY (o, i) REFERENCES items)"),
            (A, "INSERT INTO s.probe VALUES ('b', 2)"),
            (A, "INSERT INTO s.probe VALUES ('b', 98)"),
        ],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "G3",
        severity: Severity::Medium,
        broken: "GRANT REFERENCES ON items TO {app}",
        near: "GRANT REFERENCES ON items TO {own}",
        ..CASE
    },
    Case {
        rule: "G4",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; GRANT TRIGGER ON items TO {app}",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}",
        attack: &[
            (
                A,
                "CREATE TABLE s.bag (note text);
                CREATE FUNCTION s.keep() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN INSERT INTO s.bag VALUES (OLD.note); RETURN NEW; END';
                CREATE TRIGGER keep BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION s.keep()",
            ),
            (B, "UPDATE items SET n = 4"),
            (A, "SELECT note FROM s.bag"),
        ],
        ..CASE
    },
    Case {
        rule: "G4",
        broken: "GRANT TRIGGER ON items TO {app}; CREATE TABLE bag (note text); GRANT SELECT, INSERT ON bag TO {app};
            DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {app}', current_database()); END $$",
        near: "GRANT TRIGGER ON items TO {app}; CREATE TABLE bag (note text); GRANT SELECT, INSERT ON bag TO {app}",
        attack: &[
            (
                A,
                "CREATE FUNCTION pg_temp.keep() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN INSERT INTO public.bag VALUES (OLD.note); RETURN NEW; END';
                CREATE TRIGGER keep BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION pg_temp.keep()",
            ),
            (B, "UPDATE items SET n = 4"),
            (A, "SELECT note FROM bag"),
        ],
        shared: &["bag"],
        ..CASE
    },
    Case {
        rule: "G2",
        object: "",
        severity: Severity::Medium,
        broken: "ALTER DEFAULT PRIVILEGES FOR ROLE {own} GRANT SELECT ON TABLES TO PUBLIC",
        near: "ALTER DEFAULT PRIVILEGES FOR ROLE {own} GRANT SELECT ON TABLES TO {grp}",
        ..CASE
    },
    Case {
        rule: "S6",
        object: "public.counter",
        severity: Severity::Medium,
        broken: "CREATE SEQUENCE counter; GRANT UPDATE ON SEQUENCE counter TO {app}",
        near: "CREATE SEQUENCE counter; GRANT USAGE ON SEQUENCE counter TO {app}",
        ..CASE
    },
    Case {
        rule: "S8",
        object: "",
        severity: Severity::High,
        broken: "SELECT lo_from_bytea(4711, 'theirs'); ALTER LARGE OBJECT 4711 OWNER TO {app}",
        near: "SELECT lo_from_bytea(4711, 'theirs'); ALTER LARGE OBJECT 4711 OWNER TO {own}",
        attack: &[(A, "SELECT convert_from(lo_get(4711), 'UTF8')")],
        fixed: false,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_roles() -> Outcome<()> {
    play(ROLES).await
}

#[tokio::test]
async fn audit_of_rights() -> Outcome<()> {
    play(RIGHTS).await
}

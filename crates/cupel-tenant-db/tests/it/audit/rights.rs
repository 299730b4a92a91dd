//! Cases of rights on tables, sequences and large objects, and on what the server keeps for itself.

use cupel_tenant::Severity;

use super::powers::PLANNED;
use super::stage::Shows::{Changed, Differ};
use super::stage::Who::{A, B, Root};
use super::stage::{CASE, Case, Outcome, play};

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
        broken: "GRANT CREATE ON SCHEMA public TO {own};
            ALTER DEFAULT PRIVILEGES FOR ROLE {own} GRANT SELECT ON TABLES TO PUBLIC",
        near: "GRANT CREATE ON SCHEMA public TO {own};
            ALTER DEFAULT PRIVILEGES FOR ROLE {own} GRANT SELECT ON TABLES TO {grp}",
        attack: &[
            (Root, "SET ROLE {own}; CREATE TABLE later (org_id text NOT NULL, note text);
                INSERT INTO later VALUES ('b', 'theirs')"),
            (A, "SELECT note FROM later"),
        ],
        ..CASE
    },
    Case {
        rule: "S6",
        object: "public.counter",
        severity: Severity::Medium,
        broken: "CREATE SEQUENCE counter START 10; ALTER TABLE items ALTER id SET DEFAULT nextval('counter');
            GRANT USAGE, UPDATE ON SEQUENCE counter TO {app}",
        near: "CREATE SEQUENCE counter START 10; ALTER TABLE items ALTER id SET DEFAULT nextval('counter');
            GRANT USAGE ON SEQUENCE counter TO {app}",
        // The next number is that of the row that there is.
        attack: &[
            (A, "SELECT setval('counter', 1)::text"),
            (B, "INSERT INTO items (org_id) VALUES ('b')"),
            (Root, "SELECT (count(*) = 1)::text FROM items WHERE org_id = 'b'"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "S6",
        object: "public.counter",
        severity: Severity::Low,
        broken: "CREATE SEQUENCE counter START 10; ALTER TABLE items ALTER id SET DEFAULT nextval('counter');
            GRANT USAGE, SELECT ON SEQUENCE counter TO {app}",
        near: "CREATE SEQUENCE counter START 10; ALTER TABLE items ALTER id SET DEFAULT nextval('counter');
            GRANT USAGE ON SEQUENCE counter TO {app}",
        attack: &[
            (B, "INSERT INTO items (org_id) VALUES ('b'), ('b'), ('b')"),
            (A, "SELECT (last_value = 12)::text FROM counter"),
        ],
        shows: Changed,
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
    Case {
        rule: "S8",
        object: "",
        severity: Severity::High,
        broken: "SELECT lo_from_bytea(4711, 'theirs'); GRANT {grp} TO {app};
            GRANT SELECT ON LARGE OBJECT 4711 TO {grp}",
        near: "SELECT lo_from_bytea(4711, 'theirs'); GRANT {grp} TO {app};
            GRANT SELECT ON LARGE OBJECT 4711 TO {own}; GRANT UPDATE ON LARGE OBJECT 4711 TO {grp}",
        attack: &[(A, "SELECT convert_from(lo_get(4711), 'UTF8')")],
        fixed: false,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_rights() -> Outcome<()> {
    play(RIGHTS).await
}

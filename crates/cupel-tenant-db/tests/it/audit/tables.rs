//! Cases of tables and partitions.

use cupel_tenant::Severity;

use super::stage::Shows::Changed;
use super::stage::Who::{A, B, Root};
use super::stage::{CASE, Case, Outcome, play};

pub(super) const TABLES: &[Case] = &[
    Case {
        rule: "T1",
        broken: "ALTER TABLE items DISABLE ROW LEVEL SECURITY",
        near: "CREATE TABLE hidden (org_id text NOT NULL, id int, PRIMARY KEY (org_id, id))",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "T1",
        broken: "ALTER TABLE items DISABLE ROW LEVEL SECURITY; REVOKE ALL ON items FROM {app};
            GRANT SELECT (note) ON items TO {app}",
        near: "ALTER TABLE items DISABLE ROW LEVEL SECURITY; REVOKE ALL ON items FROM {app}",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "T1",
        object: "s.t",
        broken: "CREATE SCHEMA s; CREATE TABLE s.t (org_id text NOT NULL, note text, PRIMARY KEY (org_id));
            INSERT INTO s.t VALUES ('b', 'theirs'); GRANT SELECT ON s.t TO PUBLIC; GRANT USAGE ON SCHEMA s TO {app}",
        near: "CREATE SCHEMA s; CREATE TABLE s.t (org_id text NOT NULL, note text, PRIMARY KEY (org_id));
            INSERT INTO s.t VALUES ('b', 'theirs'); GRANT SELECT ON s.t TO PUBLIC",
        attack: &[(A, "SELECT note FROM s.t")],
        ..CASE
    },
    Case {
        rule: "T2",
        severity: Severity::Medium,
        broken: "ALTER TABLE items NO FORCE ROW LEVEL SECURITY",
        near: "CREATE TABLE plans (id int); ALTER TABLE plans OWNER TO {own}; ALTER TABLE plans ENABLE ROW LEVEL SECURITY",
        attack: &[(Root, "SET ROLE {own}; SET app.current_org_id = 'a'; SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "T3",
        severity: Severity::Low,
        broken: "DROP POLICY access ON items; DROP POLICY floor ON items",
        near: "CREATE POLICY more ON items USING (false)",
        // Its own rows are out of reach.
        attack: &[(A, "SELECT (count(*) = 0)::text FROM items")],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "T4",
        severity: Severity::Medium,
        object: "public.loose",
        broken: "CREATE TABLE loose (org_id text, id int, item int,
              FOREIGN KEY (org_id, item) REFERENCES items ON DELETE SET NULL);
            {isolate loose} INSERT INTO loose VALUES ('b', 1, 2)",
        near: "CREATE TABLE loose (org_id text NOT NULL, id int, item int,
              FOREIGN KEY (org_id, item) REFERENCES items ON DELETE SET NULL);
            {isolate loose} INSERT INTO loose VALUES ('b', 1, 2)",
        // The row stays, and is nobody's.
        attack: &[
            (B, "DELETE FROM items"),
            (B, "SELECT (count(*) = 0)::text FROM loose"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "T4",
        severity: Severity::Medium,
        object: "public.loose",
        broken: "CREATE TABLE loose (org_id text, id int, item int, FOREIGN KEY (org_id, item) REFERENCES items);
            {isolate loose}",
        near: "CREATE TABLE loose (org_id text NOT NULL, id int, item int, FOREIGN KEY (org_id, item) REFERENCES items);
            {isolate loose}",
        attack: &[
            (Root, "INSERT INTO loose VALUES (NULL, 1, 99)"),
            (Root, "SELECT (count(*) = 1)::text FROM loose WHERE item = 99"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "T5",
        object: "public.parts_b",
        broken: "CREATE TABLE parts (org_id text NOT NULL, id int, note text, PRIMARY KEY (org_id, id))
              PARTITION BY LIST (org_id);
            CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b'); {isolate parts}
            INSERT INTO parts VALUES ('b', 1, 'theirs'); GRANT SELECT ON parts_b TO {app}",
        near: "CREATE TABLE parts (org_id text NOT NULL, id int, note text, PRIMARY KEY (org_id, id))
              PARTITION BY LIST (org_id);
            CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b'); {isolate parts}
            INSERT INTO parts VALUES ('b', 1, 'theirs')",
        attack: &[(A, "SELECT note FROM parts_b")],
        ..CASE
    },
    Case {
        rule: "T6",
        severity: Severity::Medium,
        object: "public.loose",
        broken: "CREATE TABLE loose (id int, note text); GRANT SELECT, INSERT ON loose TO {app}",
        near: "CREATE TABLE loose (id int, note text)",
        attack: &[(B, "INSERT INTO loose VALUES (1, 'theirs')"), (A, "SELECT note FROM loose")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "T7",
        object: "public.lines",
        broken: "CREATE TABLE lines (org text, item int, note text, FOREIGN KEY (org, item) REFERENCES items);
            INSERT INTO lines VALUES ('b', 2, 'theirs'); GRANT SELECT ON lines TO {app}",
        near: "CREATE TABLE lines (org text, item int, note text, FOREIGN KEY (org, item) REFERENCES items);
            INSERT INTO lines VALUES ('b', 2, 'theirs')",
        attack: &[(A, "SELECT note FROM lines")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "T8",
        severity: Severity::Low,
        object: "public.plans",
        broken: "CREATE TABLE plans (id int); INSERT INTO plans VALUES (1); GRANT SELECT, UPDATE ON plans TO {app}",
        near: "CREATE TABLE plans (id int); INSERT INTO plans VALUES (1); GRANT SELECT ON plans TO {app}",
        attack: &[(A, "UPDATE plans SET id = 9"), (B, "SELECT (id = 9)::text FROM plans")],
        shows: Changed,
        shared: &["plans"],
        ..CASE
    },
    Case {
        rule: "T9",
        object: "public.base",
        broken: "CREATE TABLE base (id int, note text); CREATE TABLE heir (org_id text NOT NULL) INHERITS (base);
            {isolate heir} INSERT INTO heir VALUES (1, 'theirs', 'b'); GRANT SELECT ON base TO {app}",
        near: "CREATE TABLE base (id int, note text); CREATE TABLE heir (org_id text NOT NULL) INHERITS (base);
            {isolate heir} INSERT INTO heir VALUES (1, 'theirs', 'b')",
        attack: &[(A, "SELECT note FROM base")],
        ..CASE
    },
    Case {
        rule: "T10",
        severity: Severity::High,
        object: "public.remote",
        broken: "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
            CREATE FOREIGN TABLE remote (org_id text, note text) SERVER files
              OPTIONS (program 'echo b,theirs', format 'csv'); GRANT SELECT ON remote TO {app}",
        near: "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
            CREATE FOREIGN TABLE remote (org_id text, note text) SERVER files
              OPTIONS (program 'echo b,theirs', format 'csv')",
        attack: &[(A, "SELECT note FROM remote")],
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_tables() -> Outcome<()> {
    play(TABLES).await
}

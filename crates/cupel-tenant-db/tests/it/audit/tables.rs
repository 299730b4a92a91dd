//! Cases of tables, partitions and keys.

use cupel_tenant::Severity;

use super::stage::Shows::{Changed, Differ};
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
        near: "ALTER TABLE items OWNER TO {grp}",
        ..CASE
    },
    Case {
        rule: "T3",
        severity: Severity::Low,
        broken: "DROP POLICY access ON items; DROP POLICY floor ON items",
        near: "CREATE POLICY more ON items USING (false)",
        ..CASE
    },
    Case {
        rule: "T4",
        severity: Severity::Medium,
        object: "public.loose",
        broken: "CREATE TABLE loose (org_id text, id int); {isolate loose}",
        near: "CREATE TABLE loose (org_id text NOT NULL, id int); {isolate loose}",
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
        broken: "CREATE TABLE plans (id int); GRANT SELECT, UPDATE ON plans TO {app}",
        near: "CREATE TABLE plans (id int); GRANT SELECT ON plans TO {app}",
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

pub(super) const KEYS: &[Case] = &[
    Case {
        rule: "K1",
        severity: Severity::High,
        object: "public.notes.refers",
        broken: "ALTER TABLE items ADD UNIQUE (id);
            CREATE TABLE notes (org_id text NOT NULL, id int, item int CONSTRAINT refers REFERENCES items (id),
              PRIMARY KEY (org_id, id)); {isolate notes}",
        near: "CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              CONSTRAINT refers FOREIGN KEY (org_id, item) REFERENCES items); {isolate notes}",
        attack: &[
            (A, "INSERT INTO notes VALUES ('a', 1, 2)"),
            (A, "INSERT INTO notes VALUES ('a', 2, 99)"),
        ],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "K1",
        object: "public.notes.refers",
        broken: "ALTER TABLE items ADD UNIQUE (id);
            CREATE TABLE notes (org_id text NOT NULL, id int, item int CONSTRAINT refers REFERENCES items (id)
              ON DELETE CASCADE, PRIMARY KEY (org_id, id)); {isolate notes}",
        near: "CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              CONSTRAINT refers FOREIGN KEY (org_id, item) REFERENCES items ON DELETE CASCADE); {isolate notes}",
        attack: &[
            (A, "INSERT INTO notes VALUES ('a', 1, 2), ('a', 2, 1)"),
            (A, "INSERT INTO notes VALUES ('a', 2, 1)"),
            (B, "DELETE FROM items WHERE id = 2"),
            (Root, "SELECT (count(*) = 1)::text FROM notes WHERE org_id = 'a' AND item = 1
               AND EXISTS (SELECT FROM pg_constraint WHERE conname = 'refers' AND cardinality(conkey) = 1)"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "K1",
        severity: Severity::High,
        object: "public.notes.refers",
        broken: "ALTER TABLE items ADD UNIQUE (id);
            CREATE TABLE notes (org_id text NOT NULL, id int, item int CONSTRAINT refers REFERENCES items (id),
              PRIMARY KEY (org_id, id)); {isolate notes}",
        near: "ALTER TABLE items ADD UNIQUE (id);
            CREATE TABLE notes (org_id text NOT NULL, id int, item int CONSTRAINT refers REFERENCES items (id),
              PRIMARY KEY (org_id, id)); {isolate notes} REVOKE INSERT, UPDATE ON notes FROM {app}",
        attack: &[
            (A, "INSERT INTO notes VALUES ('a', 1, 2)"),
            (A, "INSERT INTO notes VALUES ('a', 2, 99)"),
        ],
        shows: Differ,
        ..CASE
    },
    Case {
        rule: "K2",
        severity: Severity::High,
        object: "public.items.items_id_key",
        broken: "ALTER TABLE items ADD UNIQUE (id)",
        near: "ALTER TABLE items ADD UNIQUE (org_id, note)",
        attack: &[
            (A, "INSERT INTO items VALUES ('a', 2)"),
            (A, "INSERT INTO items VALUES ('a', 99)"),
        ],
        shows: Differ,
        ..CASE
    },
    Case {
        rule: "K2",
        severity: Severity::High,
        object: "public.items.one_note",
        broken: "CREATE UNIQUE INDEX one_note ON items (lower(note))",
        near: "CREATE UNIQUE INDEX one_note ON items (org_id, lower(note))",
        attack: &[
            (A, "UPDATE items SET note = 'THEIRS'"),
            (A, "UPDATE items SET note = 'unheard of'"),
        ],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "K2",
        severity: Severity::High,
        object: "public.items.at_once",
        broken: "ALTER TABLE items ADD CONSTRAINT at_once EXCLUDE USING btree (n WITH =)",
        near: "ALTER TABLE items ADD CONSTRAINT at_once EXCLUDE USING btree (org_id WITH =, n WITH =)",
        attack: &[(A, "UPDATE items SET n = 3"), (A, "UPDATE items SET n = 99")],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "K2",
        severity: Severity::High,
        object: "public.items.items_id_key",
        broken: "ALTER TABLE items ADD UNIQUE (id)",
        near: "ALTER TABLE items ADD UNIQUE (id); REVOKE INSERT, UPDATE ON items FROM {app};
            GRANT UPDATE (note) ON items TO {app}",
        attack: &[
            (A, "UPDATE items SET id = 2"),
            (A, "UPDATE items SET id = 98"),
        ],
        shows: Differ,
        ..CASE
    },
    Case {
        rule: "X1",
        severity: Severity::Low,
        object: "public.items.by_n",
        broken: "CREATE INDEX by_n ON items (n)",
        near: "CREATE INDEX by_n ON items (org_id, n)",
        fixed: false,
        ..CASE
    },
    Case {
        rule: "X2",
        severity: Severity::Low,
        object: "public.heap",
        broken: "CREATE TABLE heap (org_id text NOT NULL, note text); {isolate heap}",
        near: "CREATE TABLE heap (org_id text NOT NULL, note text); CREATE INDEX ON heap (org_id); {isolate heap}",
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_tables() -> Outcome<()> {
    play(TABLES).await
}

#[tokio::test]
async fn audit_of_keys() -> Outcome<()> {
    play(KEYS).await
}

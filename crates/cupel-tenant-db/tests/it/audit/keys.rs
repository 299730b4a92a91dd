//! Cases of keys and indexes.

use cupel_tenant::Severity;

use super::stage::Shows::{Changed, Differ};
use super::stage::Who::{A, B, Root};
use super::stage::{CASE, Case, Outcome, play};

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
        broken: "INSERT INTO items SELECT 'a', i, i FROM generate_series(1001, 2000) i;
            CREATE INDEX by_n ON items (n); ANALYZE items",
        near: "INSERT INTO items SELECT 'a', i, i FROM generate_series(1001, 2000) i;
            CREATE INDEX by_n ON items (org_id, n); ANALYZE items",
        // Of what takes the time, one row more is looked at where another organization has the value.
        attack: &[
            (A, "SET plan_cache_mode = force_generic_plan; SET enable_bitmapscan = off;
                PREPARE by_n AS SELECT FROM items WHERE n = $1"),
            (A, "EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE by_n(3)"),
            (A, "EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE by_n(99)"),
        ],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "X2",
        severity: Severity::Low,
        object: "public.heap",
        broken: "CREATE TABLE heap (org_id text NOT NULL, note text); {isolate heap}
            INSERT INTO heap SELECT 'b', 'theirs' FROM generate_series(1, 1000); ANALYZE heap",
        near: "CREATE TABLE heap (org_id text NOT NULL, note text); CREATE INDEX ON heap (org_id); {isolate heap}
            INSERT INTO heap SELECT 'b', 'theirs' FROM generate_series(1, 1000); ANALYZE heap",
        // It gets none of them, and the server reads them all.
        attack: &[
            (A, "SET enable_seqscan = off; BEGIN; SELECT note FROM heap"),
            (A, "SELECT (pg_stat_get_xact_tuples_returned('heap'::regclass) = 1000)::text"),
        ],
        shows: Changed,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_keys() -> Outcome<()> {
    play(KEYS).await
}

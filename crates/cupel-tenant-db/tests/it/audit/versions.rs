//! Cases of what only later versions of the server have.

use cupel_tenant::Severity;

use super::stage::Shows::{Changed, Differ};
use super::stage::Who::{A, Root};
use super::stage::{CASE, Case, Outcome, play};

pub(super) const SINCE_16: &[Case] = &[
    // A membership that is not inherited, and yet can be put on.
    Case {
        rule: "R3",
        from: 160_000,
        broken: "GRANT {own} TO {app} WITH INHERIT FALSE, SET TRUE",
        near: "GRANT {own} TO {app} WITH INHERIT FALSE, SET FALSE",
        attack: &[(
            A,
            "SET ROLE {own}; ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT note FROM items",
        )],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "R3",
        from: 160_000,
        broken: "GRANT {own} TO {app} WITH INHERIT TRUE, SET FALSE",
        near: "GRANT {own} TO {app} WITH INHERIT FALSE, SET FALSE",
        attack: &[(A, "ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT note FROM items")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "R3",
        from: 160_000,
        broken: "GRANT {own} TO {app} WITH INHERIT FALSE, SET FALSE, ADMIN TRUE",
        near: "GRANT {own} TO {app} WITH INHERIT FALSE, SET FALSE, ADMIN FALSE",
        attack: &[
            (A, "GRANT {own} TO {app} WITH INHERIT TRUE"),
            (A, "ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT note FROM items"),
        ],
        fixed: false,
        ..CASE
    },
    // Attributes are not inherited: without SET nobody gets at them.
    Case {
        rule: "R1",
        object: "",
        from: 160_000,
        broken: "ALTER ROLE {grp} BYPASSRLS; GRANT {grp} TO {app} WITH SET TRUE; GRANT SELECT ON items TO {grp}",
        near: "ALTER ROLE {grp} BYPASSRLS; GRANT {grp} TO {app} WITH SET FALSE; GRANT SELECT ON items TO {grp}",
        attack: &[(A, "SET ROLE {grp}; SELECT note FROM items")],
        ..CASE
    },
    // A policy binds who inherits the role that it names.
    Case {
        rule: "P2",
        object: "public.items.extra",
        from: 160_000,
        broken: "GRANT {grp} TO {app} WITH INHERIT FALSE; ALTER POLICY floor ON items TO {grp};
            CREATE POLICY extra ON items USING (true)",
        near: "GRANT {grp} TO {app} WITH INHERIT TRUE; ALTER POLICY floor ON items TO {grp};
            CREATE POLICY extra ON items USING (true)",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "R2",
        object: "pg_create_subscription",
        severity: Severity::Medium,
        from: 160_000,
        broken: "GRANT pg_create_subscription TO {app}",
        near: "GRANT pg_create_subscription TO {own}",
        ..CASE
    },
    Case {
        rule: "R2",
        object: "pg_use_reserved_connections",
        severity: Severity::Low,
        from: 160_000,
        broken: "GRANT pg_use_reserved_connections TO {app}",
        near: "GRANT pg_use_reserved_connections TO {own}",
        ..CASE
    },
];

pub(super) const SINCE_17: &[Case] = &[
    Case {
        rule: "G5",
        severity: Severity::Medium,
        from: 170_000,
        broken: "GRANT MAINTAIN ON items TO {app}",
        near: "GRANT MAINTAIN ON items TO {own}",
        attack: &[
            (A, "CLUSTER items USING items_pkey"),
            (Root, "SELECT indisclustered::text FROM pg_index WHERE indexrelid = 'items_pkey'::regclass"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "R2",
        object: "pg_maintain",
        severity: Severity::Medium,
        from: 170_000,
        broken: "GRANT pg_maintain TO {app}",
        near: "GRANT pg_maintain TO {own}",
        attack: &[
            (A, "CLUSTER items USING items_pkey"),
            (Root, "SELECT indisclustered::text FROM pg_index WHERE indexrelid = 'items_pkey'::regclass"),
        ],
        shows: Changed,
        ..CASE
    },
    // What runs when somebody logs in.
    Case {
        rule: "E1",
        severity: Severity::High,
        object: "event trigger watch",
        from: 170_000,
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER watch ON login EXECUTE FUNCTION s.f(); ALTER FUNCTION s.f() OWNER TO {app}",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER watch ON login EXECUTE FUNCTION s.f()",
        attack: &[
            (A, "CREATE TABLE s.bag (note text)"),
            (A, "CREATE OR REPLACE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql
                AS 'BEGIN INSERT INTO s.bag SELECT note FROM public.items; END'"),
            (Root, "SELECT 1::text"),
            (A, "SELECT note FROM s.bag"),
        ],
        fixed: false,
        ..CASE
    },
];

pub(super) const SINCE_18: &[Case] = &[
    Case {
        rule: "R2",
        object: "pg_signal_autovacuum_worker",
        severity: Severity::Low,
        from: 180_000,
        broken: "GRANT pg_signal_autovacuum_worker TO {app}",
        near: "GRANT pg_signal_autovacuum_worker TO {own}",
        ..CASE
    },
    // The rows that were there may have no organization.
    Case {
        rule: "T4",
        severity: Severity::Medium,
        object: "public.loose",
        from: 180_000,
        broken: "CREATE TABLE loose (org_id text, id int); ALTER TABLE loose ADD CONSTRAINT has NOT NULL org_id NOT VALID;
            {isolate loose}",
        near: "CREATE TABLE loose (org_id text, id int); ALTER TABLE loose ADD CONSTRAINT has NOT NULL org_id;
            {isolate loose}",
        ..CASE
    },
    // A key that is not enforced tells nothing.
    Case {
        rule: "K1",
        severity: Severity::High,
        object: "public.notes.refers",
        from: 180_000,
        broken: "ALTER TABLE items ADD UNIQUE (id);
            CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              CONSTRAINT refers FOREIGN KEY (item) REFERENCES items (id) ENFORCED); {isolate notes}",
        near: "ALTER TABLE items ADD UNIQUE (id);
            CREATE TABLE notes (org_id text NOT NULL, id int, item int, PRIMARY KEY (org_id, id),
              CONSTRAINT refers FOREIGN KEY (item) REFERENCES items (id) NOT ENFORCED); {isolate notes}",
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
        object: "public.stays.at_once",
        from: 180_000,
        broken: "CREATE EXTENSION btree_gist; CREATE TABLE stays (org_id text NOT NULL, room int, during daterange,
              CONSTRAINT at_once UNIQUE (room, during WITHOUT OVERLAPS));
            {isolate stays} INSERT INTO stays VALUES ('b', 1, '[2026-01-01,2026-02-01)')",
        near: "CREATE EXTENSION btree_gist; CREATE TABLE stays (org_id text NOT NULL, room int, during daterange,
              CONSTRAINT at_once UNIQUE (org_id, room, during WITHOUT OVERLAPS));
            {isolate stays} INSERT INTO stays VALUES ('b', 1, '[2026-01-01,2026-02-01)')",
        attack: &[
            (A, "INSERT INTO stays VALUES ('a', 1, '[2026-01-03,2026-01-04)')"),
            (A, "INSERT INTO stays VALUES ('a', 1, '[2027-01-03,2027-01-04)')"),
        ],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    // A policy may go by a column that is worked out as it is read.
    Case {
        rule: "P2",
        object: "public.items.extra",
        from: 180_000,
        broken: "ALTER TABLE items ADD open bool GENERATED ALWAYS AS (n = 3) VIRTUAL; DROP POLICY floor ON items;
            CREATE POLICY extra ON items FOR SELECT USING (open)",
        near: "ALTER TABLE items ADD open bool GENERATED ALWAYS AS (n = 3) VIRTUAL;
            CREATE POLICY extra ON items FOR SELECT USING (open)",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_what_came_with_16() -> Outcome<()> {
    play(SINCE_16).await
}

#[tokio::test]
async fn audit_of_what_came_with_17() -> Outcome<()> {
    play(SINCE_17).await
}

#[tokio::test]
async fn audit_of_what_came_with_18() -> Outcome<()> {
    play(SINCE_18).await
}

//! Cases of views, functions, triggers and rules.

use cupel_tenant::Severity;

use super::stage::Shows::{Changed, Differ};
use super::stage::Who::{A, B, Root};
use super::stage::{CASE, Case, Outcome, play};

pub(super) const VIEWS: &[Case] = &[
    Case {
        rule: "V1",
        object: "public.v",
        broken: "CREATE VIEW v AS SELECT * FROM items; GRANT SELECT ON v TO {app}",
        near: "CREATE VIEW v AS SELECT * FROM items; ALTER VIEW v OWNER TO {own}; GRANT SELECT ON v TO {app}",
        attack: &[(A, "SELECT note FROM v")],
        ..CASE
    },
    Case {
        rule: "V1",
        object: "public.v",
        broken: "CREATE VIEW inside AS SELECT * FROM items;
            CREATE VIEW v AS SELECT note FROM inside; ALTER VIEW v OWNER TO {own};
            GRANT SELECT ON inside TO {own}; GRANT SELECT ON v TO {app}",
        near: "CREATE VIEW inside WITH (security_invoker = on) AS SELECT * FROM items;
            CREATE VIEW v AS SELECT note FROM inside; GRANT SELECT ON v TO {app}",
        attack: &[(A, "SELECT note FROM v")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "V1",
        object: "public.v",
        broken: "ALTER TABLE items NO FORCE ROW LEVEL SECURITY; CREATE VIEW v AS SELECT * FROM items;
            ALTER VIEW v OWNER TO {own}; GRANT SELECT ON v TO {app}",
        near: "ALTER TABLE items NO FORCE ROW LEVEL SECURITY; CREATE VIEW v WITH (security_invoker) AS SELECT * FROM items;
            ALTER VIEW v OWNER TO {own}; GRANT SELECT ON v TO {app}",
        attack: &[(A, "SELECT note FROM v")],
        ..CASE
    },
    Case {
        rule: "V1",
        object: "public.v",
        broken: "CREATE VIEW v AS SELECT * FROM items; GRANT UPDATE (note) ON v TO {app}",
        near: "CREATE VIEW v AS SELECT * FROM items",
        attack: &[
            (A, "UPDATE v SET note = 'taken'"),
            (Root, "SELECT (count(*) = 0)::text FROM items WHERE note = 'theirs'"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "V1",
        object: "public.v",
        broken: "CREATE MATERIALIZED VIEW m AS SELECT * FROM items; CREATE VIEW v AS SELECT note FROM m;
            GRANT SELECT ON v TO {app}",
        near: "CREATE MATERIALIZED VIEW m AS SELECT * FROM items;
            CREATE VIEW v WITH (security_invoker) AS SELECT note FROM m; GRANT SELECT ON v TO {app}",
        attack: &[(A, "SELECT note FROM v")],
        ..CASE
    },
    Case {
        rule: "V1",
        object: "public.v",
        severity: Severity::Medium,
        broken: "CREATE VIEW v AS SELECT * FROM items WHERE {isolates}; GRANT SELECT ON v TO {app}",
        near: "CREATE VIEW v WITH (security_barrier) AS SELECT * FROM items WHERE {isolates}; GRANT SELECT ON v TO {app}",
        ..CASE
    },
    Case {
        rule: "V1",
        object: "public.v",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE VIEW v AS SELECT * FROM items WHERE {isolates}; GRANT SELECT ON v TO {app}",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE VIEW v WITH (security_barrier) AS SELECT * FROM items WHERE {isolates};
            GRANT SELECT ON v TO {app}",
        attack: &[
            (
                A,
                "CREATE FUNCTION s.leak(t text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS
                  $$ BEGIN IF t <> 'mine' THEN RAISE EXCEPTION '%', t; END IF; RETURN true; END $$",
            ),
            (A, "SET enable_indexscan = off; SET enable_bitmapscan = off"),
            (A, "SELECT note FROM v WHERE s.leak(note)"),
        ],
        ..CASE
    },
    Case {
        rule: "V2",
        object: "public.m",
        broken: "CREATE MATERIALIZED VIEW m AS SELECT * FROM items; GRANT SELECT ON m TO {app}",
        near: "CREATE MATERIALIZED VIEW m AS SELECT * FROM items; GRANT SELECT ON m TO {grp}",
        attack: &[(A, "SELECT note FROM m")],
        ..CASE
    },
    Case {
        rule: "V3",
        object: "public.door.through",
        broken: "CREATE TABLE door (id int); GRANT INSERT ON door TO {app};
            CREATE RULE through AS ON INSERT TO door DO ALSO DELETE FROM items",
        near: "CREATE TABLE door (id int); ALTER TABLE door OWNER TO {own}; GRANT INSERT ON door TO {app};
            CREATE RULE through AS ON INSERT TO door DO ALSO DELETE FROM items",
        attack: &[
            (A, "INSERT INTO door VALUES (1)"),
            (Root, "SELECT (count(*) = 0)::text FROM items WHERE org_id = 'b'"),
        ],
        shows: Changed,
        shared: &["door"],
        fixed: false,
        ..CASE
    },
];

pub(super) const FUNCTIONS: &[Case] = &[
    Case {
        rule: "F1",
        object: "public.f()",
        broken: "CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'SELECT note FROM public.items'",
        near: "CREATE FUNCTION f() RETURNS SETOF text SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'SELECT note FROM public.items'",
        attack: &[(A, "SELECT f()")],
        ..CASE
    },
    Case {
        rule: "F1",
        object: "public.f()",
        broken: "CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql BEGIN ATOMIC SELECT note FROM public.items; END",
        near: "CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql BEGIN ATOMIC SELECT note FROM public.items; END; ALTER FUNCTION f() OWNER TO {own}",
        attack: &[(A, "SELECT f()")],
        ..CASE
    },
    Case {
        rule: "F1",
        object: "public.f()",
        broken: "CREATE FUNCTION inner_f() RETURNS SETOF text LANGUAGE sql AS 'SELECT note FROM public.items';
            CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT public.inner_f(); END'",
        near: "CREATE FUNCTION inner_f() RETURNS SETOF text LANGUAGE sql AS 'SELECT note FROM public.items';
            CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT public.inner_f(); END';
            REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC",
        attack: &[(A, "SELECT f()")],
        ..CASE
    },
    Case {
        rule: "F1",
        object: "public.p()",
        broken: "CREATE PROCEDURE p() SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'DELETE FROM public.items'",
        near: "CREATE PROCEDURE p() SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'DELETE FROM public.items -- only the own'; ALTER PROCEDURE p() OWNER TO {own}",
        attack: &[(A, "CALL p()"), (Root, "SELECT (count(*) = 0)::text FROM items WHERE org_id = 'b'")],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "F6",
        severity: Severity::High,
        object: "public.f(t text)",
        broken: "CREATE FUNCTION f(t text) RETURNS SETOF text SECURITY DEFINER SET search_path = public, pg_temp
              LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE format('SELECT note FROM %I', t); END $$",
        near: "CREATE FUNCTION f(t text) RETURNS SETOF text SET search_path = public, pg_temp
              LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE format('SELECT note FROM %I', t); END $$",
        attack: &[(A, "SELECT f('items')")],
        ..CASE
    },
    Case {
        rule: "F5",
        severity: Severity::High,
        object: "public.f()",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION f() RETURNS text SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN RETURN lower('X'::text); END $$",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION f() RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE plpgsql AS $$ BEGIN RETURN lower('X'::text); END $$",
        attack: &[
            (A, "CREATE FUNCTION s.lower(text) RETURNS text LANGUAGE sql
                AS 'SELECT string_agg(note, '','') FROM public.items'"),
            (A, "SET search_path = s, pg_catalog; SELECT public.f()"),
        ],
        ..CASE
    },
    Case {
        rule: "F5",
        severity: Severity::Medium,
        object: "public.f()",
        broken: "CREATE FUNCTION f() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT lower('X') $$",
        near: "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT lower('X') $$",
        ..CASE
    },
    Case {
        rule: "F2",
        severity: Severity::Medium,
        object: "public.leaks(t text)",
        broken: "CREATE FUNCTION leaks(t text) RETURNS bool LANGUAGE plpgsql COST 0.0001 LEAKPROOF
              AS $$ BEGIN RAISE EXCEPTION '%', t; END $$",
        near: "CREATE FUNCTION leaks(t text) RETURNS bool LANGUAGE plpgsql COST 0.0001
              AS $$ BEGIN RAISE EXCEPTION '%', t; END $$",
        attack: &[(A, "DELETE FROM items WHERE org_id = 'a'"), (A, "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT note FROM items WHERE leaks(note)")],
        ..CASE
    },
    // An error tells of a row elsewhere, where the policy is dearer than the function.
    Case {
        rule: "F8",
        severity: Severity::Medium,
        object: "textlike(text,text)",
        broken: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql
              AS $$ BEGIN RETURN nullif(current_setting('app.current_org_id', true), ''); END $$;
            ALTER POLICY floor ON items USING (org_id = org()) WITH CHECK (org_id = org());
            ALTER POLICY access ON items USING (org_id = org()) WITH CHECK (org_id = org());
            ALTER FUNCTION pg_catalog.textlike(text, text) LEAKPROOF",
        near: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql
              AS $$ BEGIN RETURN nullif(current_setting('app.current_org_id', true), ''); END $$;
            ALTER POLICY floor ON items USING (org_id = org()) WITH CHECK (org_id = org());
            ALTER POLICY access ON items USING (org_id = org()) WITH CHECK (org_id = org())",
        attack: &[
            (A, "SET enable_indexscan = off; SET enable_bitmapscan = off"),
            (A, "SELECT note FROM items WHERE note LIKE 'their\\'"),
            (A, "SELECT note FROM items WHERE note LIKE 'other\\'"),
        ],
        shows: Differ,
        ..CASE
    },
    Case {
        rule: "F3",
        severity: Severity::Medium,
        object: "",
        broken: "CREATE EXTENSION dblink",
        near: "CREATE EXTENSION dblink; DO $$ DECLARE f regprocedure; BEGIN
            FOR f IN SELECT objid FROM pg_depend WHERE deptype = 'e' AND classid = 'pg_proc'::regclass
                AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink')
            LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$",
        ..CASE
    },
    Case {
        rule: "F7",
        severity: Severity::Medium,
        object: "public.native(path text)",
        broken: "CREATE FUNCTION native(path text) RETURNS bytea STRICT LANGUAGE internal AS 'pg_read_binary_file_all'; CHECKPOINT",
        near: "CREATE FUNCTION native(path text) RETURNS bytea STRICT LANGUAGE internal AS 'pg_read_binary_file_all'; CHECKPOINT;
            REVOKE EXECUTE ON FUNCTION native(text) FROM PUBLIC",
        attack: &[(A, "SELECT encode(native(pg_relation_filepath('items')), 'escape')")],
        ..CASE
    },
];

pub(super) const TRIGGERS: &[Case] = &[
    Case {
        rule: "S4",
        object: "public.items.t",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            ALTER FUNCTION s.f() OWNER TO {app};
            CREATE TRIGGER t BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION s.f()",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER t BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION s.f()",
        attack: &[
            (A, "CREATE TABLE s.bag (note text)"),
            (A, "CREATE OR REPLACE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN INSERT INTO s.bag VALUES (OLD.note); RETURN NEW; END'"),
            (B, "UPDATE items SET n = 4"),
            (A, "SELECT note FROM s.bag"),
        ],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "S9",
        severity: Severity::Medium,
        object: "public.items.t",
        broken: "CREATE FUNCTION f() RETURNS trigger SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE plpgsql AS 'BEGIN UPDATE public.items SET n = 0; RETURN NEW; END';
            CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()",
        near: "CREATE FUNCTION f() RETURNS trigger SET search_path = pg_catalog, pg_temp
              LANGUAGE plpgsql AS 'BEGIN UPDATE public.items SET n = 0; RETURN NEW; END';
            CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()",
        attack: &[
            (A, "INSERT INTO items VALUES ('a', 5)"),
            (Root, "SELECT (count(*) = 1)::text FROM items WHERE org_id = 'b' AND n = 0"),
        ],
        shows: Changed,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "E1",
        severity: Severity::High,
        object: "event trigger watch",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION s.f(); ALTER FUNCTION s.f() OWNER TO {app}",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION s.f()",
        attack: &[
            (A, "CREATE TABLE s.bag (note text)"),
            (A, "CREATE OR REPLACE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql
                AS 'BEGIN INSERT INTO s.bag SELECT note FROM public.items; END'"),
            (Root, "CREATE TABLE later (id int)"),
            (A, "SELECT note FROM s.bag"),
        ],
        fixed: false,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_views() -> Outcome<()> {
    play(VIEWS).await
}

#[tokio::test]
async fn audit_of_functions() -> Outcome<()> {
    play(FUNCTIONS).await
}

#[tokio::test]
async fn audit_of_triggers() -> Outcome<()> {
    play(TRIGGERS).await
}

//! Cases of what stands behind what is looked at: bodies that hide what they touch, and functions that others call.

use cupel_tenant::Severity;

use super::stage::Shows::Differ;
use super::stage::Who::{A, B, Nobody};
use super::stage::{CASE, Case, Outcome, play};

/// What the application makes of a function of its own: it keeps what whoever calls it may read.
const KEEP: &str = "CREATE TABLE s.bag (note text);
    CREATE OR REPLACE FUNCTION s.seen(t text) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO s.bag SELECT note FROM public.items; RETURN t; END $$";

pub(super) const NESTED: &[Case] = &[
    Case {
        rule: "F6",
        severity: Severity::High,
        object: "public.f(t text)",
        broken: "CREATE FUNCTION f(t text) RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT query_to_xml(t, true, false, '')::text $$",
        near: "CREATE FUNCTION f(t text) RETURNS text SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT query_to_xml(t, true, false, '')::text $$",
        attack: &[(A, "SELECT substring(f('SELECT note FROM public.items') FROM 'theirs')")],
        ..CASE
    },
    Case {
        rule: "F1",
        object: "public.f()",
        broken: "CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT replace(' -- ', ' -- ', '') || note FROM public.items $$",
        near: "CREATE FUNCTION f() RETURNS SETOF text SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT replace(' -- ', ' -- ', '') || note FROM public.items $$",
        attack: &[(A, "SELECT f()")],
        ..CASE
    },
    Case {
        rule: "F1",
        object: "public.f()",
        broken: "CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT note /* not by app.current_org_id */ FROM public.items $$",
        near: "CREATE FUNCTION f() RETURNS SETOF text SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT note /* not by app.current_org_id */ FROM public.items $$",
        attack: &[(A, "SELECT f()")],
        ..CASE
    },
    Case {
        rule: "F1",
        object: "public.f()",
        broken: r#"CREATE TABLE "order lines" (org_id text NOT NULL, id int, note text, PRIMARY KEY (org_id, id));
            {isolate "order lines"} INSERT INTO "order lines" VALUES ('b', 1, 'theirs');
            CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT note FROM public."order lines" $$"#,
        near: r#"CREATE TABLE "order lines" (org_id text NOT NULL, id int, note text, PRIMARY KEY (org_id, id));
            {isolate "order lines"} INSERT INTO "order lines" VALUES ('b', 1, 'theirs');
            CREATE FUNCTION f() RETURNS SETOF text SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT note FROM public."order lines" $$"#,
        attack: &[(A, "SELECT f()")],
        ..CASE
    },
    Case {
        rule: "F4",
        severity: Severity::Medium,
        object: "public.put(name text, v text)",
        broken: "CREATE FUNCTION put(name text, v text) RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT set_config(name, v, false) $$",
        near: "CREATE FUNCTION put(name text, v text) RETURNS text SET search_path = pg_catalog, pg_temp
            LANGUAGE sql AS $$ SELECT set_config(name, v, false) $$",
        attack: &[(
            A,
            "SELECT i.note FROM (SELECT put('app.current_org_id', 'b') OFFSET 0) s(v),
               LATERAL (SELECT note FROM items WHERE s.v IS NOT NULL OFFSET 0) i",
        )],
        ..CASE
    },
    Case {
        rule: "F10",
        object: "public.f()",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.helper() RETURNS text LANGUAGE sql AS $$ SELECT 'x'::text $$;
            ALTER FUNCTION s.helper() OWNER TO {app};
            CREATE FUNCTION f() RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'SELECT s.helper()'",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.helper() RETURNS text LANGUAGE sql AS $$ SELECT 'x'::text $$;
            CREATE FUNCTION f() RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'SELECT s.helper()'",
        attack: &[
            (
                A,
                "CREATE OR REPLACE FUNCTION s.helper() RETURNS text LANGUAGE sql
                   AS $$ SELECT max(note) FROM public.items WHERE org_id = 'b' $$",
            ),
            (A, "SELECT f()"),
        ],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "S4",
        object: "public.items.look",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.seen(t text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.seen(text) OWNER TO {app};
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql
              AS $$ BEGIN PERFORM s.seen(NEW.note); RETURN NEW; END $$;
            CREATE TRIGGER look BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION look()",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.seen(t text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql
              AS $$ BEGIN PERFORM s.seen(NEW.note); RETURN NEW; END $$;
            CREATE TRIGGER look BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION look()",
        attack: &[(A, KEEP), (B, "INSERT INTO items VALUES ('b', 7)"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P7",
        object: "public.items.floor",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.helper() RETURNS text STABLE LANGUAGE sql
              AS $$ SELECT nullif(current_setting('app.current_org_id', true), '') $$;
            ALTER FUNCTION s.helper() OWNER TO {app};
            CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN s.helper(); END';
            ALTER POLICY floor ON items USING (org_id = (SELECT org())) WITH CHECK (org_id = (SELECT org()));
            ALTER POLICY access ON items USING (org_id = (SELECT org())) WITH CHECK (org_id = (SELECT org()))",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.helper() RETURNS text STABLE LANGUAGE sql
              AS $$ SELECT nullif(current_setting('app.current_org_id', true), '') $$;
            CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN s.helper(); END';
            ALTER POLICY floor ON items USING (org_id = (SELECT org())) WITH CHECK (org_id = (SELECT org()));
            ALTER POLICY access ON items USING (org_id = (SELECT org())) WITH CHECK (org_id = (SELECT org()))",
        attack: &[
            (A, "CREATE OR REPLACE FUNCTION s.helper() RETURNS text STABLE LANGUAGE sql AS $$ SELECT 'b'::text $$"),
            (A, "SELECT note FROM items"),
        ],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "T12",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE DOMAIN word AS text; ALTER DOMAIN word OWNER TO {app}; ALTER TABLE items ADD w word",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE DOMAIN word AS text; ALTER TABLE items ADD w word",
        attack: &[
            (A, KEEP),
            (A, "ALTER DOMAIN word ADD CHECK (s.seen(VALUE) IS NOT NULL) NOT VALID"),
            (B, "INSERT INTO items (org_id, id, w) VALUES ('b', 7, 'x')"),
            (A, "SELECT note FROM s.bag"),
        ],
        ..CASE
    },
    Case {
        rule: "T11",
        severity: Severity::High,
        object: "public.notes",
        broken: "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
            CREATE TABLE notes (org_id text COLLATE loose NOT NULL, id int, note text, PRIMARY KEY (org_id, id));
            {isolate notes} INSERT INTO notes VALUES ('A', 1, 'theirs')",
        near: "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
            CREATE TABLE notes (org_id text NOT NULL, id int, note text COLLATE loose, PRIMARY KEY (org_id, id));
            {isolate notes} INSERT INTO notes VALUES ('A', 1, 'theirs')",
        attack: &[(A, "SELECT note FROM notes")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P5",
        severity: Severity::Medium,
        object: "public.items.access",
        broken: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN
              IF nullif(current_setting('app.current_org_id', true), '') IS NULL THEN RETURN 'b'; END IF;
              RETURN current_setting('app.current_org_id', true); END $$;
            DROP POLICY floor ON items; ALTER POLICY access ON items USING (org_id = (SELECT org()))",
        near: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql AS $$
              DECLARE named text := current_setting('app.current_org_id', true); BEGIN
              IF named IS NULL THEN RAISE EXCEPTION 'nobody is named'; END IF; RETURN named; END $$;
            DROP POLICY floor ON items; ALTER POLICY access ON items USING (org_id = (SELECT org()))",
        attack: &[(Nobody, "SELECT note FROM items")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P3",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (({isolates}) IS NOT FALSE)",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (({isolates}) IS TRUE)",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P3",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (coalesce({isolates}, true))",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (coalesce({isolates}, false))",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P3",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING
            (CASE WHEN current_setting('app.current_org_id', true) IS NULL THEN true ELSE {isolates} END)",
        near: "CREATE POLICY extra ON items USING
            (CASE WHEN current_setting('app.current_org_id', true) IS NULL THEN true ELSE {isolates} END)",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items;
            CREATE POLICY extra ON items USING (org_id IN (current_setting('app.current_org_id', true), 'b'))",
        near: "CREATE POLICY extra ON items USING (org_id IN (current_setting('app.current_org_id', true), 'b'))",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "F8",
        severity: Severity::Medium,
        object: "int4div(integer,integer)",
        broken: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql
              AS $$ BEGIN RETURN nullif(current_setting('app.current_org_id', true), ''); END $$;
            ALTER POLICY floor ON items USING (org_id = org()) WITH CHECK (org_id = org());
            ALTER POLICY access ON items USING (org_id = org()) WITH CHECK (org_id = org());
            UPDATE items SET n = 0 WHERE org_id = 'b'; ALTER FUNCTION pg_catalog.int4div(int, int) LEAKPROOF",
        near: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql
              AS $$ BEGIN RETURN nullif(current_setting('app.current_org_id', true), ''); END $$;
            ALTER POLICY floor ON items USING (org_id = org()) WITH CHECK (org_id = org());
            ALTER POLICY access ON items USING (org_id = org()) WITH CHECK (org_id = org());
            UPDATE items SET n = 0 WHERE org_id = 'b'",
        attack: &[
            (A, "SET enable_indexscan = off; SET enable_bitmapscan = off"),
            (A, "SELECT note FROM items WHERE 1 / n = 7"),
            (A, "SELECT note FROM items WHERE n = 7"),
        ],
        shows: Differ,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_what_stands_behind() -> Outcome<()> {
    play(NESTED).await
}

//! Cases of policies.

use cupel_tenant::Severity;

use super::stage::Shows::{Changed, Differ};
use super::stage::Who::{A, B, Nobody, Root};
use super::stage::{CASE, Case, Outcome, play};

/// A thousand rows of another organization, and a function for the context that counts how often it is called.
macro_rules! counted {
    ($volatility:literal, $does:literal, $call:literal) => {
        concat!(
            "INSERT INTO items SELECT 'b', i FROM generate_series(1001, 2000) i; ANALYZE items;
             CREATE SEQUENCE asked; GRANT USAGE ON SEQUENCE asked TO {app}; CREATE FUNCTION org() RETURNS text ",
            $volatility,
            " LANGUAGE plpgsql AS $$ DECLARE now_asked int8 := nextval('asked'); BEGIN ",
            $does,
            " RETURN nullif(current_setting('app.current_org_id', true), ''); END $$; ",
            "ALTER POLICY floor ON items USING (org_id = ", $call,
            "); ALTER POLICY access ON items USING (org_id = ", $call, ")"
        )
    };
}

pub(super) const POLICIES: &[Case] = &[
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items FOR SELECT USING (n = 3)",
        near: "CREATE POLICY extra ON items FOR SELECT USING (n = 3)",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items FOR UPDATE USING (true) WITH CHECK ({isolates})",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items FOR UPDATE USING ({isolates})",
        attack: &[
            (A, "UPDATE items SET org_id = 'a', id = 7 + floor(random() * 9999)"),
            (Root, "SELECT (count(*) = 0)::text FROM items WHERE org_id = 'b'"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items FOR INSERT WITH CHECK (true)",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items FOR INSERT WITH CHECK ({isolates})",
        attack: &[
            (A, "INSERT INTO items VALUES ('b', 9)"),
            (Root, "SELECT (count(*) = 2)::text FROM items WHERE org_id = 'b'"),
        ],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING ({isolates}) WITH CHECK (true)",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING ({isolates})",
        attack: &[
            (A, "UPDATE items SET org_id = 'b'"),
            (Root, "SELECT (count(*) = 2)::text FROM items WHERE org_id = 'b'"),
        ],
        shows: Changed,
        ..CASE
    },
    // A floor that binds another role only, and one that binds one command only.
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "ALTER POLICY floor ON items TO {grp}; CREATE POLICY extra ON items USING (true)",
        near: "GRANT {grp} TO {app}; ALTER POLICY floor ON items TO {grp}; CREATE POLICY extra ON items USING (true)",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (true);
            CREATE POLICY reads ON items AS RESTRICTIVE FOR SELECT USING ({isolates})",
        near: "CREATE POLICY extra ON items USING (true)",
        attack: &[(A, "DELETE FROM items"), (Root, "SELECT (count(*) = 0)::text FROM items WHERE org_id = 'b'")],
        shows: Changed,
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items TO {app} USING (true)",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items TO {own} USING (true)",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items
            USING (org_id LIKE current_setting('app.current_org_id', true) || '%');
            INSERT INTO items VALUES ('a-2', 5, 1, 'theirs')",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items
            USING (org_id = ANY (string_to_array(current_setting('app.current_org_id', true), ',')));
            INSERT INTO items VALUES ('a-2', 5, 1, 'theirs')",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P2",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (org_id = org_id)",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items USING (false)",
        attack: &[(A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P3",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items
            USING ({isolates} OR current_setting('app.current_org_id', true) IS NULL)",
        near: "CREATE POLICY extra ON items USING ({isolates} OR current_setting('app.current_org_id', true) IS NULL)",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P3",
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items
            USING (org_id = coalesce(current_setting('app.current_org_id', true), 'b'))",
        near: "DROP POLICY floor ON items; CREATE POLICY extra ON items
            USING (org_id = coalesce(current_setting('app.current_org_id', true), ''))",
        attack: &[(Nobody, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P4",
        severity: Severity::High,
        object: "public.items.extra",
        broken: "DROP POLICY floor ON items; CREATE POLICY extra ON items
            USING (current_setting('app.admin', true) = 'on')",
        near: "CREATE POLICY extra ON items USING (current_setting('app.admin', true) = 'on')",
        attack: &[(A, "SET app.admin = 'on'; SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "P5",
        severity: Severity::Medium,
        object: "public.items.extra",
        broken: "CREATE TABLE members (org text, who text); GRANT SELECT ON members TO {app};
            INSERT INTO members VALUES ('b', '{app}'); DROP POLICY floor ON items;
            CREATE POLICY extra ON items USING (org_id IN (SELECT org FROM members WHERE who = current_user))",
        near: "CREATE TABLE members (org text, who text); GRANT SELECT ON members TO {app};
            INSERT INTO members VALUES ('b', '{app}');
            CREATE POLICY extra ON items USING (org_id IN (SELECT org FROM members WHERE who = current_user))",
        attack: &[(A, "SELECT note FROM items")],
        shared: &["members"],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P6",
        severity: Severity::High,
        object: "public.items.extra",
        broken: "CREATE TABLE members (org text, who text); GRANT SELECT, INSERT ON members TO {app};
            DROP POLICY floor ON items;
            CREATE POLICY extra ON items USING (org_id IN (SELECT org FROM members WHERE who = current_user))",
        near: "CREATE TABLE members (org text, who text); GRANT SELECT ON members TO {app};
            DROP POLICY floor ON items;
            CREATE POLICY extra ON items USING (org_id IN (SELECT org FROM members WHERE who = current_user))",
        attack: &[(A, "INSERT INTO members VALUES ('b', current_user)"), (A, "SELECT note FROM items")],
        shared: &["members"],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P7",
        object: "public.items.floor",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; CREATE FUNCTION s.org() RETURNS text STABLE LANGUAGE sql
              AS $$ SELECT nullif(current_setting('app.current_org_id', true), '') $$;
            ALTER FUNCTION s.org() OWNER TO {app};
            ALTER POLICY floor ON items USING (org_id = (SELECT s.org())) WITH CHECK (org_id = (SELECT s.org()));
            ALTER POLICY access ON items USING (true) WITH CHECK (true)",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; CREATE FUNCTION s.org() RETURNS text STABLE LANGUAGE sql
              AS $$ SELECT nullif(current_setting('app.current_org_id', true), '') $$;
            ALTER FUNCTION s.org() OWNER TO {own};
            ALTER POLICY floor ON items USING (org_id = (SELECT s.org())) WITH CHECK (org_id = (SELECT s.org()));
            ALTER POLICY access ON items USING (true) WITH CHECK (true)",
        attack: &[
            (A, "CREATE OR REPLACE FUNCTION s.org() RETURNS text STABLE LANGUAGE sql AS $$ SELECT 'b' $$"),
            (A, "SELECT note FROM items"),
        ],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P8",
        object: "public.items.floor",
        broken: "CREATE FUNCTION org() RETURNS text IMMUTABLE LANGUAGE plpgsql
              AS $$ BEGIN RETURN nullif(current_setting('app.current_org_id', true), ''); END $$;
            ALTER POLICY floor ON items USING (org_id = (SELECT org())) WITH CHECK (org_id = (SELECT org()));
            ALTER POLICY access ON items USING (org_id = org()) WITH CHECK (org_id = org())",
        near: "CREATE FUNCTION org() RETURNS text STABLE LANGUAGE plpgsql
              AS $$ BEGIN RETURN nullif(current_setting('app.current_org_id', true), ''); END $$;
            ALTER POLICY floor ON items USING (org_id = (SELECT org())) WITH CHECK (org_id = (SELECT org()));
            ALTER POLICY access ON items USING (org_id = org()) WITH CHECK (org_id = org())",
        attack: &[
            (A, "SET plan_cache_mode = force_generic_plan; SET app.current_org_id = 'b';
                PREPARE p AS SELECT note FROM items"),
            (A, "EXECUTE p"),
            (A, "SET app.current_org_id = 'a'"),
            (A, "EXECUTE p"),
        ],
        ..CASE
    },
    Case {
        rule: "P9",
        severity: Severity::Low,
        object: "public.items.extra",
        broken: "CREATE POLICY extra ON items USING (org_id = current_setting('app.current_org_id', true))",
        near: "CREATE POLICY extra ON items USING (org_id = (SELECT current_setting('app.current_org_id', true)))",
        fixed: false,
        ..CASE
    },
    // Calls of the server's own functions are not counted; those of this one are.
    Case {
        rule: "P9",
        severity: Severity::Low,
        object: "public.items.floor",
        broken: counted!("STABLE", "", "org()"),
        near: counted!("STABLE", "", "(SELECT org())"),
        attack: &[
            (A, "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT note FROM items"),
            (Root, "SELECT (last_value > 500)::text FROM asked"),
        ],
        shows: Changed,
        fixed: false,
        ..CASE
    },
    // One that is VOLATILE keeps from using the index besides; in a sub-select it is asked once.
    Case {
        rule: "P9",
        severity: Severity::Low,
        object: "public.items.floor",
        broken: counted!("VOLATILE", "PERFORM 1;", "org()"),
        near: counted!("VOLATILE", "PERFORM 1;", "(SELECT org())"),
        attack: &[
            (A, "SELECT note FROM items"),
            (Root, "SELECT (last_value > 500)::text FROM asked"),
        ],
        shows: Changed,
        ..CASE
    },
    // The one session is new, and the other was used.
    Case {
        rule: "P10",
        severity: Severity::Low,
        object: "public.items.floor",
        broken: "ALTER POLICY floor ON items USING (org_id = (SELECT current_setting('app.current_org_id')))",
        near: "ALTER POLICY floor ON items USING (org_id = (SELECT current_setting('app.current_org_id', true)))",
        attack: &[
            (B, "RESET app.current_org_id"),
            (Nobody, "SELECT note FROM items"),
            (B, "SELECT note FROM items"),
        ],
        shows: Differ,
        fixed: false,
        ..CASE
    },
    Case {
        rule: "P12",
        severity: Severity::Low,
        broken: "DROP POLICY floor ON items",
        near: "CREATE POLICY extra ON items USING (true)",
        attack: &[(Root, "CREATE POLICY later ON items USING (true)"), (A, "SELECT note FROM items")],
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_policies() -> Outcome<()> {
    play(POLICIES).await
}

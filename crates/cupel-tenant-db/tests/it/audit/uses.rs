//! Cases of functions that tables and views call by themselves.

use super::stage::Who::{A, B};
use super::stage::{CASE, Case, Outcome, play};

/// Has the function keep what whoever calls it may read.
const KEEP: &str = "CREATE TABLE s.bag (note text);
    CREATE OR REPLACE FUNCTION s.f(t text) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO s.bag SELECT note FROM public.items; RETURN t; END $$";

pub(super) const USES: &[Case] = &[
    Case {
        rule: "F9",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app}; ALTER TABLE items ALTER note SET DEFAULT s.f('new')",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER TABLE items ALTER note SET DEFAULT s.f('new')",
        attack: &[(A, KEEP), (B, "INSERT INTO items VALUES ('b', 7)"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F9",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app}; ALTER TABLE items ADD CHECK (s.f(note) <> 'never')",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER TABLE items ADD CHECK (s.f(note) <> 'never')",
        attack: &[(A, KEEP), (B, "INSERT INTO items VALUES ('b', 7)"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F9",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app}; CREATE INDEX ON items (org_id, s.f(note))",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            CREATE INDEX ON items (org_id, s.f(note))",
        attack: &[(A, KEEP), (B, "INSERT INTO items VALUES ('b', 7)"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F9",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app};
            ALTER TABLE items ADD g text GENERATED ALWAYS AS (s.f(note)) STORED",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER TABLE items ADD g text GENERATED ALWAYS AS (s.f(note)) STORED",
        attack: &[(A, KEEP), (B, "INSERT INTO items VALUES ('b', 7)"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F9",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app};
            CREATE DOMAIN word AS text CHECK (s.f(VALUE) <> 'never'); ALTER TABLE items ADD w word",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            CREATE DOMAIN word AS text CHECK (s.f(VALUE) <> 'never'); ALTER TABLE items ADD w word",
        attack: &[(A, KEEP), (B, "UPDATE items SET w = 'x'"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F9",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app};
            CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER t BEFORE UPDATE ON items FOR EACH ROW WHEN (s.f(NEW.note) = 'never') EXECUTE FUNCTION quiet()",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER t BEFORE UPDATE ON items FOR EACH ROW WHEN (s.f(NEW.note) = 'never') EXECUTE FUNCTION quiet()",
        attack: &[(A, KEEP), (B, "UPDATE items SET n = 9"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F9",
        object: "public.v",
        broken: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            ALTER FUNCTION s.f(text) OWNER TO {app};
            CREATE VIEW v WITH (security_invoker) AS SELECT s.f(note) AS note FROM items; GRANT SELECT ON v TO {app}",
        near: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE FUNCTION s.f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END';
            CREATE VIEW v WITH (security_invoker) AS SELECT s.f(note) AS note FROM items; GRANT SELECT ON v TO {app}",
        attack: &[(A, KEEP), (B, "SELECT note FROM v"), (A, "SELECT note FROM s.bag")],
        fixed: false,
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_what_tables_call_by_themselves() -> Outcome<()> {
    play(USES).await
}

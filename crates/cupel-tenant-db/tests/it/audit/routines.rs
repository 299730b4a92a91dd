//! What the functions and procedures of a migration can be turned into.

use cupel_tenant::Severity;
use cupel_tenant_db::{Audit, ContextMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::stage::{Outcome, run};
use crate::bed::{Bed, migration, seal_key};

/// A routine that is turned into another, one that is not, and what the application then does.
struct Turned {
    mode: ContextMode,
    object: &'static str,
    severity: Severity,
    broken: &'static str,
    near: &'static str,
    /// As the application's role, in one session. It works if the last step shows the row of `acme-2`.
    attack: &'static [&'static str],
}

const TURNED: &[Turned] = &[
    Turned {
        mode: ContextMode::Plain,
        object: "cupel.current_org_id()",
        severity: Severity::Critical,
        broken: "CREATE OR REPLACE FUNCTION cupel.current_org_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
            AS $$ SELECT 'acme-2'::text $$",
        near: "ALTER FUNCTION cupel.current_org_id() COST 200",
        attack: &["SET app.current_org_id = 'acme'", "SELECT name FROM pipelines"],
    },
    Turned {
        mode: ContextMode::Plain,
        object: "cupel.current_org_id()",
        severity: Severity::Critical,
        broken: "ALTER FUNCTION cupel.current_org_id() SET app.current_org_id = 'acme-2'",
        near: "ALTER FUNCTION cupel.current_org_id() SET app.current_org_id = 'acme-2';
            ALTER FUNCTION cupel.current_org_id() RESET ALL",
        attack: &["SET app.current_org_id = 'acme'", "SELECT name FROM pipelines"],
    },
    // What a plan was made for once, it answers for ever.
    Turned {
        mode: ContextMode::Plain,
        object: "cupel.current_org_id()",
        severity: Severity::Critical,
        broken: "ALTER FUNCTION cupel.current_org_id() IMMUTABLE",
        near: "ALTER FUNCTION cupel.current_org_id() STABLE",
        attack: &[
            "SET plan_cache_mode = force_generic_plan; SET app.current_org_id = 'acme-2'",
            "PREPARE names AS SELECT name FROM pipelines",
            "EXECUTE names",
            "SET app.current_org_id = 'acme'",
            "EXECUTE names",
        ],
    },
    // Its owner can do the same.
    Turned {
        mode: ContextMode::Plain,
        object: "cupel.current_org_id()",
        severity: Severity::Critical,
        broken: "ALTER FUNCTION cupel.current_org_id() OWNER TO cupel_app",
        near: "ALTER FUNCTION cupel.current_org_id() OWNER TO CURRENT_USER",
        attack: &[
            "ALTER FUNCTION cupel.current_org_id() IMMUTABLE",
            "SET plan_cache_mode = force_generic_plan; SET app.current_org_id = 'acme-2'",
            "PREPARE names AS SELECT name FROM pipelines",
            "EXECUTE names",
            "SET app.current_org_id = 'acme'",
            "EXECUTE names",
        ],
    },
    Turned {
        mode: ContextMode::Sealed,
        object: "cupel.current_org_id()",
        severity: Severity::Critical,
        broken: "CREATE OR REPLACE FUNCTION cupel.current_org_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
            AS $$ SELECT (nullif(pg_catalog.current_setting('app.current_org_id', true), ''))::text $$",
        near: "ALTER ROUTINE cupel.current_org_id() SECURITY DEFINER",
        attack: &["SET app.current_org_id = 'acme-2'", "SELECT name FROM pipelines"],
    },
    Turned {
        mode: ContextMode::Register,
        object: "cupel.bind(text)",
        severity: Severity::Critical,
        broken: "CREATE OR REPLACE PROCEDURE cupel.bind(seal text) LANGUAGE plpgsql SECURITY DEFINER
            AS $$ BEGIN PERFORM pg_catalog.set_config('backtrace_functions', 'cupel_' || seal, false); END $$",
        near: "ALTER PROCEDURE cupel.bind(text) OWNER TO cupel_guard",
        attack: &["CALL cupel.bind('acme_2')", "SELECT name FROM pipelines"],
    },
    // What the audit went by is not what the service goes by.
    Turned {
        mode: ContextMode::Register,
        object: "cupel.is_admin()",
        severity: Severity::Critical,
        broken: "CREATE OR REPLACE FUNCTION cupel.is_admin() RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT true $$",
        near: "GRANT EXECUTE ON FUNCTION cupel.is_admin() TO cupel_guard",
        attack: &[],
    },
    Turned {
        mode: ContextMode::Plain,
        object: "cupel.session_is_clean()",
        severity: Severity::High,
        broken: "CREATE OR REPLACE FUNCTION cupel.session_is_clean() RETURNS boolean LANGUAGE plpgsql STABLE
            AS $$ BEGIN RETURN true; END $$",
        near: "COMMENT ON FUNCTION cupel.session_is_clean() IS 'asked after each release'",
        attack: &[],
    },
    Turned {
        mode: ContextMode::Plain,
        object: "cupel.session_is_clean",
        severity: Severity::High,
        broken: "DROP FUNCTION cupel.session_is_clean()",
        near: "CREATE FUNCTION cupel.session_is_clean(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        attack: &[],
    },
];

/// A database in which both organizations have a pipeline.
pub(super) async fn bed(mode: ContextMode) -> Outcome<Bed> {
    let bed = Bed::of(mode, 2).await?;
    bed.pipeline("acme", "1").await?;
    bed.pipeline("acme-2", "2").await?;
    Ok(bed)
}

/// What is found of routines and triggers, and that of others' versions.
pub(super) async fn found(url: &str) -> Outcome<Vec<String>> {
    let report = Audit::new(url).app_role("cupel_app").admin_role("cupel_admin").run().await?;
    let of_routines = report.findings.iter().filter(|it| ["D3", "D4", "S4"].contains(&it.rule));
    Ok(of_routines.map(|it| format!("{} {} {}", it.rule, it.severity, it.object)).collect())
}

pub(super) async fn attack(bed: &Bed, steps: &[&str]) -> Outcome<bool> {
    let mut app = PgConnection::connect(&bed.app_url).await?;
    let mut last = String::new();
    for step in steps {
        last = run(&mut app, step).await?;
    }
    Ok(last.lines().any(|it| it == "acme-2"))
}

#[tokio::test]
pub(super) async fn audit_of_a_routine_that_was_turned_into_another() -> Outcome<()> {
    for Turned { mode, object, severity, broken, near, attack: steps } in TURNED {
        let bed = bed(*mode).await?;
        bed.sql(near).await?;
        assert_eq!(found(&bed.owner_url).await?, Vec::<String>::new(), "{mode:?}: {near}");
        assert!(!attack(&bed, steps).await?, "{mode:?}: {near}");
        bed.sql(broken).await?;
        let expected = [format!("D3 {severity} {object}")];
        for url in [&bed.owner_url, &bed.app_url] {
            assert_eq!(found(url).await?, expected, "{mode:?} {url}: {broken}");
        }
        assert!(steps.is_empty() || attack(&bed, steps).await?, "{mode:?}: {broken}");
        let repair = migration(&bed.owner_url, &bed.app_url, &bed.admin_url).context(*mode);
        repair.seal_keys([seal_key("k1")]).run().await?;
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        let report = Audit::new(&bed.owner_url).app_role("cupel_app").run().await?;
        sqlx::raw_sql(AssertSqlSafe(report.fix_sql())).execute(&mut owner).await?;
        assert_eq!(found(&bed.owner_url).await?, Vec::<String>::new(), "{mode:?}: {broken}");
        assert!(!attack(&bed, steps).await?, "{mode:?}: after {broken}");
    }
    Ok(())
}

#[tokio::test]
async fn audit_puts_back_every_attribute_of_a_routine() -> Outcome<()> {
    let bed = bed(ContextMode::Sealed).await?;
    bed.sql(
        "ALTER FUNCTION cupel.current_org_id() IMMUTABLE LEAKPROOF PARALLEL SAFE SECURITY INVOKER STRICT;
         ALTER FUNCTION cupel.current_org_id() SET app.current_seal = 'v1';
         ALTER FUNCTION cupel.current_org_id() OWNER TO cupel_admin;
         ALTER FUNCTION cupel.count_refusal() SET search_path = public;
         ALTER FUNCTION cupel.org_state() OWNER TO cupel_admin",
    )
    .await?;
    let report = Audit::new(&bed.app_url).app_role("cupel_app").run().await?;
    let changed = |it: &&cupel_tenant::Finding| it.rule == "D3";
    assert_eq!(report.findings.iter().filter(changed).count(), 3, "{:#?}", report.findings);
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    sqlx::raw_sql(AssertSqlSafe(report.fix_sql())).execute(&mut owner).await?;
    assert_eq!(found(&bed.app_url).await?, Vec::<String>::new());
    Ok(())
}

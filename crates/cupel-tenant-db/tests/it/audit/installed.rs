//! The schema of a migration as a whole: who may compare it, with what, and what stands beside it.

use cupel_tenant::Severity;
use cupel_tenant_db::{Audit, ColumnType, ContextMode, Migration, PolicyCheck, Table};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::routines::{attack, bed, found};
use super::stage::{Outcome, run};
use crate::bed::{as_role, empty, migration, seal_key, sql};

#[tokio::test]
async fn audit_of_routines_needs_no_right_and_runs_none_of_them() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    bed.sql(
        "CREATE SEQUENCE seen; GRANT USAGE ON SEQUENCE seen TO PUBLIC;
         DROP FUNCTION cupel.settings();
         CREATE FUNCTION cupel.settings()
           RETURNS TABLE (column_type text, app_role text, admin_role text, context text) LANGUAGE plpgsql AS
           $$ BEGIN PERFORM nextval('public.seen');
             RETURN QUERY SELECT 'text'::text, 'cupel_app'::text, 'cupel_admin'::text, 'plain'::text; END $$;
         GRANT EXECUTE ON FUNCTION cupel.settings() TO cupel_app;
         CREATE OR REPLACE FUNCTION cupel.current_workspace_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
           AS $$ SELECT NULL::text $$",
    )
    .await?;
    // Though it does not say what it was made for, it is known by what is like it.
    let expected = ["D3 critical cupel.current_workspace_id()", "D3 high cupel.settings()"];
    assert_eq!(found(&bed.owner_url).await?, expected);
    bed.sql("REVOKE ALL ON SCHEMA cupel FROM cupel_app, PUBLIC").await?;
    assert_eq!(found(&bed.app_url).await?, expected);
    let report = Audit::new(&bed.app_url).run().await?;
    assert_eq!(report.policies, Some(PolicyCheck::Unread));
    assert_eq!(bed.number("SELECT count(*) FROM seen WHERE is_called").await?, 0);
    Ok(())
}

#[tokio::test]
async fn audit_of_a_database_that_another_version_migrated() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    bed.sql("COMMENT ON SCHEMA cupel IS 'b1946ac92492d2347c6235b4d2611184 and what was there'")
        .await?;
    assert_eq!(found(&bed.app_url).await?, ["D4 medium schema cupel"]);
    bed.sql(
        "CREATE OR REPLACE FUNCTION cupel.keep_access_log() RETURNS trigger LANGUAGE plpgsql
           AS $$ BEGIN RAISE EXCEPTION 'in other words'; END $$",
    )
    .await?;
    let expected = ["D3 medium cupel.keep_access_log()", "D4 medium schema cupel"];
    assert_eq!(found(&bed.app_url).await?, expected);
    // Whose rows are seen is not a matter of versions.
    bed.sql(
        "CREATE OR REPLACE FUNCTION cupel.current_org_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
           AS $$ SELECT current_setting('app.current_org_id') $$",
    )
    .await?;
    assert_eq!(
        found(&bed.app_url).await?.first().map(String::as_str),
        Some("D3 critical cupel.current_org_id()")
    );
    migration(&bed.owner_url, &bed.app_url, &bed.admin_url).run().await?;
    assert_eq!(found(&bed.app_url).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn audit_knows_the_routines_of_every_migration() -> Outcome<()> {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        for (kind, strict) in [(ColumnType::Text, true), (ColumnType::Uuid, false)] {
            let owner = empty().await?;
            let app = as_role(&owner, "cupel_app")?;
            sql(&owner, "CREATE TABLE empties (id int)").await?;
            let migration = Migration::new(&owner).app_url(&app).column_type(kind).strict(strict);
            let migration = migration.context(mode).seal_keys([seal_key("k1")]);
            migration.tables([Table::global("empties")]).run().await?;
            for url in [&owner, &app] {
                assert_eq!(found(url).await?, Vec::<String>::new(), "{mode:?} {kind:?} {strict}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn audit_goes_by_the_mode_that_the_service_is_configured_for() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    let changed = async |mode| -> Outcome<Vec<Severity>> {
        let audit = Audit::new(&bed.app_url).app_role("cupel_app").context_mode(mode);
        let findings = audit.run().await?.findings;
        Ok(findings.iter().filter(|it| it.rule == "D3").map(|it| it.severity).collect())
    };
    assert_eq!(changed(ContextMode::Plain).await?, []);
    assert_eq!(changed(ContextMode::Register).await?.first(), Some(&Severity::Critical));
    Ok(())
}

#[tokio::test]
async fn audit_looks_at_what_somebody_put_beside_the_routines() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    bed.sql(
        "CREATE FUNCTION cupel.peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER
           AS 'SELECT name FROM public.pipelines'; GRANT EXECUTE ON FUNCTION cupel.peek() TO cupel_app",
    )
    .await?;
    let report = Audit::new(&bed.app_url).app_role("cupel_app").run().await?;
    let first = report.findings.first().map(|it| (it.rule, it.severity, it.object.as_str()));
    assert_eq!(first, Some(("F1", Severity::Critical, "cupel.peek()")));
    assert!(attack(&bed, &["SELECT cupel.peek()"]).await?);
    Ok(())
}

#[tokio::test]
pub(super) async fn audit_of_a_right_on_what_administration_alone_may_call() -> Outcome<()> {
    const LOGS: &str =
        "SELECT cupel.log_access('alice', 'none', NULL, NULL, 'read only', NULL, 1)::text";
    let bed = bed(ContextMode::Plain).await?;
    let entries = "SELECT count(*) FROM cupel.access_log WHERE actor = 'alice'";
    let mut app = PgConnection::connect(&bed.app_url).await?;
    for (role, is_app) in [("cupel_admin", false), ("cupel_app", true)] {
        let right = "GRANT EXECUTE ON FUNCTION cupel.log_access(text, text, text, text, text, text[], bigint)";
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("{right} TO {role}"))).execute(&mut owner).await?;
        let report = Audit::new(&bed.app_url).app_role("cupel_app").run().await?;
        let found = report.findings.iter().find(|it| it.rule == "D1").map(|it| it.severity);
        assert_eq!(found, is_app.then_some(Severity::Medium), "{role}");
        run(&mut app, LOGS).await?;
        assert_eq!(bed.number(entries).await?, i64::from(is_app), "{role}");
        sqlx::raw_sql(AssertSqlSafe(report.fix_sql())).execute(&mut owner).await?;
    }
    run(&mut app, LOGS).await?;
    assert_eq!(bed.number(entries).await?, 1);
    Ok(())
}

/// A right on a table of the migration, one that is nearly it, and what the application does with it.
const KEPT: &[(&str, &str, &str, &str)] = &[
    (
        "SELECT (org_id) ON cupel.organizations",
        "organizations",
        "SELECT (table_name) ON cupel.tenant_tables",
        "SELECT org_id FROM cupel.organizations",
    ),
    (
        "UPDATE (state) ON cupel.organizations",
        "organizations",
        "REFERENCES (org_id) ON cupel.organizations",
        "UPDATE cupel.organizations SET state = 'suspended'",
    ),
    (
        "SELECT (reason) ON cupel.access_log",
        "access_log",
        "SELECT ON cupel.refusals",
        "SELECT reason FROM cupel.access_log",
    ),
    (
        "DELETE ON cupel.refusals",
        "refusals",
        "SELECT ON cupel.refusals",
        "DELETE FROM cupel.refusals",
    ),
    (
        "INSERT (schema_name, table_name, kind, definition, policies) ON cupel.tenant_tables",
        "tenant_tables",
        "SELECT (kind) ON cupel.tenant_tables",
        "INSERT INTO cupel.tenant_tables (schema_name, table_name, kind, definition, policies)
           VALUES ('public', 'mine', 'global', '', '')",
    ),
];

#[tokio::test]
pub(super) async fn audit_of_a_right_on_a_table_that_administration_alone_may_use() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    let mut app = PgConnection::connect(&bed.app_url).await?;
    let found = async || -> Outcome<(Vec<(Severity, String)>, String)> {
        let report = Audit::new(&bed.app_url).run().await?;
        let found = report.findings.iter().filter(|it| it.rule == "D1");
        let found = found.map(|it| (it.severity, it.object.clone())).collect();
        Ok((found, report.fix_sql()))
    };
    for (right, table, near, attack) in KEPT {
        run(&mut owner, &format!("GRANT {near} TO cupel_app; GRANT {right} TO cupel_admin"))
            .await?;
        assert_eq!(found().await?.0, [], "{near}");
        assert!(run(&mut app, attack).await?.starts_with("42501"), "{attack}");
        run(&mut owner, &format!("GRANT {right} TO cupel_app")).await?;
        let (places, fix) = found().await?;
        assert_eq!(places, [(Severity::High, format!("cupel.{table}"))], "{right}");
        let done = run(&mut app, attack).await?;
        assert!(!done.starts_with("42"), "{attack}: {done}");
        sqlx::raw_sql(AssertSqlSafe(fix)).execute(&mut owner).await?;
        assert_eq!(found().await?.0, [], "{right}");
        assert!(run(&mut app, attack).await?.starts_with("42501"), "{attack}");
        // What was taken with the right is given back.
        run(&mut owner, "GRANT SELECT ON cupel.tenant_tables TO cupel_app").await?;
    }
    Ok(())
}

#[tokio::test]
async fn audit_of_a_right_on_the_keys_of_seals() -> Outcome<()> {
    let bed = bed(ContextMode::Sealed).await?;
    let found = async || -> Outcome<Vec<(Severity, String)>> {
        let findings = Audit::new(&bed.app_url).run().await?.findings;
        let found = findings.into_iter().filter(|it| it.rule == "D1");
        Ok(found.map(|it| (it.severity, it.object)).collect())
    };
    // What makes a seal, from the two padded keys: who, which backend, until when.
    let forged = async || -> Outcome<bool> {
        let mut app = PgConnection::connect(&bed.app_url).await?;
        let seal = run(
            &mut app,
            "SELECT concat(body, '.', encode(sha256(k.outer_pad || sha256(k.inner_pad || convert_to(body, 'UTF8'))), 'hex'))
             FROM cupel.seal_keys k, concat('v1.', k.id, '.acme-2..', pg_backend_pid(), '.',
               extract(epoch FROM now() + interval '9 seconds')::int8) body",
        )
        .await?;
        let seal = seal.lines().next().unwrap_or_default();
        run(&mut app, &format!("SET app.current_seal = '{seal}'")).await?;
        Ok(run(&mut app, "SELECT name FROM pipelines").await?.contains("acme-2"))
    };
    assert_eq!(found().await?, []);
    assert!(!forged().await?);
    bed.sql("GRANT SELECT ON cupel.seal_keys TO cupel_app").await?;
    assert_eq!(found().await?, [(Severity::Critical, "cupel.seal_keys".to_owned())]);
    assert!(forged().await?);
    Ok(())
}

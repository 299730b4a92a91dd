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
async fn audit_of_a_right_on_what_administration_alone_may_call() -> Outcome<()> {
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

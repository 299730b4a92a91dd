//! Databases that a migration of ours made, and what only shows in parameters of the audit.

use std::time::Duration;

use cupel_tenant::{IsolationLayer, Severity};
use cupel_tenant_db::{
    Audit, AuditReport, ColumnType, ContextMode, Error, Migration, PolicyCheck, Table,
};

use sqlx::{Connection, Executor, PgConnection};

use super::stage::{Outcome, Stage, Who};
use crate::bed::{Bed, as_role, empty, pair, sql, tables};

/// The findings above Info, as `rule severity object`.
fn list(findings: &[cupel_tenant::Finding]) -> Vec<String> {
    let above = findings.iter().filter(|it| it.severity > Severity::Info);
    above.map(|it| format!("{} {} {}", it.rule, it.severity, it.object)).collect()
}

#[tokio::test]
async fn audit_of_a_migrated_database_finds_nothing_whoever_asks() -> Outcome<()> {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::of(mode, 2).await?;
        for (url, check) in
            [(&bed.owner_url, PolicyCheck::Made), (&bed.app_url, PolicyCheck::Recorded)]
        {
            let audit = Audit::new(url).app_role("cupel_app").admin_role("cupel_admin");
            let report = audit.run().await?;
            assert_eq!(list(&report.findings), Vec::<String>::new(), "{mode:?} {url}");
            assert_eq!((report.policies, report.tables), (Some(check), 5), "{mode:?} {url}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn audit_of_a_migrated_database_finds_what_was_changed() -> Outcome<()> {
    for (sql, expected) in [
        ("GRANT SELECT ON cupel.organizations TO cupel_app", "D1 high cupel.organizations"),
        ("GRANT INSERT ON cupel.tenant_tables TO cupel_app", "D1 high cupel.tenant_tables"),
        ("DROP POLICY cupel_access ON pipelines", "P1 medium public.pipelines"),
        ("DROP POLICY cupel_workspace_read ON pipeline_runs", "P1 critical public.pipeline_runs"),
        (
            "ALTER POLICY cupel_floor ON pipelines USING (true) WITH CHECK (true)",
            "P1 critical public.pipelines",
        ),
    ] {
        let bed = Bed::with(2).await?;
        bed.sql(sql).await?;
        let found = list(&bed.db.audit(pair().first()).await?);
        assert!(found.iter().any(|it| it == expected), "{sql}: {found:?}");
    }
    let bed = Bed::of(ContextMode::Sealed, 2).await?;
    bed.sql("GRANT SELECT ON cupel.seal_keys TO cupel_app").await?;
    let found = list(&bed.db.audit(pair().first()).await?);
    assert_eq!(found, ["D1 critical cupel.seal_keys"]);
    Ok(())
}

async fn by(url: &str) -> Outcome<AuditReport> {
    Ok(Audit::new(url).app_role("cupel_app").run().await?)
}

#[tokio::test]
async fn audit_by_the_owner_does_not_go_by_the_record() -> Outcome<()> {
    for change in [
        "ALTER POLICY cupel_floor ON pipelines USING (true)",
        "ALTER POLICY cupel_floor ON pipelines TO cupel_admin",
        "DROP POLICY cupel_workspace_delete ON pipeline_runs",
        "CREATE POLICY cupel_extra ON pipelines USING (true)",
        "DROP POLICY cupel_floor ON pipelines; CREATE POLICY cupel_floor ON pipelines FOR ALL TO PUBLIC
           USING (org_id = (SELECT cupel.current_org_id())) WITH CHECK (org_id = (SELECT cupel.current_org_id()))",
    ] {
        let bed = Bed::with(2).await?;
        bed.sql(change).await?;
        bed.sql("UPDATE cupel.tenant_tables t SET policies = cupel.policies_of(t.table_name::text::regclass)")
            .await?;
        let by_owner = by(&bed.owner_url).await?;
        assert_eq!(by_owner.policies, Some(PolicyCheck::Made));
        let found = list(&by_owner.findings);
        assert!(found.iter().any(|it| it.starts_with("P1 critical")), "{change}: {found:?}");
        let found = list(&by(&bed.app_url).await?.findings);
        assert!(!found.iter().any(|it| it.starts_with("P1 ")), "{change}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn audit_makes_policies_of_columns_without_a_collation() -> Outcome<()> {
    let owner = empty().await?;
    let (app, admin) = (as_role(&owner, "cupel_app")?, as_role(&owner, "cupel_admin")?);
    sql(
        &owner,
        "CREATE TABLE runs (org_id uuid NOT NULL, workspace_id uuid, PRIMARY KEY (org_id))",
    )
    .await?;
    let migration = Migration::new(&owner).app_url(&app).admin_url(&admin);
    migration.column_type(ColumnType::Uuid).tables([Table::workspace("runs")]).run().await?;
    let report = by(&owner).await?;
    assert_eq!((report.policies, list(&report.findings)), (Some(PolicyCheck::Made), Vec::new()));
    Ok(())
}

#[tokio::test]
async fn audit_does_not_call_what_compares_for_the_migration() -> Outcome<()> {
    let bed = Bed::with(2).await?;
    bed.sql(
        "CREATE OR REPLACE FUNCTION cupel.policies_of(relation oid) RETURNS text LANGUAGE sql STABLE AS
           $$ SELECT t.policies FROM cupel.tenant_tables t WHERE t.table_name::text::regclass = relation $$;
         ALTER POLICY cupel_floor ON pipelines USING (true)",
    )
    .await?;
    for url in [&bed.owner_url, &bed.app_url] {
        let found = list(&by(url).await?.findings);
        assert!(found.contains(&"P1 critical public.pipelines".to_owned()), "{url}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn audit_by_the_owner_leaves_nothing_and_waits_for_no_table() -> Outcome<()> {
    let bed = Bed::with(2).await?;
    let mut busy = PgConnection::connect(&bed.owner_url).await?;
    sqlx::raw_sql("BEGIN; LOCK TABLE pipelines, cupel.organizations IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut busy)
        .await?;
    let asked = tokio::time::timeout(Duration::from_secs(20), by(&bed.owner_url));
    assert_eq!(asked.await??.policies, Some(PolicyCheck::Made));
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'cupel_expected%'";
    assert_eq!(bed.number(left).await?, 0);
    Ok(())
}

#[tokio::test]
async fn audit_runs_no_event_trigger() -> Outcome<()> {
    let bed = Bed::with(2).await?;
    bed.sql(
        // What a sequence gave is not rolled back.
        "CREATE SEQUENCE seen; CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql
           AS $$ BEGIN PERFORM nextval('public.seen'); END $$;
         CREATE EVENT TRIGGER watch ON ddl_command_start EXECUTE FUNCTION watch()",
    )
    .await?;
    let report = by(&bed.owner_url).await?;
    assert_eq!(report.policies, Some(PolicyCheck::Recorded));
    assert_eq!(bed.number("SELECT count(*) FROM seen WHERE is_called").await?, 0);
    Ok(())
}

#[tokio::test]
async fn audit_by_the_application_s_own_role_sees_what_the_superuser_s_does() -> Outcome<()> {
    let stage = Stage::start().await?;
    stage.root(
        "ALTER TABLE items ADD UNIQUE (id); GRANT TRUNCATE ON items TO {app};
         CREATE VIEW v AS SELECT * FROM items; GRANT SELECT ON v TO {app};
         CREATE POLICY extra ON items FOR SELECT USING (true); DROP POLICY floor ON items;
         CREATE FUNCTION f() RETURNS SETOF text SECURITY DEFINER LANGUAGE sql AS 'SELECT note FROM public.items'",
    )
    .await?;
    let by_root = stage.audit(&[]).await?;
    let by_app = Audit::new(&as_role(&stage.root_url, &stage.app)?).run().await?;
    assert_eq!(list(&by_app.findings), list(&by_root.findings));
    assert!(by_app.worst() == Some(Severity::Critical) && by_app.findings.len() > 5);
    assert!(by_app.findings.windows(2).all(|two| two[0].severity >= two[1].severity));
    assert!(by_app.server.starts_with(|it: char| it.is_ascii_digit()));
    Ok(())
}

#[tokio::test]
async fn audit_of_an_admin_role_that_is_a_superuser() -> Outcome<()> {
    let stage = Stage::start().await?;
    let audit = Audit::new(&stage.root_url).app_role(&stage.app).admin_role("postgres");
    assert_eq!(list(&audit.run().await?.findings), ["A1 medium postgres"]);
    let audit = Audit::new(&stage.root_url).app_role("nobody at all");
    let refused = audit.run().await;
    assert!(
        matches!(&refused, Err(Error::NoSuchRole { role }) if role == "nobody at all"),
        "{refused:?}"
    );
    drop(stage.connect(Who::Nobody).await?);
    Ok(())
}

#[tokio::test]
async fn audit_with_other_names() -> Outcome<()> {
    let stage = Stage::start().await?;
    stage.root(
        "DROP TABLE items; CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO {app};
         CREATE TABLE shop.\"Order\" (\"Tenant\" uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (\"Tenant\", id));
         ALTER TABLE shop.\"Order\" OWNER TO {own}; GRANT SELECT ON shop.\"Order\" TO {app};
         CREATE TABLE shop.countries (id int PRIMARY KEY); GRANT SELECT ON shop.countries TO {app}",
    )
    .await?;
    let audit = || {
        Audit::new(&stage.root_url)
            .app_role(&stage.app)
            .tenant_column("Tenant")
            .context("shop.tenant")
            .shared(["shop.countries"])
    };
    let report = audit().run().await?;
    assert_eq!(list(&report.findings), ["T1 critical shop.Order"]);
    stage.root(&report.fix_sql()).await?;
    assert_eq!(list(&audit().run().await?.findings), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn audit_by_a_declaration_finds_what_departs_from_it() -> Outcome<()> {
    let bed = Bed::with(2).await?;
    let audit = |tables: Vec<Table>| {
        Audit::new(&bed.owner_url).app_role("cupel_app").admin_role("cupel_admin").tables(tables)
    };
    assert_eq!(list(&audit(tables()).run().await?.findings), Vec::<String>::new());
    // The declaration has moved on, and nobody migrated.
    let mut moved = tables();
    moved[0] = Table::shared("pipelines");
    moved[1] = Table::workspace("pipeline_runs").workspace_column("team_id");
    moved.pop();
    moved.push(Table::org("later"));
    let found = list(&audit(moved).run().await?.findings);
    let drifted = |table| format!("D2 medium public.{table}");
    assert_eq!(found, ["data_products", "later", "pipeline_runs", "pipelines"].map(drifted));
    // The table has moved on, and nobody declared it.
    bed.sql("ALTER TABLE data_products RENAME TO products").await?;
    let found = list(&audit(Vec::new()).run().await?.findings);
    assert!(found.contains(&drifted("data_products")), "{found:?}");
    assert!(found.iter().any(|it| it.ends_with("public.products")), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn audit_by_a_declaration_of_any_database_knows_each_table_s_own_column() -> Outcome<()> {
    let stage = Stage::start().await?;
    stage.root(
        "CREATE TABLE firms (id text COLLATE \"C\" PRIMARY KEY);
         CREATE TABLE bills (firm text COLLATE \"C\" NOT NULL REFERENCES firms, id int, PRIMARY KEY (firm, id));
         CREATE TABLE drafts (firm text COLLATE \"C\" NOT NULL, id int, PRIMARY KEY (firm, id));
         CREATE POLICY p ON firms USING (id = (SELECT nullif(current_setting('app.current_org_id', true), '')));
         CREATE POLICY p ON bills USING (firm = (SELECT nullif(current_setting('app.current_org_id', true), '')));
         ALTER TABLE firms ENABLE ROW LEVEL SECURITY; ALTER TABLE firms FORCE ROW LEVEL SECURITY;
         ALTER TABLE bills ENABLE ROW LEVEL SECURITY; ALTER TABLE bills FORCE ROW LEVEL SECURITY;
         GRANT SELECT, INSERT ON firms, bills TO {app}",
    )
    .await?;
    let worst = async |tables: Vec<Table>| -> Outcome<Vec<String>> {
        let report = Audit::new(&stage.root_url).app_role(&stage.app).tables(tables).run().await?;
        let high = report.findings.iter().filter(|it| it.severity >= Severity::High);
        Ok(high.map(|it| format!("{} {}", it.rule, it.object)).collect())
    };
    let tables = || {
        vec![
            Table::org("items"),
            Table::org("firms").org_column("id"),
            Table::org("bills").org_column("firm"),
        ]
    };
    assert_eq!(worst(tables()).await?, Vec::<String>::new());
    // Reached, with a column as others have it, and declared by nobody.
    stage.root("INSERT INTO drafts VALUES ('b', 1)").await?;
    let mut app = PgConnection::connect(&as_role(&stage.root_url, &stage.app)?).await?;
    let mut foreign = async || {
        app.execute("SET app.current_org_id = 'a'").await?;
        Ok::<_, sqlx::Error>(app.fetch_all("SELECT * FROM drafts WHERE firm = 'b'").await?.len())
    };
    assert!(foreign().await.is_err());
    stage.root("GRANT SELECT ON drafts TO {app}").await?;
    assert_eq!(worst(tables()).await?, ["T6 public.drafts"]);
    assert_eq!(foreign().await?, 1);
    // The condition is on another column than the declared one.
    stage.root(
        "REVOKE ALL ON drafts FROM {app}; ALTER TABLE bills ADD COLUMN other text;
         ALTER POLICY p ON bills USING (other = (SELECT nullif(current_setting('app.current_org_id', true), '')))",
    )
    .await?;
    let report = Audit::new(&stage.root_url).app_role(&stage.app).tables(tables()).run().await?;
    let found = list(&report.findings);
    assert!(found.iter().any(|it| it.contains("public.bills")), "{found:?}");
    Ok(())
}

//! What a migration makes of the declaration beyond policies: columns, keys, children, views and what comes by
//! itself.

use cupel_tenant::{IsolationLayer, Severity};
use cupel_tenant_db::{ContextMode, Error, Migration, Table, TenantDb};
use sqlx::{Connection, Executor, PgConnection};

use crate::bed::{Bed, TestResult, as_role, assert_isolated, empty, pair, scope, sql};

pub(crate) const UNKEYED: &str = r#"
CREATE TABLE clients (id text COLLATE "C" PRIMARY KEY);
CREATE TABLE projects (id int PRIMARY KEY, client text COLLATE "C" REFERENCES clients (id), slug text,
  CONSTRAINT projects_slug UNIQUE (slug) DEFERRABLE);
CREATE UNIQUE INDEX projects_lower ON projects (lower(slug)) WHERE slug <> '';
CREATE TABLE tasks (id int PRIMARY KEY, project int REFERENCES projects (id) ON DELETE SET NULL,
  "Team" text COLLATE "C");
CREATE TABLE log (at date NOT NULL, client text COLLATE "C" NOT NULL, line text,
  PRIMARY KEY (client, at)) PARTITION BY RANGE (at);
CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE log_before PARTITION OF log DEFAULT;
CREATE TABLE old_projects () INHERITS (projects);
CREATE VIEW slugs AS SELECT slug FROM projects;
CREATE VIEW upper_slugs AS SELECT upper(slug) AS slug FROM slugs;
"#;

pub(crate) fn tables() -> Vec<Table> {
    vec![
        Table::org("clients").org_column("id"),
        Table::org("projects").org_column("client"),
        Table::workspace("tasks")
            .org_column("client")
            .workspace_column("Team")
            .child_of("projects"),
        Table::org("log").org_column("client"),
    ]
}

#[tokio::test]
async fn a_declaration_becomes_columns_keys_and_policies_under_any_names() -> TestResult {
    let owner = empty().await?;
    sql(&owner, UNKEYED).await?;
    let (app, admin) = (as_role(&owner, "named_app")?, as_role(&owner, "named_admin")?);
    let migration = || Migration::new(&owner).app_url(&app).admin_url(&admin).tables(tables());
    migration().run().await?;
    sql(
        &owner,
        "GRANT SELECT ON upper_slugs, slugs, log_2026, old_projects TO named_app;
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO named_app;
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC",
    )
    .await?;
    let changes = migration().run().await?;
    assert_eq!(
        changes.iter().collect::<Vec<_>>(),
        [
            "isolated public.projects",
            "isolated public.log",
            "had views read with the rights of whoever asks",
            "took what new tables would be granted",
        ]
    );
    assert!(migration().run().await?.is_empty());
    let db = TenantDb::builder(&app).admin_url(&admin).connect().await?;
    let findings = db.audit(pair().first()).await?;
    let worse: Vec<_> = findings.iter().filter(|it| it.severity > Severity::Low).collect();
    assert!(worse.is_empty(), "{worse:#?}");
    let attempts = db.prove(&pair()).await?;
    let workspaces = attempts.iter().filter(|it| it.attack.contains("workspace")).count();
    assert!(workspaces >= 10, "{workspaces} attacks on workspaces");
    assert_isolated(&attempts);
    // What was granted by itself is nobody's any more.
    sql(&owner, "CREATE TABLE later (id int)").await?;
    let mut tx = db.begin(&scope("acme")).await?;
    assert!(tx.execute("SELECT FROM later").await.is_err());
    drop(tx);
    assert!(db.erase(pair().first()).await?.is_complete());
    Ok(())
}

/// What a service may have that gave itself rights on all that comes, before it is migrated.
pub(crate) const GENEROUS: &str = "DO $$ BEGIN
    BEGIN CREATE ROLE cupel_app LOGIN PASSWORD 'cupel_app';
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    BEGIN CREATE ROLE cupel_admin LOGIN BYPASSRLS PASSWORD 'cupel_admin';
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
  END $$;
  ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, cupel_app, cupel_admin;
  ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, cupel_app, cupel_admin;
  ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC, cupel_app, cupel_admin";

#[tokio::test]
async fn rights_that_come_by_themselves_do_not_reach_what_is_kept_for_administration() -> TestResult
{
    let owner = empty().await?;
    sql(&owner, GENEROUS).await?;
    let bed = Bed::at(owner, ContextMode::Plain, 1).await?;
    for (url, refused) in [
        (
            &bed.app_url,
            &[
                "SELECT * FROM cupel.organizations",
                "SELECT * FROM cupel.access_log",
                "SELECT nextval('cupel.access_log_id_seq')",
                "SELECT cupel.log_access('a', 'b', NULL, NULL, 'read only', NULL, 1)",
                "DELETE FROM cupel.tenant_tables",
            ][..],
        ),
        (
            &bed.admin_url,
            &[
                "SELECT nextval('cupel.access_log_id_seq')",
                "UPDATE cupel.access_log SET actor = 'bob'",
                "INSERT INTO cupel.access_log (actor, reason, access, expires, digest)
                   VALUES ('bob', 'framed', 'read only', now(), '')",
                "DELETE FROM cupel.tenant_tables",
            ],
        ),
    ] {
        let mut conn = PgConnection::connect(url).await?;
        for statement in refused {
            let error = conn.execute(*statement).await.err().ok_or(*statement)?;
            let code = error.as_database_error().and_then(|it| it.code());
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
        }
    }
    let findings = bed.db.audit(pair().first()).await?;
    assert!(findings.is_empty(), "{findings:#?}");
    Ok(())
}

#[tokio::test]
async fn views_and_children_do_not_lead_around_the_policies() -> TestResult {
    let owner = empty().await?;
    sql(&owner, UNKEYED).await?;
    let app = as_role(&owner, "around_app")?;
    Migration::new(&owner).app_url(&app).tables(tables()).run().await?;
    sql(
        &owner,
        "GRANT SELECT ON upper_slugs TO around_app;
         INSERT INTO clients VALUES ('acme'), ('acme-2');
         INSERT INTO projects (id, client, slug) VALUES (1, 'acme', 'a'), (2, 'acme-2', 'b');
         INSERT INTO log VALUES ('2026-02-02', 'acme', ''), ('2026-02-02', 'acme-2', '')",
    )
    .await?;
    let read = async |sql: &'static str| -> Result<usize, Box<dyn std::error::Error>> {
        let db = TenantDb::builder(&app).allow_critical_findings(true).connect().await?;
        let mut tx = db.begin(&scope("acme")).await?;
        Ok(tx.fetch_all(sql).await?.len())
    };
    assert_eq!(
        read("SELECT * FROM upper_slugs").await?,
        2,
        "the control: a view reads as its owner"
    );
    Migration::new(&owner).app_url(&app).tables(tables()).run().await?;
    assert_eq!(read("SELECT * FROM upper_slugs").await?, 1);
    assert_eq!(read("SELECT * FROM log").await?, 1);
    // It reads a table that the application may not, which only worked by the owner's rights.
    sql(
        &owner,
        "CREATE TABLE secrets (slug text); GRANT SELECT ON slugs TO around_app;
         CREATE OR REPLACE VIEW slugs AS SELECT p.slug FROM projects p LEFT JOIN secrets s USING (slug)",
    )
    .await?;
    let refused = Migration::new(&owner).app_url(&app).tables(tables()).run().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(table == "public.secrets" && problem.contains("view slugs"), "{table} {problem}");
    assert!(read("SELECT * FROM log_2026").await.is_err(), "a partition is not read by its name");
    assert!(read("SELECT * FROM old_projects").await.is_err());
    Ok(())
}

#[tokio::test]
async fn keys_under_rows_are_named_and_left_to_an_adoption() -> TestResult {
    let owner = empty().await?;
    sql(&owner, UNKEYED).await?;
    sql(
        &owner,
        "INSERT INTO clients VALUES ('acme'); INSERT INTO projects VALUES (1, 'acme', 'a');
         ALTER TABLE projects ALTER COLUMN client SET NOT NULL",
    )
    .await?;
    let app = as_role(&owner, "under_rows_app")?;
    let migration = || Migration::new(&owner).app_url(&app).tables(tables());
    let refused = migration().run().await;
    let Err(Error::NeedsAdoption { table, constraint, column }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    // The child refers to a key that is under rows.
    assert_eq!(
        (table.as_str(), constraint.as_str(), column.as_str()),
        ("public.tasks", "foreign key tasks_project_fkey", "client")
    );
    sql(&owner, "DROP TABLE tasks").await?;
    let refused =
        Migration::new(&owner).app_url(&app).tables(tables().into_iter().take(2)).run().await;
    let Err(Error::NeedsAdoption { table, constraint, .. }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(table == "public.projects" && constraint.contains("projects_"), "{constraint}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_rebuilt_is_named() -> TestResult {
    for (change, named) in [
        (
            "ALTER TABLE projects ADD CONSTRAINT alone EXCLUDE USING hash (slug WITH =)",
            "constraint alone without client",
        ),
        (
            "ALTER TABLE projects ADD CONSTRAINT across EXCLUDE USING btree (slug WITH =, client WITH =);
             CREATE EXTENSION btree_gist;
             ALTER TABLE projects DROP CONSTRAINT across,
               ADD CONSTRAINT across EXCLUDE USING gist (slug WITH =, client WITH <>)",
            "constraint across, which compares rows of different organizations",
        ),
        (
            "ALTER TABLE tasks DROP CONSTRAINT tasks_project_fkey,
               ADD CONSTRAINT full_match FOREIGN KEY (project) REFERENCES projects (id) MATCH FULL",
            "foreign key full_match without client, and it is MATCH FULL",
        ),
        (
            "ALTER TABLE tasks DROP CONSTRAINT tasks_project_fkey,
               ADD CONSTRAINT emptied FOREIGN KEY (project) REFERENCES projects (id) ON UPDATE SET NULL",
            "foreign key emptied without client, and ON UPDATE SET",
        ),
        ("ALTER TABLE tasks DROP CONSTRAINT tasks_project_fkey", "has 0 foreign keys to it"),
        ("CREATE TABLE bills (project int REFERENCES projects (id))", "bills_project_fkey of public.bills"),
    ] {
        let owner = empty().await?;
        sql(&owner, UNKEYED).await?;
        sql(&owner, change).await?;
        let app = as_role(&owner, "not_rebuilt_app")?;
        let refused = Migration::new(&owner).app_url(&app).tables(tables()).run().await;
        let Err(Error::TableUnfit { problem, .. }) = &refused else {
            return Err(format!("{change}: {refused:?}").into());
        };
        assert!(problem.contains(named), "{problem}");
    }
    Ok(())
}

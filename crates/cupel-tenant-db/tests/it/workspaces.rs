//! Tables whose rows belong to workspaces, or to organizations apart from them.

use cupel_tenant::{Attempt, IsolationLayer, TenantScope};
use cupel_tenant_db::{ColumnType, ContextMode, Migration, Table, TenantDb};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::bed::{
    TestResult, as_role, assert_isolated, assert_leaks, empty, org_id, pair, scope, seal_key, sql,
};

/// Every scope sees few of many rows, so that the planner wants an index.
const DRAFTS: &str = "CREATE TABLE drafts (
  org_id text COLLATE \"C\" NOT NULL,
  id text NOT NULL,
  workspace_id text COLLATE \"C\",
  words int NOT NULL DEFAULT 0,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX drafts_by_workspace ON drafts (org_id, workspace_id)";

struct Drafts {
    owner_url: String,
    db: TenantDb,
}

impl Drafts {
    async fn start(mode: ContextMode) -> Result<Self, Box<dyn std::error::Error>> {
        let owner_url = empty().await?;
        let (app, admin) = (as_role(&owner_url, "cupel_app")?, as_role(&owner_url, "cupel_admin")?);
        sql(&owner_url, DRAFTS).await?;
        Migration::new(&owner_url)
            .app_url(&app)
            .admin_url(&admin)
            .tables([Table::separate("drafts")])
            .context(mode)
            .seal_keys([seal_key("k1")])
            .run()
            .await?;
        let db = TenantDb::builder(&app).admin_url(&admin).seal_key(seal_key("k1"));
        Ok(Self { db: db.connect().await?, owner_url })
    }

    async fn prove(&self) -> Result<Vec<Attempt>, Box<dyn std::error::Error>> {
        Ok(self.db.prove(&pair()).await?)
    }

    /// The ids that the scope sees, in order.
    async fn seen(&self, scope: &TenantScope) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM drafts ORDER BY id")
            .fetch_all(&self.db.scoped(scope))
            .await
    }

    async fn plan(&self, scope: &TenantScope) -> Result<String, Box<dyn std::error::Error>> {
        let mut tx = self.db.begin(scope).await?;
        let lines = tx.fetch_all("EXPLAIN (COSTS OFF) SELECT * FROM drafts").await?;
        let lines: Result<Vec<String>, _> = lines.iter().map(|row| row.try_get(0)).collect();
        Ok(lines?.join("\n"))
    }
}

fn in_workspace(org: &str, workspace: &str) -> Result<TenantScope, Box<dyn std::error::Error>> {
    Ok(scope(org).narrow_to(workspace.parse()?)?)
}

#[tokio::test]
async fn a_workspace_sees_its_own_and_its_organizations_and_the_organization_its_own() -> TestResult
{
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let drafts = Drafts::start(mode).await?;
        let (acme, eu, us) =
            (scope("acme"), in_workspace("acme", "eu")?, in_workspace("acme", "us")?);
        for (scope, id, workspace) in
            [(&acme, "all", "DEFAULT"), (&eu, "eu", "'eu'"), (&us, "us", "'us'")]
        {
            let mut tx = drafts.db.begin(scope).await?;
            let insert = format!(
                "INSERT INTO drafts (org_id, id, workspace_id) VALUES ('acme', '{id}', {workspace})"
            );
            tx.execute(AssertSqlSafe(insert)).await?;
            tx.commit().await?;
        }
        assert_eq!(drafts.seen(&acme).await?, ["all"]);
        assert_eq!(drafts.seen(&eu).await?, ["all", "eu"]);
        assert_eq!(drafts.seen(&us).await?, ["all", "us"]);
        assert!(drafts.seen(&in_workspace("globex", "eu")?).await?.is_empty());
        for (scope, rows) in [(&acme, 1), (&eu, 1), (&us, 1)] {
            let mut tx = drafts.db.begin(scope).await?;
            let written = tx.execute("UPDATE drafts SET words = words + 1").await?;
            assert_eq!(written.rows_affected(), rows);
            assert_eq!(tx.execute("DELETE FROM drafts").await?.rows_affected(), rows);
            tx.rollback().await?;
        }
        for (scope, refused) in [
            (&eu, "UPDATE drafts SET workspace_id = 'us'"),
            (&eu, "UPDATE drafts SET workspace_id = DEFAULT"),
            (&eu, "UPDATE drafts SET workspace_id = NULL"),
            (&eu, "INSERT INTO drafts (org_id, id) VALUES ('acme', 'new')"),
            (&acme, "INSERT INTO drafts VALUES ('acme', 'new', 'eu')"),
            (&acme, "UPDATE drafts SET workspace_id = 'eu'"),
        ] {
            let mut tx = drafts.db.begin(scope).await?;
            let error = tx.execute(refused).await.expect_err(refused);
            let code = error.as_database_error().and_then(|it| it.code());
            assert_eq!(code.as_deref(), Some("42501"), "{refused}: {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_scope_is_served_by_one_index_condition() -> TestResult {
    let drafts = Drafts::start(ContextMode::Plain).await?;
    let mut owner = PgConnection::connect(&drafts.owner_url).await?;
    owner
        .execute(
            "INSERT INTO drafts
             SELECT 'org-' || o, w || '-' || n, CASE w WHEN 0 THEN '-' ELSE 'w-' || w END
             FROM generate_series(1, 20) o, generate_series(0, 20) w, generate_series(1, 20) n;
             ANALYZE drafts",
        )
        .await?;
    for scope in [scope("org-7"), in_workspace("org-7", "w-3")?] {
        let plan = drafts.plan(&scope).await?;
        let condition = plan.lines().find(|line| line.contains("Index Cond:")).unwrap_or_default();
        assert!(
            condition.contains("org_id =") && condition.contains("workspace_id = ANY"),
            "{plan}"
        );
        assert!(!plan.contains("Filter:") && !plan.contains("BitmapOr"), "{plan}");
    }
    // The control: the same rows as a workspace's table, where the condition has an OR.
    owner.execute("ALTER TABLE drafts ALTER COLUMN workspace_id DROP NOT NULL").await?;
    let (app, url) = (as_role(&drafts.owner_url, "cupel_app")?, &drafts.owner_url);
    Migration::new(url).app_url(&app).tables([Table::workspace("drafts")]).run().await?;
    let plan = drafts.plan(&in_workspace("org-7", "w-3")?).await?;
    assert!(plan.contains("Filter:"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn all_attacks_are_blocked_and_each_guard_is_needed() -> TestResult {
    let drafts = Drafts::start(ContextMode::Plain).await?;
    assert_isolated(&drafts.prove().await?);
    for (guard, attack) in [
        ("read", "read another workspace's rows"),
        ("insert", "insert a row for another workspace"),
        ("update", "change from a workspace what its organization shares"),
        ("delete", "change from a workspace what its organization shares"),
    ] {
        let drafts = Drafts::start(ContextMode::Plain).await?;
        let mut owner = PgConnection::connect(&drafts.owner_url).await?;
        let drop = format!("DROP POLICY cupel_workspace_{guard} ON drafts");
        owner.execute(AssertSqlSafe(drop)).await?;
        assert_leaks(&drafts.prove().await?, attack);
        let findings = drafts.db.audit(&org_id("acme")).await?;
        assert!(findings.iter().any(|it| it.rule == "P1"), "{guard}: {findings:?}");
    }
    Ok(())
}

#[tokio::test]
async fn uuids_have_a_value_of_their_own_for_no_workspace() -> TestResult {
    let owner = empty().await?;
    let app = as_role(&owner, "cupel_app")?;
    sql(
        &owner,
        "CREATE TABLE notes (org_id uuid NOT NULL, id int NOT NULL, workspace_id uuid,
           PRIMARY KEY (org_id, id))",
    )
    .await?;
    let tables = [Table::separate("notes")];
    let migration = || Migration::new(&owner).app_url(&app).column_type(ColumnType::Uuid);
    migration().tables(tables.clone()).run().await?;
    // Again, over what is there.
    migration().tables(tables).run().await?;
    let db = TenantDb::builder(&app).connect().await?;
    let acme = scope("0192d4c6-5b1a-7c3e-9f00-0123456789ab");
    let mut tx = db.begin(&acme).await?;
    tx.execute("INSERT INTO notes VALUES (cupel.current_org_id(), 1)").await?;
    tx.commit().await?;
    let eu = acme.clone().narrow_to("0192d4c6-5b1a-7c3e-9f00-0123456789ac".parse()?)?;
    for scope in [&acme, &eu] {
        let notes: Vec<i32> =
            sqlx::query_scalar("SELECT id FROM notes").fetch_all(&db.scoped(scope)).await?;
        assert_eq!(notes, [1]);
    }
    let nil = acme.narrow_to("00000000-0000-0000-0000-000000000000".parse()?)?;
    let refused = db.begin(&nil).await.expect_err("the nil UUID is no workspace");
    assert!(refused.to_string().contains("nil UUID"), "{refused}");
    Ok(())
}

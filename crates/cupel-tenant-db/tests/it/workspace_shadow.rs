//! The shadow of tables whose rows are of workspaces: what is outside the workspace of the context is counted.

use std::error::Error;
use std::time::Duration;

use cupel_tenant::TenantScope;
use cupel_tenant_db::{Adoption, ColumnType, Migration, Table, TenantDb};
use sqlx::{AssertSqlSafe, Executor};

use crate::bed::{TestResult, as_role, empty, scope, sql};
use crate::shop::stopped_at;

/// The same rows as a table of each kind: two of an organization's own (NULL, or what stands for no workspace),
/// two of each of its workspaces, and two of another organization.
const SCHEMA: &str = r#"
CREATE TABLE runs (org_id text COLLATE "C" NOT NULL, id int, workspace_id text COLLATE "C", n int,
  PRIMARY KEY (org_id, id));
INSERT INTO runs VALUES ('acme', 1, NULL), ('acme', 2, NULL), ('acme', 3, 'eu'), ('acme', 4, 'eu'), ('acme', 5, 'us'),
  ('acme', 6, 'us'), ('globex', 7, NULL), ('globex', 8, 'us');
CREATE TABLE drafts (LIKE runs INCLUDING ALL);
INSERT INTO drafts SELECT org_id, id, coalesce(workspace_id, '-') FROM runs;
ALTER TABLE drafts ALTER workspace_id SET NOT NULL;
CREATE TABLE plans (LIKE runs INCLUDING ALL);
INSERT INTO plans SELECT * FROM runs;
"#;

struct Shadow {
    adoption: Adoption,
    db: TenantDb,
}

impl Shadow {
    async fn begin(app: &str) -> Result<Self, Box<dyn Error>> {
        let owner = empty().await?;
        sql(&owner, SCHEMA).await?;
        let app = as_role(&owner, app)?;
        let migration = Migration::new(&owner).app_url(&app).tables([
            Table::workspace("runs"),
            Table::separate("drafts"),
            Table::shared("plans"),
        ]);
        let adoption = Adoption::of(migration);
        adoption.shadow().await?;
        let db = TenantDb::builder(&app).allow_critical_findings(true).connect().await?;
        Ok(Self { adoption, db })
    }

    /// Runs a statement, and takes back what it did; returns what was counted of it: by whom no organization
    /// was named or another, and outside a workspace when reading and when writing.
    async fn counted(
        &self,
        scope: &TenantScope,
        table: &str,
        statement: &str,
    ) -> Result<[u64; 3], Box<dyn Error>> {
        self.adoption.forget().await?;
        let mut tx = self.db.begin(scope).await?;
        tx.execute(AssertSqlSafe(statement.to_owned())).await?;
        tx.rollback().await?;
        let status = self.adoption.status().await?;
        let of = status.iter().find(|it| it.table.ends_with(table)).ok_or("no such table")?;
        let it = of.violations;
        let others = it.total() - it.outside_reads - it.outside_writes;
        Ok([others, it.outside_reads, it.outside_writes])
    }
}

fn eu() -> Result<TenantScope, Box<dyn Error>> {
    Ok(scope("acme").narrow_to("eu".parse()?)?)
}

#[tokio::test]
async fn what_is_outside_the_workspace_of_the_context_is_counted() -> TestResult {
    let shadow = Shadow::begin("outside_app").await?;
    let (acme, eu) = (scope("acme"), eu()?);
    for (scope, table, statement, counted) in [
        // The controls: what a scope may do stays uncounted.
        (&eu, "runs", "SELECT * FROM runs WHERE org_id = 'acme' AND id <= 4", [0, 0, 0]),
        (&eu, "runs", "UPDATE runs SET n = 1 WHERE org_id = 'acme' AND id IN (3, 4)", [0, 0, 0]),
        (&eu, "runs", "INSERT INTO runs VALUES ('acme', 9, 'eu')", [0, 0, 0]),
        (&acme, "runs", "UPDATE runs SET n = 1 WHERE org_id = 'acme'", [0, 0, 0]),
        (&eu, "drafts", "SELECT * FROM drafts WHERE org_id = 'acme' AND id <= 4", [0, 0, 0]),
        (&eu, "drafts", "DELETE FROM drafts WHERE org_id = 'acme' AND id IN (3, 4)", [0, 0, 0]),
        (&acme, "drafts", "UPDATE drafts SET n = 1 WHERE org_id = 'acme' AND id <= 2", [0, 0, 0]),
        (&eu, "plans", "SELECT * FROM plans WHERE org_id = 'acme'", [0, 0, 0]),
        (&acme, "plans", "UPDATE plans SET n = 1 WHERE org_id = 'acme'", [0, 0, 0]),
        // What a query leaves out itself is asked first, if it costs more than what the shadow asks.
        (
            &eu,
            "runs",
            "SELECT * FROM runs WHERE n > 5 OR n = 3 OR n = 4 OR id = 1 OR id = 2 OR id = 3",
            [0, 0, 0],
        ),
        // Rows of the other organization are counted as such, and not again.
        (&eu, "runs", "SELECT * FROM runs WHERE org_id = 'globex'", [1, 0, 0]),
        // Many rows are one statement.
        (&eu, "runs", "SELECT * FROM runs WHERE org_id = 'acme'", [0, 1, 0]),
        (&eu, "runs", "SELECT * FROM runs", [1, 1, 0]),
        (&eu, "runs", "SELECT * FROM runs WHERE org_id = 'acme' AND id = 5", [0, 1, 0]),
        // What the organization shares is read, and not written.
        (&eu, "runs", "DELETE FROM runs WHERE org_id = 'acme' AND id = 1", [0, 0, 1]),
        (&eu, "runs", "DELETE FROM runs WHERE org_id = 'acme' AND id = 5", [0, 1, 1]),
        (&eu, "runs", "INSERT INTO runs VALUES ('acme', 9, 'us')", [0, 0, 1]),
        (&eu, "runs", "INSERT INTO runs VALUES ('acme', 9, NULL)", [0, 0, 1]),
        // Into its own from where it may not take: the row would not be found.
        (
            &eu,
            "runs",
            "UPDATE runs SET workspace_id = 'eu' WHERE org_id = 'acme' AND id = 1",
            [0, 0, 1],
        ),
        // One that names a column also has to see the row that it leaves.
        (
            &eu,
            "runs",
            "UPDATE runs SET workspace_id = 'us' WHERE org_id = 'acme' AND id = 3",
            [0, 1, 1],
        ),
        (&eu, "drafts", "SELECT * FROM drafts WHERE org_id = 'acme' AND id = 5", [0, 1, 0]),
        (&acme, "drafts", "SELECT * FROM drafts WHERE org_id = 'acme' AND id = 3", [0, 1, 0]),
        (&acme, "drafts", "INSERT INTO drafts VALUES ('acme', 9, 'eu')", [0, 0, 1]),
        (&eu, "drafts", "INSERT INTO drafts VALUES ('acme', 9, '-')", [0, 0, 1]),
        (&eu, "plans", "DELETE FROM plans WHERE org_id = 'acme' AND id = 1", [0, 0, 1]),
        (&eu, "plans", "INSERT INTO plans VALUES ('acme', 9)", [0, 0, 1]),
    ] {
        let found = shadow.counted(scope, table, statement).await?;
        assert_eq!(found, counted, "{scope:?}: {statement}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_is_enforced_once_nothing_is_outside_its_workspace() -> TestResult {
    let shadow = Shadow::begin("inside_app").await?;
    let eu = eu()?;
    let within = "UPDATE runs SET n = 1 WHERE org_id = 'acme' AND workspace_id = 'eu'";
    shadow.counted(&eu, "runs", "SELECT * FROM runs WHERE org_id = 'acme'").await?;
    let refused = shadow.adoption.enforce().await;
    assert!(
        matches!(&refused, Err(cupel_tenant_db::Error::StillViolated { table, violations: 1 }) if table == "public.runs"),
        "{refused:?}"
    );
    assert_eq!(shadow.counted(&eu, "runs", within).await?, [0, 0, 0]);
    let mut stops = 0;
    while stopped_at(shadow.adoption.clone(), stops).await? {
        stops += 1;
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_policies JOIN pg_policies f USING (schemaname, tablename)
             WHERE pg_policies.policyname LIKE 'cupel\\_shadow%' AND f.policyname = 'cupel_floor'",
        )
        .fetch_one(&shadow.db.scoped(&eu))
        .await?;
        assert_eq!(left, 0, "an isolated table is still in its shadow after stop {stops}");
    }
    assert!(stops > 4, "{stops}");
    assert!(shadow.adoption.enforce().await?.is_empty(), "a second run changes nothing");
    let mut tx = shadow.db.begin(&eu).await?;
    assert_eq!(tx.fetch_all("SELECT * FROM runs").await?.len(), 4);
    assert_eq!(tx.execute(within).await?.rows_affected(), 2);
    Ok(())
}

/// Whoever may write nothing is counted by the server's statistics, whatever the type of the columns.
#[tokio::test]
async fn reads_outside_a_workspace_are_counted_in_transactions_that_may_not_write() -> TestResult {
    let owner = empty().await?;
    sql(
        &owner,
        "CREATE TABLE notes (org_id uuid NOT NULL, id int, workspace_id uuid, PRIMARY KEY (org_id, id));
         INSERT INTO notes SELECT '0192d4c6-5b1a-7c3e-9f00-0123456789ab', n,
           ('0192d4c6-5b1a-7c3e-9f00-0123456789a' || n)::uuid FROM generate_series(1, 2) n",
    )
    .await?;
    let app = as_role(&owner, "reading_app")?;
    let migration = Migration::new(&owner).app_url(&app).column_type(ColumnType::Uuid);
    let adoption = Adoption::of(migration.tables([Table::workspace("notes")]));
    adoption.shadow().await?;
    let db = TenantDb::builder(&app).allow_critical_findings(true).connect().await?;
    let first = scope("0192d4c6-5b1a-7c3e-9f00-0123456789ab")
        .narrow_to("0192d4c6-5b1a-7c3e-9f00-0123456789a1".parse()?)?;
    for (statement, counted) in
        [("SELECT * FROM notes WHERE id = 1", 0), ("SELECT * FROM notes WHERE id = 2", 1)]
    {
        let mut tx = db.begin_read_only(&first).await?;
        assert_eq!(tx.fetch_all(statement).await?.len(), 1, "nobody is blocked");
        tx.commit().await?;
        // The server's statistics are told of within a second.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let status = adoption.status().await?;
        let violations = status.first().ok_or("no table")?.violations;
        assert_eq!(
            (violations.outside_reads, violations.total()),
            (counted, counted),
            "{statement}"
        );
    }
    Ok(())
}

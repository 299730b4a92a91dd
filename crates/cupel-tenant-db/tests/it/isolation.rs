use std::collections::BTreeSet;

use cupel_tenant::{IsolationLayer, OrgPair};
use cupel_tenant_db::{ColumnType, Migration, Table, TenantDb};

use crate::bed::{Bed, TestResult, as_role, assert_isolated, empty, pair, sql};

#[tokio::test]
async fn every_attack_is_blocked_and_every_control_holds() -> TestResult {
    let bed = Bed::start().await?;
    let attempts = bed.prove().await?;
    assert_isolated(&attempts);
    let names: BTreeSet<_> = attempts.iter().map(|it| it.attack).collect();
    assert_eq!(names.len(), 31, "{names:#?}");
    assert_eq!(attempts.len(), 62);
    for attempt in &attempts {
        assert!(!attempt.evidence.is_empty() && attempt.evidence.len() < 90, "{attempt:?}");
        assert!(!attempt.control.evidence().is_empty());
    }
    // Again, on the rows that the first left.
    assert_isolated(&bed.prove().await?);
    assert!(bed.db.audit(pair().first()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_uuid_database_is_proven_with_canaries() -> TestResult {
    let owner = empty().await?;
    sql(
        &owner,
        "CREATE SCHEMA etl;
         CREATE TYPE etl.mood AS ENUM ('glad', 'sad');
         CREATE TABLE etl.jobs (
           org_id uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, workspace_id uuid,
           mood etl.mood NOT NULL, spec jsonb NOT NULL, due date NOT NULL, took interval NOT NULL,
           code varchar(4) NOT NULL, peer inet NOT NULL, body bytea NOT NULL, tags text[] NOT NULL,
           parent bigint, twice int GENERATED ALWAYS AS (2) STORED,
           PRIMARY KEY (org_id, id), UNIQUE (org_id, code),
           FOREIGN KEY (org_id, parent) REFERENCES etl.jobs (org_id, id));
         CREATE TABLE etl.steps (
           org_id uuid NOT NULL, id uuid NOT NULL, code varchar(4) NOT NULL, at time NOT NULL,
           PRIMARY KEY (org_id, id),
           FOREIGN KEY (org_id, code) REFERENCES etl.jobs (org_id, code) DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE plans (id int PRIMARY KEY);",
    )
    .await?;
    let app = as_role(&owner, "cupel_app")?;
    let tables = [Table::workspace("etl.jobs"), Table::org("etl.steps"), Table::global("plans")];
    Migration::new(&owner).app_url(&app).tables(tables).column_type(ColumnType::Uuid).run().await?;
    let db = TenantDb::connect(&app).await?;
    let pair = OrgPair::canary(uuid::Uuid::from_u128(7 << 64));
    assert_isolated(&db.prove(&pair).await?);
    // Without an admin path erasing goes through the organization's own scope.
    for org in [pair.first(), pair.second()] {
        let erasure = db.erase(org).await?;
        assert!(erasure.is_complete());
        assert_eq!(erasure.items().iter().map(|it| it.count).sum::<u64>(), 8);
    }
    Ok(())
}

/// Three foreign keys of a table lead by one column to three tables.
const SHARED_COLUMN: &str = "
    CREATE TABLE projects (org_id text COLLATE \"C\" NOT NULL, id int NOT NULL, PRIMARY KEY (org_id, id));
    CREATE TABLE tasks (
      org_id text COLLATE \"C\" NOT NULL, project int NOT NULL, id int NOT NULL,
      PRIMARY KEY (org_id, project, id), FOREIGN KEY (org_id, project) REFERENCES projects);
    CREATE TABLE settings (
      org_id text COLLATE \"C\" NOT NULL, project int NOT NULL, PRIMARY KEY (org_id, project),
      FOREIGN KEY (org_id, project) REFERENCES projects);
    CREATE TABLE hours (
      org_id text COLLATE \"C\" NOT NULL, id int NOT NULL, project int NOT NULL, task int NOT NULL,
      PRIMARY KEY (org_id, id), FOREIGN KEY (org_id, project) REFERENCES settings,
      FOREIGN KEY (org_id, project) REFERENCES projects,
      FOREIGN KEY (org_id, project, task) REFERENCES tasks)";

#[tokio::test]
async fn foreign_keys_that_share_a_column_are_proven_together() -> TestResult {
    let owner = empty().await?;
    sql(&owner, SHARED_COLUMN).await?;
    let app = as_role(&owner, "cupel_app")?;
    let tables = ["projects", "tasks", "settings", "hours"].map(Table::org);
    Migration::new(&owner).app_url(&app).tables(tables).run().await?;
    let db = TenantDb::connect(&app).await?;
    assert_isolated(&db.prove(&pair()).await?);
    Ok(())
}

#[tokio::test]
async fn a_proof_changes_nothing_but_its_own_rows() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "mine").await?;
    bed.pipeline("acme-2", "mine").await?;
    bed.pipeline("globex", "mine").await?;
    let before =
        bed.number("SELECT count(*) FROM pipelines WHERE id = 'mine' AND name = org_id").await?;
    bed.prove().await?;
    let after =
        bed.number("SELECT count(*) FROM pipelines WHERE id = 'mine' AND name = org_id").await?;
    assert_eq!((before, after), (3, 3));
    let others = bed.number("SELECT count(*) FROM pipelines WHERE id <> 'mine'").await?;
    assert_eq!(others, 8);
    Ok(())
}

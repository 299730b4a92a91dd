use std::time::Duration;

use cupel_tenant_db::{AdminGrant, Error, TenantDb};
use futures::TryStreamExt;
use sqlx::Executor;

use crate::bed::{Bed, TestResult, org_id, scope};

pub(crate) async fn three_orgs() -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::start().await?;
    for org in ["acme", "globex", "initech"] {
        bed.pipeline(org, "nightly").await?;
    }
    Ok(bed)
}

#[tokio::test]
async fn a_grant_for_all_reads_all_and_is_logged_before() -> TestResult {
    let bed = three_orgs().await?;
    let grant = AdminGrant::read_only("alice@cupel.example", "quarterly usage report")
        .ticket("OPS-1432")
        .approved_by("bob@cupel.example")
        .all_orgs()
        .expires_in(Duration::from_secs(60));
    let mut tx = bed.db.admin(&grant).await?;
    let logged = "SELECT count(*) FROM cupel.access_log WHERE actor = 'alice@cupel.example'
        AND reason = 'quarterly usage report' AND ticket = 'OPS-1432'
        AND approver = 'bob@cupel.example' AND access = 'read only' AND orgs IS NULL AND login = 'cupel_admin' AND expires BETWEEN now() AND now() + interval '1 minute'";
    assert_eq!(bed.number(logged).await?, 1);
    let usage: Vec<(String, i64)> =
        sqlx::query_as("SELECT org_id, count(*) FROM pipelines GROUP BY org_id ORDER BY org_id")
            .fetch(&mut tx)
            .try_collect()
            .await?;
    assert_eq!(usage.len(), 3);
    // Read only is the server's business.
    assert!(tx.execute("DELETE FROM pipelines").await.is_err());
    tx.rollback().await?;
    let mut tx = bed.db.admin(&grant).await?;
    assert!(tx.execute("SET TRANSACTION READ WRITE").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_grant_for_named_organizations_is_limited_by_the_server() -> TestResult {
    let bed = three_orgs().await?;
    let one = AdminGrant::read_write("alice", "repair").orgs([org_id("acme")]);
    let mut tx = bed.db.admin(&one).await?;
    let changed = tx.execute("UPDATE pipelines SET schedule = 'daily'").await?;
    assert_eq!(changed.rows_affected(), 1);
    assert!(matches!(tx.enter(&org_id("globex")).await, Err(Error::NotGranted)));
    tx.commit().await?;
    assert_eq!(bed.number("SELECT count(*) FROM pipelines WHERE schedule = 'daily'").await?, 1);

    let two = AdminGrant::read_only("alice", "compare").orgs([org_id("acme"), org_id("globex")]);
    let mut tx = bed.db.admin(&two).await?;
    let names = "SELECT name FROM pipelines";
    assert!(tx.fetch_all(names).await?.is_empty());
    for org in ["acme", "globex"] {
        tx.enter(&org_id(org)).await?;
        let seen: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut tx).await?;
        assert_eq!(seen, [org]);
    }
    // The exemption of the login is given up for the transaction.
    let who: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut tx).await?;
    assert_eq!(who, "cupel_app");
    Ok(())
}

#[tokio::test]
async fn a_transaction_does_not_outlive_its_grant() -> TestResult {
    let bed = three_orgs().await?;
    let brief = || {
        AdminGrant::read_write("alice", "report").all_orgs().expires_in(Duration::from_millis(400))
    };
    // The server ends a statement that is still running.
    let mut tx = bed.db.admin(&brief()).await?;
    let begun = std::time::Instant::now();
    assert!(tx.execute("SELECT pg_sleep(20)").await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Now it is over, for statements and for the commit.
    let refused = tx.execute("SELECT 1").await;
    assert!(matches!(refused, Err(sqlx::Error::Configuration(_))), "{refused:?}");
    assert!(matches!(tx.commit().await, Err(Error::GrantExpired)));
    let over = AdminGrant::read_only("alice", "report").all_orgs().expires_in(Duration::ZERO);
    assert!(matches!(bed.db.admin(&over).await, Err(Error::GrantExpired)));
    Ok(())
}

#[tokio::test]
async fn a_statement_that_began_late_ends_with_the_grant() -> TestResult {
    let bed = three_orgs().await?;
    let time = Duration::from_millis(800);
    let grant = AdminGrant::read_write("alice", "report").all_orgs().expires_in(time);
    let begun = std::time::Instant::now();
    let mut tx = bed.db.admin(&grant).await?;
    tokio::time::sleep(time / 2).await;
    // Its own timeout is the whole of the grant, counted from here.
    assert!(tx.execute("SELECT pg_sleep(20)").await.is_err());
    assert!(begun.elapsed() < time + Duration::from_millis(350), "{:?}", begun.elapsed());
    // One that is given back in time is left alone.
    let brief = AdminGrant::read_only("alice", "report").all_orgs().expires_in(time / 4);
    bed.db.admin(&brief).await?.rollback().await?;
    let mut tx = bed.db.admin(&AdminGrant::read_only("alice", "report").all_orgs()).await?;
    tokio::time::sleep(time / 2).await;
    tx.execute("SELECT 1").await?;
    Ok(())
}

#[tokio::test]
async fn a_suspended_organization_is_open_to_administration() -> TestResult {
    let bed = three_orgs().await?;
    cupel_tenant::IsolationLayer::suspend(&bed.db, &org_id("acme")).await?;
    assert!(bed.db.begin(&scope("acme")).await.is_err());
    let grant = AdminGrant::read_only("alice", "look").orgs([org_id("acme")]);
    let mut tx = bed.db.admin(&grant).await?;
    assert_eq!(tx.fetch_all("SELECT 1 FROM pipelines").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn without_an_admin_url_there_is_no_admin_path() -> TestResult {
    let bed = Bed::start().await?;
    let db = TenantDb::connect(&bed.app_url).await?;
    let grant = AdminGrant::read_only("alice", "report").all_orgs();
    assert!(matches!(db.admin(&grant).await, Err(Error::NoAdmin)));
    assert!(db.registry().is_none());
    Ok(())
}

//! One migration or adoption at a time changes a database.

use std::time::Duration;

use cupel_tenant_db::{Error, Migration, Phase};
use sqlx::{Connection, Executor, PgConnection};

use crate::bed::{TestResult, as_role, empty, sql};
use crate::schema::{UNKEYED, tables};
use crate::shop::Shop;

/// Who holds the lock, once somebody does.
async fn holder(conn: &mut PgConnection) -> Result<i32, sqlx::Error> {
    loop {
        let holder: Option<i32> = sqlx::query_scalar(
            "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()",
        )
        .fetch_optional(&mut *conn)
        .await?;
        match holder {
            Some(backend) => return Ok(backend),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// An adoption that waits for a table which somebody else has locked.
#[tokio::test]
async fn a_second_is_refused_by_the_name_of_the_first_and_can_be_run_after_it() -> TestResult {
    let shop = Shop::open("one_at_a_time").await?;
    let mut blocker = shop.owner().await?;
    blocker.execute("BEGIN; SELECT * FROM tenants").await?;
    let mut owner = shop.owner().await?;
    for is_ended in [false, true] {
        let first = shop.adoption()?;
        let first = tokio::spawn(async move { first.shadow().await });
        let backend = holder(&mut owner).await?;
        let before = shop.shape().await?;
        let (adoption, migration) = (shop.adoption()?, shop.migration()?);
        let (shadow, enforce, forget, run) =
            tokio::join!(adoption.shadow(), adoption.enforce(), adoption.forget(), migration.run());
        for refused in [shadow, enforce, forget, run] {
            let Err(Error::MigrationRunning { backend: found }) = &refused else {
                return Err(format!("{refused:?}").into());
            };
            assert_eq!(*found, backend);
        }
        assert_eq!(shop.shape().await?, before);
        assert_eq!(adoption.status().await?.len(), 4, "whoever only reads goes on");
        assert!(!first.is_finished(), "the first had nothing to wait for");
        if is_ended {
            blocker.execute("COMMIT").await?;
            first.await??;
        } else {
            // What the error says that can be done.
            sqlx::query("SELECT pg_terminate_backend($1)")
                .bind(backend)
                .execute(&mut owner)
                .await?;
            assert!(matches!(first.await?, Err(Error::Unreachable { .. })));
        }
    }
    let adoption = shop.adoption()?;
    assert!(adoption.shadow().await?.is_empty(), "the first has begun all shadows");
    adoption.enforce().await?;
    let phases = adoption.status().await?;
    assert_eq!(phases.iter().filter(|it| it.phase == Phase::Enforced).count(), 3, "{phases:?}");
    blocker.close().await?;
    Ok(())
}

/// As the instances of a service do that migrate as they start.
#[tokio::test]
async fn migrations_that_meet_follow_each_other() -> TestResult {
    let owner = empty().await?;
    sql(&owner, UNKEYED).await?;
    let app = as_role(&owner, "that_meet_app")?;
    let run = || {
        let migration = Migration::new(&owner).app_url(&app).tables(tables());
        async move { migration.run().await }
    };
    let all = tokio::try_join!(run(), run(), run())?;
    let changed = [all.0, all.1, all.2].iter().filter(|it| !it.is_empty()).count();
    assert_eq!(changed, 1, "the others see what the first has made");
    Ok(())
}

/// `CREATE INDEX CONCURRENTLY` waits for every snapshot that is older than it.
#[tokio::test]
async fn who_waits_for_an_adoption_does_not_hold_it_up() -> TestResult {
    let shop = Shop::open("held_up").await?;
    shop.adoption()?.shadow().await?;
    let (one, other) = (shop.adoption()?, shop.adoption()?);
    let (one, other) = tokio::try_join!(one.enforce(), other.enforce())?;
    assert_ne!(one.is_empty(), other.is_empty(), "one has done it, the other had nothing to do");
    Ok(())
}

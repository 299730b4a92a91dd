use std::process::Stdio;
use std::time::Duration;

use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::{Place, TestResult, binary, config_of};

/// How many sessions of the database wait for a lock.
async fn waiting(owner: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .fetch_one(owner)
    .await
}

async fn pipelines(owner: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM pipelines").fetch_one(owner).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_during_a_proof_erases_the_canaries() -> TestResult {
    let (config, owner) = config_of(&["database"]).await?;
    let place = Place::new(&config)?;
    assert_eq!(place.run(&["migrate"])?.0, Some(0));

    // The proof comes as far as its first run of a pipeline, and waits there.
    let mut lock = owner.begin().await?;
    sqlx::raw_sql("LOCK TABLE pipeline_runs IN EXCLUSIVE MODE").execute(&mut *lock).await?;
    let mut cupel = Command::new(binary())
        .arg("prove")
        .current_dir(place.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    timeout(Duration::from_secs(60), async {
        while waiting(&owner).await? == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, sqlx::Error>(())
    })
    .await??;
    assert_ne!(pipelines(&owner).await?, 0, "canaries at work");

    let id = cupel.id().ok_or("it has ended")?.to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status()?.success());
    let mut stderr = BufReader::new(cupel.stderr.take().ok_or("no stderr")?).lines();
    loop {
        let line = stderr.next_line().await?.ok_or("it ended without erasing")?;
        if line.contains("erasing") {
            break;
        }
    }
    lock.rollback().await?;

    let mut said = String::new();
    stderr.into_inner().read_to_string(&mut said).await?;
    let ended = timeout(Duration::from_secs(60), cupel.wait_with_output()).await??;
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("interrupted; the canaries were erased"), "{said}");
    assert!(ended.stdout.is_empty());
    assert_eq!(pipelines(&owner).await?, 0);
    assert_eq!(place.json(&["list"])?.1["organizations"], serde_json::json!([]));
    Ok(())
}

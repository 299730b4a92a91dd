//! What an admin transaction runs, and that nothing it runs leads out of its grant.

use std::time::Duration;

use cupel_tenant_db::{AdminGrant, AdminTx, Error};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Statement};

use crate::bed::{Bed, TestResult, org_id};

/// What ends a transaction or takes a role back, alone.
const ENDS: [&str; 18] = [
    "COMMIT",
    "COMMIT AND CHAIN",
    "END",
    "ROLLBACK",
    "ABORT",
    "/* SELECT */ COMMIT",
    "-- SELECT\nCOMMIT",
    "-- SELECT\rCOMMIT",
    "/* /* */ SELECT */ COMMIT",
    ";COMMIT",
    "PREPARE TRANSACTION 'kept'",
    "SET TRANSACTION READ WRITE",
    "RESET ROLE",
    "SET ROLE NONE",
    "SET SESSION AUTHORIZATION DEFAULT",
    "DISCARD ALL",
    "DO $$ BEGIN SET ROLE NONE; END $$",
    "CALL cupel.enter('globex', NULL)",
];

/// What would take the role back as a statement that reads or writes rows.
const TAKES_THE_ROLE: [&str; 3] = [
    "SELECT set_config('role', 'none', false)",
    "UPDATE pg_settings SET setting = 'none' WHERE name = 'role'",
    "EXPLAIN ANALYZE SELECT set_config('role', 'none', false)",
];

/// What would let a transaction write that reads only.
const WRITES: [&str; 2] = [
    "SELECT pg_catalog.set_config('transaction_read_only', 'off', true)",
    "WITH on_the_way AS (SELECT set_config('transaction_read_only', 'off', false)) SELECT * FROM on_the_way",
];

async fn two_orgs() -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::start().await?;
    for org in ["acme", "globex"] {
        bed.pipeline(org, "nightly").await?;
    }
    Ok(bed)
}

fn refused_by_us<T: std::fmt::Debug>(refused: Result<T, sqlx::Error>) -> bool {
    match refused {
        Err(sqlx::Error::Configuration(error)) => {
            matches!(error.downcast_ref(), Some(Error::NotAdmitted { .. }))
        }
        _ => false,
    }
}

/// The SQLSTATE of a refusal.
fn state<T>(refused: Result<T, sqlx::Error>) -> Option<String> {
    Some(refused.err()?.as_database_error()?.code()?.into_owned())
}

/// Each way in which sqlx runs a text: as it is, as a query, as several statements, prepared first.
async fn runs_nothing(tx: &mut AdminTx, sql: &'static str) -> TestResult {
    assert!(refused_by_us(tx.execute(sql).await), "{sql}");
    assert!(refused_by_us(sqlx::query(sql).execute(&mut *tx).await), "{sql}");
    assert!(refused_by_us(sqlx::raw_sql(sql).execute(&mut *tx).await), "{sql}");
    assert!(refused_by_us(tx.fetch_optional(sql).await), "{sql}");
    assert!(refused_by_us(sqlx::query(sql).fetch(&mut *tx).try_next().await), "{sql}");
    assert!(refused_by_us(tx.prepare(sqlx::SqlStr::from_static(sql)).await), "{sql}");
    assert!(refused_by_us(tx.describe(sqlx::SqlStr::from_static(sql)).await), "{sql}");
    Ok(())
}

#[tokio::test]
async fn the_login_could_do_what_its_transaction_does_not_run() -> TestResult {
    let bed = two_orgs().await?;
    // As an admin transaction opens, and by hand: this is why statements are looked at.
    let mut conn = PgConnection::connect(&bed.admin_url).await?;
    conn.execute("BEGIN READ ONLY; SELECT 1").await?;
    conn.execute("COMMIT; DELETE FROM pipelines WHERE org_id = 'acme'").await?;
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 1);
    conn.execute("BEGIN; SET LOCAL ROLE cupel_app").await?;
    assert!(conn.fetch_all("SELECT 1 FROM pipelines").await?.is_empty());
    conn.execute("RESET ROLE").await?;
    assert_eq!(conn.fetch_all("SELECT 1 FROM pipelines").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn nothing_alone_leads_out_of_a_grant() -> TestResult {
    let bed = two_orgs().await?;
    let grant = AdminGrant::read_only("alice", "look").orgs([org_id("acme")]);
    let mut tx = bed.db.admin(&grant).await?;
    for sql in ENDS {
        runs_nothing(&mut tx, sql).await?;
    }
    // What is refused before it is sent leaves the transaction as it was.
    assert_eq!(tx.fetch_all("SELECT 1 FROM pipelines").await?.len(), 1);
    drop(tx);
    let one = AdminGrant::read_write("alice", "repair").orgs([org_id("acme")]);
    for (grant, hidden) in [(one, &TAKES_THE_ROLE[..]), (grant, &WRITES[..])] {
        for sql in hidden {
            let mut tx = bed.db.admin(&grant).await?;
            // insufficient_privilege: the server's word, and not ours.
            assert_eq!(state(tx.execute(*sql).await).as_deref(), Some("42501"), "{sql}");
        }
    }
    Ok(())
}

/// The server takes EXPLAIN for reading, whatever it runs for its figures.
#[tokio::test]
async fn nothing_that_is_explained_writes_under_a_grant_to_read() -> TestResult {
    let bed = two_orgs().await?;
    bed.sql("CREATE SCHEMA desk; GRANT USAGE, CREATE ON SCHEMA desk TO cupel_admin").await?;
    let copies = "SELECT count(*) FROM pg_class WHERE relnamespace = 'desk'::regnamespace AND relname LIKE 'copy%'";
    let mut login = PgConnection::connect(&bed.admin_url).await?;
    let grant = AdminGrant::read_only("alice", "look").all_orgs();
    for (n, sql) in [
        "EXPLAIN ANALYZE SELECT * INTO desk.copy FROM pipelines",
        "explain (U&\"\\0061nalyze\") create materialized view desk.copy AS SELECT * FROM pipelines",
    ]
    .into_iter()
    .enumerate()
    {
        let mut tx = bed.db.admin(&grant).await?;
        runs_nothing(&mut tx, sql).await?;
        tx.commit().await?;
        assert_eq!(bed.number(copies).await?, i64::try_from(n)?, "{sql}");
        // By hand, in a transaction that only reads.
        let by_hand = sql.replace("desk.copy", &format!("desk.copy_{n}"));
        login.execute(AssertSqlSafe(format!("BEGIN READ ONLY; SELECT 1; {by_hand}; COMMIT"))).await?;
        assert_eq!(bed.number(copies).await?, i64::try_from(n)? + 1, "{sql}");
    }
    // Without EXPLAIN the server refuses it: read_only_sql_transaction.
    let mut tx = bed.db.admin(&grant).await?;
    let refused = tx.execute("SELECT * INTO desk.copy FROM pipelines").await;
    assert_eq!(state(refused).as_deref(), Some("25006"));
    let mut tx = bed.db.admin(&grant).await?;
    assert!(!tx.fetch_all("EXPLAIN ANALYZE SELECT created FROM pipelines").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn nothing_behind_another_statement_leads_out_of_a_grant() -> TestResult {
    let bed = two_orgs().await?;
    for behind in [
        "COMMIT; DELETE FROM pipelines",
        "ROLLBACK; DELETE FROM pipelines",
        "RESET ROLE; DELETE FROM pipelines; COMMIT",
        "SELECT 1",
    ] {
        for grant in [
            AdminGrant::read_only("alice", "look").all_orgs(),
            AdminGrant::read_write("alice", "repair").orgs([org_id("acme")]),
        ] {
            let sql = || AssertSqlSafe(format!("SELECT 1; {behind}"));
            // syntax_error: two statements are not one.
            let two = Some("42601");
            let mut tx = bed.db.admin(&grant).await?;
            assert_eq!(state(tx.execute(sql()).await).as_deref(), two, "{behind}");
            let mut tx = bed.db.admin(&grant).await?;
            assert_eq!(state(sqlx::raw_sql(sql()).execute(&mut tx).await).as_deref(), two);
            let mut tx = bed.db.admin(&grant).await?;
            assert_eq!(state(tx.fetch_optional(sql()).await).as_deref(), two, "{behind}");
            let mut tx = bed.db.admin(&grant).await?;
            assert_eq!(state(tx.fetch_all(sql()).await).as_deref(), two, "{behind}");
        }
    }
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_reads_and_writes_rows_runs_as_anywhere() -> TestResult {
    let bed = two_orgs().await?;
    let grant = AdminGrant::read_write("alice", "repair").all_orgs();
    let mut tx = bed.db.admin(&grant).await?;
    for sql in [
        "LOCK TABLE pipelines IN SHARE ROW EXCLUSIVE MODE",
        "DECLARE each CURSOR FOR SELECT * FROM pipelines",
        "FETCH each",
        "CLOSE each",
        "SHOW search_path",
        "EXPLAIN SELECT * FROM pipelines",
        "TABLE pipelines;",
        "-- for the report\nWITH all_of_them AS (SELECT * FROM pipelines) SELECT count(*) FROM all_of_them",
    ] {
        tx.execute(sql).await?;
    }
    let statement =
        tx.prepare(sqlx::SqlStr::from_static("SELECT name FROM pipelines WHERE id = $1")).await?;
    let names = statement.query_scalar::<String>().bind("nightly").fetch_all(&mut tx).await?;
    assert_eq!(names.len(), 2);
    let changed =
        sqlx::query("UPDATE pipelines SET schedule = $1").bind("daily").execute(&mut tx).await?;
    assert_eq!(changed.rows_affected(), 2);
    tx.commit().await?;
    assert_eq!(bed.number("SELECT count(*) FROM pipelines WHERE schedule = 'daily'").await?, 2);
    Ok(())
}

#[tokio::test]
async fn nothing_is_prepared_or_described_once_the_grant_has_expired() -> TestResult {
    let bed = two_orgs().await?;
    let time = Duration::from_secs(2);
    let grant = AdminGrant::read_only("alice", "look").all_orgs().expires_in(time);
    let mut tx = bed.db.admin(&grant).await?;
    let sql = || sqlx::SqlStr::from_static("SELECT name FROM pipelines");
    tx.prepare(sql()).await?;
    assert_eq!(tx.describe(sql()).await?.columns.len(), 1);
    tokio::time::sleep(time).await;
    let expired = |error: sqlx::Error| match error {
        sqlx::Error::Configuration(error) => {
            matches!(error.downcast_ref(), Some(Error::GrantExpired))
        }
        _ => false,
    };
    assert!(tx.prepare(sql()).await.is_err_and(expired));
    assert!(tx.describe(sql()).await.is_err_and(expired));
    Ok(())
}

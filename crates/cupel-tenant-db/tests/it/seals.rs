//! What a seal opens, where, and for how long.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use cupel_tenant_db::{ContextMode, TenantDb, TenantTx};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::bed::{Bed, TestResult, scope, seal_key};
use crate::context::{Fate, OWN, fate, fates, two_orgs};

pub(crate) const SEALED: [ContextMode; 2] = [ContextMode::Sealed, ContextMode::Register];

/// What a seal says: an organization, where it opens (a backend, or a nonce behind an `n`), and the seconds from now
/// until it expires.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a, P>(pub(crate) &'a str, pub(crate) P, pub(crate) i64);

/// Makes a seal as a service does, with the secret of [`seal_key`].
pub(crate) fn sealed(key: &str, Body(org, place, left): Body<'_, impl Display>) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let end = i64::try_from(now.as_secs()).unwrap_or_default() + left;
    let body = format!("v1.{key}.{org}.-.{place}.{end}");
    let mut secret = key.as_bytes().to_vec();
    secret.resize(32, 0);
    format!("{body}.{}", code(&secret, &body))
}

fn code(secret: &[u8], body: &str) -> String {
    let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body.as_bytes());
    code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The statement that uses a seal in an open transaction.
pub(crate) fn using(mode: ContextMode, seal: &str) -> String {
    match mode {
        ContextMode::Register => format!("CALL cupel.enter('{seal}')"),
        _ => format!("SET LOCAL app.current_seal = '{seal}'"),
    }
}

pub(crate) async fn backend(tx: &mut TenantTx) -> Result<i32, sqlx::Error> {
    tx.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)
}

/// How many rows a transaction sees that begins with the seal; none where the server refuses it.
pub(crate) async fn opened(
    conn: &mut PgConnection,
    mode: ContextMode,
    seal: &str,
) -> Result<i64, sqlx::Error> {
    let opening = format!("BEGIN; {}", using(mode, seal));
    let mut seen = 0;
    if conn.execute(AssertSqlSafe(opening)).await.is_ok() {
        match conn.fetch_one("SELECT count(*) FROM pipelines").await {
            Ok(row) => seen = row.try_get(0)?,
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
    }
    conn.execute("ROLLBACK").await?;
    Ok(seen)
}

#[tokio::test]
async fn another_seal_of_its_own_backend_switches_as_far_as_is_said() -> TestResult {
    for mode in SEALED {
        let bed = two_orgs(mode).await?;
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let pid = backend(&mut tx).await?;
        let elsewhere = sealed("k1", Body("globex", pid + 1, 10));
        let expected = if mode == ContextMode::Sealed { Fate::NoRows } else { Fate::Refused };
        assert_eq!(fate(&mut tx, &using(mode, &elsewhere)).await?, expected, "{mode:?}");
        drop(tx);
        let expected = if mode == ContextMode::Sealed { Fate::Switched } else { Fate::Refused };
        for before in ["", "RESET ALL; "] {
            let mut tx = bed.db.begin(&scope("acme")).await?;
            let here = sealed("k1", Body("globex", backend(&mut tx).await?, 10));
            let hostile = format!("{before}{}", using(mode, &here));
            assert_eq!(fate(&mut tx, &hostile).await?, expected, "{mode:?}: {hostile}");
        }
    }
    Ok(())
}

/// Injected SQL with a valid seal, after it has ended the transaction: whatever it made of the session is
/// not what the next borrower gets.
#[tokio::test]
async fn a_session_that_was_turned_by_its_borrower_is_bound_anew() -> TestResult {
    for (mode, hostile) in [
        (ContextMode::Sealed, ["COMMIT; SET app.current_seal = '{}'", "RESET app.current_seal"]),
        (ContextMode::Register, ["COMMIT; CALL cupel.bind('{}')", "COMMIT; CALL cupel.unbind()"]),
    ] {
        let bed = two_orgs(mode).await?;
        let builder = TenantDb::builder(&bed.app_url).seal_key(seal_key("k1"));
        let db = builder.max_connections(1).connect().await?;
        let mut first = None;
        for hostile in hostile {
            let mut tx = db.begin(&scope("acme")).await?;
            let pid = backend(&mut tx).await?;
            assert_eq!(*first.get_or_insert(pid), pid, "{mode:?}: one session serves all");
            let hostile = hostile.replace("{}", &sealed("k1", Body("globex", pid, 10)));
            tx.execute(AssertSqlSafe(hostile.clone())).await?;
            // Where it has ended the transaction itself, there is nothing to store.
            let _ = tx.commit().await;
            for _ in 0..2 {
                let mut tx = db.begin(&scope("acme")).await?;
                let seen: Vec<String> =
                    sqlx::query_scalar("SELECT name FROM pipelines").fetch_all(&mut tx).await?;
                assert_eq!(seen, ["acme"], "{mode:?}: {hostile}");
                tx.commit().await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_statements_of_other_sessions_are_hidden_where_seals_stand_in_them() -> TestResult {
    for mode in SEALED {
        let bed = two_orgs(mode).await?;
        // The owner sees what is hidden from the application's role.
        let stranger = TenantDb::builder(&bed.app_url).seal_key(seal_key("k1")).connect().await?;
        let victim = stranger.begin(&scope("globex")).await?;
        let shown = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
           AND query LIKE 'BEGIN%v1.k1.globex.%' AND pid <> pg_backend_pid()";
        assert_eq!(bed.number(shown).await?, 1, "{mode:?}");
        for sql in [
            "SELECT query FROM pg_stat_activity",
            "SELECT pg_stat_get_backend_activity(id) FROM pg_stat_get_backend_idset() id",
        ] {
            assert_eq!(fates(&bed, sql).await?, Fate::Refused, "{mode:?}: {sql}");
        }
        drop(victim);
    }
    Ok(())
}

#[tokio::test]
async fn a_seal_that_is_altered_or_late_or_of_an_unknown_key_does_not_open() -> TestResult {
    for mode in SEALED {
        let bed = two_orgs(mode).await?;
        let mut conn = PgConnection::connect(&bed.app_url).await?;
        let pid: i32 = conn.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
        let seal = sealed("k1", Body("globex", pid, 10));
        assert_eq!(opened(&mut conn, mode, &seal).await?, 1, "{mode:?}: the seal itself");
        let mut altered: Vec<String> = (0..seal.len())
            .step_by(3)
            .map(|at| {
                let mut bytes = seal.clone().into_bytes();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if *byte == b'1' { b'2' } else { b'1' };
                }
                String::from_utf8_lossy(&bytes).into_owned()
            })
            // What stands between the text and its code is part of neither.
            .filter(|it| {
                it.get(..seal.len() - 65) != seal.get(..seal.len() - 65)
                    || it.get(seal.len() - 64..) != seal.get(seal.len() - 64..)
            })
            .collect();
        altered.extend([
            "".to_owned(),
            "v1".to_owned(),
            ".".repeat(6),
            format!("{seal}."),
            "x".repeat(9000),
            seal.replace("k1", "k9"),
            seal.replacen("globex", "acme", 1),
            sealed("k1", Body("globex", pid, -1)),
            sealed("k1", Body("globex", pid + 1, 10)),
            sealed("k9", Body("globex", pid, 10)),
        ]);
        // With the right key, and of another version.
        let body = seal.get(..seal.len() - 65).ok_or("a seal")?.replacen("v1", "v2", 1);
        let mut secret = b"k1".to_vec();
        secret.resize(32, 0);
        altered.push(format!("{body}.{}", code(&secret, &body)));
        for seal in altered {
            assert_eq!(opened(&mut conn, mode, &seal).await?, 0, "{mode:?}: {seal}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_seal_opens_for_ten_seconds_and_its_transaction_may_last_longer() -> TestResult {
    let bed = Bed::of(ContextMode::Sealed, 1).await?;
    bed.pipeline("acme", "a").await?;
    let mut tx = bed.db.begin(&scope("acme")).await?;
    let seal: String =
        sqlx::query_scalar("SELECT current_setting('app.current_seal')").fetch_one(&mut tx).await?;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let rows: i64 = tx.fetch_one(OWN).await?.try_get(0)?;
    assert_eq!(rows, 1, "the transaction goes on");
    tx.rollback().await?;
    // The same seal in a transaction that begins now, in the backend that it was made for.
    let mut tx = bed.db.begin(&scope("globex")).await?;
    tx.execute(AssertSqlSafe(using(ContextMode::Sealed, &seal))).await?;
    let pid = backend(&mut tx).await?;
    assert!(seal.contains(&format!(".{pid}.")));
    let rows: i64 = tx.fetch_one("SELECT count(*) FROM pipelines").await?.try_get(0)?;
    assert_eq!(rows, 0, "an expired seal opened");
    Ok(())
}

/// A worker is another backend than the one that a seal names, so the leader opens it.
#[tokio::test]
async fn a_scan_is_parallel_in_every_context() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = two_orgs(mode).await?;
        let mut tx = bed.db.begin(&scope("acme")).await?;
        tx.execute(
            "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
             SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL enable_indexscan = off;
             SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off",
        )
        .await?;
        let plan: Vec<String> =
            sqlx::query_scalar("EXPLAIN SELECT count(*) FROM pipelines").fetch_all(&mut tx).await?;
        assert!(plan.iter().any(|line| line.contains("Gather")), "{mode:?}: {plan:#?}");
        assert_eq!(tx.fetch_one("SELECT count(*) FROM pipelines").await?.try_get::<i64, _>(0)?, 1);
    }
    Ok(())
}

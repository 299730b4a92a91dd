//! What SQL that an attacker got to run can do, in each mode: the table of `ContextMode`, row by row.

use cupel_tenant::{IsolationLayer, OrgId};
use cupel_tenant_db::{AdminGrant, ContextMode, TenantDb, TenantTx};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::bed::{
    Bed, TestResult, as_role, assert_isolated, assert_leaks, migration, org_id, pair, scope,
    seal_key,
};

const MODES: [ContextMode; 3] = [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];
const FOREIGN: &str = "SELECT count(*) FROM pipelines WHERE org_id = 'globex'";
const OWN: &str = "SELECT count(*) FROM pipelines WHERE org_id = 'acme'";

/// What came of a hostile statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It read the other organization's row.
    Switched,
    /// It was accepted and read nothing of the other's.
    NoRows,
    /// The server refused it.
    Refused,
}

async fn two_orgs(mode: ContextMode) -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::of(mode, 4).await?;
    bed.pipeline("acme", "a").await?;
    bed.pipeline("globex", "g").await?;
    Ok(bed)
}

/// Runs `hostile` as acme's, and then looks for globex's row.
async fn fate(tx: &mut TenantTx, hostile: &str) -> Result<Fate, Box<dyn std::error::Error>> {
    if tx.execute(AssertSqlSafe(hostile.to_owned())).await.is_err() {
        return Ok(Fate::Refused);
    }
    let found: i64 = tx.fetch_one(FOREIGN).await?.try_get(0)?;
    Ok(if found > 0 { Fate::Switched } else { Fate::NoRows })
}

async fn fates(bed: &Bed, hostile: &str) -> Result<Fate, Box<dyn std::error::Error>> {
    let mut tx = bed.db.begin(&scope("acme")).await?;
    let own: i64 = tx.fetch_one(OWN).await?.try_get(0)?;
    assert_eq!(own, 1, "the owner's half");
    fate(&mut tx, hostile).await
}

/// The seal that a session shows in its last statement: to the owner, for the application's role is not
/// shown the statements of other sessions.
async fn stolen(bed: &Bed, org: &str) -> Result<(TenantTx, String), Box<dyn std::error::Error>> {
    let victim = bed.db.begin(&scope(org)).await?;
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&bed.owner_url).await?;
    let query: String = sqlx::query_scalar(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()
           AND query LIKE 'BEGIN%' || $1 || '%' AND pid <> pg_backend_pid()",
    )
    .bind(org)
    .fetch_one(&mut conn)
    .await?;
    let seal = query.split('\'').find(|part| part.starts_with("v1.")).ok_or("no seal")?;
    Ok((victim, seal.to_owned()))
}

/// The statement that would use a seal.
fn using(mode: ContextMode, seal: &str) -> String {
    match mode {
        ContextMode::Register => format!("SELECT cupel.enter('{seal}', false)"),
        _ => format!("SET LOCAL app.current_seal = '{seal}'"),
    }
}

#[tokio::test]
async fn every_mode_keeps_organizations_apart_and_is_proven() -> TestResult {
    for mode in MODES {
        let bed = Bed::of(mode, 4).await?;
        assert_eq!(bed.db.context_mode(), mode);
        assert_isolated(&bed.prove().await?);
        assert!(bed.db.audit(pair().first()).await?.is_empty(), "{mode:?}");
        let again = migration(&bed.owner_url, &bed.app_url, &bed.admin_url)
            .context(mode)
            .seal_keys([seal_key("k1")]);
        let changes = again.run().await?;
        assert!(changes.is_empty(), "{mode:?}: {changes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn another_organization_s_name_switches_in_the_plain_context_only() -> TestResult {
    let register = |value: &str| format!("SET LOCAL backtrace_functions = '{value}'");
    for mode in MODES {
        let bed = two_orgs(mode).await?;
        let stacked = match mode {
            ContextMode::Plain => Fate::Switched,
            _ => Fate::NoRows,
        };
        for (hostile, expected) in [
            ("SELECT set_config('app.current_org_id', 'globex', true)", Fate::Refused),
            ("SELECT set_config('app.current_seal', 'globex', true)", Fate::Refused),
            ("SET LOCAL app.current_org_id = 'globex'", stacked),
            ("SET app.current_org_id = 'globex'", stacked),
            ("DO $$ BEGIN SET LOCAL app.current_org_id = 'globex'; END $$", stacked),
            ("SAVEPOINT s; SET LOCAL app.current_org_id = 'globex'; ROLLBACK TO s", Fate::NoRows),
            ("RESET ALL", Fate::NoRows),
            ("RESET app.current_org_id", Fate::NoRows),
            ("COMMIT; BEGIN", Fate::NoRows),
            (register("cupel_globex").as_str(), Fate::Refused),
            ("ALTER ROLE cupel_app SET backtrace_functions = 'cupel_globex'", Fate::Refused),
            ("SET ROLE cupel_guard", Fate::Refused),
            ("SELECT * FROM cupel.seal_keys", Fate::Refused),
        ] {
            let fate = fates(&bed, hostile).await?;
            assert_eq!(fate, expected, "{mode:?}: {hostile}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stolen_seal_opens_in_its_own_backend_only() -> TestResult {
    for mode in [ContextMode::Sealed, ContextMode::Register] {
        let bed = two_orgs(mode).await?;
        let (victim, seal) = stolen(&bed, "globex").await?;
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let elsewhere = fate(&mut tx, &using(mode, &seal)).await?;
        let expected = if mode == ContextMode::Sealed { Fate::NoRows } else { Fate::Refused };
        assert_eq!(elsewhere, expected, "{mode:?}");
        drop(tx);
        // In its own backend, once its transaction is over: the seal counts only where none is entered.
        victim.rollback().await?;
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let pid: i32 = tx.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
        assert!(seal.contains(&format!(".{pid}.")), "the last one back is the first one lent");
        let expected = if mode == ContextMode::Sealed { Fate::Switched } else { Fate::Refused };
        assert_eq!(fate(&mut tx, &using(mode, &seal)).await?, expected, "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_statements_of_other_sessions_are_hidden_where_seals_stand_in_them() -> TestResult {
    for mode in [ContextMode::Sealed, ContextMode::Register] {
        let bed = two_orgs(mode).await?;
        let (victim, _) = stolen(&bed, "globex").await?;
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
async fn a_session_is_bound_between_transactions_only() -> TestResult {
    let bed = two_orgs(ContextMode::Register).await?;
    let (victim, seal) = stolen(&bed, "globex").await?;
    victim.rollback().await?;
    for hostile in [
        format!("SELECT cupel.bind('{seal}')"),
        "SELECT cupel.unbind()".to_owned(),
        format!("SELECT 1 FROM cupel.unbind(), cupel.enter('{seal}', true)"),
    ] {
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let pid: i32 = tx.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
        assert!(seal.contains(&format!(".{pid}.")), "the seal is of this backend");
        assert_eq!(fate(&mut tx, &hostile).await?, Fate::Refused, "{hostile}");
        tx.rollback().await?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_seal_that_is_altered_or_late_or_of_an_unknown_key_does_not_open() -> TestResult {
    for mode in [ContextMode::Sealed, ContextMode::Register] {
        let bed = two_orgs(mode).await?;
        let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&bed.app_url).await?;
        let (victim, seal) = stolen(&bed, "globex").await?;
        drop(victim);
        let mut altered: Vec<String> = (0..seal.len())
            .step_by(7)
            .filter(|at| seal.is_char_boundary(*at))
            .map(|at| {
                let mut bytes = seal.clone().into_bytes();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if *byte == b'1' { b'2' } else { b'1' };
                }
                String::from_utf8_lossy(&bytes).into_owned()
            })
            .collect();
        altered.extend([
            "".to_owned(),
            "v1".to_owned(),
            ".".repeat(6),
            format!("{seal}."),
            "x".repeat(9000),
        ]);
        altered.push(seal.replace("k1", "k9"));
        altered.push(seal.replacen("globex", "acme", 1));
        for seal in altered {
            conn.execute("BEGIN").await?;
            let _ = conn.execute(AssertSqlSafe(using(mode, &seal))).await;
            match conn.fetch_one("SELECT count(*) FROM pipelines").await {
                Ok(row) => assert_eq!(row.try_get::<i64, _>(0)?, 0, "{mode:?}: {seal}"),
                Err(sqlx::Error::Database(_)) => {}
                Err(error) => return Err(error.into()),
            }
            conn.execute("ROLLBACK").await?;
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
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let rows: i64 = tx.fetch_one(OWN).await?.try_get(0)?;
    assert_eq!(rows, 1, "the transaction goes on");
    tx.rollback().await?;
    // The same seal in a transaction that begins now, in the backend that it was made for.
    let mut tx = bed.db.begin(&scope("globex")).await?;
    tx.execute(AssertSqlSafe(using(ContextMode::Sealed, &seal))).await?;
    let pid: i32 = tx.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
    assert!(seal.contains(&format!(".{pid}.")));
    let rows: i64 = tx.fetch_one("SELECT count(*) FROM pipelines").await?.try_get(0)?;
    assert_eq!(rows, 0, "an expired seal opened");
    Ok(())
}

#[tokio::test]
async fn keys_are_rotated_with_two_of_them_live() -> TestResult {
    for mode in [ContextMode::Sealed, ContextMode::Register] {
        let bed = two_orgs(mode).await?;
        let migrate = |ids: &'static [&'static str]| {
            migration(&bed.owner_url, &bed.app_url, &bed.admin_url)
                .context(mode)
                .seal_keys(ids.iter().map(|id| seal_key(id)))
        };
        let reads = async |db: &TenantDb| -> Result<bool, Box<dyn std::error::Error>> {
            let Ok(mut tx) = db.begin(&scope("acme")).await else { return Ok(false) };
            Ok(tx.fetch_one(OWN).await?.try_get::<i64, _>(0)? == 1)
        };
        let new = TenantDb::builder(&bed.app_url).seal_key(seal_key("k2")).connect().await?;
        assert!(reads(&bed.db).await? && !reads(&new).await?);
        let changes = migrate(&["k1", "k2"]).run().await?;
        assert_eq!(changes.iter().collect::<Vec<_>>(), ["stored seal key k2"]);
        assert!(reads(&bed.db).await? && reads(&new).await?);
        let changes = migrate(&["k2"]).run().await?;
        assert_eq!(changes.iter().collect::<Vec<_>>(), ["forgot seal key k1"]);
        assert!(!reads(&bed.db).await? && reads(&new).await?);
    }
    Ok(())
}

#[tokio::test]
async fn administration_enters_one_organization_after_the_other() -> TestResult {
    for mode in MODES {
        let bed = two_orgs(mode).await?;
        let orgs: [OrgId; 2] = [org_id("acme"), org_id("globex")];
        let mut tx = bed.db.admin(&AdminGrant::read_only("alice", "compare").orgs(orgs)).await?;
        for org in ["acme", "globex"] {
            tx.enter(&org_id(org)).await?;
            let seen: Vec<String> =
                sqlx::query_scalar("SELECT name FROM pipelines").fetch_all(&mut tx).await?;
            assert_eq!(seen, [org], "{mode:?}");
        }
        tx.rollback().await?;
        bed.db.erase(&org_id("acme")).await?;
        assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 1, "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_the_seal_a_statement_switches_and_the_proof_says_so() -> TestResult {
    for mode in [ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::of(mode, 4).await?;
        bed.prove().await?;
        bed.sql(
            "CREATE OR REPLACE FUNCTION cupel.current_org_id() RETURNS text LANGUAGE sql STABLE AS $$
               SELECT coalesce(nullif(current_setting('app.current_org_id', true), ''),
                 split_part(current_setting('app.current_seal', true), '.', 3),
                 translate(substr(current_setting('backtrace_functions'), 7), '_', '-')) $$",
        )
        .await?;
        assert_leaks(&bed.prove().await?, "switch organization by a statement of its own");
    }
    Ok(())
}

#[tokio::test]
async fn a_workspace_is_sealed_too() -> TestResult {
    for mode in MODES {
        let bed = two_orgs(mode).await?;
        bed.sql(
            "INSERT INTO pipeline_runs (org_id, id, workspace_id, pipeline_id) VALUES
               ('acme', 'mine', 'eu-1', 'a'), ('acme', 'other', 'us', 'a')",
        )
        .await?;
        let mut tx = bed.db.begin(&scope("acme").narrow_to("eu-1".parse()?)?).await?;
        let ids: Vec<String> =
            sqlx::query_scalar("SELECT id FROM pipeline_runs").fetch_all(&mut tx).await?;
        assert_eq!(ids, ["mine"], "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn strict_tells_no_organization_from_no_rows() -> TestResult {
    for mode in MODES {
        let bed = two_orgs(mode).await?;
        let app = as_role(&bed.owner_url, "cupel_app")?;
        let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&app).await?;
        let asked = "SELECT count(*) FROM pipelines";
        let rows: i64 = conn.fetch_one(asked).await?.try_get(0)?;
        assert_eq!(rows, 0);
        migration(&bed.owner_url, &bed.app_url, &bed.admin_url)
            .context(mode)
            .seal_keys([seal_key("k1")])
            .strict(true)
            .run()
            .await?;
        let refused = conn.fetch_one(asked).await;
        let code =
            refused.err().and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
        assert_eq!(code.as_deref(), Some("CU001"), "{mode:?}");
        let mut tx = bed.db.begin(&scope("initech")).await?;
        let rows: i64 = tx.fetch_one(asked).await?.try_get(0)?;
        assert_eq!(rows, 0, "{mode:?}");
        drop(tx);
        assert_isolated(&bed.prove().await?);
    }
    Ok(())
}

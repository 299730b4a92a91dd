//! What SQL that an attacker got to run can do, in each mode: the table of `ContextMode`, row by row.

use cupel_tenant::{IsolationLayer, OrgId};
use cupel_tenant_db::{AdminGrant, ContextMode, TenantTx};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::bed::{
    Bed, TestResult, as_role, assert_isolated, assert_leaks, migration, org_id, pair, scope,
    seal_key,
};

const MODES: [ContextMode; 3] = [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];
const FOREIGN: &str = "SELECT count(*) FROM pipelines WHERE org_id = 'globex'";
pub(crate) const OWN: &str = "SELECT count(*) FROM pipelines WHERE org_id = 'acme'";

/// What came of a hostile statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It read the other organization's row.
    Switched,
    /// It was accepted and read nothing of the other's.
    NoRows,
    /// The server refused it.
    Refused,
}

pub(crate) async fn two_orgs(mode: ContextMode) -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::of(mode, 4).await?;
    bed.pipeline("acme", "a").await?;
    bed.pipeline("globex", "g").await?;
    Ok(bed)
}

/// Runs `hostile` as acme's, and then looks for globex's row.
pub(crate) async fn fate(
    tx: &mut TenantTx,
    hostile: &str,
) -> Result<Fate, Box<dyn std::error::Error>> {
    if tx.execute(AssertSqlSafe(hostile.to_owned())).await.is_err() {
        return Ok(Fate::Refused);
    }
    let found: i64 = tx.fetch_one(FOREIGN).await?.try_get(0)?;
    Ok(if found > 0 { Fate::Switched } else { Fate::NoRows })
}

pub(crate) async fn fates(bed: &Bed, hostile: &str) -> Result<Fate, Box<dyn std::error::Error>> {
    let mut tx = bed.db.begin(&scope("acme")).await?;
    let own: i64 = tx.fetch_one(OWN).await?.try_get(0)?;
    assert_eq!(own, 1, "the owner's half");
    fate(&mut tx, hostile).await
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

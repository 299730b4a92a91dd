//! Everything that the migration makes is taken away or weakened, one thing at a time. The audit must notice
//! each, and the next migration must put it back. The attacks must notice too: what opens something alone at once, what
//! two things hold once both are gone.

mod catalog;

use std::collections::HashSet;

use cupel_tenant::{IsolationLayer, Outcome, Severity};
use cupel_tenant_db::{Adoption, ContextMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use self::catalog::Opens::{Alone, Never, With};
use self::catalog::{Mutation, mutations, weaker_keys};
use crate::bed::{Bed, TestResult, assert_isolated, migration, pair, seal_key};

/// Whether an attack gets through, or cannot be said to be blocked.
async fn is_noticed(bed: &Bed) -> bool {
    // Where no stage can be set, the proof fails as a whole.
    bed.prove().await.map_or(true, |it| it.iter().any(|it| it.outcome != Outcome::Blocked))
}

async fn whatever_is_taken_away(mode: ContextMode) -> TestResult {
    let bed = Bed::of(mode, 2).await?;
    assert_isolated(&bed.prove().await?);
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    let mutations = mutations(&mut owner, mode).await?;
    let least = if mode == ContextMode::Sealed { 40 } else { 160 };
    assert!(mutations.len() > least, "{}", mutations.len());
    let put_back = async || {
        let repair = migration(&bed.owner_url, &bed.app_url, &bed.admin_url);
        repair.context(mode).seal_keys([seal_key("k1")]).run().await
    };
    let mut held = HashSet::new();
    for Mutation { sql, opens } in mutations {
        if let With(other) = &opens
            && held.insert(other.clone())
        {
            owner.execute(AssertSqlSafe(other.clone())).await?;
            assert!(!is_noticed(&bed).await, "{mode:?}: it opens alone: {other}");
            put_back().await?;
        }
        owner.execute(AssertSqlSafe(sql.clone())).await?;
        let findings = bed.db.audit(pair().first()).await?;
        assert!(!findings.is_empty(), "{mode:?}: not noticed: {sql}");
        match &opens {
            Alone => assert!(is_noticed(&bed).await, "{mode:?}: the attacks did not notice: {sql}"),
            With(other) => {
                owner.execute(AssertSqlSafe(other.clone())).await?;
                let noticed = is_noticed(&bed).await;
                assert!(noticed, "{mode:?}: the attacks did not notice: {sql}, {other}");
            }
            Never(why) => assert!(!is_noticed(&bed).await, "{mode:?}: {why}: {sql}"),
        }
        let changes = put_back().await?;
        assert!(!changes.is_empty(), "{mode:?}: not put back: {sql}");
        let left = bed.db.audit(pair().first()).await?;
        assert!(left.is_empty(), "{mode:?}: after {sql}: {left:#?}");
    }
    assert_isolated(&bed.prove().await?);
    Ok(())
}

#[tokio::test]
async fn whatever_is_taken_away_is_noticed_and_a_migration_puts_it_back() -> TestResult {
    whatever_is_taken_away(ContextMode::Plain).await
}

#[tokio::test]
async fn whatever_is_taken_away_in_the_sealed_context_is_noticed() -> TestResult {
    whatever_is_taken_away(ContextMode::Sealed).await
}

#[tokio::test]
async fn whatever_is_taken_away_in_the_register_context_is_noticed() -> TestResult {
    whatever_is_taken_away(ContextMode::Register).await
}

async fn whatever_key_is_weakened(mode: ContextMode) -> TestResult {
    let bed = Bed::of(mode, 2).await?;
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    let weaker = weaker_keys(&mut owner).await?;
    assert_eq!(weaker.len(), 8, "{weaker:?}");
    for (at, sql) in weaker.into_iter().enumerate() {
        let sql = sql.replace("weak", &format!("weak_{at}"));
        owner.execute(AssertSqlSafe(sql.clone())).await?;
        let findings = bed.db.audit(pair().first()).await?;
        assert!(findings.iter().any(|it| it.severity >= Severity::High), "{sql}: {findings:?}");
        let leaked = bed.prove().await?.iter().any(|it| it.outcome == Outcome::Leaked);
        assert!(leaked, "the attacks did not notice: {sql}");
        // What the attacks left refers to other organizations' rows.
        owner.execute("TRUNCATE pipelines, component_libraries CASCADE").await?;
        let repair = migration(&bed.owner_url, &bed.app_url, &bed.admin_url)
            .context(mode)
            .seal_keys([seal_key("k1")]);
        let changes = match at % 2 {
            0 => repair.run().await?,
            _ => Adoption::of(repair).enforce().await?,
        };
        assert!(!changes.is_empty(), "not put right: {sql}");
        let left = bed.db.audit(pair().first()).await?;
        let worse: Vec<_> = left.iter().filter(|it| it.severity >= Severity::Low).collect();
        assert!(worse.is_empty(), "after {sql}: {worse:#?}");
    }
    assert_isolated(&bed.prove().await?);
    Ok(())
}

#[tokio::test]
async fn whatever_key_is_weakened_is_noticed_and_put_right() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        whatever_key_is_weakened(mode).await?;
    }
    Ok(())
}

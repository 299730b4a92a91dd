//! What becomes of the organizations that a proof makes.

use std::sync::Arc;

use cupel_isolation::cache::TenantCache;
use cupel_isolation::{Config, Error, Isolation, IsolationLayer, LayerName, OrgState};
use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::block_in_place;

use crate::bed::{self, TestResult};

/// Rows that the eraser cannot delete: those of the first canary with an error, those of the second without.
const STUBBORN: &str = "
CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF session_user <> 'cupel_admin' THEN RETURN OLD; END IF;
    IF OLD.org_id LIKE '%a' THEN RAISE EXCEPTION 'it stays'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stay BEFORE DELETE ON pipelines FOR EACH ROW EXECUTE FUNCTION stay()";

async fn cache(config: &Config) -> Result<TenantCache, Box<dyn std::error::Error>> {
    let url = config.cache.as_ref().ok_or("no cache")?.url.expose_secret();
    Ok(TenantCache::builder(url).allow_plaintext(true).connect().await?)
}

#[tokio::test]
async fn what_stays_of_canaries_is_told_and_the_rest_is_erased() -> TestResult {
    let config = bed::layers(&["database", "cache"]).await?;
    let isolation = Isolation::connect(&config).await?;
    let owner = bed::owner(&config).await?;
    sqlx::raw_sql(STUBBORN).execute(&owner).await?;

    let error = isolation.prove().await.expect_err("rows stay");
    let Error::CanariesLeft { left, proof, source: None } = &error else {
        return Err(error.into());
    };
    let [first, second] = left.as_slice() else { return Err(error.into()) };
    let proof = proof.as_ref().ok_or("the proof is lost")?;
    proof.assert_isolated();
    assert_eq!([first.org(), second.org()], [proof.pair().first(), proof.pair().second()]);
    assert_eq!([first.layer(), second.layer()], [LayerName::Database; 2]);
    assert!(first.failure().is_some() && first.residue().is_empty(), "{first}");
    assert!(second.failure().is_none(), "{second}");
    assert_eq!(second.residue().iter().map(|it| it.count).sum::<u64>(), 4);
    let said = error.to_string();
    for told in [first.org().as_str(), second.org().as_str(), "it stays", "4 rows of", "offboard"] {
        assert!(said.contains(told), "{told} is not in: {said}");
    }

    let cache = cache(&config).await?;
    for left in [first, second] {
        let erasure = cache.erase(left.org()).await?;
        assert_eq!(erasure.items(), [], "the cache was erased before");
    }

    // The remedy that the error names.
    sqlx::raw_sql("DROP TRIGGER stay ON pipelines").execute(&owner).await?;
    for left in [first, second] {
        assert!(isolation.offboard(left.org()).await?.is_complete());
    }
    assert!(isolation.list().await?.iter().all(|it| it.state == OrgState::Erased));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_fails_tells_what_it_left_too() -> TestResult {
    let folder = tempfile::tempdir()?;
    let keyring = folder.path().join("keyring");
    let keys = format!("[keys]\nprovider = 'local-keyring'\npath = '{}'\n", keyring.display());
    let config = bed::layers_and(&["database"], &keys).await?;
    let owner = bed::owner(&config).await?;
    // Neither can the stage be set, nor can it be cleared away; and the registry never heard of one of them.
    let broken = "ALTER TABLE cupel.tenant_tables RENAME TO elsewhere;
                  DELETE FROM cupel.organizations WHERE org_id LIKE '%a'";
    let isolation = Isolation::connect(&config).await?.observed_by({
        let owner = owner.clone();
        Arc::new(move |step| {
            if (step.action, step.layer) == ("attacking", LayerName::Database) {
                let broken = sqlx::raw_sql(broken).execute(&owner);
                block_in_place(|| Handle::current().block_on(broken)).expect("the owner may");
            }
        })
    });

    let error = isolation.prove().await.expect_err("the declarations are gone");
    let Error::CanariesLeft { left, proof: None, source: Some(_) } = &error else {
        return Err(error.into());
    };
    assert!(left.iter().all(|it| it.layer() == LayerName::Database), "{error}");
    let listed: Vec<_> = isolation.list().await?.into_iter().map(|it| (it.org, it.state)).collect();
    let named: Vec<_> = left.iter().map(|it| (it.org().clone(), OrgState::Offboarding)).collect();
    assert_eq!(listed, named);

    // The remedy that the error names. The keys are gone already, and cannot be suspended.
    let mended = "ALTER TABLE cupel.elsewhere RENAME TO tenant_tables";
    sqlx::raw_sql(mended).execute(&owner).await?;
    for left in left {
        assert!(isolation.offboard(left.org()).await?.is_complete());
    }
    Ok(())
}

#[tokio::test]
async fn a_proof_that_is_cancelled_erases_its_canaries() -> TestResult {
    let config = bed::layers(&["database", "cache"]).await?;
    let attacked = Arc::new(Notify::new());
    let isolation = Isolation::connect(&config).await?.observed_by({
        let attacked = Arc::clone(&attacked);
        Arc::new(move |step| {
            if step.action == "attacking" {
                attacked.notify_one();
            }
        })
    });
    let cancelled = isolation.prove_until(attacked.notified()).await;
    assert!(matches!(cancelled, Err(Error::Interrupted)), "{cancelled:?}");
    assert_eq!(isolation.list().await?, []);
    let owner = bed::owner(&config).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM pipelines").fetch_one(&owner).await?;
    assert_eq!(rows, 0);
    Ok(())
}

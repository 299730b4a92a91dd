//! The proof over all layers, and that it can fail.

use std::collections::BTreeSet;

use cupel_isolation::{Error, Isolation, LayerName, OrgPair, Outcome, report};

use crate::bed::{self, TestResult};

#[tokio::test]
async fn canaries_attack_each_other_in_every_layer_and_leave_nothing() -> TestResult {
    let config = bed::all_layers().await?;
    let isolation = Isolation::connect(&config).await?;
    let proof = isolation.prove().await?;
    proof.assert_isolated();

    let attacks: BTreeSet<_> = proof.attempts().iter().map(|it| (it.layer, it.attack)).collect();
    assert!(attacks.len() >= 25, "{} attacks", attacks.len());
    for layer in LayerName::ALL {
        assert!(proof.of(layer).count() > 0, "{layer} was attacked");
    }
    for (attacker, victim) in proof.pair().directions() {
        let tried =
            |it: &&cupel_isolation::Attempt| &it.attacker == attacker && &it.victim == victim;
        assert_eq!(proof.attempts().iter().filter(tried).count(), attacks.len());
    }
    assert_eq!(isolation.list().await?, [], "the registry forgot the canaries");

    let json = report::proof_json(&proof);
    assert_eq!(json["attempts"].as_array().map(Vec::len), Some(proof.attempts().len()));
    assert_eq!(json["attempts"][0]["outcome"], "blocked");
    assert_eq!(json["attempts"][0]["control"], "held");
    Ok(())
}

#[tokio::test]
async fn a_guard_that_is_taken_out_shows_as_a_leak() -> TestResult {
    let config = bed::layers(&["database"]).await?;
    let isolation = Isolation::connect(&config).await?;
    isolation.prove().await?.assert_isolated();

    let owner = bed::owner(&config).await?;
    sqlx::raw_sql("ALTER TABLE pipelines NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        .execute(&owner)
        .await?;

    let proof = isolation.prove().await?;
    assert!(!proof.is_isolated());
    assert!(proof.attempts().iter().any(|it| it.outcome == Outcome::Leaked));
    let text = report::proof_text(&proof);
    assert!(text.contains("leaked: database: "), "{text}");
    Ok(())
}

#[tokio::test]
async fn organizations_in_use_are_not_attacked_in_production() -> TestResult {
    let isolation = Isolation::builder().build();
    let pair = OrgPair::new("acme".parse()?, "globex".parse()?)?;
    let refused = isolation.prove_between(&pair).await;
    assert!(matches!(refused, Err(Error::AttackInProduction)), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_proof_of_nothing_proves_nothing() -> TestResult {
    assert!(!Isolation::builder().build().prove().await?.is_isolated());
    Ok(())
}

//! What SQL can do in the register context with a seal that it got hold of.

use cupel_tenant_db::ContextMode;
use sqlx::{AssertSqlSafe, Executor};

use crate::bed::{TestResult, scope};
use crate::context::{Fate, fate, two_orgs};
use crate::seals::{Body, backend, sealed};

#[tokio::test]
async fn a_session_is_bound_between_transactions_only_and_by_no_expression() -> TestResult {
    let bed = two_orgs(ContextMode::Register).await?;
    for hostile in [
        "CALL cupel.bind('{}')",
        "CALL cupel.unbind()",
        "RESET ALL; CALL cupel.bind('{}')",
        "DO $$ BEGIN CALL cupel.bind('{}'); END $$",
        "COMMIT; BEGIN; SELECT cupel.bind('{}')",
        "COMMIT; BEGIN; SELECT 1 FROM cupel.enter('{}')",
    ] {
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let seal = sealed("k1", Body("globex", backend(&mut tx).await?, 10));
        let hostile = hostile.replace("{}", &seal);
        assert_eq!(fate(&mut tx, &hostile).await?, Fate::Refused, "{hostile}");
    }
    Ok(())
}

/// The statement that ended the transaction gets no other by its name alone, and with another valid seal it does.
#[tokio::test]
async fn in_a_register_a_seal_of_its_own_backend_switches_once_the_transaction_is_over()
-> TestResult {
    let bed = two_orgs(ContextMode::Register).await?;
    for (hostile, expected) in [
        (&["CALL cupel.enter('{}')"][..], Fate::Refused),
        (&["SAVEPOINT s; CALL cupel.enter('{}')"], Fate::Refused),
        (&["COMMIT; BEGIN; CALL cupel.enter('{}')"], Fate::Switched),
        (&["ROLLBACK; BEGIN; CALL cupel.enter('{}')"], Fate::Switched),
        (&["COMMIT AND CHAIN; CALL cupel.enter('{}')"], Fate::Switched),
        (&["COMMIT; CALL cupel.bind('{}')"], Fate::Switched),
        (&["COMMIT", "CALL cupel.bind('{}')"], Fate::Switched),
        // Of the new transaction too, the first message alone enters.
        (&["COMMIT; BEGIN", "CALL cupel.enter('{}')"], Fate::Refused),
        (&["COMMIT; BEGIN", "SET LOCAL app.current_org_id = 'globex'"], Fate::NoRows),
    ] {
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let seal = sealed("k1", Body("globex", backend(&mut tx).await?, 10));
        let (last, before) = hostile.split_last().ok_or("no statement")?;
        for statement in before {
            tx.execute(AssertSqlSafe((*statement).to_owned())).await?;
        }
        assert_eq!(fate(&mut tx, &last.replace("{}", &seal)).await?, expected, "{hostile:?}");
        drop(tx);
        if expected == Fate::Switched {
            // Not with a seal of another backend, or one that is late, or of an unknown key.
            for (key, backend_after, left) in [("k1", 1, 10), ("k1", 0, -1), ("k9", 0, 10)] {
                let mut tx = bed.db.begin(&scope("acme")).await?;
                let pid = backend(&mut tx).await? + backend_after;
                let hostile =
                    hostile.join("; ").replace("{}", &sealed(key, Body("globex", pid, left)));
                assert_eq!(fate(&mut tx, &hostile).await?, Fate::Refused, "{hostile}");
            }
        }
    }
    Ok(())
}

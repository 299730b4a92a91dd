//! What a seal opens that was made for a pooler: it names no backend, because none is the service's.

use cupel_tenant_db::ContextMode;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bed::{TestResult, scope};
use crate::context::{Fate, fate, two_orgs};
use crate::pooler::behind;
use crate::seals::{Body, SEALED, backend, opened, sealed, using};

const NONCE: &str = "n00112233445566778899aabbccddeeff";

#[tokio::test]
async fn a_seal_seen_behind_a_pooler_opens_in_another_backend() -> TestResult {
    for mode in SEALED {
        let bed = two_orgs(mode).await?;
        let (pooler, db) = behind(&bed, 2).await?;
        let mut victim = db.begin(&scope("globex")).await?;
        // As its service sent it. The migration hides it from the application's role.
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        let seen = "SELECT substring(query FROM 'v1\\.k1\\.globex\\.[0-9a-z.-]+') FROM pg_stat_activity
           WHERE datname = current_database() AND usename = 'cupel_app' AND query LIKE '%v1.k1.globex.%'";
        let seal: String = sqlx::query_scalar(seen).fetch_one(&mut owner).await?;
        assert!(seal.starts_with("v1.k1.globex.-.n"), "{seal}");
        let theirs = backend(&mut victim).await?;

        let mut hostile = db.begin(&scope("acme")).await?;
        assert_ne!(backend(&mut hostile).await?, theirs, "{mode:?}");
        let expected = if mode == ContextMode::Sealed { Fate::Switched } else { Fate::Refused };
        assert_eq!(fate(&mut hostile, &using(mode, &seal)).await?, expected, "{mode:?}");
        drop(hostile);
        // In a transaction of its own it opens in either mode.
        let mut hostile = db.begin(&scope("acme")).await?;
        let again = format!("COMMIT; BEGIN; {}", using(mode, &seal));
        assert_eq!(fate(&mut hostile, &again).await?, Fate::Switched, "{mode:?}");
        drop((hostile, victim));
        pooler.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_seal_without_a_backend_is_as_short_lived_and_as_hard_to_alter() -> TestResult {
    for mode in SEALED {
        let bed = two_orgs(mode).await?;
        let mut conn = PgConnection::connect(&bed.app_url).await?;
        let seal = sealed("k1", Body("globex", NONCE, 10));
        assert_eq!(opened(&mut conn, mode, &seal).await?, 1, "{mode:?}: the seal itself");
        // It began in time, and its transaction goes on when it is over: the next does not begin.
        let brief = sealed("k1", Body("globex", NONCE, 2));
        conn.execute(AssertSqlSafe(format!("BEGIN; {}", using(mode, &brief)))).await?;
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(conn.fetch_all("SELECT 1 FROM pipelines").await?.len(), 1, "{mode:?}");
        conn.execute("ROLLBACK").await?;
        for seal in [
            brief,
            sealed("k1", Body("globex", NONCE, -1)),
            sealed("k9", Body("globex", NONCE, 10)),
            seal.replacen("n00", "n01", 1),
            seal.replacen(NONCE, "n", 1),
            seal.replacen("globex", "acme", 1),
            // A backend's number in place of the nonce, under the code of the nonce.
            seal.replacen(NONCE, "1", 1),
        ] {
            assert_eq!(opened(&mut conn, mode, &seal).await?, 0, "{mode:?}: {seal}");
        }
    }
    Ok(())
}

//! The keys of seals: who reads them, and how they change.

use std::time::Duration;

use cupel_tenant_db::{AdminGrant, ContextMode, TenantDb};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::bed::{Bed, TestResult, empty, migration, scope, seal_key, sql};
use crate::context::{OWN, two_orgs};
use crate::schema::GENEROUS;
use crate::seals::SEALED;

#[tokio::test]
async fn keys_are_rotated_with_two_of_them_live() -> TestResult {
    for mode in SEALED {
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
        if mode == ContextMode::Register {
            // Sessions that were bound with the old key count for as long as a seal.
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert!(!reads(&bed.db).await? && reads(&new).await?);
    }
    Ok(())
}

#[tokio::test]
async fn no_role_but_the_guard_reads_or_writes_them() -> TestResult {
    for mode in SEALED {
        let owner_url = empty().await?;
        sql(&owner_url, GENEROUS).await?;
        let bed = Bed::at(owner_url, mode, 1).await?;
        assert_eq!(bed.number("SELECT count(*) FROM cupel.seal_keys").await?, 1);
        for url in [&bed.admin_url, &bed.app_url] {
            let mut conn = PgConnection::connect(url).await?;
            for statement in [
                "SELECT * FROM cupel.seal_keys",
                "SELECT id FROM cupel.seal_keys",
                "TABLE cupel.seal_keys FOR SHARE",
                "COPY cupel.seal_keys TO STDOUT",
                "INSERT INTO cupel.seal_keys VALUES ('k0', '', '')",
                "UPDATE cupel.seal_keys SET inner_pad = ''",
                "DELETE FROM cupel.seal_keys",
                "TRUNCATE cupel.seal_keys",
                "SET ROLE cupel_guard",
            ] {
                let refused = conn.execute(statement).await.err().ok_or(statement)?;
                let code = refused.as_database_error().and_then(|it| it.code());
                assert_eq!(code.as_deref(), Some("42501"), "{mode:?}: {statement}: {refused}");
            }
        }
        let mut tx = bed.db.admin(&AdminGrant::read_write("alice", "look").all_orgs()).await?;
        assert!(tx.execute("SELECT * FROM cupel.seal_keys").await.is_err(), "{mode:?}");
    }
    Ok(())
}

//! What the triggers of a migration can be turned into, and what others can put beside them.

use std::time::Duration;

use cupel_tenant::Severity;
use cupel_tenant_db::{AdminGrant, Audit, ContextMode, TenantDb};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::routines::{bed, found};
use super::stage::{Outcome, run};
use crate::bed::{Bed, scope, sql};

/// A trigger that is turned into another, one that is not, and what then happens.
struct Turned {
    object: &'static str,
    broken: &'static str,
    near: &'static str,
    attack: Attack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// A suspended organization goes on.
    GoesOn,
    /// The owner takes entries out of the access log.
    Erases,
    /// Administration reads, and the access log has no entry of it.
    Unlogged,
    /// The application has administration run code of its own.
    Borrows,
}

const TURNED: &[Turned] = &[
    Turned {
        object: "cupel.organizations.count_refusal",
        broken: "ALTER TABLE cupel.organizations DISABLE TRIGGER count_refusal",
        near: "ALTER TABLE cupel.organizations ENABLE ALWAYS TRIGGER count_refusal",
        attack: Attack::GoesOn,
    },
    Turned {
        object: "cupel.organizations.count_refusal",
        broken: "DROP TRIGGER count_refusal ON cupel.organizations",
        near: "COMMENT ON TRIGGER count_refusal ON cupel.organizations IS 'counts'",
        attack: Attack::GoesOn,
    },
    Turned {
        object: "cupel.organizations.count_refusal",
        broken: "CREATE OR REPLACE TRIGGER count_refusal AFTER INSERT OR UPDATE OF state ON cupel.organizations
            FOR EACH ROW WHEN (NEW.state = 'erased') EXECUTE FUNCTION cupel.count_refusal()",
        near: "CREATE OR REPLACE TRIGGER count_refusal AFTER INSERT OR UPDATE OF state ON cupel.organizations
            FOR EACH ROW WHEN (NEW.state NOT IN ('onboarding', 'active')) EXECUTE FUNCTION cupel.count_refusal()",
        attack: Attack::GoesOn,
    },
    Turned {
        object: "cupel.access_log.keep",
        broken: "ALTER TABLE cupel.access_log DISABLE TRIGGER ALL",
        near: "ALTER TABLE cupel.access_log DISABLE TRIGGER ALL; ALTER TABLE cupel.access_log ENABLE ALWAYS TRIGGER keep",
        attack: Attack::Erases,
    },
    // A session that replays goes past it.
    Turned {
        object: "cupel.access_log.keep",
        broken: "ALTER TABLE cupel.access_log ENABLE TRIGGER keep",
        near: "ALTER TABLE cupel.access_log ENABLE ALWAYS TRIGGER keep",
        attack: Attack::Erases,
    },
    Turned {
        object: "cupel.access_log.hush",
        broken: "ALTER TABLE cupel.access_log ENABLE TRIGGER hush",
        near: "CREATE FUNCTION hush() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER hush BEFORE INSERT ON cupel.access_log FOR EACH ROW EXECUTE FUNCTION hush();
            ALTER TABLE cupel.access_log DISABLE TRIGGER hush",
        attack: Attack::Unlogged,
    },
    Turned {
        object: "cupel.access_log.hush",
        broken: "CREATE RULE hush AS ON INSERT TO cupel.access_log DO INSTEAD NOTHING",
        near: "CREATE TABLE entries (id int); CREATE RULE hush AS ON INSERT TO entries DO INSTEAD NOTHING",
        attack: Attack::Unlogged,
    },
    Turned {
        object: "cupel.organizations.watch",
        broken: "CREATE TRIGGER watch BEFORE UPDATE ON cupel.organizations FOR EACH ROW EXECUTE FUNCTION s.watch()",
        near: "CREATE SCHEMA s AUTHORIZATION cupel_app;
            CREATE FUNCTION s.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            ALTER FUNCTION s.watch() OWNER TO cupel_app;
            CREATE TABLE s.plans (id int); ALTER TABLE s.plans OWNER TO cupel_app;
            CREATE TRIGGER watch BEFORE UPDATE ON s.plans FOR EACH ROW EXECUTE FUNCTION s.watch()",
        attack: Attack::Borrows,
    },
];

/// Whether the owner can take what administration did out of the access log.
pub(super) async fn erases(bed: &Bed) -> Outcome<bool> {
    let grant = AdminGrant::read_only("alice", "report").all_orgs();
    bed.db.admin(&grant).await?.rollback().await?;
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    run(&mut owner, "SET session_replication_role = replica").await?;
    run(&mut owner, "DELETE FROM cupel.access_log").await?;
    Ok(bed.number("SELECT count(*) FROM cupel.access_log").await? == 0)
}

/// Whether it works.
async fn attack(bed: &Bed, attack: Attack) -> Outcome<bool> {
    Ok(match attack {
        Attack::GoesOn => {
            sql(&bed.owner_url, "UPDATE cupel.organizations SET state = 'active'").await?;
            for org in ["acme", "acme-2"] {
                bed.db.begin(&scope(org)).await?.rollback().await?;
            }
            bed.sql("UPDATE cupel.organizations SET state = 'suspended' WHERE org_id = 'acme'")
                .await?;
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            // The answer that this one gets says how often anybody was refused.
            bed.db.begin(&scope("acme-2")).await?.rollback().await?;
            bed.db.begin(&scope("acme")).await.is_ok()
        }
        Attack::Erases => erases(bed).await?,
        Attack::Unlogged => {
            // A session that met a rule which does nothing goes on so: its plan depends on no table.
            let db = TenantDb::builder(&bed.app_url).admin_url(&bed.admin_url).connect().await?;
            let entries = "SELECT count(*) FROM cupel.access_log";
            let before = bed.number(entries).await?;
            db.admin(&AdminGrant::read_only("alice", "report").all_orgs())
                .await?
                .rollback()
                .await?;
            bed.number(entries).await? == before
        }
        Attack::Borrows => {
            let mut app = PgConnection::connect(&bed.app_url).await?;
            for step in [
                "GRANT USAGE ON SCHEMA s TO PUBLIC",
                "CREATE TABLE IF NOT EXISTS s.bag (name text)",
                "GRANT INSERT ON s.bag TO PUBLIC",
                "CREATE OR REPLACE FUNCTION s.watch() RETURNS trigger LANGUAGE plpgsql
                   AS 'BEGIN INSERT INTO s.bag SELECT name FROM public.pipelines; RETURN NEW; END'",
                "TRUNCATE s.bag",
            ] {
                run(&mut app, step).await?;
            }
            sql(&bed.admin_url, "UPDATE cupel.organizations SET state = 'suspended'").await?;
            run(&mut app, "SELECT name FROM s.bag").await?.lines().any(|it| it == "acme-2")
        }
    })
}

#[tokio::test]
pub(super) async fn audit_of_a_trigger_that_was_turned_into_another() -> Outcome<()> {
    for Turned { object, broken, near, attack: kind } in TURNED {
        let bed = bed(ContextMode::Plain).await?;
        bed.sql(
            "INSERT INTO cupel.organizations (org_id, tier, state)
             VALUES ('acme', 'standard', 'active'), ('acme-2', 'standard', 'active')",
        )
        .await?;
        bed.sql(near).await?;
        assert_eq!(found(&bed.owner_url).await?, Vec::<String>::new(), "{near}");
        assert!(!attack(&bed, *kind).await?, "{near}");
        bed.sql(broken).await?;
        let mut expected = vec![format!("D3 {} {object}", Severity::High)];
        if *kind == Attack::Borrows {
            expected.insert(0, format!("S4 {} {object}", Severity::Critical));
        }
        for url in [&bed.owner_url, &bed.app_url] {
            assert_eq!(found(url).await?, expected, "{url}: {broken}");
        }
        assert!(attack(&bed, *kind).await?, "{broken}");
        let report = Audit::new(&bed.app_url).app_role("cupel_app").run().await?;
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        sqlx::raw_sql(AssertSqlSafe(report.fix_sql())).execute(&mut owner).await?;
        assert_eq!(found(&bed.owner_url).await?, Vec::<String>::new(), "{broken}");
        assert!(!attack(&bed, *kind).await?, "after {broken}");
    }
    Ok(())
}

#[tokio::test]
async fn audit_leaves_a_trigger_to_the_migration_where_its_function_is_gone() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    bed.sql("DROP FUNCTION cupel.keep_access_log() CASCADE").await?;
    let expected = ["D3 high cupel.access_log.keep", "D3 high cupel.keep_access_log"];
    assert_eq!(found(&bed.app_url).await?, expected);
    // What another version made may be otherwise.
    bed.sql("COMMENT ON SCHEMA cupel IS 'b1946ac92492d2347c6235b4d2611184'").await?;
    let expected = [
        "D3 medium cupel.access_log.keep",
        "D3 medium cupel.keep_access_log",
        "D4 medium schema cupel",
    ];
    assert_eq!(found(&bed.app_url).await?, expected);
    let report = Audit::new(&bed.app_url).app_role("cupel_app").run().await?;
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    sqlx::raw_sql(AssertSqlSafe(report.fix_sql())).execute(&mut owner).await?;
    crate::bed::migration(&bed.owner_url, &bed.app_url, &bed.admin_url).run().await?;
    assert_eq!(found(&bed.app_url).await?, Vec::<String>::new());
    Ok(())
}

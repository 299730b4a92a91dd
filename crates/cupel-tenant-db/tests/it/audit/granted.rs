//! Rights that a migration grants and somebody took.

use cupel_tenant::Severity;
use cupel_tenant_db::{Audit, ContextMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use cupel_testkit::Postgres;

use super::stage::Outcome;
use crate::bed::{Bed, migration, scope, seal_key};

async fn found(url: &str) -> Outcome<Vec<String>> {
    let report = Audit::new(url).app_role("cupel_app").admin_role("cupel_admin").run().await?;
    let found = report.findings.iter().filter(|it| it.severity > Severity::Info);
    Ok(found.map(|it| format!("{} {} {}", it.rule, it.severity, it.object)).collect())
}

#[tokio::test]
async fn audit_of_rights_that_were_taken() -> Outcome<()> {
    for (mode, taken, expected) in [
        (
            ContextMode::Plain,
            "DELETE ON public.pipelines FROM cupel_app",
            "D5 low public.pipelines",
        ),
        (
            ContextMode::Plain,
            "EXECUTE ON FUNCTION cupel.org_state() FROM cupel_app",
            "D5 low cupel.org_state()",
        ),
        (
            ContextMode::Plain,
            "UPDATE ON cupel.organizations FROM cupel_admin",
            "D5 low cupel.organizations",
        ),
        (
            ContextMode::Sealed,
            "SELECT ON cupel.seal_keys FROM cupel_guard",
            "D5 low cupel.seal_keys",
        ),
        (ContextMode::Sealed, "USAGE ON SCHEMA cupel FROM cupel_guard", "D5 low schema cupel"),
        (
            ContextMode::Register,
            "EXECUTE ON PROCEDURE cupel.enter(text) FROM cupel_app",
            "D5 low cupel.enter(text)",
        ),
    ] {
        let bed = Bed::of(mode, 2).await?;
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        owner.execute(AssertSqlSafe(format!("REVOKE {taken}"))).await?;
        for url in [&bed.owner_url, &bed.app_url] {
            assert_eq!(found(url).await?, [expected], "{taken}");
        }
        // The fix gives back what was taken.
        let report = Audit::new(&bed.owner_url).app_role("cupel_app").run().await?;
        for finding in report.findings.iter().filter(|it| it.rule == "D5") {
            owner.execute(AssertSqlSafe(finding.fix.clone())).await?;
        }
        assert!(found(&bed.owner_url).await?.is_empty(), "{taken}");
    }
    Ok(())
}

/// What the finding says comes of it: the service's own statement is refused, and nobody reaches more.
#[tokio::test]
pub(super) async fn audit_of_a_right_that_was_taken_is_right_about_what_it_allows() -> Outcome<()> {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    let deletes = async || -> Outcome<bool> {
        let mut tx = bed.db.begin(&scope("acme")).await?;
        Ok(tx.execute("DELETE FROM pipelines").await.is_ok())
    };
    // Administration has by way of the application's role what was taken from itself.
    bed.sql("REVOKE DELETE ON pipelines FROM cupel_admin").await?;
    assert!(found(&bed.owner_url).await?.is_empty() && deletes().await?);
    bed.sql("REVOKE DELETE ON pipelines FROM cupel_app").await?;
    let report = Audit::new(&bed.owner_url).app_role("cupel_app").run().await?;
    let fixes: Vec<_> =
        report.findings.iter().filter(|it| it.rule == "D5").map(|it| &*it.fix).collect();
    let grant = "GRANT DELETE ON TABLE public.pipelines TO";
    assert_eq!(fixes, [format!("{grant} cupel_admin; {grant} cupel_app")]);
    assert!(!deletes().await?);
    Ok(())
}

/// The right on the parameter is of the whole server.
#[tokio::test]
async fn audit_of_what_the_guard_of_the_register_needs_outside_its_schema() -> Outcome<()> {
    let server = Postgres::configured(&[]).await?;
    let bed = Bed::at(server.database().await?, ContextMode::Register, 2).await?;
    bed.pipeline("acme", "a").await?;
    for (org, taken, expected) in [
        (
            "globex",
            "REVOKE SET ON PARAMETER backtrace_functions FROM cupel_guard",
            "D5 low parameter backtrace_functions",
        ),
        (
            "initech",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM cupel_guard",
            "D5 low set_config(text,text,boolean)",
        ),
    ] {
        bed.sql(taken).await?;
        assert_eq!(found(&bed.app_url).await?, [expected]);
        // Nobody is let in, and a migration puts it right.
        assert!(bed.db.begin(&scope(org)).await.is_err());
        let again = migration(&bed.owner_url, &bed.app_url, &bed.admin_url);
        let changes =
            again.context(ContextMode::Register).seal_keys([seal_key("k1")]).run().await?;
        assert!(!changes.is_empty(), "{taken}");
        assert!(found(&bed.app_url).await?.is_empty(), "{taken}");
        bed.db.begin(&scope(org)).await?.commit().await?;
    }
    Ok(())
}

//! Transactions that are prepared belong to no session, and so to whoever has the role.

use cupel_tenant::Severity;
use cupel_tenant_db::{Audit, AuditReport};
use cupel_testkit::Postgres;

use super::stage::Who::{A, B, Root};
use super::stage::{Outcome, Stage, run};
use crate::bed::as_role;

fn found(report: &AuditReport) -> Vec<(Severity, &str)> {
    let found = report.findings.iter().filter(|it| it.rule == "S12");
    found.map(|it| (it.severity, it.object.as_str())).collect()
}

const SETTING: (Severity, &str) = (Severity::Medium, "setting max_prepared_transactions");

/// One organization locks the table, and its session is ended: whether the other cannot read its row.
async fn locks_others_out(stage: &Stage) -> Outcome<bool> {
    let mut attacker = stage.connect(A).await?;
    let locks = "BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'lock'";
    run(&mut attacker, locks).await?;
    let mut root = stage.connect(Root).await?;
    let end = stage.text(
        "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity
        WHERE usename = '{app}'",
    );
    assert_eq!(run(&mut root, &end).await?, "true\n(1)\n");
    let mut other = stage.connect(B).await?;
    run(&mut other, "SET lock_timeout = '300ms'").await?;
    let read = run(&mut other, "SELECT note FROM items").await?;
    run(&mut root, "ROLLBACK PREPARED 'lock'").await?;
    Ok(read.starts_with("55P03"))
}

#[tokio::test]
pub(super) async fn audit_of_prepared_transactions() -> Outcome<()> {
    // As the server is delivered, there are none.
    let stage = Stage::start().await?;
    assert_eq!(found(&stage.audit(&[]).await?), []);
    assert!(!locks_others_out(&stage).await?);

    let server = Postgres::configured(&["max_prepared_transactions=8"]).await?;
    let stage = Stage::at(server.database().await?).await?;
    assert_eq!(found(&stage.audit(&[]).await?), [SETTING]);
    assert!(locks_others_out(&stage).await?);

    // One of a role that the application cannot become is out of its reach.
    let (mut attacker, mut root) = (stage.connect(A).await?, stage.connect(Root).await?);
    let prepare = stage.text("BEGIN; SET LOCAL ROLE {own}; PREPARE TRANSACTION 'own'");
    run(&mut root, &prepare).await?;
    assert_eq!(found(&stage.audit(&[]).await?), [SETTING]);
    assert!(run(&mut attacker, "ROLLBACK PREPARED 'own'").await?.starts_with("42501"));

    // What was promised is undone, and what would be given up is stored.
    let mut other = stage.connect(B).await?;
    for (id, verb, stored) in [(8, "ROLLBACK", "0\n(1)\n"), (9, "COMMIT", "1\n(1)\n")] {
        let write = format!(
            "BEGIN; INSERT INTO items VALUES ('b', {id}, 2, 'x'); PREPARE TRANSACTION 'it''s {id}'"
        );
        run(&mut other, &write).await?;
        let object = format!("prepared transaction 'it''s {id}'");
        let report = stage.audit(&[]).await?;
        assert_eq!(found(&report), [(Severity::High, object.as_str()), SETTING]);
        assert!(report.fix_sql().contains(&format!("-- by hand: COMMIT PREPARED 'it''s {id}'")));
        let ids = "SELECT gid FROM pg_prepared_xacts WHERE owner = current_user";
        assert_eq!(run(&mut attacker, ids).await?, format!("it's {id}\n(1)\n"));
        run(&mut attacker, &format!("{verb} PREPARED 'it''s {id}'")).await?;
        assert_eq!(found(&stage.audit(&[]).await?), [SETTING]);
        let count = format!("SELECT count(*)::text FROM items WHERE id = {id}");
        assert_eq!(run(&mut root, &count).await?, stored);
    }

    // Whoever may not look at them hears of the setting.
    run(&mut other, "BEGIN; PREPARE TRANSACTION 'unseen'").await?;
    run(&mut root, "REVOKE EXECUTE ON FUNCTION pg_prepared_xact() FROM PUBLIC").await?;
    let app = as_role(&stage.root_url, &stage.app)?;
    assert_eq!(found(&Audit::new(&app).run().await?), [SETTING]);
    server.stop().await?;
    Ok(())
}

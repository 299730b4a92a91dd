//! The log of admin access: what stands in it stays, and where it does not, that shows.

use std::collections::BTreeSet;

use cupel_tenant_db::{AccessLog, AdminGrant, Error};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::admin::three_orgs;
use crate::bed::{Bed, TestResult, org_id};

#[tokio::test]
async fn no_row_in_the_log_no_access() -> TestResult {
    let bed = three_orgs().await?;
    bed.sql(
        "REVOKE EXECUTE ON FUNCTION cupel.log_access(text, text, text, text, text, text[], bigint)
           FROM cupel_admin",
    )
    .await?;
    let grant = AdminGrant::read_only("alice", "report").all_orgs();
    let refused = bed.db.admin(&grant).await;
    assert!(matches!(refused, Err(Error::AccessNotLogged { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_log_cannot_be_rewritten() -> TestResult {
    let bed = three_orgs().await?;
    let grant = AdminGrant::read_write("alice", "covering tracks").all_orgs();
    for statement in [
        "UPDATE cupel.access_log SET actor = 'bob'",
        "DELETE FROM cupel.access_log",
        "TRUNCATE cupel.access_log",
        "INSERT INTO cupel.access_log (actor, reason, access, expires, digest)
           VALUES ('bob', 'framed', 'read only', now(), '')",
    ] {
        let mut tx = bed.db.admin(&grant).await?;
        assert!(tx.execute(statement).await.is_err(), "{statement}");
        drop(tx);
        // Nor by its owner, a superuser.
        let owner = bed.sql(statement).await;
        assert_eq!(owner.is_err(), !statement.starts_with("INSERT"), "{statement}");
    }
    Ok(())
}

/// A log of five rows, and a way to write in it that the trigger does not stop.
struct Kept {
    bed: Bed,
    owner: PgConnection,
    /// The digest of its last row, as somebody would keep it elsewhere.
    head: String,
    ids: Vec<i64>,
}

impl Kept {
    async fn of_five() -> Result<Self, Box<dyn std::error::Error>> {
        let bed = three_orgs().await?;
        let empty = bed.db.verify_access_log(None).await?;
        assert_eq!((empty.rows, &empty.head, empty.broken), (0, &None, None));
        for n in 0..5 {
            let grant = AdminGrant::read_only("alice", "report")
                .ticket(&format!("OPS-{n}"))
                .approved_by("bob")
                .orgs([org_id("acme")]);
            bed.db.admin(&grant).await?.rollback().await?;
        }
        let log = bed.db.verify_access_log(None).await?;
        assert!(log.is_whole() && log.rows == 5, "{log:?}");
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        owner.execute("ALTER TABLE cupel.access_log DISABLE TRIGGER keep").await?;
        let ids = sqlx::query_scalar("SELECT id FROM cupel.access_log ORDER BY id");
        let ids = ids.fetch_all(&mut owner).await?;
        Ok(Self { head: log.head.ok_or("no head")?, bed, owner, ids })
    }

    /// How the log stands after a change, which is undone again.
    async fn after(&mut self, change: &str) -> Result<AccessLog, Box<dyn std::error::Error>> {
        self.owner.execute("CREATE TABLE kept AS TABLE cupel.access_log").await?;
        self.owner.execute(AssertSqlSafe(change.to_owned())).await?;
        let changed = self.bed.db.verify_access_log(Some(&self.head)).await?;
        self.owner
            .execute(
                "DELETE FROM cupel.access_log;
                 INSERT INTO cupel.access_log OVERRIDING SYSTEM VALUE TABLE kept; DROP TABLE kept",
            )
            .await?;
        assert!(self.bed.db.verify_access_log(Some(&self.head)).await?.is_whole(), "{change}");
        Ok(changed)
    }
}

#[tokio::test]
async fn the_chain_covers_every_column() -> TestResult {
    let mut log = Kept::of_five().await?;
    // The last: no row after it tells that it was changed.
    let last = log.ids.last().copied().ok_or("no row")?;
    let changes = [
        ("id", "DEFAULT"),
        ("at", "at - interval '1 day'"),
        ("login", "'cupel_app'"),
        ("actor", "'mallory'"),
        ("reason", "'a better one'"),
        ("ticket", "'OPS-5'"),
        ("ticket", "NULL"),
        ("approver", "'carol'"),
        ("approver", "NULL"),
        ("access", "'read write'"),
        ("orgs", "ARRAY['globex']"),
        ("orgs", "ARRAY['acme', 'globex']"),
        ("orgs", "NULL"),
        ("expires", "expires + interval '1 hour'"),
        ("previous", "NULL"),
        ("digest", "sha256('')"),
    ];
    let mut unnoticed = Vec::new();
    for (column, value) in changes {
        let change = format!("UPDATE cupel.access_log SET {column} = {value} WHERE id = {last}");
        let changed = log.after(&change).await?;
        let expected =
            if column == "id" { changed.broken.is_some() } else { changed.broken == Some(last) };
        if !expected || changed.is_whole() {
            unnoticed.push((column, value, changed.broken));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    let columns = "SELECT attname::text FROM pg_attribute
      WHERE attrelid = 'cupel.access_log'::regclass AND attnum > 0";
    let columns: Vec<String> = sqlx::query_scalar(columns).fetch_all(&mut log.owner).await?;
    let changed: BTreeSet<&str> = changes.iter().map(|(column, _)| *column).collect();
    assert_eq!(columns.iter().map(String::as_str).collect::<BTreeSet<_>>(), changed);
    Ok(())
}

#[tokio::test]
async fn the_chain_shows_what_was_changed_all_the_same() -> TestResult {
    let mut log = Kept::of_five().await?;
    let [_, _, third, fourth, fifth] = log.ids[..] else { return Err("five rows".into()) };
    let forged = format!("UPDATE cupel.access_log SET actor = 'mallory' WHERE id = {third}");
    let anew = |id: i64| {
        format!("UPDATE cupel.access_log l SET digest = cupel.access_digest(l) WHERE id = {id}")
    };
    let follow = |id: i64, before: i64| {
        format!(
            "UPDATE cupel.access_log SET previous =
               (SELECT digest FROM cupel.access_log WHERE id = {before}) WHERE id = {id}"
        )
    };
    for (change, broken) in [
        (vec![forged.clone()], Some(third)),
        (vec![format!("DELETE FROM cupel.access_log WHERE id = {third}")], Some(fourth)),
        // Whoever forges the digest too has to go on with the next row, and so on to the last.
        (vec![forged.clone(), anew(third)], Some(fourth)),
        (vec![forged.clone(), anew(third), follow(fourth, third)], Some(fourth)),
        (vec![forged.clone(), anew(third), follow(fourth, third), anew(fourth)], Some(fifth)),
        // All of it, or off the end: that only the head tells which was kept.
        (
            vec![
                forged,
                anew(third),
                follow(fourth, third),
                anew(fourth),
                follow(fifth, fourth),
                anew(fifth),
            ],
            None,
        ),
        (vec![format!("DELETE FROM cupel.access_log WHERE id = {fifth}")], None),
    ] {
        let change = change.join("; ");
        let changed = log.after(&change).await?;
        assert!(!changed.is_whole(), "{change}");
        assert_eq!(changed.broken, broken, "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_that_are_written_at_the_same_time_follow_each_other() -> TestResult {
    let bed = three_orgs().await?;
    let grant = AdminGrant::read_only("alice", "report").all_orgs();
    let logged = (0..8).map(async |_| bed.db.admin(&grant).await?.rollback().await);
    futures::future::try_join_all(logged).await?;
    let log = bed.db.verify_access_log(None).await?;
    assert!(log.is_whole() && log.rows == 8, "{log:?}");
    Ok(())
}

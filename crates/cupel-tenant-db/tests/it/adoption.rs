//! Bringing isolation to a service that has customers: nobody is blocked before, nobody leaks after.

use std::time::Duration;

use cupel_tenant::{IsolationLayer, Severity};
use cupel_tenant_db::{Error, Phase};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::bed::{TestResult, assert_isolated, pair, scope};
use crate::shop::{Shop, adopt, stopped_at};

#[tokio::test]
async fn a_service_is_adopted_and_its_organizations_no_longer_reach_each_other() -> TestResult {
    let mut shop = Shop::open("adopted").await?;
    let adoption = shop.adoption()?;
    let changes = adoption.shadow().await?;
    let begun = ["public.order_lines", "public.orders", "public.tenants"];
    for table in begun {
        assert!(changes.iter().any(|it| it == format!("{table} is in its shadow")), "{changes:?}");
    }
    assert!(adoption.shadow().await?.is_empty(), "it is begun once");
    // The service goes on as before, and beside it as it will be.
    assert_eq!(shop.as_before("SELECT * FROM orders WHERE tenant_id = 'acme'").await?, 20);
    shop.as_before("INSERT INTO order_lines VALUES (501, 1, 1, 'S501')").await?;
    let db = shop.service(true).await?;
    let mut tx = db.begin(&scope("acme")).await?;
    tx.execute("INSERT INTO order_lines VALUES (502, 1, NULL, 'S502')").await?;
    tx.commit().await?;
    // A migration in between leaves the tables in their shadow.
    shop.migration()?.run().await?;
    assert!(adoption.status().await?.iter().all(|it| it.phase != Phase::Enforced));

    adoption.forget().await?;
    let changes = adoption.enforce().await?;
    assert!(changes.iter().any(|it| it == "isolated public.orders"), "{changes:?}");
    assert!(adoption.enforce().await?.is_empty(), "a second run changes nothing");
    assert!(shop.migration()?.run().await?.is_empty());

    let db = shop.service(false).await?;
    let mut tx = db.begin(&scope("acme")).await?;
    let lines = tx.fetch_all("SELECT * FROM order_lines WHERE id IN (501, 502)").await?;
    assert_eq!(lines.len(), 2, "the rows that were written in the shadow are there");
    // Who the row is of comes from the context.
    tx.execute("INSERT INTO order_lines (id, order_id, sku) VALUES (503, 1, 'S503')").await?;
    // The name of the constraint is as before.
    let foreign = "INSERT INTO order_lines (id, order_id, sku) VALUES (504, 2, 'S504')";
    let refused = tx.execute(foreign).await.err().ok_or("it referred to another's order")?;
    let constraint = refused.as_database_error().and_then(|it| it.constraint());
    assert_eq!(constraint, Some("order_lines_order_id_fkey"));
    drop(tx);
    assert_eq!(shop.as_before("SELECT * FROM orders").await?, 0, "nobody goes round the policies");
    let attempts = db.prove(&pair()).await?;
    assert!(attempts.len() > 40, "{}", attempts.len());
    assert_isolated(&attempts);
    let findings = db.audit(pair().first()).await?;
    let worse: Vec<_> = findings.iter().filter(|it| it.severity > Severity::Info).collect();
    assert!(worse.is_empty(), "{worse:#?}");
    insta::assert_debug_snapshot!(shop.shape().await?);
    Ok(())
}

#[tokio::test]
async fn what_enforcement_would_block_is_counted_by_statement() -> TestResult {
    let mut shop = Shop::open("counted").await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    let orders = async || -> Result<[u64; 4], Box<dyn std::error::Error>> {
        // The server's statistics are told of within a second.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let status = adoption.status().await?;
        let of = status.iter().find(|it| it.table == "public.orders").ok_or("no orders")?;
        let it = of.violations;
        Ok([it.unbound_reads, it.foreign_reads, it.unbound_writes, it.foreign_writes])
    };
    assert_eq!(orders().await?, [0; 4]);
    let acme = |act: &str| format!("BEGIN; SET LOCAL app.current_org_id = 'acme'; {act}; ROLLBACK");
    for (act, counted) in [
        ("SELECT * FROM orders".to_owned(), [1, 0, 0, 0]),
        // Many rows are one statement, and a count stays when the transaction is rolled back.
        (acme("SELECT * FROM orders"), [1, 1, 0, 0]),
        (acme("SELECT * FROM orders WHERE tenant_id = 'acme' AND number LIKE 'N%'"), [1, 1, 0, 0]),
        (acme("SELECT * FROM orders WHERE id = 1"), [1, 1, 0, 0]),
        (acme("SELECT * FROM orders WHERE id = 2"), [1, 2, 0, 0]),
        (acme("INSERT INTO orders VALUES (90, 'acme-2', 'N90')"), [1, 2, 0, 1]),
        (acme("INSERT INTO orders VALUES (91, 'acme', 'N91')"), [1, 2, 0, 1]),
        ("INSERT INTO orders VALUES (92, 'acme', 'N92')".to_owned(), [1, 2, 1, 1]),
        // One that may write nothing is counted, too.
        ("BEGIN READ ONLY; SELECT * FROM orders; COMMIT".to_owned(), [2, 2, 1, 1]),
    ] {
        sqlx::raw_sql(AssertSqlSafe(act.as_str())).execute(&mut shop.old).await?;
        assert_eq!(orders().await?, counted, "{act}");
    }
    let refused = adoption.enforce().await;
    let Err(Error::StillViolated { table, violations: 6 }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(table, "public.orders");
    adoption.forget().await?;
    assert_eq!(orders().await?, [0; 4]);
    shop.as_before("SELECT * FROM orders").await?;
    assert_eq!(orders().await?, [1, 0, 0, 0]);
    adoption.clone().despite_violations(true).enforce().await?;
    assert_eq!(shop.as_before("SELECT * FROM orders").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_child_is_filled_before_it_is_counted_anew() -> TestResult {
    let shop = Shop::open("filled").await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    let look = async || -> TestResult {
        let mut tx = shop.service(true).await?.begin(&scope("acme")).await?;
        tx.fetch_all("SELECT * FROM order_lines WHERE order_id = 1").await?;
        tx.commit().await?;
        // The server's statistics are told of within a second.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        Ok(())
    };
    look().await?;
    let refused = adoption.enforce().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(table, "public.order_lines");
    assert!(problem.contains("no tenant_id yet") && problem.contains("validate"), "{problem}");
    adoption.validate().await?;
    adoption.forget().await?;
    look().await?;
    adoption.enforce().await?;
    Ok(())
}

#[tokio::test]
async fn rows_that_would_be_lost_or_leak_are_named_and_nothing_is_enforced() -> TestResult {
    let mut shop = Shop::open("named").await?;
    let adoption = shop.adoption()?;
    let early = adoption.enforce().await;
    assert!(matches!(&early, Err(Error::TableUnfit { problem, .. }) if problem.contains("shadow")));
    adoption.shadow().await?;
    for (spoil, table, problem, mend) in [
        (
            "INSERT INTO orders VALUES (60, NULL, 'N60')",
            "public.orders",
            "has rows without tenant_id (1 of them)",
            "DELETE FROM orders WHERE id = 60",
        ),
        (
            "INSERT INTO tenants VALUES ('Acme Corp', 'x'); INSERT INTO orders VALUES (61, 'Acme Corp', 'N61')",
            "public.orders",
            "has rows whose tenant_id is no organization's id",
            "DELETE FROM orders WHERE id = 61; DELETE FROM tenants WHERE id = 'Acme Corp'",
        ),
        (
            "INSERT INTO order_lines VALUES (700, 1, NULL, 'S'), (701, 2, 700, 'S')",
            "public.order_lines",
            "has rows that refer by foreign key order_lines_replaces_fkey to rows of another organization",
            "DELETE FROM order_lines WHERE id >= 700",
        ),
    ] {
        let before = shop.service(true).await?.audit(pair().first()).await?.len();
        shop.as_before(spoil).await?;
        adoption.forget().await?;
        let refused = adoption.enforce().await;
        let Err(Error::TableUnfit { table: found, problem: why }) = &refused else {
            return Err(format!("{spoil}: {refused:?}").into());
        };
        assert!(found == table && why.starts_with(problem), "{found} {why}");
        assert!(adoption.status().await?.iter().all(|it| it.phase != Phase::Enforced));
        assert!(shop.service(true).await?.audit(pair().first()).await?.len() <= before);
        shop.as_before(mend).await?;
    }
    adoption.forget().await?;
    adoption.enforce().await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_from_elsewhere_is_named() -> TestResult {
    let shop = Shop::open("elsewhere").await?;
    let mut owner = shop.owner().await?;
    owner.execute("CREATE TABLE notes (id int, order_id int REFERENCES orders (id))").await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    let refused = adoption.enforce().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(table, "public.orders");
    assert!(problem.contains("notes_order_id_fkey of public.notes"), "{problem}");
    owner.execute("DROP TABLE notes").await?;
    adoption.enforce().await?;
    Ok(())
}

#[tokio::test]
async fn an_adoption_that_is_stopped_anywhere_goes_on_from_there() -> TestResult {
    let whole = Shop::open("whole").await?;
    adopt(&whole).await?;
    let expected = whole.shape().await?;
    let shop = Shop::open("stopped").await?;
    shop.adoption()?.shadow().await?;
    let mut stops = 0;
    let mut owner = shop.owner().await?;
    while stopped_at(shop.adoption()?, stops).await? {
        stops += 1;
        // Without the policies a query would find no row by a key that begins with the organization.
        let torn: Option<String> = sqlx::query_scalar(
            "SELECT i.indrelid::regclass::text FROM pg_index i
             WHERE i.indisprimary AND i.indrelid IN ('orders'::regclass, 'order_lines'::regclass)
               AND (i.indnkeyatts = 2) <> EXISTS (
                 SELECT FROM pg_policy p WHERE p.polrelid = i.indrelid AND p.polname = 'cupel_floor')",
        )
        .fetch_optional(&mut owner)
        .await?;
        assert_eq!(torn, None, "its keys and its policies came apart after stop {stops}");
        assert!(stops < 100, "it never ends");
    }
    assert!(stops > 4, "{stops}");
    assert_eq!(shop.shape().await?, expected);
    assert_isolated(&shop.service(false).await?.prove(&pair()).await?);
    Ok(())
}

/// Whoever waits as long as `deadlock_timeout` may be ended, where each waits for the other.
#[tokio::test]
async fn an_adoption_gives_way_before_a_deadlock_is_looked_for() -> TestResult {
    let mut shop = Shop::open("giving_way").await?;
    let mut long = shop.owner().await?;
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut long).await?;
    let sooner = format!("ALTER DATABASE {database} SET deadlock_timeout = '200ms'");
    long.execute(AssertSqlSafe(sooner)).await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    adoption.validate().await?;
    // It has locked the child to replace its foreign key, and waits for the parent.
    long.execute("BEGIN; SELECT * FROM orders").await?;
    adoption.forget().await?;
    let running = tokio::spawn(async move { adoption.enforce().await });
    shop.as_before("SET lock_timeout = '1500ms'").await?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        shop.as_before("SELECT FROM ONLY order_lines WHERE false").await?;
    }
    assert!(!running.is_finished(), "it had nothing to wait for");
    long.execute("COMMIT").await?;
    running.await??;
    Ok(())
}

#[tokio::test]
async fn who_works_with_a_table_does_not_wait_behind_the_adoption() -> TestResult {
    let mut shop = Shop::open("unhindered").await?;
    let mut long = shop.owner().await?;
    long.execute("BEGIN; SELECT * FROM orders").await?;
    let adoption = shop.adoption()?;
    let running = tokio::spawn(async move { adoption.shadow().await });
    // The adoption waits for a lock that the long transaction keeps from it. Whoever comes now would wait
    // behind it for as long, if it did not give way.
    shop.as_before("SET lock_timeout = '10s'").await?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        shop.as_before("UPDATE orders SET number = number WHERE id = 1").await?;
    }
    assert!(!running.is_finished(), "it had nothing to wait for");
    long.execute("COMMIT").await?;
    running.await??;
    let phases = shop.adoption()?.status().await?;
    assert!(phases.iter().filter(|it| it.phase == Phase::Shadow).count() == 3, "{phases:?}");
    long.close().await?;
    Ok(())
}

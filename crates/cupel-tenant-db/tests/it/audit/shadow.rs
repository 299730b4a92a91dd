//! What the functions of an adoption's shadow can be turned into, while it lasts.

use cupel_tenant::Severity;
use cupel_tenant_db::{Audit, Error};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::stage::Outcome;
use crate::bed::{as_role, scope, sql};
use crate::shop::Shop;

/// What is found of routines and triggers in the shop.
async fn found(shop: &Shop) -> Outcome<Vec<String>> {
    let report = Audit::new(&shop.owner_url).app_role("shaded_app").run().await?;
    let found = report.findings.iter().filter(|it| ["D3", "D4", "S4"].contains(&it.rule));
    Ok(found.map(|it| format!("{} {} {}", it.rule, it.severity, it.object)).collect())
}

/// Writes a line as the service does for `acme`, and says whose it is.
async fn written(shop: &Shop, id: i32) -> Outcome<String> {
    let mut tx = shop.service(true).await?.begin(&scope("acme")).await?;
    let line = format!(
        "INSERT INTO order_lines (id, order_id, sku) VALUES ({id}, 1, 'S{id}') RETURNING tenant_id"
    );
    let whose = tx.fetch_one(AssertSqlSafe(line)).await?.try_get(0)?;
    tx.commit().await?;
    Ok(whose)
}

#[tokio::test]
async fn audit_of_the_functions_of_a_shadow() -> Outcome<()> {
    let mut shop = Shop::open("shaded").await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    sql(&shop.owner_url, "ALTER FUNCTION cupel_shadow.org_id() COST 200").await?;
    assert_eq!(found(&shop).await?, Vec::<String>::new());
    assert_eq!(written(&shop, 601).await?, "acme");

    // Rows that come without an organization are given to another.
    let giving =
        "CREATE OR REPLACE FUNCTION cupel_shadow.org_id() RETURNS text LANGUAGE plpgsql STABLE
        AS $$ BEGIN RETURN 'acme-2'; END $$";
    sql(&shop.owner_url, giving).await?;
    assert_eq!(found(&shop).await?, ["D3 critical cupel_shadow.org_id()"]);
    assert_eq!(written(&shop, 602).await?, "acme-2");
    adoption.shadow().await?;
    assert_eq!(found(&shop).await?, Vec::<String>::new());
    assert_eq!(written(&shop, 603).await?, "acme");

    // What enforcement would block is not counted, and so it blocks.
    let blind =
        "CREATE OR REPLACE FUNCTION cupel_shadow.note(tenant_table text, act text, org text)
        RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$";
    sql(&shop.owner_url, "DELETE FROM order_lines WHERE id = 602").await?;
    adoption.forget().await?;
    sql(&shop.owner_url, blind).await?;
    let high = ["D3 high cupel_shadow.note(text,text,text)"];
    assert_eq!(found(&shop).await?, high);
    assert_eq!(shop.as_before("SELECT * FROM orders").await?, 40);
    adoption.enforce().await?;
    assert_eq!(shop.as_before("SELECT * FROM orders").await?, 0);
    Ok(())
}

#[tokio::test]
async fn audit_of_a_shadow_that_counts_and_of_one_that_another_version_made() -> Outcome<()> {
    let mut shop = Shop::open("shaded").await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    sql(&shop.owner_url, "ALTER FUNCTION cupel_shadow.note(text, text, text) SECURITY INVOKER")
        .await?;
    assert_eq!(found(&shop).await?, ["D3 high cupel_shadow.note(text,text,text)"]);
    assert!(shop.as_before("SELECT * FROM orders").await.is_err(), "who may not count is blocked");
    let report = Audit::new(&shop.owner_url).app_role("shaded_app").run().await?;
    let fix = report.findings.iter().find(|it| it.rule == "D3").map(|it| it.fix.as_str());
    sqlx::raw_sql(AssertSqlSafe(fix.ok_or("no fix")?)).execute(&mut shop.owner().await?).await?;
    assert_eq!(found(&shop).await?, Vec::<String>::new());
    assert_eq!(shop.as_before("SELECT * FROM orders").await?, 40);
    let refused = adoption.enforce().await;
    assert!(matches!(refused, Err(Error::StillViolated { violations: 1, .. })), "{refused:?}");

    sql(
        &shop.owner_url,
        "COMMENT ON SCHEMA cupel_shadow IS 'of another version';
        DROP FUNCTION cupel_shadow.dear() CASCADE;
        CREATE TRIGGER keep BEFORE DELETE ON cupel_shadow.tables
          FOR EACH STATEMENT EXECUTE FUNCTION cupel.keep_access_log()",
    )
    .await?;
    let expected = [
        "D3 medium cupel_shadow.dear",
        "D3 medium cupel_shadow.tables.keep",
        "D4 medium schema cupel_shadow",
    ];
    assert_eq!(found(&shop).await?, expected);
    Ok(())
}

#[tokio::test]
async fn audit_of_who_may_turn_back_what_a_shadow_counted() -> Outcome<()> {
    let mut shop = Shop::open("shaded").await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    assert_eq!(shop.as_before("SELECT * FROM orders").await?, 40);
    // Its number names a counter to whoever may not look into the schema.
    let counters =
        "FROM pg_class WHERE relkind = 'S' AND relnamespace::regnamespace::text = 'cupel_shadow'";
    let numbers: Vec<i64> =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT oid::int8 {counters}")))
            .fetch_all(&mut shop.owner().await?)
            .await?;
    assert!(!numbers.is_empty());
    let mut turned = Vec::new();
    for granted in [false, true] {
        if granted {
            sql(
                &shop.owner_url,
                "GRANT UPDATE ON ALL SEQUENCES IN SCHEMA cupel_shadow TO shaded_app",
            )
            .await?;
        }
        let mut app = PgConnection::connect(&as_role(&shop.owner_url, "shaded_app")?).await?;
        let mut back = 0;
        for number in &numbers {
            let turn = format!("SELECT setval({number}::regclass, 1, false)");
            back += usize::from(sqlx::raw_sql(AssertSqlSafe(turn)).execute(&mut app).await.is_ok());
        }
        turned.push(back);
        let report = Audit::new(&shop.owner_url).app_role("shaded_app").run().await?;
        let found: Vec<_> = report.findings.iter().filter(|it| it.rule == "D1").collect();
        assert_eq!(found.len(), back, "{found:?}");
        assert!(found.iter().all(|it| it.severity == Severity::Medium), "{found:?}");
        let enforced = adoption.enforce().await;
        assert_eq!(enforced.is_ok(), granted, "{enforced:?}");
    }
    assert_eq!(turned, [0, numbers.len()]);
    Ok(())
}

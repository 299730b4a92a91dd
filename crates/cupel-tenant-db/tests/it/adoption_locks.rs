//! What an adoption does to tables with rows while others work with them: the locks of its statements.

use std::collections::BTreeMap;

use sqlx::Executor;

use crate::bed::TestResult;
use crate::shop::Shop;

/// Notes after each ALTER TABLE the constraints that an adoption adds, whether they hold for all rows, whether the
/// column is NOT NULL, and which locks are held on their table.
const WATCH: &str = r#"
CREATE SCHEMA watch;
CREATE TABLE watch.seen (n serial, on_table text, name text, valid bool, not_null bool, locks text[]);
CREATE FUNCTION watch.look() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO watch.seen (on_table, name, valid, not_null, locks)
  SELECT c.relname, k.conname, k.convalidated, a.attnotnull, ARRAY(SELECT DISTINCT l.mode FROM pg_locks l
    WHERE l.pid = pg_backend_pid() AND l.relation = c.oid AND l.granted)
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
  WHERE k.conname LIKE '%\_cupel' AND k.contype = 'f' OR k.conname = 'cupel_org_not_null' ORDER BY c.relname, k.conname;
END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION watch.look();
"#;

/// Those under which others read and write rows.
const WEAK: [&str; 4] =
    ["AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"];

#[derive(sqlx::FromRow)]
struct Seen {
    on_table: String,
    name: String,
    valid: bool,
    not_null: bool,
    locks: Vec<String>,
}

#[tokio::test]
async fn constraints_are_added_without_a_look_at_the_rows_and_validated_while_others_work()
-> TestResult {
    let shop = Shop::open("gentle").await?;
    let mut owner = shop.owner().await?;
    owner.execute(WATCH).await?;
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    adoption.validate().await?;
    adoption.forget().await?;
    adoption.enforce().await?;
    let seen: Vec<Seen> =
        sqlx::query_as("SELECT on_table, name, valid, not_null, locks FROM watch.seen ORDER BY n")
            .fetch_all(&mut owner)
            .await?;
    let mut constraints: BTreeMap<(String, String), Vec<&Seen>> = BTreeMap::new();
    for it in &seen {
        constraints.entry((it.on_table.clone(), it.name.clone())).or_default().push(it);
    }
    let names: Vec<_> = constraints.keys().map(|(table, name)| format!("{table} {name}")).collect();
    let expected = [
        "order_lines cupel_org_not_null",
        "order_lines order_lines_order_id_fkey_cupel",
        "order_lines order_lines_replaces_fkey_cupel",
        "orders cupel_org_not_null",
    ];
    assert_eq!(names, expected);
    for ((table, name), seen) in constraints {
        let added = seen.first().ok_or("never seen")?;
        assert!(!added.valid, "{table} {name}: its rows were read as it was added");
        let validated = seen.iter().find(|it| it.valid).ok_or("never validated")?;
        let strong: Vec<_> =
            validated.locks.iter().filter(|it| !WEAK.contains(&it.as_str())).collect();
        assert!(strong.is_empty(), "{table} {name}: validated under {strong:?}");
        assert!(
            validated.locks.iter().any(|it| it == "ShareUpdateExclusiveLock"),
            "{table} {name}: it is not seen which locks are held: {:?}",
            validated.locks
        );
        if name == "cupel_org_not_null" {
            // The server reads no row where a constraint says already that none is NULL.
            let required = seen.iter().find(|it| it.not_null).ok_or("never NOT NULL")?;
            assert!(required.valid, "{table}: its rows were read as the column became NOT NULL");
        }
    }
    Ok(())
}

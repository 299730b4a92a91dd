//! Keys of partitioned tables that foreign keys without the organization refer to: both are replaced at once.

use std::error::Error as StdError;

use cupel_tenant::IsolationLayer;
use cupel_tenant_db::{Error, Table, TenantDb};
use sqlx::Executor;

use crate::bed::{TestResult, assert_isolated, pair, scope, sql};
use crate::laden::Laden;
use crate::shop::stopped_at;

/// A plain table refers to the primary key of a partitioned one, and to a unique constraint and an index of it.
const SCHEMA: &str = r#"
CREATE TABLE events (id int, at date, tenant_id text COLLATE "C" NOT NULL, code text, PRIMARY KEY (id, at),
  CONSTRAINT events_code UNIQUE (at, code)) PARTITION BY RANGE (at);
CREATE UNIQUE INDEX events_both ON events (id, at, code);
CREATE TABLE before PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01') PARTITION BY RANGE (at);
CREATE TABLE before_2025 PARTITION OF before FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE older PARTITION OF before DEFAULT;
CREATE TABLE later PARTITION OF events DEFAULT;
CREATE TABLE notes (id int PRIMARY KEY, tenant_id text COLLATE "C" NOT NULL, event int, at date, code text, code_at date,
  both_id int, both_at date, both_code text,
  CONSTRAINT notes_event FOREIGN KEY (event, at) REFERENCES events ON DELETE CASCADE,
  CONSTRAINT notes_code FOREIGN KEY (code, code_at) REFERENCES events (code, at) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT notes_both FOREIGN KEY (both_id, both_at, both_code) REFERENCES events (id, at, code));
"#;

const ROWS: &str = "
INSERT INTO events SELECT n, '2026-06-01'::date - n * 20, CASE WHEN n % 2 = 1 THEN 'acme' ELSE 'acme-2' END, 'C' || n
  FROM generate_series(1, 40) n;
INSERT INTO notes SELECT id, tenant_id, id, at, code, at, id, at, code FROM events;
";

async fn laden(rows: &'static str, app: &str) -> Result<Laden, Box<dyn StdError>> {
    let of = |table: &str| Table::org(table).org_column("tenant_id");
    Laden::with(SCHEMA, rows, app, [of("events"), of("notes")]).await
}

/// The keys of both tables, as they are defined, and what is not valid or still said of them.
const KEYS: &str = "SELECT concat_ws(' ', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid),
    obj_description(k.oid, 'pg_constraint')) FROM pg_constraint k
  WHERE k.conrelid IN ('events'::regclass, 'notes'::regclass) AND k.conparentid = 0 AND k.contype <> 'n'
  UNION SELECT concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'invalid' END)
  FROM pg_index i JOIN pg_partition_tree('events') t ON t.relid = i.indrelid ORDER BY 1";

/// The indexes of the leaves, by the files that they are in.
const FILES: &str = "SELECT 'index ' || c.relfilenode FROM pg_partition_tree('events') t JOIN pg_index i ON i.indrelid = t.relid
  JOIN pg_class c ON c.oid = i.indexrelid
  WHERE t.isleaf AND (SELECT attname FROM pg_attribute WHERE attrelid = t.relid AND attnum = i.indkey[0]) = 'tenant_id'
  ORDER BY 1";

#[tokio::test]
async fn a_key_and_what_refers_to_it_are_replaced_under_their_rows() -> TestResult {
    let notes = laden(ROWS, "referred_app").await?;
    let refused = notes.migration().run().await;
    assert!(matches!(&refused, Err(Error::NeedsAdoption { .. })), "{refused:?}");
    notes.adoption().shadow().await?;
    notes.adoption().validate().await?;
    let built = notes.asked(FILES).await?;
    assert_eq!(built.len(), 3 * 3, "for each leaf three indexes: {built:?}");
    let changes = notes.adoption().enforce().await?;
    assert!(changes.iter().any(|it| it == "validated notes_event of public.notes"), "{changes:?}");
    assert_eq!(notes.asked(FILES).await?, built, "nothing was built anew under a lock");
    assert!(notes.adoption().enforce().await?.is_empty());
    assert!(notes.migration().run().await?.is_empty());
    insta::assert_debug_snapshot!(notes.asked(KEYS).await?);

    let db = TenantDb::connect(&notes.app).await?;
    let mut tx = db.begin(&scope("acme")).await?;
    // Event 2 is another organization's.
    let foreign = "INSERT INTO notes VALUES (90, 'acme', 2, '2026-06-01'::date - 40)";
    let refused = tx.execute(foreign).await.err().ok_or("it referred to another's event")?;
    let constraint = refused.as_database_error().and_then(|it| it.constraint());
    assert_eq!(constraint, Some("notes_event"));
    drop(tx);
    let mut tx = db.begin(&scope("acme")).await?;
    tx.execute("UPDATE notes SET code = NULL, both_id = NULL; DELETE FROM events WHERE id = 39")
        .await?;
    assert!(
        tx.fetch_all("SELECT * FROM notes WHERE id = 39").await?.is_empty(),
        "ON DELETE CASCADE"
    );
    drop(tx);
    assert_isolated(&db.prove(&pair()).await?);
    // A migration of tables without rows makes the same of them at once.
    let whole = laden("", "referred_app").await?;
    whole.migration().run().await?;
    assert_eq!(whole.asked(KEYS).await?, notes.asked(KEYS).await?);
    Ok(())
}

#[tokio::test]
async fn an_adoption_of_both_that_is_stopped_anywhere_goes_on_from_there() -> TestResult {
    let whole = laden("", "both_app").await?;
    whole.migration().run().await?;
    let notes = laden(ROWS, "both_app").await?;
    notes.adoption().shadow().await?;
    let mut stops = 0;
    let mut unvalidated = false;
    // It is told of two tables' rows, each index and foreign key, both tables and what is validated in the end.
    while stopped_at(notes.adoption(), stops).await? {
        stops += 1;
        assert!(stops < 100, "it never ends");
        unvalidated |= notes.asked(KEYS).await?.iter().any(|it| it.contains("NOT VALID"));
    }
    assert!(stops > 5 && unvalidated, "{stops} {unvalidated}");
    assert_eq!(notes.asked(KEYS).await?, whole.asked(KEYS).await?);
    Ok(())
}

#[tokio::test]
async fn rows_that_refer_to_another_organizations_are_named() -> TestResult {
    let notes = laden(ROWS, "crossing_app").await?;
    notes.adoption().shadow().await?;
    sql(&notes.owner, "UPDATE notes SET tenant_id = 'acme' WHERE id = 2").await?;
    notes.adoption().forget().await?;
    let before = notes.asked(KEYS).await?;
    let refused = notes.adoption().enforce().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(
        table == "public.notes" && problem.contains("rows of another organization"),
        "{problem}"
    );
    assert!(notes.asked(KEYS).await?.iter().filter(|it| !it.contains("_cupel")).eq(before.iter()));
    Ok(())
}

#[tokio::test]
async fn rows_that_were_written_while_a_key_was_replaced_are_named() -> TestResult {
    let notes = laden(ROWS, "meanwhile_app").await?;
    notes.adoption().shadow().await?;
    notes.adoption().enforce().await?;
    // As if this were written between the look at the rows and the replacement, and the adoption stopped then.
    sql(
        &notes.owner,
        "SET session_replication_role = replica;
         UPDATE notes SET tenant_id = 'acme' WHERE id = 2;
         COMMENT ON CONSTRAINT notes_event ON notes IS 'cupel: to be validated by the end of the adoption';
         UPDATE pg_constraint SET convalidated = false WHERE conname = 'notes_event' AND conparentid = 0",
    )
    .await?;
    let refused = notes.adoption().enforce().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(table == "public.notes" && problem.contains("notes_event to no row"), "{problem}");
    sql(&notes.owner, "DELETE FROM notes WHERE id = 2").await?;
    let changes = notes.adoption().enforce().await?;
    assert_eq!(changes.iter().collect::<Vec<_>>(), ["validated notes_event of public.notes"]);
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_between_partitioned_tables_is_replaced_where_there_are_no_rows() -> TestResult
{
    const BOTH: &str = "DROP TABLE notes;
      CREATE TABLE notes (id int, tenant_id text COLLATE \"C\" NOT NULL, event int, at date, PRIMARY KEY (id, at),
        CONSTRAINT notes_event FOREIGN KEY (event, at) REFERENCES events ON DELETE CASCADE,
        CONSTRAINT notes_note FOREIGN KEY (event, at) REFERENCES notes) PARTITION BY RANGE (at);
      CREATE TABLE notes_all PARTITION OF notes DEFAULT";
    let notes = laden("", "between_app").await?;
    sql(&notes.owner, BOTH).await?;
    notes.migration().run().await?;
    let keys = notes.asked(KEYS).await?;
    for key in [
        "notes notes_event FOREIGN KEY (tenant_id, event, at) REFERENCES events(tenant_id, id, at) ON DELETE CASCADE",
        "notes notes_note FOREIGN KEY (tenant_id, event, at) REFERENCES notes(tenant_id, id, at)",
    ] {
        assert!(keys.iter().any(|it| it == key), "{keys:#?}");
    }
    let notes = laden("", "between_app").await?;
    sql(&notes.owner, BOTH).await?;
    sql(&notes.owner, "INSERT INTO events VALUES (1, '2026-02-02', 'acme')").await?;
    let adoption = notes.adoption();
    adoption.shadow().await?;
    let refused = adoption.validate().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(
        table == "public.notes" && problem.contains("notes_event without tenant_id, and both"),
        "{problem}"
    );
    let (_, in_the_end) = problem.split_once("run in the end: ").ok_or("no statement")?;
    let drop = "ALTER TABLE notes DROP CONSTRAINT notes_event, DROP CONSTRAINT notes_note";
    sql(&notes.owner, drop).await?;
    adoption.enforce().await?;
    sql(&notes.owner, in_the_end.to_owned().leak()).await?;
    assert!(
        notes
            .asked(KEYS)
            .await?
            .iter()
            .any(|it| it.ends_with("events(tenant_id, id, at) ON DELETE CASCADE"))
    );
    Ok(())
}

#[tokio::test]
async fn a_migration_leaves_a_key_that_a_table_with_rows_refers_to() -> TestResult {
    let notes = laden("INSERT INTO notes VALUES (1, 'acme')", "left_to_app").await?;
    sql(&notes.owner, "ALTER TABLE notes DROP CONSTRAINT notes_pkey").await?;
    let before = notes.asked(KEYS).await?;
    let refused = notes.migration().run().await;
    let Err(Error::NeedsAdoption { table, constraint, .. }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(table, "public.events");
    assert_eq!(constraint, "index events_both", "the first that the rows refer to");
    assert_eq!(notes.asked(KEYS).await?, before);
    Ok(())
}

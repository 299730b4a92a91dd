//! Partitioned tables whose keys carry the organization and do not begin with it: they get an index that does.

use std::error::Error as StdError;
use std::time::Duration;

use cupel_tenant_db::{Error, Migration, Table};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bed::{TestResult, sql};
use crate::laden::Laden;
use crate::shop::stopped_at;

/// Leaves at three depths and in two schemas. One has such an index of its own, and one an index of some of its rows.
const SCHEMA: &str = r#"
CREATE TABLE events (id int, at date, tenant_id text COLLATE "C" NOT NULL, PRIMARY KEY (id, at, tenant_id))
  PARTITION BY RANGE (at);
CREATE SCHEMA past;
CREATE TABLE past.before PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01') PARTITION BY RANGE (at);
CREATE TABLE past."2025" PARTITION OF past.before FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
  PARTITION BY HASH (id);
CREATE TABLE past.even PARTITION OF past."2025" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE past.odd PARTITION OF past."2025" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE past.older PARTITION OF past.before DEFAULT;
CREATE TABLE empty PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY RANGE (at);
CREATE TABLE now PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX its_own ON now (tenant_id);
CREATE INDEX partial ON past.odd (tenant_id) WHERE id > 3;
"#;

const ROWS: &str = "
INSERT INTO events SELECT n, '2026-12-01'::date - n * 20, CASE WHEN n % 2 = 1 THEN 'acme' ELSE 'acme-2' END
  FROM generate_series(1, 60) n;
";

async fn laden(rows: &'static str, app: &str) -> Result<Laden, Box<dyn StdError>> {
    Laden::with(SCHEMA, rows, app, [Table::org("events").org_column("tenant_id")]).await
}

/// The index of each table on the organization, what it is part of, and whether it is valid.
const INDEXES: &str =
    "SELECT concat_ws(' ', pg_get_indexdef(i.indexrelid), 'in ' || h.inhparent::regclass,
    CASE WHEN NOT i.indisvalid THEN 'invalid' END)
  FROM pg_partition_tree('events') t JOIN pg_index i ON i.indrelid = t.relid
  LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid
  WHERE NOT i.indisprimary ORDER BY 1";

#[tokio::test]
async fn a_partitioned_table_gets_an_index_that_begins_with_the_organization() -> TestResult {
    let events = laden(ROWS, "leading_app").await?;
    events.adoption().shadow().await?;
    events.adoption().validate().await?;
    let made = events.asked(INDEXES).await?;
    insta::assert_debug_snapshot!(made);
    assert!(events.adoption().validate().await?.is_empty(), "a second run changes nothing");
    events.adoption().enforce().await?;
    assert_eq!(events.asked(INDEXES).await?, made);
    assert!(events.migration().run().await?.is_empty());
    // A partition that comes later has one as well.
    let later =
        "CREATE TABLE later PARTITION OF empty FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')";
    sql(&events.owner, later).await?;
    assert_eq!(events.asked(INDEXES).await?.len(), made.len() + 1);
    // A migration makes the same of a table without rows, at once.
    let whole = laden("", "leading_app").await?;
    whole.migration().run().await?;
    assert_eq!(whole.asked(INDEXES).await?, made);
    Ok(())
}

#[tokio::test]
async fn it_is_made_up_of_its_parts_from_wherever_that_was_stopped() -> TestResult {
    let whole = laden(ROWS, "parts_app").await?;
    whole.adoption().shadow().await?;
    whole.adoption().validate().await?;
    let events = laden(ROWS, "parts_app").await?;
    events.adoption().shadow().await?;
    let mut stops = 0;
    // It looks at the rows again, does a step, and is stopped at the next.
    while stopped_at(events.adoption(), 2).await? {
        stops += 1;
        assert!(stops < 100, "it never ends");
    }
    // What was under way at a stop is often done all the same: two steps go by at most.
    assert!(stops > 2, "{stops}");
    assert_eq!(events.asked(INDEXES).await?, whole.asked(INDEXES).await?);
    Ok(())
}

#[tokio::test]
async fn an_index_that_was_left_invalid_is_built_anew_and_one_that_comes_meanwhile_is_part_of_it()
-> TestResult {
    let events = laden(ROWS, "left_app").await?;
    events.adoption().shadow().await?;
    // As a build leaves it that was stopped half-way, or that waits for a transaction until it is.
    let mut owner = PgConnection::connect(&events.owner).await?;
    owner.execute("CREATE INDEX older_tenant_id_idx ON past.older (tenant_id)").await?;
    owner
        .execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'past.older_tenant_id_idx'::regclass")
        .await?;
    assert!(stopped_at(events.adoption(), 4).await?);
    owner
        .execute("CREATE TABLE later PARTITION OF events FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')")
        .await?;
    events.adoption().validate().await?;
    let indexes = events.asked(INDEXES).await?;
    assert!(indexes.iter().all(|it| !it.ends_with("invalid")), "{indexes:#?}");
    let parts = indexes.iter().filter(|it| it.contains(" in ")).count();
    assert_eq!(parts, 8, "{indexes:#?}");
    Ok(())
}

#[tokio::test]
async fn who_writes_does_not_wait_while_it_is_built() -> TestResult {
    let events = laden(ROWS, "writing_app").await?;
    events.adoption().shadow().await?;
    let mut long = PgConnection::connect(&events.owner).await?;
    let mut writer = PgConnection::connect(&events.owner).await?;
    // Whoever builds an index of a leaf waits for this one, and nobody else does.
    long.execute("BEGIN; UPDATE past.older SET id = id WHERE id = 60").await?;
    let adoption = events.adoption();
    let running = tokio::spawn(async move { adoption.validate().await });
    writer.execute("SET lock_timeout = '3s'").await?;
    let mut building = false;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        writer.execute("UPDATE events SET id = id WHERE id IN (1, 40)").await?;
        building |= sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index p
               WHERE p.relid = 'past.older'::regclass AND p.command = 'CREATE INDEX CONCURRENTLY')",
        )
        .fetch_one(&mut writer)
        .await?;
    }
    assert!(building && !running.is_finished(), "it had nothing to wait for");
    long.execute("COMMIT").await?;
    running.await??;
    Ok(())
}

#[tokio::test]
async fn an_index_of_another_kind_in_the_way_is_named() -> TestResult {
    let events = laden(ROWS, "in_the_way_app").await?;
    sql(&events.owner, "ALTER INDEX past.partial RENAME TO odd_tenant_id_idx").await?;
    events.adoption().shadow().await?;
    let refused = events.adoption().validate().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(table, "past.odd");
    assert!(problem.starts_with("has an index odd_tenant_id_idx of something else"), "{problem}");
    sql(&events.owner, "ALTER INDEX past.odd_tenant_id_idx RENAME TO partial").await?;
    events.adoption().validate().await?;
    assert!(events.asked(INDEXES).await?.iter().all(|it| !it.ends_with("invalid")));
    Ok(())
}

#[tokio::test]
async fn a_table_with_a_partition_on_another_server_has_none() -> TestResult {
    let events = laden("", "foreign_app").await?;
    sql(
        &events.owner,
        "ALTER TABLE events DROP CONSTRAINT events_pkey;
         CREATE FOREIGN DATA WRAPPER nowhere;
         CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
         CREATE FOREIGN TABLE far PARTITION OF events FOR VALUES FROM ('2028-01-01') TO ('2029-01-01') SERVER elsewhere",
    )
    .await?;
    events.migration().run().await?;
    let indexes = events.asked(INDEXES).await?;
    assert_eq!(indexes.len(), 2, "those that were there: {indexes:#?}");
    Ok(())
}

#[tokio::test]
async fn an_index_that_is_not_valid_becomes_no_part() -> TestResult {
    let events = laden("", "broken_app").await?;
    sql(
        &events.owner,
        "CREATE INDEX broken ON past.older (tenant_id);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'past.broken'::regclass",
    )
    .await?;
    events.migration().run().await?;
    let indexes = events.asked(INDEXES).await?;
    let broken: Vec<_> = indexes.iter().filter(|it| it.ends_with("invalid")).collect();
    assert_eq!(broken, ["CREATE INDEX broken ON past.older USING btree (tenant_id) invalid"]);
    Ok(())
}

#[tokio::test]
async fn it_becomes_valid_where_the_last_partition_that_lacked_it_is_dropped() -> TestResult {
    let events = laden(ROWS, "dropped_app").await?;
    events.adoption().shadow().await?;
    let mut owner = PgConnection::connect(&events.owner).await?;
    // All but the leaf that comes last.
    let last = loop {
        assert!(stopped_at(events.adoption(), 2).await?);
        // The server goes on with the statement whose client is gone.
        let lock = "SELECT pg_try_advisory_lock($1) AND pg_advisory_unlock($1)";
        while !sqlx::query_scalar::<_, bool>(lock)
            .bind(Migration::LOCK)
            .fetch_one(&mut owner)
            .await?
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut left: Vec<String> = sqlx::query_scalar(
            "SELECT t.relid::regclass::text FROM pg_partition_tree('events') t
             WHERE t.isleaf AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid
               WHERE i.indrelid = t.relid AND NOT i.indisprimary)",
        )
        .fetch_all(&mut owner)
        .await?;
        if let (Some(last), true) = (left.pop(), left.is_empty()) {
            break last;
        }
    };
    owner.execute(AssertSqlSafe(format!("DROP TABLE {last}"))).await?;
    events.adoption().validate().await?;
    let indexes = events.asked(INDEXES).await?;
    assert!(indexes.iter().all(|it| !it.ends_with("invalid")), "{indexes:#?}");
    Ok(())
}

//! Keys of partitioned tables: built leaf by leaf, and taken over by the table.

use cupel_tenant::{IsolationLayer, Severity};
use cupel_tenant_db::{Error, Table, TenantDb};
use sqlx::Executor;

use crate::bed::{TestResult, assert_isolated, pair, scope, sql};
use crate::laden::Laden;
use crate::shop::stopped_at;

/// Leaves at two depths, in two schemas, and one with a key of its own names.
const SCHEMA: &str = r#"
CREATE TABLE tenants (id text COLLATE "C" PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, tenant_id text COLLATE "C" NOT NULL REFERENCES tenants);
CREATE TABLE events (id int, at date, tenant_id text COLLATE "C" NOT NULL, order_id int, note text, weight int,
  PRIMARY KEY (id, at) INCLUDE (weight), CONSTRAINT events_note UNIQUE NULLS NOT DISTINCT (note, at) DEFERRABLE,
  CONSTRAINT events_order FOREIGN KEY (order_id) REFERENCES orders ON DELETE SET NULL DEFERRABLE)
  PARTITION BY RANGE (at);
CREATE UNIQUE INDEX events_lower ON events (lower(note), at) WHERE note <> '';
CREATE INDEX events_weight ON events (weight DESC);
CREATE SCHEMA past;
CREATE TABLE past.before PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01') PARTITION BY RANGE (at);
CREATE TABLE past."2025" PARTITION OF past.before FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE past.older PARTITION OF past.before DEFAULT;
CREATE TABLE own (at date, weight int, id int NOT NULL, order_id int, note text, tenant_id text COLLATE "C" NOT NULL,
  CONSTRAINT its_own_key PRIMARY KEY (id, at) INCLUDE (weight));
ALTER TABLE events ATTACH PARTITION own FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"#;

const ROWS: &str = "
INSERT INTO tenants VALUES ('acme'), ('acme-2');
INSERT INTO orders SELECT n, CASE WHEN n % 2 = 1 THEN 'acme' ELSE 'acme-2' END FROM generate_series(1, 10) n;
INSERT INTO events SELECT n, '2026-12-01'::date - n * 20, CASE WHEN n % 2 = 1 THEN 'acme' ELSE 'acme-2' END,
  n % 10 + CASE WHEN n % 10 = 0 THEN 10 ELSE 0 END, 'N' || n, n FROM generate_series(1, 60) n;
";

async fn laden(rows: &'static str, app: &str) -> Result<Laden, Box<dyn std::error::Error>> {
    let of = |table: &str| Table::org(table).org_column("tenant_id");
    let tables = [Table::org("tenants").org_column("id"), of("orders"), of("events")];
    Laden::with(SCHEMA, rows, app, tables).await
}

/// The keys of the table and of its leaves, and whether each is valid.
const SHAPE: &str = "WITH tables AS (SELECT relid, isleaf FROM pg_partition_tree('events'))
  SELECT concat_ws(' ', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid),
    CASE WHEN isleaf AND k.conparentid = 0 THEN 'alone' END)
  FROM pg_constraint k JOIN tables ON k.conrelid = relid WHERE k.contype IN ('p', 'u', 'f')
  UNION SELECT concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'invalid' END)
  FROM pg_index i JOIN tables ON i.indrelid = relid ORDER BY 1";

/// What is on the leaves, by what the server calls it.
fn pieces(like: &str) -> String {
    format!(
        "WITH leaves AS (SELECT relid FROM pg_partition_tree('events') WHERE isleaf)
         SELECT 'index ' || c.oid || ' ' || c.relfilenode FROM pg_index i JOIN leaves ON i.indrelid = relid
         JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE '{like}'
         UNION ALL SELECT 'foreign key ' || k.oid FROM pg_constraint k JOIN leaves ON k.conrelid = relid
         WHERE k.contype = 'f' AND k.conname LIKE '{like}' ORDER BY 1"
    )
}

#[tokio::test]
async fn the_keys_of_a_partitioned_table_are_rebuilt_under_its_rows() -> TestResult {
    let bed = laden(ROWS, "partitioned_app").await?;
    let refused = bed.migration().run().await;
    assert!(matches!(&refused, Err(Error::NeedsAdoption { .. })), "{refused:?}");
    bed.adoption().shadow().await?;
    bed.adoption().validate().await?;
    let built = bed.asked(&pieces("%\\_cupel")).await?;
    assert_eq!(built.len(), 3 * 5, "for each leaf four indexes and a foreign key: {built:?}");
    bed.adoption().enforce().await?;
    assert_eq!(bed.asked(&pieces("%")).await?, built, "nothing was built anew under a lock");
    assert!(bed.adoption().enforce().await?.is_empty());
    assert!(bed.migration().run().await?.is_empty());
    insta::assert_debug_snapshot!(bed.asked(SHAPE).await?);
    // A partition that comes later has them as well.
    sql(
        &bed.owner,
        "CREATE TABLE later PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
    )
    .await?;
    let db = TenantDb::connect(&bed.app).await?;
    let mut tx = db.begin(&scope("acme")).await?;
    tx.execute(
        "INSERT INTO events (tenant_id, id, at, note) VALUES ('acme', 2, '2027-02-02', 'N2')",
    )
    .await?;
    let foreign =
        "INSERT INTO events (tenant_id, id, at, order_id) VALUES ('acme', 3, '2027-02-02', 2)";
    tx.execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    let refused = tx.execute(foreign).await.err().ok_or("it referred to another's order")?;
    let constraint = refused.as_database_error().and_then(|it| it.constraint());
    assert!(constraint.is_some_and(|it| it.starts_with("events_order")), "{constraint:?}");
    drop(tx);
    assert_isolated(&db.prove(&pair()).await?);
    let findings = db.audit(pair().first()).await?;
    let worse: Vec<_> = findings.iter().filter(|it| it.severity > Severity::Low).collect();
    assert!(worse.is_empty(), "{worse:#?}");
    Ok(())
}

#[tokio::test]
async fn an_adoption_of_partitions_that_is_stopped_anywhere_goes_on_from_there() -> TestResult {
    // A migration of a table without rows makes the same of it at once.
    let whole = laden("", "partitions_app").await?;
    whole.migration().run().await?;
    let bed = laden(ROWS, "partitions_app").await?;
    bed.adoption().shadow().await?;
    let mut stops = 0;
    // It looks at the rows of three tables again, does a step, and is stopped at the next.
    while stopped_at(bed.adoption(), 4).await? {
        stops += 1;
        assert!(stops < 100, "it never ends");
    }
    // What was under way at a stop is often done all the same: two steps go by at most.
    assert!(stops > 5, "{stops}");
    assert_eq!(bed.asked(SHAPE).await?, whole.asked(SHAPE).await?);
    Ok(())
}

#[tokio::test]
async fn rows_of_a_leaf_that_refer_to_another_organizations_are_named() -> TestResult {
    let bed = laden(ROWS, "referring_app").await?;
    bed.adoption().shadow().await?;
    sql(&bed.owner, "UPDATE events SET order_id = 2 WHERE id = 41").await?;
    bed.adoption().forget().await?;
    let refused = bed.adoption().enforce().await;
    let Err(Error::TableUnfit { table, problem }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(table, "past.older");
    assert!(problem.contains("foreign key events_order to rows of another"), "{problem}");
    Ok(())
}

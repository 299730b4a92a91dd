//! Measures the audit of a database with many tables of organizations.
//!
//! `cargo run --release --example audit_many -- 10000` makes a database on the test bed's PostgreSQL, fills
//! it with so many tables, each with policies, a foreign key and two indexes, and audits it.

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::error::Error;
use std::time::Instant;

use cupel_tenant_db::Audit;
use cupel_testkit::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Tables made in one transaction: each takes locks until its end.
const BATCH: usize = 250;

fn tables(from: usize, to: usize) -> String {
    let isolates = "org_id = (SELECT nullif(current_setting('app.current_org_id', true), ''))";
    let mut sql = String::new();
    for at in from..to {
        sql += &format!(
            "CREATE TABLE t{at} (org_id text NOT NULL, id int NOT NULL, parent int, note text,
               PRIMARY KEY (org_id, id), FOREIGN KEY (org_id, parent) REFERENCES t{parent} (org_id, id));
             CREATE INDEX ON t{at} (org_id, note);
             ALTER TABLE t{at} ENABLE ROW LEVEL SECURITY; ALTER TABLE t{at} FORCE ROW LEVEL SECURITY;
             CREATE POLICY floor ON t{at} AS RESTRICTIVE USING ({isolates}) WITH CHECK ({isolates});
             CREATE POLICY access ON t{at} USING ({isolates}) WITH CHECK ({isolates});
             GRANT SELECT, INSERT, UPDATE, DELETE ON t{at} TO audit_many;\n",
            parent = if at == from { at } else { at - 1 },
        );
    }
    sql
}

/// The most memory that this process has had, in megabytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|it| it.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |it| it.parse())?;
    let url = match std::env::args().nth(2) {
        Some(url) => url,
        None => Postgres::shared().await?.database().await?,
    };
    let mut conn = PgConnection::connect(&url).await?;
    let role = "DO $$ BEGIN CREATE ROLE audit_many; EXCEPTION WHEN duplicate_object THEN END $$";
    sqlx::raw_sql(role).execute(&mut conn).await?;
    let started = Instant::now();
    for from in (0..count).step_by(BATCH) {
        let sql = tables(from, count.min(from + BATCH));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
    }
    sqlx::raw_sql("ANALYZE pg_class, pg_attribute, pg_index, pg_depend").execute(&mut conn).await?;
    println!("{count} tables made in {:.1} s", started.elapsed().as_secs_f64());
    for _ in 0..3 {
        let started = Instant::now();
        let report = Audit::new(&url).app_role("audit_many").run().await?;
        println!(
            "audited in {:.2} s, {} findings, {} MB at the most",
            started.elapsed().as_secs_f64(),
            report.findings.len(),
            peak().unwrap_or_default(),
        );
    }
    Ok(())
}

//! Measures the audit of a database with many tables of organizations.
//!
//! `cargo run --release --example audit_many -- 10000` makes two databases on the test bed's PostgreSQL,
//! fills each with so many tables, each with policies, a foreign key and two indexes, and audits it: one
//! that somebody else built, and one whose tables are declared, as the owner and as the application.

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::error::Error;
use std::time::Instant;

use cupel_tenant_db::{Audit, Migration};
use cupel_testkit::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

/// Tables made in one transaction: each takes locks until its end.
const BATCH: usize = 250;

/// What tells the two databases apart.
struct Design {
    name: &'static str,
    app: &'static str,
    column: &'static str,
    policies: [&'static str; 2],
    context: &'static str,
}

const STRANGE: Design = Design {
    name: "not declared",
    app: "audit_many",
    column: "text",
    policies: ["floor", "access"],
    context: "nullif(current_setting('app.current_org_id', true), '')",
};

/// As the migration makes it, which takes a transaction for all tables and more locks than a server has.
const DECLARED: Design = Design {
    name: "declared",
    app: "audit_many_app",
    column: "text COLLATE \"C\"",
    policies: ["cupel_floor", "cupel_access"],
    context: "cupel.current_org_id()",
};

fn tables(design: &Design, from: usize, to: usize) -> String {
    let Design { app, column, policies: [floor, access], context, .. } = design;
    let isolates = format!("org_id = (SELECT {context})");
    let mut sql = String::new();
    for at in from..to {
        sql += &format!(
            "CREATE TABLE t{at} (org_id {column} NOT NULL, id int NOT NULL, parent int, note text,
               PRIMARY KEY (org_id, id), FOREIGN KEY (org_id, parent) REFERENCES t{parent} (org_id, id));
             CREATE INDEX ON t{at} (org_id, note);
             ALTER TABLE t{at} ENABLE ROW LEVEL SECURITY; ALTER TABLE t{at} FORCE ROW LEVEL SECURITY;
             CREATE POLICY {floor} ON t{at} AS RESTRICTIVE USING ({isolates}) WITH CHECK ({isolates});
             CREATE POLICY {access} ON t{at} TO {app} USING ({isolates}) WITH CHECK ({isolates});
             GRANT SELECT, INSERT, UPDATE, DELETE ON t{at} TO {app};\n",
            parent = if at == from { at } else { at - 1 },
        );
    }
    sql
}

/// Records the tables as the migration does.
const DECLARE: &str =
    "INSERT INTO cupel.tenant_tables (schema_name, table_name, kind, definition, policies)
  SELECT 'public', c.relname, 'org', 'of audit_many', cupel.policies_of(c.oid)
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'";

/// The most memory that this process has had, in megabytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|it| it.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// The same database as another role, whose password is its name.
fn as_role(url: &str, role: &str) -> Result<String, Box<dyn Error>> {
    let mut url: Url = url.parse()?;
    url.set_username(role).map_err(|()| "the URL takes no user")?;
    url.set_password(Some(role)).map_err(|()| "the URL takes no password")?;
    Ok(url.to_string())
}

async fn fill(url: &str, design: &Design, count: usize) -> Result<(), Box<dyn Error>> {
    let mut conn = PgConnection::connect(url).await?;
    let started = Instant::now();
    for from in (0..count).step_by(BATCH) {
        let sql = tables(design, from, count.min(from + BATCH));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
    }
    sqlx::raw_sql("ANALYZE pg_class, pg_attribute, pg_index, pg_depend").execute(&mut conn).await?;
    println!("{count} tables, {}: made in {:.1} s", design.name, started.elapsed().as_secs_f64());
    conn.close().await?;
    Ok(())
}

async fn measure(url: &str, app: &str, who: &str) -> Result<(), Box<dyn Error>> {
    for _ in 0..3 {
        let started = Instant::now();
        let report = Audit::new(url).app_role(app).run().await?;
        println!(
            "audited by {who} in {:.2} s: {} tables, {} findings, policies {:?}, {} MB at the most",
            started.elapsed().as_secs_f64(),
            report.tables,
            report.findings.len(),
            report.policies,
            peak().unwrap_or_default(),
        );
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |it| it.parse())?;
    let server = Postgres::shared().await?;

    let strange = server.database().await?;
    let mut conn = PgConnection::connect(&strange).await?;
    let role = "DO $$ BEGIN CREATE ROLE audit_many; EXCEPTION WHEN duplicate_object THEN END $$";
    sqlx::raw_sql(role).execute(&mut conn).await?;
    fill(&strange, &STRANGE, count).await?;
    measure(&strange, STRANGE.app, "a superuser").await?;

    let declared = server.database().await?;
    let app = as_role(&declared, DECLARED.app)?;
    let admin = as_role(&declared, "audit_many_admin")?;
    Migration::new(&declared).app_url(&app).admin_url(&admin).run().await?;
    fill(&declared, &DECLARED, count).await?;
    let mut conn = PgConnection::connect(&declared).await?;
    sqlx::raw_sql(DECLARE).execute(&mut conn).await?;
    measure(&declared, DECLARED.app, "the owner").await?;
    measure(&app, DECLARED.app, "the application").await?;
    Ok(())
}

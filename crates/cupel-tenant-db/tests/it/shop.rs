//! A service that has customers and no isolation: what is adopted in the tests.

use std::error::Error;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use cupel_tenant_db::{Adoption, AdoptionStep, Declaration, Migration, TenantDb};
use futures::FutureExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bed::{TestResult, as_role, empty};

/// Keys without the organization, a child without its column, a view that reads as its owner, and rights that
/// come by themselves.
const SCHEMA: &str = r#"
CREATE TABLE tenants (id text COLLATE "C" PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, tenant_id text COLLATE "C" REFERENCES tenants (id),
  number text NOT NULL UNIQUE, placed date NOT NULL DEFAULT '2026-01-01');
CREATE INDEX orders_placed ON orders (placed) WHERE number <> '';
CREATE TABLE order_lines (id int PRIMARY KEY,
  order_id int NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  replaces int REFERENCES order_lines (id) ON DELETE SET NULL, sku text NOT NULL);
CREATE TABLE countries (code text PRIMARY KEY);
CREATE VIEW numbers AS SELECT number FROM orders;
"#;

pub(crate) const DECLARATION: &str = r#"
org_column = "tenant_id"
[tables]
tenants = { kind = "org", org_column = "id" }
orders = "org"
order_lines = { kind = "org", parent = "orders" }
countries = "global"
"#;

pub(crate) struct Shop {
    pub(crate) owner_url: String,
    app: String,
    admin: String,
    /// What the service connected as until now.
    pub(crate) old: PgConnection,
}

impl Shop {
    /// Two tenants with rows, and a role `NAME_old` that the service works as.
    pub(crate) async fn open(name: &str) -> Result<Self, Box<dyn Error>> {
        let owner_url = empty().await?;
        let mut owner = PgConnection::connect(&owner_url).await?;
        owner.execute(SCHEMA).await?;
        let role = format!("{name}_old");
        let sql = format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN PASSWORD '{role}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
             INSERT INTO tenants VALUES ('acme', 'Acme'), ('acme-2', 'Acme, too');
             INSERT INTO orders (id, tenant_id, number)
               SELECT n, CASE WHEN n % 2 = 1 THEN 'acme' ELSE 'acme-2' END, 'N' || n FROM generate_series(1, 40) n;
             INSERT INTO order_lines SELECT n, n / 3 + 1, NULL, 'S' || n FROM generate_series(1, 100) n"
        );
        owner.execute(AssertSqlSafe(sql)).await?;
        owner.close().await?;
        let old = PgConnection::connect(&as_role(&owner_url, &role)?).await?;
        Ok(Self { app: format!("{name}_app"), admin: format!("{name}_admin"), owner_url, old })
    }

    pub(crate) fn migration(&self) -> Result<Migration, Box<dyn Error>> {
        let declaration: Declaration = DECLARATION.parse()?;
        Ok(Migration::new(&self.owner_url)
            .app_url(&as_role(&self.owner_url, &self.app)?)
            .admin_url(&as_role(&self.owner_url, &self.admin)?)
            .tables(declaration))
    }

    pub(crate) fn adoption(&self) -> Result<Adoption, Box<dyn Error>> {
        Ok(Adoption::of(self.migration()?))
    }

    /// The service as it will be, while critical findings are still expected or not.
    pub(crate) async fn service(&self, in_shadow: bool) -> Result<TenantDb, Box<dyn Error>> {
        Ok(TenantDb::builder(&as_role(&self.owner_url, &self.app)?)
            .admin_url(&as_role(&self.owner_url, &self.admin)?)
            .allow_critical_findings(in_shadow)
            .connect()
            .await?)
    }

    pub(crate) async fn owner(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.owner_url).await
    }

    /// Runs a statement as the service did until now.
    pub(crate) async fn as_before(&mut self, sql: &'static str) -> Result<u64, sqlx::Error> {
        Ok(self.old.execute(sql).await?.rows_affected())
    }

    /// What is left of the old keys and indexes, and the rest of what is not as it should be.
    pub(crate) async fn shape(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut owner = self.owner().await?;
        let shape = sqlx::query_scalar(
            "SELECT pg_get_constraintdef(k.oid) || ' ' || k.conname FROM pg_constraint k
             WHERE k.contype <> 'n' AND k.conrelid IN ('orders'::regclass, 'order_lines'::regclass)
             UNION SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i
             WHERE i.indrelid IN ('orders'::regclass, 'order_lines'::regclass) ORDER BY 1",
        )
        .fetch_all(&mut owner)
        .await?;
        owner.close().await?;
        Ok(shape)
    }
}

/// What ends a phase that came further than it was to.
struct Stopped;

/// Runs a phase and drops it as it begins its step number `stop`; whether it came so far. Where the answers of that
/// step are there at once, it is stopped as it begins the next.
pub(crate) async fn stopped_at(adoption: Adoption, stop: usize) -> Result<bool, Box<dyn Error>> {
    let begun = AtomicUsize::new(0);
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let adoption = adoption.on_step(move |_: &AdoptionStep| {
        if begun.fetch_add(1, Ordering::Relaxed) > stop {
            resume_unwind(Box::new(Stopped));
        }
        // Nobody hears what comes after the stop.
        let _ = tx.send(());
    });
    let mut seen = 0;
    let mut work = Box::pin(AssertUnwindSafe(adoption.enforce()).catch_unwind());
    loop {
        tokio::select! {
            biased;
            step = rx.recv() => {
                seen += 1;
                if step.is_some() && seen > stop {
                    return Ok(true);
                }
            }
            done = &mut work => match done {
                Ok(done) => return Ok(done.map(|_| false)?),
                Err(it) if it.is::<Stopped>() => return Ok(true),
                Err(it) => resume_unwind(it),
            }
        }
    }
}

/// The whole way at once.
pub(crate) async fn adopt(shop: &Shop) -> TestResult {
    let adoption = shop.adoption()?;
    adoption.shadow().await?;
    adoption.enforce().await?;
    Ok(())
}

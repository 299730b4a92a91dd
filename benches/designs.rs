//! Two ways to keep tenants apart: rows of one table, or a database for each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cupel_benches::BoxError;
use cupel_benches::load::{Load, Picks, load};
use cupel_benches::same_table::{self, PEER, PEER_ROLE, ROWS, name, org_id};
use cupel_benches::server::{Server, with_role};
use cupel_tenant::TenantScope;
use cupel_tenant_db::{ContextMode, TenantDb};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use url::Url;

/// How many want something at the same time.
pub(crate) const CLIENTS: u64 = 32;
/// How many connections the one pool may hold.
pub(crate) const SHARED_CONNECTIONS: u32 = 10;
/// How many connections each tenant's pool may hold.
pub(crate) const CONNECTIONS_EACH: u32 = 2;
/// How many databases are prepared or migrated at the same time.
pub(crate) const AT_A_TIME: usize = 8;
/// How many of a hundred transactions write.
pub(crate) const WRITES: u64 = 20;

const READ: &str = "SELECT name FROM pipelines WHERE id = $1";
const WRITE: &str = "UPDATE pipelines SET runs = runs + 1 WHERE id = $1";

/// One of the designs, as its databases are.
#[derive(Clone, Debug)]
pub(crate) enum Design {
    Shared { mode: ContextMode, url: String },
    Apart { server_url: String, tenants: u64 },
}

impl Design {
    pub(crate) async fn shared(
        server: &Server,
        mode: ContextMode,
        tenants: u64,
    ) -> Result<Self, BoxError> {
        Ok(Self::Shared { mode, url: same_table::ours(server, mode, tenants).await? })
    }

    /// Makes the databases, each with the rows that its tenant has in the shared table.
    pub(crate) async fn apart(server: &Server, tenants: u64) -> Result<Self, BoxError> {
        let template_url = server.database().await?;
        let template = template_url.parse::<Url>()?.path().trim_start_matches('/').to_owned();
        let mut owner = PgConnection::connect(&template_url).await?;
        sqlx::raw_sql(AssertSqlSafe(format!(
            "{PEER_ROLE}
             CREATE TABLE pipelines (id bigint PRIMARY KEY, name text NOT NULL,
               runs int NOT NULL DEFAULT 0);
             GRANT SELECT, INSERT, UPDATE, DELETE ON pipelines TO {PEER}"
        )))
        .execute(&mut owner)
        .await?;
        owner.close().await?;
        let mut maintenance = PgConnection::connect(server.url()).await?;
        for tenant in 0..tenants {
            let create = format!("CREATE DATABASE tenant_{tenant} TEMPLATE {template}");
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut maintenance).await?;
            let mut owner = PgConnection::connect(&database(server.url(), tenant)?).await?;
            sqlx::query("INSERT INTO pipelines SELECT n, $1 || n FROM generate_series(1, $2) n")
                .bind(name(tenant, 0).trim_end_matches('0'))
                .bind(i64::try_from(ROWS)?)
                .execute(&mut owner)
                .await?;
            sqlx::raw_sql("VACUUM ANALYZE pipelines").execute(&mut owner).await?;
            owner.close().await?;
        }
        Ok(Self::Apart { server_url: server.url().to_owned(), tenants })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Shared { mode, .. } => mode.as_str(),
            Self::Apart { .. } => "a database per tenant",
        }
    }

    /// What the client needs to know, as arguments.
    pub(crate) fn arguments(&self) -> [&str; 2] {
        match self {
            Self::Shared { mode, url } => [mode.as_str(), url],
            Self::Apart { server_url, .. } => ["apart", server_url],
        }
    }

    /// Adds a column to the table of every tenant, and returns how long that took.
    pub(crate) async fn migrate(
        &self,
        server: &Server,
        column: usize,
    ) -> Result<Duration, BoxError> {
        let statement = format!("ALTER TABLE pipelines ADD COLUMN added_{column} text");
        let urls = match self {
            Self::Shared { url, .. } => {
                let mut owner: Url = server.url().parse()?;
                owner.set_path(url.parse::<Url>()?.path());
                vec![owner.to_string()]
            }
            Self::Apart { server_url, tenants } => {
                (0..*tenants).map(|it| database(server_url, it)).collect::<Result<_, _>>()?
            }
        };
        let begun = Instant::now();
        stream::iter(urls)
            .map(async |url| {
                let mut owner = PgConnection::connect(&url).await?;
                sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut owner).await?;
                owner.close().await
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        Ok(begun.elapsed())
    }
}

/// The URL of a tenant's database.
fn database(server_url: &str, tenant: u64) -> Result<String, BoxError> {
    let mut url: Url = server_url.parse()?;
    url.set_path(&format!("tenant_{tenant}"));
    Ok(url.into())
}

/// A service of one of the designs.
#[derive(Clone)]
pub(crate) enum Service {
    Shared(TenantDb),
    Apart(Arc<[PgPool]>),
}

impl Service {
    /// Connects as [`Design::arguments`] say.
    pub(crate) async fn connect(design: &str, url: &str, tenants: u64) -> Result<Self, BoxError> {
        let mode = match design {
            "apart" => {
                let options = PgPoolOptions::new().max_connections(CONNECTIONS_EACH);
                let mut pools = Vec::new();
                for tenant in 0..tenants {
                    let url = with_role(&database(url, tenant)?, PEER)?;
                    pools.push(options.clone().connect_lazy(&url)?);
                }
                return Ok(Self::Apart(pools.into()));
            }
            "plain" => ContextMode::Plain,
            "register" => ContextMode::Register,
            "sealed" => ContextMode::Sealed,
            _ => return Err("no such design".into()),
        };
        Ok(Self::Shared(same_table::connect(url, mode, SHARED_CONNECTIONS).await?))
    }

    /// Works for so long: reads and writes, each for a tenant at random.
    pub(crate) async fn work(&self, tenants: u64, time: Duration) -> Result<Load, BoxError> {
        let service = self.clone();
        load(CLIENTS, time, move |picks| once(service.clone(), tenants, picks)).await
    }
}

async fn once(service: Service, tenants: u64, picks: Picks) -> Result<(), BoxError> {
    let (org, row) = (picks.org(tenants), picks.row(ROWS));
    let (read, write) = (sqlx::query_scalar(READ).bind(row), sqlx::query(WRITE).bind(row));
    // What was read, or how many rows were written.
    let done: Result<String, u64> = match service {
        Service::Shared(db) => {
            let mut tx = db.begin(&TenantScope::org(org_id(org).parse()?)).await?;
            let done = if picks.percent(WRITES) {
                Err(write.execute(&mut tx).await?.rows_affected())
            } else {
                Ok(read.fetch_one(&mut tx).await?)
            };
            tx.commit().await?;
            done
        }
        Service::Apart(pools) => {
            let pool = pools.get(usize::try_from(org)?).ok_or("no such tenant")?;
            let mut tx = pool.begin().await?;
            let done = if picks.percent(WRITES) {
                Err(write.execute(&mut *tx).await?.rows_affected())
            } else {
                Ok(read.fetch_one(&mut *tx).await?)
            };
            tx.commit().await?;
            done
        }
    };
    match done {
        Ok(read) if read == name(org, row) => Ok(()),
        Err(1) => Ok(()),
        _ => Err("another row was read, or none was written".into()),
    }
}

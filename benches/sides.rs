//! Who is measured: the same work, guarded by us and by hand.

use std::error::Error;

use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::{ContextMode, Migration, ScopedDb, SealKey, Table, TenantDb, danger};
use cupel_testkit::Postgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

const SCHEMA: &str = include_str!("../crates/cupel-tenant-db/examples/pipelines/schema.sql");
const ORGS: usize = 20;
const ROWS_PER_ORG: usize = 500;
const ORG: &str = "org-7";
const CONNECTIONS: u32 = 10;

/// A database with rows of many organizations, in one mode.
pub(crate) struct Server {
    pub(crate) mode: ContextMode,
    pub(crate) app_url: String,
    pub(crate) owner_url: String,
    db: TenantDb,
    scope: TenantScope,
}

/// One of the two that are compared.
#[derive(Clone)]
pub(crate) enum Side {
    Guarded(ScopedDb),
    /// The same on the connection itself, so that the session is looked at before it goes back.
    LookedAt(ScopedDb),
    GuardedByHand(PgPool),
    Single(ScopedDb),
    SingleByHand(PgPool),
    Scan(ScopedDb),
    ScanByHand(PgPool),
}

fn seal_key() -> Result<SealKey, Box<dyn Error>> {
    Ok(format!("k1:{}", "0f".repeat(32)).parse()?)
}

impl Server {
    pub(crate) async fn start(mode: ContextMode, short: bool) -> Result<Self, Box<dyn Error>> {
        let owner_url = Postgres::shared().await?.database().await?;
        let app_url = with_role(&owner_url, "bench_app")?;
        let owner = PgPoolOptions::new().max_connections(1).connect(&owner_url).await?;
        sqlx::raw_sql(SCHEMA).execute(&owner).await?;
        sqlx::raw_sql(
            "CREATE TABLE events (org_id text COLLATE \"C\" NOT NULL, id bigint NOT NULL,
               size int NOT NULL)",
        )
        .execute(&owner)
        .await?;
        Migration::new(&owner_url)
            .app_url(&app_url)
            .context(mode)
            .seal_keys([seal_key()?])
            .tables([Table::org("pipelines"), Table::org("events")])
            .run()
            .await?;
        for org in 0..ORGS {
            sqlx::query(
                "INSERT INTO pipelines (org_id, id, name)
                 SELECT $1, 'p-' || n, 'pipeline ' || n FROM generate_series(1, $2) n",
            )
            .bind(format!("org-{org}"))
            .bind(i32::try_from(ROWS_PER_ORG)?)
            .execute(&owner)
            .await?;
        }
        sqlx::query(
            "INSERT INTO events SELECT 'org-' || n % 1000, n, n % 97 FROM generate_series(1, $1) n",
        )
        .bind(if short { 10_000 } else { 1_000_000 })
        .execute(&owner)
        .await?;
        drop_indexes(&owner).await?;
        sqlx::raw_sql("VACUUM ANALYZE").execute(&owner).await?;
        let org: OrgId = ORG.parse()?;
        let db = connect(&app_url).await?;
        Ok(Self { mode, app_url, owner_url, db, scope: TenantScope::org(org) })
    }

    async fn ours(&self, url: Option<&str>) -> Result<ScopedDb, Box<dyn Error>> {
        let db = match url {
            Some(url) => connect(url).await?,
            None => self.db.clone(),
        };
        Ok(db.scoped(&self.scope))
    }

    /// The owner is exempt from row-level security, as a service without it would be.
    async fn plain(&self, url: Option<&str>, ping: bool) -> Result<PgPool, Box<dyn Error>> {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(ping);
        Ok(options.connect(url.unwrap_or(&self.owner_url)).await?)
    }

    pub(crate) async fn guarded(&self, url: Option<&str>) -> Result<Side, Box<dyn Error>> {
        Ok(Side::Guarded(self.ours(url).await?))
    }

    pub(crate) async fn looked_at(&self) -> Result<Side, Box<dyn Error>> {
        Ok(Side::LookedAt(self.ours(None).await?))
    }

    pub(crate) async fn by_hand(
        &self,
        url: Option<&str>,
        ping: bool,
    ) -> Result<Side, Box<dyn Error>> {
        Ok(Side::GuardedByHand(self.plain(url, ping).await?))
    }

    pub(crate) async fn single(&self, url: Option<&str>) -> Result<Side, Box<dyn Error>> {
        Ok(Side::Single(self.ours(url).await?))
    }

    pub(crate) async fn single_by_hand(
        &self,
        url: Option<&str>,
        ping: bool,
    ) -> Result<Side, Box<dyn Error>> {
        Ok(Side::SingleByHand(self.plain(url, ping).await?))
    }

    pub(crate) fn scan(&self) -> Side {
        Side::Scan(self.db.scoped(&self.scope))
    }

    pub(crate) async fn scan_by_hand(&self) -> Result<Side, Box<dyn Error>> {
        Ok(Side::ScanByHand(self.plain(None, true).await?))
    }
}

/// The migration has made an index that begins with the organization; what is asked here is what a scan of
/// the whole table costs.
async fn drop_indexes(owner: &PgPool) -> Result<(), Box<dyn Error>> {
    let indexes =
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'events'::regclass";
    let indexes: Vec<String> = sqlx::query_scalar(indexes).fetch_all(owner).await?;
    for index in indexes {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP INDEX {index}"))).execute(owner).await?;
    }
    Ok(())
}

const READ: &str = "SELECT name FROM pipelines WHERE id = $1";
const READ_BY_HAND: &str = "SELECT name FROM pipelines WHERE org_id = $1 AND id = $2";
const SCAN: &str = "SELECT count(*) FROM events WHERE size < 90";
const SCAN_BY_HAND: &str = "SELECT count(*) FROM events WHERE size < 90 AND org_id = $1";

impl Side {
    /// Does the work once, and makes sure that it was done.
    pub(crate) async fn once(&self, n: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
        let id = format!("p-{}", n % ROWS_PER_ORG + 1);
        let name: String = match self {
            Self::Guarded(db) => {
                let mut tx = db.begin().await?;
                let name = sqlx::query_scalar(READ).bind(&id).fetch_one(&mut tx).await?;
                tx.commit().await?;
                name
            }
            Self::LookedAt(db) => {
                let mut tx = db.begin().await?;
                let conn = danger::connection(&mut tx);
                let name = sqlx::query_scalar(READ).bind(&id).fetch_one(conn).await?;
                tx.commit().await?;
                name
            }
            Self::GuardedByHand(pool) => {
                let mut tx = pool.begin().await?;
                let read = sqlx::query_scalar(READ_BY_HAND).bind(ORG).bind(&id);
                let name = read.fetch_one(&mut *tx).await?;
                tx.commit().await?;
                name
            }
            Self::Single(db) => sqlx::query_scalar(READ).bind(&id).fetch_one(db).await?,
            Self::SingleByHand(pool) => {
                sqlx::query_scalar(READ_BY_HAND).bind(ORG).bind(&id).fetch_one(pool).await?
            }
            Self::Scan(db) => return counted(sqlx::query_scalar(SCAN).fetch_one(db).await?),
            Self::ScanByHand(pool) => {
                return counted(sqlx::query_scalar(SCAN_BY_HAND).bind(ORG).fetch_one(pool).await?);
            }
        };
        if name.starts_with("pipeline ") { Ok(()) } else { Err("another row was read".into()) }
    }
}

fn counted(rows: i64) -> Result<(), Box<dyn Error + Send + Sync>> {
    if rows > 0 { Ok(()) } else { Err("no row was counted".into()) }
}

async fn connect(url: &str) -> Result<TenantDb, Box<dyn Error>> {
    let builder = TenantDb::builder(url).seal_key(seal_key()?).max_connections(CONNECTIONS);
    Ok(builder.connect().await?)
}

/// The same server and database as another role, whose password is its name.
fn with_role(url: &str, role: &str) -> Result<String, Box<dyn Error>> {
    let mut url: url::Url = url.parse()?;
    let refused = "the URL takes no user";
    url.set_username(role).map_err(|()| refused)?;
    url.set_password(Some(role)).map_err(|()| refused)?;
    Ok(url.to_string())
}

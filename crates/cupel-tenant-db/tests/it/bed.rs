//! A migrated database with the tables of the worked example.

use std::error::Error;

use cupel_tenant::{Attempt, IsolationLayer, OrgId, OrgPair, Outcome, TenantScope};
use cupel_tenant_db::{ContextMode, Migration, SealKey, Table, TenantDb};
use cupel_testkit::Postgres;
use sqlx::{Connection, PgConnection};
use url::Url;

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

pub(crate) const SCHEMA: &str = include_str!("../../examples/pipelines/schema.sql");

pub(crate) struct Bed {
    pub(crate) owner_url: String,
    pub(crate) app_url: String,
    pub(crate) admin_url: String,
    pub(crate) db: TenantDb,
}

/// A key of seals: the same for the same id.
pub(crate) fn seal_key(id: &str) -> SealKey {
    let digits: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
    #[expect(clippy::unwrap_used, reason = "the tests name valid keys")]
    format!("{id}:{digits:0<64}").parse().unwrap()
}

pub(crate) fn tables() -> Vec<Table> {
    vec![
        Table::org("pipelines"),
        Table::workspace("pipeline_runs"),
        Table::workspace("quality_results"),
        Table::shared("component_libraries"),
        Table::shared("data_products"),
    ]
}

impl Bed {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        Self::with(10).await
    }

    /// A database whose application has so many connections.
    pub(crate) async fn with(max_connections: u32) -> Result<Self, Box<dyn Error>> {
        Self::of(ContextMode::Plain, max_connections).await
    }

    /// A database that learns organizations in one of the modes.
    pub(crate) async fn of(
        mode: ContextMode,
        max_connections: u32,
    ) -> Result<Self, Box<dyn Error>> {
        Self::at(empty().await?, mode, max_connections).await
    }

    /// The same in a database that is there, and empty.
    pub(crate) async fn at(
        owner_url: String,
        mode: ContextMode,
        max_connections: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let app_url = as_role(&owner_url, "cupel_app")?;
        let admin_url = as_role(&owner_url, "cupel_admin")?;
        sql(&owner_url, SCHEMA).await?;
        migration(&owner_url, &app_url, &admin_url)
            .context(mode)
            .seal_keys([seal_key("k1")])
            .run()
            .await?;
        let db = TenantDb::builder(&app_url)
            .admin_url(&admin_url)
            .context(mode)
            .seal_key(seal_key("k1"))
            .max_connections(max_connections)
            .connect()
            .await?;
        Ok(Self { owner_url, app_url, admin_url, db })
    }

    /// Runs statements as the owner.
    pub(crate) async fn sql(&self, text: &'static str) -> TestResult {
        sql(&self.owner_url, text).await
    }

    /// Asks for a number as the owner, which row security does not bind.
    pub(crate) async fn number(&self, text: &'static str) -> Result<i64, Box<dyn Error>> {
        let mut conn = PgConnection::connect(&self.owner_url).await?;
        let number = sqlx::query_scalar(text).fetch_one(&mut conn).await?;
        conn.close().await?;
        Ok(number)
    }

    /// Stores one pipeline, named after its organization.
    pub(crate) async fn pipeline(&self, org: &str, id: &str) -> TestResult {
        let mut tx = self.db.begin(&scope(org)).await?;
        sqlx::query("INSERT INTO pipelines (org_id, id, name) VALUES ($1, $2, $1)")
            .bind(org)
            .bind(id)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub(crate) async fn prove(&self) -> Result<Vec<Attempt>, Box<dyn Error>> {
        Ok(self.db.prove(&pair()).await?)
    }
}

pub(crate) fn migration(owner: &str, app: &str, admin: &str) -> Migration {
    Migration::new(owner).app_url(app).admin_url(admin).tables(tables())
}

pub(crate) async fn empty() -> Result<String, Box<dyn Error>> {
    Ok(Postgres::shared().await?.database().await?)
}

pub(crate) async fn sql(url: &str, text: &'static str) -> TestResult {
    let mut conn = PgConnection::connect(url).await?;
    sqlx::raw_sql(text).execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

/// The same server and database as another role, whose password is its name.
pub(crate) fn as_role(url: &str, role: &str) -> Result<String, Box<dyn Error>> {
    let mut url: Url = url.parse()?;
    url.set_username(role).map_err(|()| "the URL takes no user")?;
    url.set_password(Some(role)).map_err(|()| "the URL takes no password")?;
    Ok(url.to_string())
}

pub(crate) fn scope(org: &str) -> TenantScope {
    TenantScope::org(org_id(org))
}

pub(crate) fn org_id(org: &str) -> OrgId {
    #[expect(clippy::unwrap_used, reason = "the tests name valid organizations")]
    org.parse().unwrap()
}

/// One id is the beginning of the other.
pub(crate) fn pair() -> OrgPair {
    #[expect(clippy::unwrap_used, reason = "the two are different")]
    OrgPair::new(org_id("acme"), org_id("acme-2")).unwrap()
}

/// Asserts that every attack is blocked, and shows those that are not.
#[track_caller]
pub(crate) fn assert_isolated(attempts: &[Attempt]) {
    let open: Vec<_> = attempts.iter().filter(|it| !it.is_blocked()).collect();
    assert!(open.is_empty(), "{open:#?}");
}

/// Asserts that the attack leaked in both directions.
#[track_caller]
pub(crate) fn assert_leaks(attempts: &[Attempt], attack: &str) {
    let outcomes: Vec<_> =
        attempts.iter().filter(|it| it.attack == attack).map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Leaked; 2], "{attack}: {attempts:#?}");
}

//! What is logged. A program of its own, because what one test listens to another may have switched off: whether
//! a line is wanted is remembered for the whole process.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::{AdminGrant, ContextMode, Migration, SealKey, Table, TenantDb};
use cupel_testkit::{PgBouncer, Postgres};
use futures::poll;
use sqlx::{Connection, PgConnection};
use url::Url;

const SCHEMA: &str = include_str!("../examples/pipelines/schema.sql");

/// Where log lines go, to be looked at.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn seal_key(id: &str) -> Result<SealKey, Box<dyn Error>> {
    Ok(format!("{id}:{}", "0f".repeat(32)).parse()?)
}

fn as_role(url: &str, role: &str) -> Result<String, Box<dyn Error>> {
    let mut url: Url = url.parse()?;
    url.set_username(role).map_err(|()| "the URL takes no user")?;
    url.set_password(Some(role)).map_err(|()| "the URL takes no password")?;
    Ok(url.to_string())
}

/// A day's work in one mode, and with a key that the database does not know.
async fn work(mode: ContextMode) -> Result<(), Box<dyn Error>> {
    let owner_url = Postgres::shared().await?.database().await?;
    let (app, admin) = (as_role(&owner_url, "cupel_app")?, as_role(&owner_url, "cupel_admin")?);
    let mut owner = PgConnection::connect(&owner_url).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut owner).await?;
    Migration::new(&owner_url)
        .app_url(&app)
        .admin_url(&admin)
        .context(mode)
        .seal_keys([seal_key("k1")?])
        .tables([Table::org("pipelines")])
        .run()
        .await?;
    let connect = async |key: SealKey| {
        TenantDb::builder(&app).admin_url(&admin).seal_key(key).connect().await
    };
    let db = connect(seal_key("k1")?).await?;
    let acme: OrgId = "acme".parse()?;
    let scope = TenantScope::org(acme.clone());
    let read = "SELECT name FROM pipelines";
    let mut tx = db.begin(&scope).await?;
    sqlx::query(read).fetch_all(&mut tx).await?;
    tx.commit().await?;
    sqlx::query(read).fetch_all(&db.scoped(&scope)).await?;
    let grant = AdminGrant::read_only("alice", "look").orgs([acme]);
    db.admin(&grant).await?.rollback().await?;
    // What the server answers to a seal that it cannot open goes to the caller.
    let other = connect(seal_key("k9")?).await?;
    let refused = format!("{:?}", other.begin(&scope).await.err());
    assert!(!refused.contains("v1."), "{refused}");
    hand_on(&app).await?;
    go_through_a_pooler(&app).await?;
    read_a_replica(&app).await
}

fn scope(org: &str) -> Result<TenantScope, Box<dyn Error>> {
    Ok(TenantScope::org(org.parse()?))
}

/// A transaction that the commit of another opens.
async fn hand_on(app: &str) -> Result<(), Box<dyn Error>> {
    let db = TenantDb::builder(app).seal_key(seal_key("k1")?).max_connections(1).connect().await?;
    let (before, heir) = (scope("acme")?, scope("heir")?);
    let first = db.begin(&before).await?;
    let mut waiting = pin!(db.begin(&heir));
    assert!(poll!(waiting.as_mut()).is_pending());
    first.commit().await?;
    waiting.await?.commit().await?;
    Ok(())
}

/// What is cleared from the backend as the transaction ends too.
async fn go_through_a_pooler(app: &str) -> Result<(), Box<dyn Error>> {
    let pooler = PgBouncer::in_front_of(Postgres::shared().await?, 1).await?;
    let db = TenantDb::builder(&pooler.to(app)?).seal_key(seal_key("k1")?).behind_pooler(true);
    let db = db.connect().await?;
    let mut tx = db.begin(&scope("pooled")?).await?;
    sqlx::raw_sql("LISTEN gossip").execute(&mut tx).await?;
    tx.commit().await?;
    sqlx::query("SELECT name FROM pipelines").fetch_all(&db.scoped(&scope("pooled-read")?)).await?;
    pooler.stop().await?;
    Ok(())
}

/// What is logged does not depend on whether it is one.
async fn read_a_replica(app: &str) -> Result<(), Box<dyn Error>> {
    let db = TenantDb::builder(app).replica_url(app).seal_key(seal_key("k1")?).connect().await?;
    let mut tx = db.begin_on_replica(&scope("copied")?).await?;
    sqlx::query("SELECT name FROM pipelines").fetch_all(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn no_seal_is_in_a_log_or_an_error() -> Result<(), Box<dyn Error>> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        log.0.lock().map_err(|_| "poisoned")?.clear();
        work(mode).await?;
        let log = log.0.lock().map_err(|_| "poisoned")?;
        let log = String::from_utf8_lossy(&log);
        if mode == ContextMode::Plain {
            // Its statements are logged, on every way, so the log is one that would hold a seal.
            for org in ["acme", "heir", "pooled", "copied"] {
                let named = format!("SET LOCAL app.current_org_id = '{org}'");
                assert!(log.contains(&named), "the opening of {org} was not logged");
            }
        }
        let seal = log.lines().find(|line| line.contains("v1.k"));
        assert_eq!(seal, None, "{mode:?}: a seal was logged");
    }
    Ok(())
}

//! A day's work of one organization, through its handles. Nothing here names an organization but the
//! scope: both do the same, with the same names.

use std::error::Error;
use std::fmt;

use cupel_isolation::cache::Ttl;
use cupel_isolation::keys::Credential;
use cupel_isolation::{Actor, Isolation, OrgId, Tenant, TenantScope};
use futures::future;

use crate::pipeline_run::{PipelineRun, Steps};

/// How many runs the organization starts.
const RUNS: usize = 50;

/// What came of it.
pub(crate) struct Day {
    rows: i64,
    schema: String,
    status: String,
    session: String,
    credential: String,
    runs: usize,
    namespace: String,
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, schema, status, session, credential, runs, namespace } = self;
        write!(
            f,
            "{rows} pipelines, schema '{schema}', nightly is '{status}', session of {session}, \
             {credential}, {runs} runs done, namespace {namespace}"
        )
    }
}

/// Works in every layer, and reads back what it did.
pub(crate) async fn work(isolation: &Isolation, org: &OrgId) -> Result<Day, Box<dyn Error>> {
    let actor = Actor::new(&format!("alice@{org}.example"))?;
    let tenant = isolation.enter(TenantScope::org(org.clone()).acting_as(actor)).await?;

    let rows = rows(&tenant).await?;
    let (schema, status, session) = cached(&tenant).await?;
    let credential = credential(&tenant).await?;
    let runs = runs(isolation, &tenant).await?;
    let namespace = tenant.cluster()?.namespace().to_owned();
    Ok(Day { rows, schema, status, session, credential, runs, namespace })
}

async fn rows(tenant: &Tenant) -> Result<i64, Box<dyn Error>> {
    let mut tx = tenant.database()?.begin().await?;
    for (id, name) in [("nightly", "Nightly import"), ("hourly", "Hourly sync")] {
        sqlx::query("INSERT INTO pipelines (org_id, id, name) VALUES ($1, $2, $3)")
            .bind(tenant.scope().org_id().as_str())
            .bind(id)
            .bind(name)
            .execute(&mut tx)
            .await?;
    }
    // No WHERE org_id: the server adds it.
    let rows = sqlx::query_scalar("SELECT count(*) FROM pipelines").fetch_one(&mut tx).await?;
    tx.commit().await?;
    Ok(rows)
}

async fn cached(tenant: &Tenant) -> Result<(String, String, String), Box<dyn Error>> {
    let cache = tenant.cache()?;
    let schemas = cache.family("schemas");
    schemas.set("crm.contacts", "id, name, email", Ttl::minutes(10)).await?;
    cache.status().set("nightly", "running", Ttl::minutes(5)).await?;
    let actor = tenant.scope().actor().map(Actor::as_str).unwrap_or_default();
    let token = cache.sessions().create(actor, Ttl::hours(8)).await?;

    let schema: Option<String> = schemas.get("crm.contacts").await?;
    let status: Option<String> = cache.status().get("nightly").await?;
    let session: Option<String> = cache.sessions().get(&token).await?;
    Ok((schema.ok_or("no schema")?, status.ok_or("no status")?, session.ok_or("no session")?))
}

async fn credential(tenant: &Tenant) -> Result<String, Box<dyn Error>> {
    let keys = tenant.keys()?;
    let password = format!("secret of {}", tenant.scope().org_id());
    let record = || Credential::of("connectors", "crm", "password");
    let sealed = keys.seal(record(), password.as_bytes()).await?;
    let opened = keys.open(record(), &sealed).await?;
    if opened.expose() != password.as_bytes() {
        return Err("the credential did not come back".into());
    }
    Ok(format!("a credential sealed in {} bytes", sealed.as_bytes().len()))
}

async fn runs(isolation: &Isolation, tenant: &Tenant) -> Result<usize, Box<dyn Error>> {
    let org = tenant.scope().org_id();
    let worker = isolation
        .worker(org, |work| work.register_activities(Steps).register_workflow::<PipelineRun>())
        .await?;
    let queues = tenant.queues()?;
    let done = future::try_join_all((0..RUNS).map(|n| {
        let queues = &queues;
        async move {
            let run =
                queues.start(PipelineRun::run, &format!("nightly/{n}"), format!("t{n}")).await?;
            run.result().await
        }
    }))
    .await?;
    worker.stop().await?;
    Ok(done.len())
}

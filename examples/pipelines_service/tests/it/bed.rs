//! What every test starts from: the service, running, with two organizations in it.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use cupel_isolation::{Config, Isolation, OrgId, OrgSpec, Tier};
use pipelines_service::{Claims, Service, TokenKey, Workers, app, testbed};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) type Tested = Result<(), Box<dyn Error>>;

/// The service, with a database of its own.
pub(crate) struct Bed {
    pub(crate) isolation: Isolation,
    pub(crate) acme: OrgId,
    pub(crate) globex: OrgId,
    pub(crate) workers: Workers,
    config: Config,
    tokens: TokenKey,
    base: String,
    server: JoinHandle<()>,
}

impl Bed {
    /// Starts the service, and onboards two organizations. The id of one is a prefix of the other's.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let config = testbed::start().await?;
        let isolation = Isolation::connect(&config).await?;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let acme: OrgId = format!("acme-{}", nonce.chars().take(8).collect::<String>()).parse()?;
        let globex: OrgId = format!("{acme}-b").parse()?;
        for org in [&acme, &globex] {
            isolation.onboard(OrgSpec::new(org.clone(), Tier::STANDARD)).await?;
        }
        let mut workers = Workers::new(isolation.clone());
        workers.reconcile().await?;

        let tokens = TokenKey::new(nonce.as_bytes())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let app = app(Service::new(isolation.clone(), tokens.clone()));
        let server = tokio::spawn(async move {
            // It ends when the test does.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { isolation, acme, globex, workers, config, tokens, base, server })
    }

    /// A caller who has logged in to an organization.
    pub(crate) fn caller(&self, org: &OrgId) -> Result<Caller, Box<dyn Error>> {
        self.bearer(&claims(org.as_str())?)
    }

    /// A caller whose token claims this.
    pub(crate) fn bearer(&self, claims: &Claims) -> Result<Caller, Box<dyn Error>> {
        Ok(self.sending(Some(format!("Bearer {}", self.tokens.sign(claims)?))))
    }

    /// A caller who sends this in `Authorization`.
    pub(crate) fn sending(&self, authorization: Option<String>) -> Caller {
        Caller { http: reqwest::Client::new(), base: self.base.clone(), authorization }
    }

    /// A connection that nothing holds off, to look at what is stored and to take guards out.
    pub(crate) async fn owner(&self) -> Result<sqlx::PgConnection, Box<dyn Error>> {
        let database = self.config.database.as_ref().ok_or("no database")?;
        let url = database.owner_url.as_ref().ok_or("no owner_url")?;
        Ok(sqlx::PgConnection::connect(url.expose_secret()).await?)
    }

    pub(crate) async fn stop(self) {
        self.workers.stop().await;
        self.server.abort();
    }
}

/// Claims that hold for an hour.
pub(crate) fn claims(org: &str) -> Result<Claims, Box<dyn Error>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    Ok(Claims { org: org.to_owned(), sub: "alice".to_owned(), workspace: None, exp: now + 3600 })
}

/// Whoever calls the service.
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

/// A status and a body; null for an empty one.
pub(crate) type Answer = (u16, Value);

impl Caller {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Box<dyn Error>> {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Box<dyn Error>> {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Answer, Box<dyn Error>> {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    /// Waits for the runs of a pipeline to have ended, and returns them.
    pub(crate) async fn ended_runs(&self, pipeline: &str) -> Result<Value, Box<dyn Error>> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, runs) = self.get(&format!("/pipelines/{pipeline}/runs")).await?;
            let all = runs.as_array().ok_or("no list of runs")?;
            if !all.is_empty() && all.iter().all(|run| run.get("state") != Some(&json!("started")))
            {
                return Ok(runs);
            }
            if Instant::now() > deadline {
                return Err(format!("after a minute: {runs}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Sends a request.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, Box<dyn Error>> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Ok((status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? }))
}

/// What is sent to each route, as `(method, path, body)`: all that the service can be asked.
pub(crate) fn every_route(pipeline: &str) -> Vec<(Method, String, Value)> {
    let of = |rest: &str| format!("/pipelines/{pipeline}{rest}");
    let schema = format!("/schemas/{pipeline}");
    vec![
        (Method::GET, "/pipelines".to_owned(), Value::Null),
        (Method::POST, "/pipelines".to_owned(), json!({ "id": pipeline, "name": "Any" })),
        (Method::GET, of(""), Value::Null),
        (Method::PUT, of("/credentials"), json!({ "secret": "hunter2" })),
        (Method::POST, of("/runs"), json!({ "id": "first" })),
        (Method::GET, of("/runs"), Value::Null),
        (Method::GET, of("/status"), Value::Null),
        (Method::PUT, schema.clone(), json!({ "columns": ["id"] })),
        (Method::GET, schema, Value::Null),
    ]
}

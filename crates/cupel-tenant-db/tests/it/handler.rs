//! `run` where a service needs it: in a handler, on a runtime of many threads.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::{Error, TenantDb};

use crate::bed::{Bed, TestResult};

struct Failure(StatusCode);

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(_: sqlx::Error) -> Self {
        Self(StatusCode::CONFLICT)
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}

async fn create(
    State(db): State<TenantDb>,
    Path((org, name)): Path<(OrgIdPath, String)>,
) -> Result<String, Failure> {
    let scope = TenantScope::org(org.0.clone());
    // In a task of its own, so that a client that goes away does not cut it short.
    let task = tokio::spawn(async move {
        db.run(&scope, async move |tx| {
            sqlx::query("INSERT INTO pipelines (org_id, id, name) VALUES ($1, $2, $2)")
                .bind(org.0.as_str())
                .bind(name.clone())
                .execute(&mut *tx)
                .await?;
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM pipelines").fetch_one(&mut *tx).await?;
            Ok::<_, Failure>(count.to_string())
        })
        .await
    });
    task.await.unwrap_or(Err(Failure(StatusCode::INTERNAL_SERVER_ERROR)))
}

#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
struct OrgIdPath(OrgId);

impl TryFrom<String> for OrgIdPath {
    type Error = cupel_tenant::InvalidOrgId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_works_in_a_spawned_task_of_a_handler() -> TestResult {
    let bed = Bed::with(4).await?;
    let app = Router::new().route("/{org}/{name}", post(create)).with_state(bed.db.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..10 {
        for org in ["acme", "globex"] {
            requests.spawn(post_to(address, format!("/{org}/p-{n}")));
        }
    }
    while let Some(answer) = requests.join_next().await {
        assert!(answer??.starts_with("HTTP/1.1 200"));
    }
    let again = post_to(address, "/acme/p-1".to_owned()).await?;
    assert!(again.starts_with("HTTP/1.1 409"), "{again}");
    let malformed = post_to(address, "/ACME/p-1".to_owned()).await?;
    assert!(malformed.starts_with("HTTP/1.1 400"), "{malformed}");
    server.abort();
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 20);
    Ok(())
}

async fn post_to(address: std::net::SocketAddr, path: String) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

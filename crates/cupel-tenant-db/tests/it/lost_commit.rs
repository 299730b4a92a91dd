//! A commit that was done, and of which the answer was lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cupel_tenant_db::{Error, TenantDb};
use sqlx::Executor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::bed::{Bed, TestResult, scope};

/// What PgBouncer says when it loses the server in the middle of a statement.
const BY_POOLER: &[&str] = &["SFATAL", "C08P01", "Mserver conn crashed?"];
/// What PostgreSQL says to a session that is ended.
const BY_SERVER: &[&str] = &["SFATAL", "VFATAL", "C57P01", "Mterminating connection"];
/// Whatever else ends a session.
const BY_ANYTHING: &[&str] = &["SFATAL", "VFATAL", "CXX000", "Mout of luck"];

/// Returns the way to the database on which, once it is `armed`, the answer to a COMMIT is replaced by an error.
async fn losing_commits(
    url: &str,
    error: &'static [&str],
    armed: Arc<AtomicBool>,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut way: Url = url.parse()?;
    let near = format!("{}:{}", way.host_str().ok_or("no host")?, way.port().ok_or("no port")?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    way.set_host(Some("127.0.0.1"))?;
    way.set_port(Some(listener.local_addr()?.port())).map_err(|()| "no port")?;
    way.set_query(Some("sslmode=disable"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(near.clone()).await?;
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let armed = Arc::clone(&armed);
            tokio::spawn(relay(BufReader::new(from_server), to_client, error, armed));
        }
        std::io::Result::Ok(())
    });
    Ok(way.into())
}

/// Hands the server's messages on, a letter and a length that counts itself, until a COMMIT is complete.
async fn relay(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    error: &'static [&str],
    armed: Arc<AtomicBool>,
) -> std::io::Result<()> {
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap_or(4).saturating_sub(4)];
        from.read_exact(&mut body).await?;
        let (mut kind, mut length) = (kind, length);
        let is_commit = kind == b'C' && body.starts_with(b"COMMIT");
        let is_over = is_commit && armed.load(Ordering::SeqCst);
        if is_over {
            body = error.iter().flat_map(|field| [field.as_bytes(), &[0]].concat()).collect();
            body.push(0);
            (kind, length) = (b'E', u32::try_from(body.len() + 4).unwrap_or(4));
        }
        to.write_u8(kind).await?;
        to.write_u32(length).await?;
        to.write_all(&body).await?;
        if is_over {
            return to.shutdown().await;
        }
    }
}

#[tokio::test]
async fn it_is_not_said_that_nothing_was_stored() -> TestResult {
    for error in [BY_POOLER, BY_SERVER, BY_ANYTHING] {
        for pooled in [false, true] {
            let bed = Bed::with(1).await?;
            let armed = Arc::new(AtomicBool::new(false));
            let url = losing_commits(&bed.app_url, error, Arc::clone(&armed)).await?;
            let db = TenantDb::builder(&url).behind_pooler(pooled).connect().await?;
            armed.store(true, Ordering::SeqCst);
            let mut tx = db.begin(&scope("acme")).await?;
            let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'a', 'a')";
            tx.execute(sqlx::query(insert)).await?;
            let unknown = tx.commit().await.expect_err("the answer is lost");
            assert!(matches!(unknown, Error::CommitUnknown { .. }), "{error:?}: {unknown:?}");
            assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 1, "it is there");
        }
    }
    Ok(())
}

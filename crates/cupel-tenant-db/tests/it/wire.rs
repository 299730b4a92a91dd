//! What goes over the wire: a message is a round trip.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cupel_tenant_db::{ContextMode, TenantDb, TxOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::bed::{Bed, TestResult, scope, seal_key};

const READ: &str = "SELECT name FROM pipelines WHERE id = 'a'";

/// The way to the database, and how often the server has said on it that it waits for the next query.
pub(crate) struct Counted {
    pub(crate) url: String,
    ready: Arc<AtomicUsize>,
}

impl Counted {
    pub(crate) async fn new(url: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let mut far: Url = url.parse()?;
        let near = format!("{}:{}", far.host_str().ok_or("no host")?, far.port().ok_or("no port")?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        far.set_host(Some("127.0.0.1"))?;
        far.set_port(Some(listener.local_addr()?.port())).map_err(|()| "no port")?;
        far.set_query(Some("sslmode=disable"));
        let ready = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ready);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(near.clone()).await?;
                let (mut from_client, to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                );
                tokio::spawn(relay(BufReader::new(from_server), to_client, Arc::clone(&count)));
            }
            std::io::Result::Ok(())
        });
        Ok(Self { url: far.into(), ready })
    }

    pub(crate) fn taken(&self) -> usize {
        self.ready.swap(0, Ordering::SeqCst)
    }
}

/// Hands the server's messages on one by one: a letter, and a length that counts itself.
async fn relay(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    ready: Arc<AtomicUsize>,
) -> std::io::Result<Infallible> {
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut message = vec![kind];
        message.extend_from_slice(&length.to_be_bytes());
        message.resize(1 + usize::try_from(length).unwrap_or(4), 0);
        from.read_exact(message.get_mut(5..).unwrap_or_default()).await?;
        // ReadyForQuery, counted before the client can have it.
        if kind == b'Z' {
            ready.fetch_add(1, Ordering::SeqCst);
        }
        to.write_all(&message).await?;
    }
}

/// The round trips of the opening, of one read and of the commit.
type Trips = (usize, usize, usize);

async fn ours(mode: ContextMode) -> Result<Vec<Trips>, Box<dyn std::error::Error>> {
    let bed = Bed::of(mode, 1).await?;
    bed.pipeline("acme", "a").await?;
    let way = Counted::new(&bed.app_url).await?;
    let db =
        TenantDb::builder(&way.url).seal_key(seal_key("k1")).max_connections(1).connect().await?;
    let options = TxOptions::new().read_only().statement_timeout(Duration::from_secs(5));
    let mut trips = Vec::new();
    for _ in 0..3 {
        way.taken();
        let mut tx = db.begin_with(&scope("acme"), options).await?;
        let opening = way.taken();
        let name: String = sqlx::query_scalar(READ).fetch_one(&mut tx).await?;
        assert_eq!(name, "acme");
        let reading = way.taken();
        tx.commit().await?;
        trips.push((opening, reading, way.taken()));
    }
    Ok(trips)
}

async fn plain() -> Result<Vec<Trips>, Box<dyn std::error::Error>> {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    let way = Counted::new(&bed.owner_url).await?;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect(&way.url)
        .await?;
    let mut trips = Vec::new();
    for _ in 0..3 {
        way.taken();
        let mut tx = pool.begin().await?;
        let opening = way.taken();
        let _: String = sqlx::query_scalar(READ).fetch_one(&mut *tx).await?;
        let reading = way.taken();
        tx.commit().await?;
        trips.push((opening, reading, way.taken()));
        // What the pool does when it takes a connection back is not the transaction's.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(trips)
}

#[tokio::test]
async fn a_guarded_transaction_takes_as_many_round_trips_as_a_plain_one() -> TestResult {
    let plain = plain().await?;
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let ours = ours(mode).await?;
        // The first time the statement is prepared, and ours connects.
        assert_eq!(ours.get(1..), Some(&[(1, 1, 1); 2][..]), "{mode:?}");
        assert_eq!(ours.get(1..), plain.get(1..), "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_single_read_takes_one_round_trip_once_its_session_is_bound() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    bed.pipeline("globex", "g").await?;
    let way = Counted::new(&bed.app_url).await?;
    let db = TenantDb::builder(&way.url).max_connections(1).connect().await?;
    let taken = async |org: &str| -> Result<usize, Box<dyn std::error::Error>> {
        way.taken();
        let name: String = sqlx::query_scalar("SELECT name FROM pipelines")
            .fetch_one(&db.scoped(&scope(org)))
            .await?;
        assert_eq!(name, org);
        Ok(way.taken())
    };
    // The first time of each organization, and of the statement.
    for org in ["acme", "globex"] {
        taken(org).await?;
    }
    assert_eq!(taken("globex").await?, 1, "bound already");
    assert_eq!(taken("acme").await?, 2, "bound anew");
    assert_eq!(taken("acme").await?, 1);
    Ok(())
}

//! What goes over the wire: a message is a round trip.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cupel_tenant_db::{ContextMode, TenantDb, TxOptions};

use crate::bed::{Bed, TestResult, scope, seal_key};
use crate::way::{Message, by_way};

const READ: &str = "SELECT name FROM pipelines WHERE id = 'a'";

/// The way to the database, and how often the server has said on it that it waits for the next query.
pub(crate) struct Counted {
    pub(crate) url: String,
    ready: Arc<AtomicUsize>,
    /// How many rows came.
    rows: Arc<AtomicUsize>,
}

impl Counted {
    pub(crate) async fn new(url: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let (ready, rows) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&ready), Arc::clone(&rows));
        let url = by_way(url, move |mut from, mut to| {
            let (ready, rows) = counts.clone();
            async move {
                loop {
                    let message = Message::read(&mut from).await?;
                    // ReadyForQuery and DataRow, counted before the client can have them.
                    match message.kind {
                        b'Z' => drop(ready.fetch_add(1, Ordering::SeqCst)),
                        b'D' => drop(rows.fetch_add(1, Ordering::SeqCst)),
                        _ => {}
                    }
                    message.write(&mut to).await?;
                }
            }
        });
        Ok(Self { url: url.await?, ready, rows })
    }

    pub(crate) fn taken(&self) -> usize {
        self.ready.swap(0, Ordering::SeqCst)
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
async fn an_opening_that_binds_or_asks_takes_one_round_trip_too() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::of(mode, 1).await?;
        let way = Counted::new(&bed.app_url).await?;
        let db = TenantDb::builder(&way.url).seal_key(seal_key("k1")).max_connections(1);
        let db = db.connect().await?;
        // So that there is a connection.
        db.begin(&scope("acme")).await?.rollback().await?;
        let opening = async |org: &str| -> Result<(usize, bool), Box<dyn std::error::Error>> {
            way.taken();
            way.rows.store(0, Ordering::SeqCst);
            let tx = db.begin(&scope(org)).await?;
            // What the registry answers is a row.
            let opened = (way.taken(), way.rows.load(Ordering::SeqCst) == 1);
            tx.rollback().await?;
            Ok(opened)
        };
        for org in ["globex", "initech"] {
            assert_eq!(opening(org).await?, (1, true), "{mode:?}: bound anew, and asked about");
        }
        for org in ["globex", "initech", "acme"] {
            assert_eq!(opening(org).await?.0, 1, "{mode:?}: bound anew");
        }
        // Longer than an answer of the registry is believed.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(opening("acme").await?, (1, true), "{mode:?}: bound already, and asked about");
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

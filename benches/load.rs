//! Clients that do the same thing again and again, each as soon as it can.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::BoxError;

/// What a load came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Load {
    /// How long each of the transactions took, in nanoseconds.
    pub times: Histogram<u64>,
    /// From the first beginning to the last end.
    pub took: Duration,
}

impl Load {
    /// Returns the number of transactions in a second.
    pub fn per_second(&self) -> f64 {
        // Far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "a count of transactions")]
        let done = self.times.len() as f64;
        done / self.took.as_secs_f64()
    }

    /// Returns what so great a part of the transactions took at most, in microseconds.
    pub fn micros(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.times.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }
}

/// Lets so many clients work for so long.
///
/// # Errors
///
/// The first that a client meets.
pub async fn load<W, F>(clients: u64, time: Duration, work: W) -> Result<Load, BoxError>
where
    W: Fn(Picks) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), BoxError>> + Send,
{
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for client in 0..clients {
        let work = work.clone();
        running.spawn(async move {
            let mut times = Histogram::<u64>::new(3)?;
            let mut chance = Chance::of(client);
            while begun.elapsed() < time {
                let picks = chance.picks();
                let begun = Instant::now();
                work(picks).await?;
                times.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            }
            Ok::<_, BoxError>(times)
        });
    }
    let mut times = Histogram::new(3)?;
    while let Some(of_one) = running.join_next().await {
        times.add(of_one??)?;
    }
    Ok(Load { times, took: begun.elapsed() })
}

/// Which organization, which of its rows, and which kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Picks {
    org: u64,
    row: u64,
    kind: u64,
}

impl Picks {
    /// Returns one of so many organizations, from 0.
    pub fn org(self, of: u64) -> u64 {
        self.org % of
    }

    /// Returns one of so many rows, from 1.
    pub fn row(self, of: u64) -> i64 {
        i64::try_from(1 + self.row % of).unwrap_or(1)
    }

    /// Returns true in so many of a hundred cases.
    pub fn percent(self, share: u64) -> bool {
        self.kind % 100 < share
    }
}

/// Numbers that look random and are the same in each run (splitmix64).
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// Returns those of one client.
    pub fn of(client: u64) -> Self {
        Self(client)
    }

    /// Picks what is done next.
    pub fn picks(&mut self) -> Picks {
        Picks { org: self.next(), row: self.next(), kind: self.next() }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }
}

/// Returns the middle one, or the lower of the two in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

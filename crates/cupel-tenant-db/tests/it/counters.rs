//! What is counted of sessions as they come back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder,
};
use sqlx::Executor;

use crate::bed::{Bed, TestResult, scope};

/// Keeps counters, and nothing else.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    /// What was counted since it was asked last.
    fn taken(&self) -> Vec<(String, u64)> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counters.iter().map(|(name, it)| (name.clone(), it.swap(0, Ordering::SeqCst)));
        taken.filter(|(_, count)| *count > 0).collect()
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|it| format!(" {}={}", it.key(), it.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Counter::from_arc(Arc::clone(counters.entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// On one thread, the recorder of which hears the tasks that look at sessions too.
#[tokio::test(flavor = "current_thread")]
async fn sessions_that_are_looked_at_and_those_that_are_closed_are_counted() -> TestResult {
    const CHECKED: &str = "cupel_db_sessions_checked_total";
    const RESIDUE: &str = "cupel_db_sessions_closed_total reason=residue";
    const BROKEN: &str = "cupel_db_sessions_closed_total reason=broken";
    let counters = Counters::default();
    let _recording = set_default_local_recorder(&counters);
    let bed = Bed::with(1).await?;
    let acme = scope("acme");
    bed.db.begin(&acme).await?.commit().await?;
    counters.taken();
    for (statement, expected) in [
        ("SELECT 1", &[][..]),
        // It may have left something, and has not.
        ("SET LOCAL app.anything = 'else'", &[CHECKED]),
        ("SELECT pg_advisory_lock(7)", &[CHECKED, RESIDUE]),
        ("SELECT pg_terminate_backend(pg_backend_pid())", &[BROKEN]),
    ] {
        for commit in [true, false] {
            let mut tx = bed.db.begin(&acme).await?;
            let is_broken = tx.execute(statement).await.is_err();
            if commit && !is_broken {
                tx.commit().await?;
            } else {
                drop(tx);
            }
            // There is one connection, or its place: whoever gets it comes after the look.
            let next = bed.db.begin(&acme).await?;
            let expected: Vec<_> = expected.iter().map(|it| ((*it).to_owned(), 1)).collect();
            assert_eq!(counters.taken(), expected, "{statement}, committed: {commit}");
            next.commit().await?;
        }
    }
    Ok(())
}

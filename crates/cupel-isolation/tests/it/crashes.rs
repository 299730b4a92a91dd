//! A process that dies at any await leaves nothing that running the same call again does not mend.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use cupel_isolation::{Isolation, OrgSpec, OrgState, Tier};

use crate::bed::{self, TestResult};

/// Polls a future at most so often, then drops it: `None`.
struct DroppedAfter<F> {
    future: F,
    polls: usize,
}

impl<F: Future + Unpin> Future for DroppedAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match Pin::new(&mut self.future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Polled once more at once, so that the drop happens while the work is under way.
            Poll::Pending if self.polls == 0 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

async fn dropped_after<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    DroppedAfter { future: pin!(future), polls }.await
}

#[tokio::test]
async fn every_step_of_a_life_can_be_repeated() -> TestResult {
    let folder = tempfile::tempdir()?;
    let keyring = folder.path().join("keyring");
    let keys = format!("[keys]\nprovider = 'local-keyring'\npath = '{}'\n", keyring.display());
    let config = bed::layers_and(&["database", "cache"], &keys).await?;
    let isolation = Isolation::connect(&config).await?;
    let mut deepest = 0;
    for polls in (1..).step_by(3) {
        let org: cupel_isolation::OrgId = format!("crash-{polls}").parse()?;
        let spec = || OrgSpec::new(org.clone(), Tier::STANDARD);

        let mut whole = true;
        whole &= dropped_after(isolation.onboard(spec()), polls).await.transpose()?.is_some();
        isolation.onboard(spec()).await?;
        isolation.enter(bed::scope(&org)).await?;

        whole &= dropped_after(isolation.suspend(&org), polls).await.transpose()?.is_some();
        isolation.suspend(&org).await?;
        assert!(isolation.enter(bed::scope(&org)).await.is_err(), "entered while suspended");

        whole &= dropped_after(isolation.resume(&org), polls).await.transpose()?.is_some();
        isolation.resume(&org).await?;
        isolation.enter(bed::scope(&org)).await?;

        whole &= dropped_after(isolation.offboard(&org), polls).await.transpose()?.is_some();
        assert!(isolation.offboard(&org).await?.is_complete());
        let state = isolation.list().await?.into_iter().find(|it| it.org == org).map(|it| it.state);
        assert_eq!(state, Some(OrgState::Erased));

        deepest = polls;
        if whole {
            break;
        }
    }
    assert!(deepest > 3, "nothing was ever dropped half-way");
    Ok(())
}

use std::fmt;

use cupel_tenant::{Erased, LayerError, LayerName, OrgId, OrgPair, OrgSpec, OrgState, Tier};
use futures::future;

use crate::progress::Step;
use crate::{Error, Isolation, report};

impl Isolation {
    pub(crate) async fn provision_canaries(&self, pair: &OrgPair) -> Result<(), Error> {
        let layers = self.layer_list();
        future::try_join_all(layers.iter().map(|layer| async move {
            for org in [pair.first(), pair.second()] {
                self.tell(Step { layer: layer.name(), org, action: "provisioning" });
                layer.provision(&spec(org)).await?;
            }
            Ok::<_, Error>(())
        }))
        .await?;
        Ok(())
    }

    /// Erases both canaries from every layer, whatever happens in another one, and returns what stays.
    ///
    /// The registry forgets a canary once nothing of it is left. Until then it keeps it as one that is being
    /// offboarded, so that [`offboard`](Self::offboard) can finish the work.
    pub(crate) async fn erase_canaries(&self, pair: &OrgPair) -> Vec<Leftover> {
        let (first, second) =
            future::join(self.erase_canary(pair.first()), self.erase_canary(pair.second())).await;
        first.into_iter().chain(second).collect()
    }

    async fn erase_canary(&self, org: &OrgId) -> Vec<Leftover> {
        let layers = self.layer_list();
        let erased = future::join_all(layers.iter().map(|layer| async move {
            self.tell(Step { layer: layer.name(), org, action: "erasing" });
            let why = match layer.erase(org).await {
                Ok(erasure) if erasure.is_complete() => return None,
                Ok(erasure) => Why::Found(erasure.residue().to_vec()),
                Err(error) => Why::Failed(error),
            };
            Some(Leftover { org: org.clone(), layer: layer.name(), why })
        }));
        let mut left: Vec<Leftover> = erased.await.into_iter().flatten().collect();
        let told = if left.is_empty() { self.forget(org).await } else { self.keep(org).await };
        left.extend(told.err().map(|error| Leftover {
            org: org.clone(),
            layer: error.layer(),
            why: Why::Failed(error),
        }));
        left
    }

    async fn forget(&self, org: &OrgId) -> Result<(), LayerError> {
        match &self.registry {
            Some(registry) => registry.forget(org).await,
            None => Ok(()),
        }
    }

    /// Has the registry know an organization that is to be erased, and can no more be suspended first.
    async fn keep(&self, org: &OrgId) -> Result<(), LayerError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        registry.register(&spec(org)).await?;
        registry.set_state(org, &OrgState::ALL, OrgState::Offboarding).await.map(drop)
    }
}

fn spec(canary: &OrgId) -> OrgSpec {
    OrgSpec::new(canary.clone(), Tier::STANDARD)
}

/// What may be left of a canary in one layer, after [`Isolation::prove`].
#[derive(Debug)]
pub struct Leftover {
    org: OrgId,
    layer: LayerName,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// The erasure failed, so it is not known what is left.
    Failed(LayerError),
    /// A scan after the erasure found something.
    Found(Vec<Erased>),
}

impl Leftover {
    /// Returns the canary.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// Returns where it was not erased completely.
    pub fn layer(&self) -> LayerName {
        self.layer
    }

    /// Returns what a scan found after the erasure; empty if the erasure [failed](Self::failure).
    pub fn residue(&self) -> &[Erased] {
        match &self.why {
            Why::Failed(_) => &[],
            Why::Found(residue) => residue,
        }
    }

    /// Returns why the erasure failed; `None` if it ran and something was found afterwards.
    pub fn failure(&self) -> Option<&LayerError> {
        match &self.why {
            Why::Failed(error) => Some(error),
            Why::Found(_) => None,
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            // Several failures have no one cause, so each is told with its own here.
            Why::Failed(error) => write!(f, "{}: {}", self.org, report::chain(error).join(": ")),
            Why::Found(residue) => {
                let residue: Vec<String> = residue.iter().map(Erased::to_string).collect();
                write!(f, "{}: {}: {} left", self.org, self.layer, residue.join(", "))
            }
        }
    }
}

/// Each on a line of its own.
pub(crate) fn lines(left: &[Leftover]) -> String {
    left.iter().map(|it| format!("\n    {it}")).collect()
}

use std::pin::pin;
use std::time::{Duration, Instant};

use cupel_tenant::{Attempt, Health, LayerName, OrgPair, Outcome};
use futures::future::{self, Either};
use uuid::Uuid;

use crate::progress::Step;
use crate::{Error, Isolation, report};

impl Isolation {
    /// Attacks every configured layer with two canary organizations, and erases them.
    ///
    /// No organization in use is touched. The canaries differ in one digit, share every name, and
    /// attack each other in both directions.
    ///
    /// # Errors
    ///
    /// [`Error::Layer`] if the stage cannot be set in a layer; [`Error::CanariesLeft`] if the canaries
    /// could not be erased, with the proof. A leak is no error: ask [`Proof::is_isolated`].
    pub async fn prove(&self) -> Result<Proof, Error> {
        self.prove_until(future::pending()).await
    }

    /// Does the same, until `cancelled` is ready: then it stops and erases the canaries.
    ///
    /// Dropping the future of a proof leaves the canaries behind, because what is dropped erases nothing.
    /// So cancel it this way, as with `tokio::signal::ctrl_c`.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], or as for [`prove`](Self::prove).
    pub async fn prove_until(
        &self,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<Proof, Error> {
        let pair = OrgPair::canary(Uuid::new_v4());
        let begun = Instant::now();
        let work = async {
            self.provision_canaries(&pair).await?;
            self.attack(&pair).await
        };
        let proven = match future::select(pin!(cancelled), pin!(work)).await {
            Either::Left(((), _)) => None,
            Either::Right((proven, _)) => Some(proven),
        };
        // Whatever happened, nothing of the canaries stays behind.
        let left = self.erase_canaries(&pair).await;
        if !left.is_empty() {
            let (proof, source) = match proven.transpose() {
                Ok(proof) => (proof.map(Box::new), None),
                Err(error) => (None, Some(Box::new(error))),
            };
            return Err(Error::CanariesLeft { left, proof, source });
        }
        let proof = proven.unwrap_or(Err(Error::Interrupted))?;
        Ok(Proof { took: begun.elapsed(), ..proof })
    }

    /// Attacks each of two organizations that are onboarded as the other, for demonstrations and
    /// tests. It writes among their data.
    ///
    /// # Errors
    ///
    /// [`Error::AttackInProduction`], or as for [`prove`](Self::prove).
    pub async fn prove_between(&self, pair: &OrgPair) -> Result<Proof, Error> {
        if self.environment.is_production() {
            return Err(Error::AttackInProduction);
        }
        self.attack(pair).await
    }

    async fn attack(&self, pair: &OrgPair) -> Result<Proof, Error> {
        let begun = Instant::now();
        // The layers share nothing, so they are attacked side by side: the slowest sets the time.
        let layers = self.layer_list();
        let answers = future::try_join_all(layers.iter().map(|layer| async move {
            self.tell(Step { layer: layer.name(), org: pair.first(), action: "attacking" });
            Ok::<_, Error>((layer.health().await?, layer.prove(pair).await?))
        }))
        .await?;
        let (servers, attempts): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        Ok(Proof {
            pair: pair.clone(),
            servers,
            attempts: attempts.into_iter().flatten().collect(),
            took: begun.elapsed(),
        })
    }
}

/// The attacks of one run over all configured layers, with their controls.
#[derive(Clone, Debug)]
pub struct Proof {
    pair: OrgPair,
    servers: Vec<Health>,
    attempts: Vec<Attempt>,
    took: Duration,
}

impl Proof {
    /// Returns who attacked whom.
    pub fn pair(&self) -> &OrgPair {
        &self.pair
    }

    /// Returns the servers that were attacked.
    pub fn servers(&self) -> &[Health] {
        &self.servers
    }

    /// Returns the attempts, layer by layer.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Returns the attempts of one layer.
    pub fn of(&self, layer: LayerName) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.layer == layer)
    }

    /// Returns how long it took, provisioning and erasing canaries included.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Returns whether there were attempts, all blocked, beside controls that all held.
    pub fn is_isolated(&self) -> bool {
        !self.attempts.is_empty()
            && self.attempts.iter().all(|it| it.outcome == Outcome::Blocked && it.control.is_held())
    }

    /// Panics with the table of attempts unless [`is_isolated`](Self::is_isolated): for tests.
    ///
    /// # Panics
    ///
    /// If an attack was not blocked or a control did not hold.
    #[track_caller]
    pub fn assert_isolated(&self) {
        assert!(self.is_isolated(), "not isolated:\n{}", report::proof_text(self));
    }
}

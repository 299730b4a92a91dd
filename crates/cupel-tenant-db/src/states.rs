use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cupel_tenant::{OrgId, OrgState};
use moka::sync::Cache;

use crate::Error;

/// How long it is believed that the registry has refused nobody, after it was asked.
///
/// A suspension elsewhere is felt after this time at the latest, as in the other layers.
pub(crate) const BELIEVED: Duration = Duration::from_secs(1);

/// The organizations of which the registry has said that they may be let in.
///
/// The registry counts its refusals. While the count stays, whoever was let in may be let in again, so
/// one answer a second, about any organization, renews the belief in all of them.
#[derive(Clone, Debug)]
pub(crate) struct States {
    /// Who was let in, and at which count.
    let_in: Cache<OrgId, u64>,
    /// The count of the last answer, and when that was asked for.
    count: Arc<Mutex<Option<(u64, Instant)>>>,
}

impl States {
    pub(crate) fn new() -> Self {
        // Bounded, so that a service with very many organizations holds tens of megabytes at most.
        Self { let_in: Cache::builder().max_capacity(250_000).build(), count: Arc::default() }
    }

    /// Whether the organization may be let in without asking.
    pub(crate) fn is_believed(&self, org: &OrgId) -> bool {
        let Some((count, asked)) = *self.count() else { return false };
        asked.elapsed() < BELIEVED && self.let_in.get(org) == Some(count)
    }

    /// Lets an organization in or refuses it, by what the registry answered to a question that was asked at
    /// `asked`: a state, or nothing of an unknown organization; `@`; and the count of refusals.
    ///
    /// Whether an unknown organization is let in is the question of whoever keeps the registry.
    pub(crate) fn hear(
        &self,
        org: &OrgId,
        asked: Instant,
        answer: Option<&str>,
    ) -> Result<(), Error> {
        let (state, count) = answer.and_then(|it| it.split_once('@')).ok_or(Error::NotMigrated)?;
        let count: u64 = count.parse().map_err(|_| Error::NotMigrated)?;
        {
            let mut last = self.count();
            // Answers may overtake each other.
            if last.is_none_or(|(_, before)| before <= asked) {
                *last = Some((count, asked));
            }
        }
        match state.parse() {
            _ if state.is_empty() => {}
            Ok(OrgState::Onboarding | OrgState::Active) => {}
            Ok(state) => return Err(Error::OrgRefused { state }),
            Err(_) => return Err(Error::NotMigrated),
        }
        self.let_in.insert(org.clone(), count);
        Ok(())
    }

    /// From now on the registry is asked again.
    pub(crate) fn doubt(&self, org: &OrgId) {
        self.let_in.invalidate(org);
    }

    fn count(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(text: &str) -> OrgId {
        text.parse().unwrap()
    }

    #[test]
    fn one_answer_renews_the_belief_in_all_until_somebody_is_refused() {
        let states = States::new();
        let (acme, globex) = (org("acme"), org("globex"));
        let now = Instant::now();
        assert!(!states.is_believed(&acme));
        states.hear(&acme, now, Some("active@3")).unwrap();
        states.hear(&globex, now, Some("@3")).unwrap();
        assert!(states.is_believed(&acme) && states.is_believed(&globex));
        let refused = states.hear(&org("initech"), Instant::now(), Some("suspended@4"));
        assert!(matches!(refused, Err(Error::OrgRefused { state: OrgState::Suspended })));
        assert!(!states.is_believed(&acme) && !states.is_believed(&globex));
        states.hear(&acme, Instant::now(), Some("onboarding@4")).unwrap();
        assert!(states.is_believed(&acme) && !states.is_believed(&globex));
        states.doubt(&acme);
        assert!(!states.is_believed(&acme));
    }

    #[test]
    fn belief_ends_with_its_time() {
        let states = States::new();
        let before = Instant::now().checked_sub(BELIEVED).unwrap();
        states.hear(&org("acme"), before, Some("active@3")).unwrap();
        assert!(!states.is_believed(&org("acme")));
    }

    #[test]
    fn an_answer_that_is_none_is_no_permission() {
        let states = States::new();
        for answer in [None, Some(""), Some("active"), Some("active@"), Some("merry@3")] {
            let refused = states.hear(&org("acme"), Instant::now(), answer);
            assert!(matches!(refused, Err(Error::NotMigrated)), "{answer:?}");
        }
    }
}

use std::time::{Duration, Instant};

use cupel_tenant::{Actor, OrgId};

use crate::Error;

/// Permission to reach beyond one organization, for a stated reason and a limited time.
///
/// Whose data may be touched has no safe default, so a grant that was not told cannot be used: only
/// `AdminGrant<Ready>` opens a transaction.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use cupel_tenant_db::AdminGrant;
///
/// let grant = AdminGrant::read_only("alice@cupel.example", "quarterly usage report")
///     .ticket("OPS-1432")
///     .all_orgs()
///     .expires_in(Duration::from_secs(15 * 60));
/// # let _ = grant;
/// ```
///
/// ```compile_fail,E0308
/// # async fn f(db: cupel_tenant_db::TenantDb) {
/// let grant = cupel_tenant_db::AdminGrant::read_only("alice", "usage report");
/// let _ = db.admin(&grant).await;
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a grant does nothing until a transaction is opened with it"]
pub struct AdminGrant<State = Ready> {
    actor: String,
    reason: String,
    ticket: Option<String>,
    approver: Option<String>,
    access: Access,
    state: State,
}

/// [`AdminGrant`] state: the organizations are still to be named.
#[derive(Clone, Debug)]
pub struct WantsOrgs(());

/// [`AdminGrant`] state: nothing is missing.
#[derive(Clone, Debug)]
pub struct Ready {
    reach: Reach,
    expires: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    All,
    Named(Vec<OrgId>),
}

impl Access {
    /// The words of `BEGIN` and of the access log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read only",
            Self::ReadWrite => "read write",
        }
    }
}

impl AdminGrant<WantsOrgs> {
    /// The right to read, for `actor` because of `reason`. The server refuses to write in its transaction, which no
    /// statement in it can end. Large objects, which belong to no organization, it lets be written there before
    /// PostgreSQL 16.
    pub fn read_only(actor: &str, reason: &str) -> Self {
        Self::new(actor, reason, Access::ReadOnly)
    }

    /// The right to read and write, for `actor` because of `reason`.
    pub fn read_write(actor: &str, reason: &str) -> Self {
        Self::new(actor, reason, Access::ReadWrite)
    }

    fn new(actor: &str, reason: &str, access: Access) -> Self {
        Self {
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            ticket: None,
            approver: None,
            access,
            state: WantsOrgs(()),
        }
    }

    /// Every organization, present and future. The transaction is exempt from row-level security.
    pub fn all_orgs(self) -> AdminGrant<Ready> {
        self.reaching(Reach::All)
    }

    /// These organizations and no others. The transaction is under row-level security as theirs are,
    /// and sees one of them at a time: [`AdminTx::enter`](crate::AdminTx::enter).
    pub fn orgs(self, orgs: impl IntoIterator<Item = OrgId>) -> AdminGrant<Ready> {
        self.reaching(Reach::Named(orgs.into_iter().collect()))
    }

    fn reaching(self, reach: Reach) -> AdminGrant<Ready> {
        let Self { actor, reason, ticket, approver, access, .. } = self;
        let state = Ready { reach, expires: Instant::now() + DEFAULT_TIME };
        AdminGrant { actor, reason, ticket, approver, access, state }
    }
}

impl AdminGrant<Ready> {
    /// How long from now on the grant can be used; a quarter of an hour unless told. A transaction
    /// does not outlive it.
    pub fn expires_in(mut self, time: Duration) -> Self {
        let now = Instant::now();
        self.state.expires = now.checked_add(time.min(LONGEST_TIME)).unwrap_or(now);
        self
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.state.reach
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn expires(&self) -> Instant {
        self.state.expires
    }

    /// What the access log is told: actor, reason, ticket, approver.
    pub(crate) fn texts(&self) -> (&str, &str, Option<&str>, Option<&str>) {
        (&self.actor, &self.reason, self.ticket.as_deref(), self.approver.as_deref())
    }

    /// Refuses a grant that the access log could not make sense of, or whose time is over.
    pub(crate) fn check(&self) -> Result<Duration, Error> {
        let refuse = |rule| Err(Error::InvalidGrant { rule });
        if Actor::new(&self.actor).is_err() {
            return refuse("the actor is 1 to 128 printable ASCII bytes");
        }
        if let Some(approver) = &self.approver {
            if Actor::new(approver).is_err() {
                return refuse("the approver is 1 to 128 printable ASCII bytes");
            }
            if *approver == self.actor {
                return refuse("the approver is somebody else than the actor");
            }
        }
        let words = [Some(&self.reason), self.ticket.as_ref()];
        for text in words.into_iter().flatten() {
            if text.trim().is_empty() || text.len() > 500 || text.chars().any(char::is_control) {
                return refuse("reason and ticket are 1 to 500 bytes without control characters");
            }
        }
        if matches!(&self.state.reach, Reach::Named(orgs) if orgs.is_empty()) {
            return refuse("it names no organization");
        }
        let left = self.state.expires.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::GrantExpired) } else { Ok(left) }
    }
}

impl<State> AdminGrant<State> {
    /// Where the request for this access is written down.
    pub fn ticket(self, ticket: &str) -> Self {
        Self { ticket: Some(ticket.to_owned()), ..self }
    }

    /// Who else has agreed to this access.
    pub fn approved_by(self, approver: &str) -> Self {
        Self { approver: Some(approver.to_owned()), ..self }
    }
}

const DEFAULT_TIME: Duration = Duration::from_secs(15 * 60);

/// A grant is for one occasion, not a standing right.
const LONGEST_TIME: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_who_why_and_for_how_long() {
        let grant = |actor, reason| AdminGrant::read_only(actor, reason).all_orgs();
        assert!(grant("alice", "report").check().is_ok());
        for (actor, reason) in [("", "report"), ("alice", " "), ("alice", "a\nb")] {
            assert!(matches!(grant(actor, reason).check(), Err(Error::InvalidGrant { .. })));
        }
        let seconded =
            |approver| AdminGrant::read_only("alice", "report").approved_by(approver).all_orgs();
        assert!(seconded("bob").check().is_ok());
        for approver in ["", "alice", "b\nb"] {
            assert!(matches!(seconded(approver).check(), Err(Error::InvalidGrant { .. })));
        }
        let none = AdminGrant::read_only("alice", "report").orgs([]);
        assert!(matches!(none.check(), Err(Error::InvalidGrant { .. })));
        let over = grant("alice", "report").expires_in(Duration::ZERO);
        assert!(matches!(over.check(), Err(Error::GrantExpired)));
    }
}

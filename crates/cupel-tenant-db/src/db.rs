use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cupel_tenant::TenantScope;

use crate::context::{Context, Named};
use crate::lease::{End, Lease};
use crate::pool::{Bound, Opening, Pool, Session};
use crate::seal::Place;
use crate::states::States;
use crate::{
    ColumnType, ContextMode, DbRegistry, Error, ScopedDb, TenantDbBuilder, TenantTx, TxOptions,
};

/// The database, by organization.
///
/// It builds its own pool, because what makes a connection safe to give back is part of the isolation
/// and must not be forgotten. Cloning is cheap: the pool is shared.
#[derive(Clone)]
pub struct TenantDb(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) pool: Pool,
    pub(crate) admin: Option<Pool>,
    /// Its pool, and what it says of organizations: it may be behind the primary.
    pub(crate) replica: Option<(Pool, States)>,
    pub(crate) column_type: ColumnType,
    pub(crate) endpoint: String,
    pub(crate) states: States,
    pub(crate) context: Arc<Context>,
    /// Whether a pooler hands out backends by the transaction, so that none is ours.
    pub(crate) behind_pooler: bool,
}

impl TenantDb {
    /// Connects as the application's role, with the defaults of [`TenantDb::builder`].
    ///
    /// # Errors
    ///
    /// As [`TenantDbBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Starts from the URL of the application's role.
    pub fn builder(url: &str) -> TenantDbBuilder {
        TenantDbBuilder::new(url)
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Returns the database of one scope: the same calls, without naming it each time.
    pub fn scoped(&self, scope: &TenantScope) -> ScopedDb {
        ScopedDb::new(self.clone(), scope)
    }

    /// Opens a transaction that sees the scope and nothing else, in one round trip.
    ///
    /// The isolation level is the role's `default_transaction_isolation`.
    ///
    /// # Errors
    ///
    /// [`Error::SlugOnUuid`] before any I/O; [`Error::OrgRefused`] if the registry has the
    /// organization suspended or on its way out, which another process may learn up to a second later;
    /// [`Error::Unreachable`] or [`Error::PoolExhausted`] if there is no connection.
    pub async fn begin(&self, scope: &TenantScope) -> Result<TenantTx, Error> {
        self.begin_with(scope, TxOptions::new()).await
    }

    /// Opens a transaction as [`begin`](Self::begin) does, in which the server refuses every write.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_read_only(&self, scope: &TenantScope) -> Result<TenantTx, Error> {
        self.begin_with(scope, TxOptions::new().read_only()).await
    }

    /// Opens a transaction as [`begin`](Self::begin) does, with options; still in one round trip.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_with(
        &self,
        scope: &TenantScope,
        options: TxOptions,
    ) -> Result<TenantTx, Error> {
        self.begin_shared(Arc::new(scope.clone()), options).await
    }

    /// Opens a transaction that only reads, on the replica: what was committed lately may not be there
    /// yet, a suspension of the organization included.
    ///
    /// # Errors
    ///
    /// [`Error::NoReplica`], or as [`begin`](Self::begin).
    pub async fn begin_on_replica(&self, scope: &TenantScope) -> Result<TenantTx, Error> {
        let (pool, states) = self.0.replica.as_ref().ok_or(Error::NoReplica)?;
        let scope = Arc::new(scope.clone());
        self.begin_on(pool, states, scope, TxOptions::new().read_only()).await
    }

    pub(crate) async fn begin_shared(
        &self,
        scope: Arc<TenantScope>,
        options: TxOptions,
    ) -> Result<TenantTx, Error> {
        self.begin_on(&self.0.pool, &self.0.states, scope, options).await
    }

    async fn begin_on(
        &self,
        pool: &Pool,
        states: &States,
        scope: Arc<TenantScope>,
        options: TxOptions,
    ) -> Result<TenantTx, Error> {
        self.0.column_type.check(&scope)?;
        let asked = Arc::new(Mutex::new(None));
        let end = if self.0.behind_pooler { End::BehindPooler } else { End::HandedOn };
        let opening = self.opening(states, &scope, options, Arc::clone(&asked));
        let (lease, answer) = Lease::open(pool, end, opening).await?;
        let asked = *asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked
            && let Err(refused) = states.hear(scope.org_id(), asked, answer.as_deref())
        {
            lease.rollback().await?;
            return Err(refused);
        }
        Ok(TenantTx::new(lease, scope))
    }

    /// How a transaction of the scope opens. `asked` is when the registry was asked about the organization, if it
    /// was: that is decided last, because it may be a while until there is a connection.
    fn opening(
        &self,
        states: &States,
        scope: &Arc<TenantScope>,
        options: TxOptions,
        asked: Arc<Mutex<Option<Instant>>>,
    ) -> Opening {
        let context = Arc::clone(&self.0.context);
        let binds = context.binds_transactions() && !self.0.behind_pooler;
        let binding = binds.then(|| (Bound::from(&**scope), context.binds_for()));
        let (db, states, scope) = (self.clone(), states.clone(), Arc::clone(scope));
        let statements = move |session: &Session, binds_now| {
            let ask = (!states.is_believed(scope.org_id())).then(Instant::now);
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = ask;
            let named = match (binds, binds_now) {
                (false, _) => Named::InTransaction,
                (true, false) => Named::BySession,
                (true, true) => Named::ByBinding,
            };
            let place = db.place(session.backend());
            context.opening(&scope, options, place, named, ask.is_some())
        };
        Opening { statements: Box::new(statements), binding }
    }

    pub(crate) fn states(&self) -> &States {
        &self.0.states
    }

    /// Returns the registry of organizations, which is kept over the admin path; `None` without one.
    pub fn registry(&self) -> Option<DbRegistry> {
        self.0.admin.clone().map(|pool| DbRegistry::new(pool, self.0.states.clone()))
    }

    /// Returns the type of the columns that name organizations.
    pub fn column_type(&self) -> ColumnType {
        self.0.column_type
    }

    /// Returns how transactions tell the server whose they are: as the database was migrated.
    pub fn context_mode(&self) -> ContextMode {
        self.0.context.mode()
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// Where a seal is to open that is made for a session of `backend`.
    pub(crate) fn place(&self, backend: i32) -> Place {
        if self.0.behind_pooler { Place::Anywhere } else { Place::Backend(backend) }
    }

    pub(crate) fn is_behind_pooler(&self) -> bool {
        self.0.behind_pooler
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn admin_pool(&self) -> Result<&Pool, Error> {
        self.0.admin.as_ref().ok_or(Error::NoAdmin)
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Returns the same database over a pool of one connection, on which every borrower follows the
    /// one before.
    pub(crate) fn with_one_connection(&self) -> Self {
        Self::new(Inner {
            pool: self.0.pool.of_one(),
            admin: self.0.admin.clone(),
            replica: None,
            column_type: self.0.column_type,
            endpoint: self.0.endpoint.clone(),
            states: States::new(),
            context: Arc::clone(&self.0.context),
            behind_pooler: self.0.behind_pooler,
        })
    }
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use cupel_tenant::{BoxError, LayerError, OrgId, OrgRecord, OrgSpec, OrgState, Registry, Tier};

use crate::Error;
use crate::pool::Pool;
use crate::states::States;

/// Which organizations exist: the table `cupel.organizations`, over the admin path.
///
/// The application's role can ask for the state of the organization that it acts for, and nothing else.
#[derive(Clone, Debug)]
pub struct DbRegistry {
    pool: Pool,
    states: States,
}

type Row = (String, String, String, i64);

const COLUMNS: &str =
    "org_id, tier, state, (extract(epoch FROM created) * 1000000)::bigint AS created";

impl DbRegistry {
    pub(crate) fn new(pool: Pool, states: States) -> Self {
        Self { pool, states }
    }

    async fn read(&self, org: &OrgId) -> Result<Option<OrgRecord>, Error> {
        let mut session = self.pool.lend_tested().await?;
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cupel.organizations WHERE org_id = $1"
        )))
        .bind(org.as_str())
        .fetch_optional(session.connection())
        .await
        .map_err(Error::statement("reading the registry"))?;
        session.give_back();
        row.map(record).transpose()
    }

    pub(crate) async fn present(&self, org: &OrgId) -> Result<Option<OrgState>, Error> {
        Ok(self.read(org).await?.map(|record| record.state))
    }

    /// Registers an organization that is not, in a state; one that is, is left as it is.
    pub(crate) async fn insert(
        &self,
        org: &OrgId,
        tier: &Tier,
        state: OrgState,
    ) -> Result<(), Error> {
        self.states.doubt(org);
        let mut session = self.pool.lend_tested().await?;
        sqlx::query(
            "INSERT INTO cupel.organizations (org_id, tier, state) VALUES ($1, $2, $3)
             ON CONFLICT (org_id) DO NOTHING",
        )
        .bind(org.as_str())
        .bind(tier.as_str())
        .bind(state.as_str())
        .execute(session.connection())
        .await
        .map_err(Error::statement("registering"))?;
        session.give_back();
        self.states.doubt(org);
        Ok(())
    }

    async fn write(&self, spec: &OrgSpec) -> Result<OrgRecord, Error> {
        let mut session = self.pool.lend_tested().await?;
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "INSERT INTO cupel.organizations AS o (org_id, tier, state) VALUES ($1, $2, 'onboarding')
             ON CONFLICT (org_id) DO UPDATE SET tier = excluded.tier WHERE o.state <> 'erased'
             RETURNING {COLUMNS}"
        )))
        .bind(spec.org_id().as_str())
        .bind(spec.tier().as_str())
        .fetch_optional(session.connection())
        .await
        .map_err(Error::statement("registering"))?;
        session.give_back();
        row.map_or(Err(Error::OrgRefused { state: OrgState::Erased }), record)
    }

    async fn read_all(&self) -> Result<Vec<OrgRecord>, Error> {
        let mut session = self.pool.lend_tested().await?;
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cupel.organizations ORDER BY org_id"
        )))
        .fetch_all(session.connection())
        .await
        .map_err(Error::statement("reading the registry"))?;
        session.give_back();
        rows.into_iter().map(record).collect()
    }

    async fn remove(&self, org: &OrgId) -> Result<(), Error> {
        let mut session = self.pool.lend_tested().await?;
        sqlx::query("DELETE FROM cupel.organizations WHERE org_id = $1")
            .bind(org.as_str())
            .execute(session.connection())
            .await
            .map_err(Error::statement("forgetting"))?;
        session.give_back();
        self.states.doubt(org);
        Ok(())
    }

    /// Moves the state in one statement, which checks the move against the row as it is then. Returns the
    /// state afterwards.
    async fn compare_and_set(
        &self,
        org: &OrgId,
        from: &[OrgState],
        to: OrgState,
    ) -> Result<Option<OrgState>, Error> {
        let from: Vec<&str> =
            from.iter().filter(|from| from.may_become(to)).map(|from| from.as_str()).collect();
        let mut session = self.pool.lend_tested().await?;
        let moved = sqlx::query(
            "UPDATE cupel.organizations SET state = $2 WHERE org_id = $1 AND state = ANY ($3)",
        )
        .bind(org.as_str())
        .bind(to.as_str())
        .bind(&from)
        .execute(session.connection())
        .await
        .map_err(Error::statement("changing a state"))?;
        session.give_back();
        self.states.doubt(org);
        if moved.rows_affected() == 1 {
            return Ok(Some(to));
        }
        self.present(org).await
    }

    /// Moves the state from any that may become `to`.
    pub(crate) async fn change(&self, org: &OrgId, to: OrgState) -> Result<(), Error> {
        match self.compare_and_set(org, &OrgState::ALL, to).await? {
            Some(state) if state == to => Ok(()),
            Some(from) => Err(Error::StateMove { from, to }),
            None => Err(Error::UnknownOrg),
        }
    }
}

fn record((org, tier, state, created): Row) -> Result<OrgRecord, Error> {
    let unreadable = |source: BoxError| Error::Statement { action: "reading the registry", source };
    let created = SystemTime::UNIX_EPOCH + Duration::from_micros(created.unsigned_abs());
    Ok(OrgRecord::new(
        org.parse().map_err(|error: cupel_tenant::InvalidOrgId| unreadable(error.into()))?,
        tier.parse().map_err(|error: cupel_tenant::InvalidTier| unreadable(error.into()))?,
        state.parse().map_err(|error: cupel_tenant::UnknownState| unreadable(error.into()))?,
        created,
    ))
}

#[async_trait]
impl Registry for DbRegistry {
    async fn find(&self, org: &OrgId) -> Result<Option<OrgRecord>, LayerError> {
        self.read(org).await.map_err(Error::during("reading the registry"))
    }

    async fn list(&self) -> Result<Vec<OrgRecord>, LayerError> {
        self.read_all().await.map_err(Error::during("reading the registry"))
    }

    async fn register(&self, spec: &OrgSpec) -> Result<OrgRecord, LayerError> {
        self.write(spec).await.map_err(Error::during("registering"))
    }

    async fn set_state(
        &self,
        org: &OrgId,
        from: &[OrgState],
        to: OrgState,
    ) -> Result<Option<OrgState>, LayerError> {
        let set = self.compare_and_set(org, from, to).await;
        set.map_err(Error::during("changing a state"))
    }

    async fn forget(&self, org: &OrgId) -> Result<(), LayerError> {
        self.remove(org).await.map_err(Error::during("forgetting"))
    }
}

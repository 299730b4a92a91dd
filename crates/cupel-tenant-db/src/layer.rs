use async_trait::async_trait;
use cupel_tenant::{
    Attempt, Changes, Erasure, Finding, Health, IsolationLayer, LayerError, LayerName, OrgId,
    OrgPair, OrgSpec, OrgState, TenantScope,
};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::catalog::{self, Relation};
use crate::{AdminGrant, Error, TenantDb, audit, prove};

/// What one organization has in the database is its rows and its line in the registry.
#[async_trait]
impl IsolationLayer for TenantDb {
    fn name(&self) -> LayerName {
        LayerName::Database
    }

    async fn health(&self) -> Result<Health, LayerError> {
        self.measure().await.map_err(Error::during("asking after the database"))
    }

    /// Registers the organization as active, where there is an admin path and it is not registered.
    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError> {
        self.register(spec).await.map_err(Error::during("provisioning"))
    }

    /// Reads the whole database, whatever the organization: isolation is a property of the tables.
    async fn audit(&self, _org: &OrgId) -> Result<Vec<Finding>, LayerError> {
        audit::audit(self).await.map_err(Error::during("the audit"))
    }

    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError> {
        prove::prove(self, pair).await.map_err(Error::during("the proof"))
    }

    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError> {
        self.refuse_from_now_on(org).await.map_err(Error::during("suspending"))
    }

    async fn resume(&self, org: &OrgId) -> Result<(), LayerError> {
        self.let_in_again(org).await.map_err(Error::during("resuming"))
    }

    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError> {
        self.erase_rows(org).await.map_err(Error::during("erasing"))
    }
}

impl TenantDb {
    async fn measure(&self) -> Result<Health, Error> {
        let mut conn = self.pool().acquire().await.map_err(Error::connect("app"))?;
        let version: String = sqlx::query_scalar("SELECT current_setting('server_version')")
            .fetch_one(&mut *conn)
            .await
            .map_err(Error::statement("asking for the version"))?;
        let declared: Vec<String> = sqlx::query_scalar("SELECT kind FROM cupel.tenant_tables")
            .fetch_all(&mut *conn)
            .await
            .map_err(Error::statement("counting the tables"))?;
        let global = declared.iter().filter(|kind| *kind == "global").count();
        let detail = format!(
            "plain context, {} tables isolated, {global} the same for everybody{}",
            declared.len() - global,
            if self.admin_pool().is_ok() { "" } else { ", no admin path" }
        );
        // A distribution's build adds its own words: "15.18 (Debian 15.18-0+deb12u1)".
        let version = version.split(' ').next().unwrap_or_default();
        Ok(Health::new("PostgreSQL", version, self.endpoint(), detail))
    }

    async fn register(&self, spec: &OrgSpec) -> Result<Changes, Error> {
        self.column_type().check(&TenantScope::org(spec.org_id().clone()))?;
        let Some(registry) = self.registry() else { return Ok(Changes::none()) };
        let mut changes = Changes::none();
        match registry.present(spec.org_id()).await? {
            None => {
                registry.insert(spec.org_id(), spec.tier(), OrgState::Active).await?;
                changes.push(format!("registered {}", spec.org_id()));
            }
            Some(state @ (OrgState::Offboarding | OrgState::Erased)) => {
                return Err(Error::OrgRefused { state });
            }
            Some(_) => {}
        }
        Ok(changes)
    }

    async fn refuse_from_now_on(&self, org: &OrgId) -> Result<(), Error> {
        let registry = self.registry().ok_or(Error::NoAdmin)?;
        match registry.present(org).await? {
            // Refused already, and on a way that does not lead back.
            Some(OrgState::Offboarding | OrgState::Erased) => Ok(()),
            None => registry.insert(org, &cupel_tenant::Tier::STANDARD, OrgState::Suspended).await,
            Some(_) => registry.change(org, OrgState::Suspended).await,
        }
    }

    async fn let_in_again(&self, org: &OrgId) -> Result<(), Error> {
        let registry = self.registry().ok_or(Error::NoAdmin)?;
        match registry.present(org).await? {
            None | Some(OrgState::Onboarding) => Ok(()),
            Some(_) => registry.change(org, OrgState::Active).await,
        }
    }

    /// Deletes the organization's rows, children first, and counts what is left.
    ///
    /// The deletes run under row-level security, so that none can reach further than meant. The count
    /// runs exempt from it where there is an admin path, so that nothing hides from it.
    async fn erase_rows(&self, org: &OrgId) -> Result<Erasure, Error> {
        self.column_type().check(&TenantScope::org(org.clone()))?;
        let mut relations = {
            let mut conn = self.pool().acquire().await.map_err(Error::connect("app"))?;
            catalog::relations(&mut conn).await?
        };
        relations.retain(Relation::is_declared_of_orgs);
        relations.reverse();
        let key = self.column_type().as_str();
        let mut erasure = Erasure::none();
        let Some(registry) = self.registry() else {
            let mut tx = self.begin(&TenantScope::org(org.clone())).await?;
            delete(tx.connection(), &relations, (org, key), &mut erasure).await?;
            count(tx.connection(), &relations, (org, key), &mut erasure).await?;
            tx.commit().await?;
            return Ok(erasure);
        };
        if registry.present(org).await?.is_some_and(|state| state != OrgState::Erased) {
            registry.change(org, OrgState::Offboarding).await?;
        }
        let grant = AdminGrant::read_write("cupel", "erase an organization").orgs([org.clone()]);
        let mut tx = self.admin(&grant).await?;
        delete(tx.connection(), &relations, (org, key), &mut erasure).await?;
        tx.commit().await?;
        let grant =
            AdminGrant::read_only("cupel", "verify that an organization is erased").all_orgs();
        let mut tx = self.admin(&grant).await?;
        count(tx.connection(), &relations, (org, key), &mut erasure).await?;
        tx.rollback().await?;
        Ok(erasure)
    }
}

async fn delete(
    conn: &mut PgConnection,
    relations: &[Relation],
    (org, key): (&OrgId, &str),
    erasure: &mut Erasure,
) -> Result<(), Error> {
    for relation in relations {
        let sql = format!("DELETE FROM {} WHERE org_id = $1::{key}", relation.name.quoted());
        let done = sqlx::query(AssertSqlSafe(sql))
            .bind(org.as_str())
            .execute(&mut *conn)
            .await
            .map_err(Error::statement("erasing rows"))?;
        erasure.erased(format!("rows of {}", relation.name), done.rows_affected());
    }
    Ok(())
}

async fn count(
    conn: &mut PgConnection,
    relations: &[Relation],
    (org, key): (&OrgId, &str),
    erasure: &mut Erasure,
) -> Result<(), Error> {
    for relation in relations {
        let sql =
            format!("SELECT count(*) FROM {} WHERE org_id = $1::{key}", relation.name.quoted());
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(org.as_str())
            .fetch_one(&mut *conn)
            .await
            .map_err(Error::statement("counting rows"))?;
        erasure.left(format!("rows of {}", relation.name), left.unsigned_abs());
    }
    Ok(())
}

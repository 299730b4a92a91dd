//! Tables that a test makes itself, with rows in them or without, and their adoption.

use std::error::Error;

use cupel_tenant_db::{Adoption, Migration, Table};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::bed::{as_role, empty, sql};

/// A database with tables that are declared, and not migrated yet.
pub(crate) struct Laden {
    pub(crate) owner: String,
    pub(crate) app: String,
    tables: Vec<Table>,
}

impl Laden {
    /// Runs `schema` and then `rows`. What is declared is for the role `app`.
    pub(crate) async fn with(
        schema: &'static str,
        rows: &'static str,
        app: &str,
        tables: impl Into<Vec<Table>>,
    ) -> Result<Self, Box<dyn Error>> {
        let owner = empty().await?;
        sql(&owner, schema).await?;
        sql(&owner, rows).await?;
        Ok(Self { app: as_role(&owner, app)?, owner, tables: tables.into() })
    }

    pub(crate) fn migration(&self) -> Migration {
        Migration::new(&self.owner).app_url(&self.app).tables(self.tables.clone())
    }

    pub(crate) fn adoption(&self) -> Adoption {
        Adoption::of(self.migration())
    }

    /// What the owner is answered, a text for each row.
    pub(crate) async fn asked(&self, question: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let mut owner = PgConnection::connect(&self.owner).await?;
        let question = AssertSqlSafe(question.to_owned());
        let answer = sqlx::query_scalar(question).fetch_all(&mut owner).await?;
        owner.close().await?;
        Ok(answer)
    }
}

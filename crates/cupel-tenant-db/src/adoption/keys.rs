//! Keys that carry the organization: built beside those that there are, and then put in their place.

use sqlx::{AssertSqlSafe, Executor};

use super::rows;
use super::steps::Steps;
use crate::Error;
use crate::error::sqlstate;
use crate::keys::{NewIndex, NewReference, Plan, Swap};
use crate::login::lacks;
use crate::schema::ident;
use crate::shape::Shape;

impl Steps<'_> {
    /// Builds the indexes and references of the plan that are not there yet.
    pub(super) async fn build(&mut self, plan: &Plan) -> Result<Vec<String>, Error> {
        let mut changes = Vec::new();
        for index in &plan.indexes {
            let is_valid = self.index_is_valid(index).await?;
            if index.tree.as_ref().is_some_and(|it| !it.is_there && is_valid == Some(true)) {
                let problem = format!(
                    "has an {} of something else, and one of that name is to be built; rename it",
                    index.what
                );
                return Err(Error::TableUnfit { table: index.on.to_string(), problem });
            }
            let is_done = is_valid == Some(true) || is_valid.is_some() && !index.holds_rows();
            if !is_done {
                self.index(index, is_valid.is_some()).await?;
                changes.push(format!("built {} for {}", index.name, index.on));
            }
            if let Some(attach) = index.attach() {
                self.tell_of(&index.on, format!("attaching {}", index.what), None);
                self.short(&attach).await?;
                changes.push(format!("attached {} of {}", index.name, index.on));
            }
        }
        for reference in &plan.references {
            if reference.with_key {
                self.refuse_broken(reference).await?;
                continue;
            }
            let is_valid = self.reference_is_valid(reference).await?;
            if is_valid != Some(true) {
                self.reference(reference, is_valid.is_some()).await?;
                changes.push(format!("validated {} of {}", reference.replaces, reference.on));
            }
        }
        Ok(changes)
    }

    /// Whether the index is usable; `None` if there is none.
    async fn index_is_valid(&mut self, index: &NewIndex) -> Result<Option<bool>, Error> {
        sqlx::query_scalar(
            "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass($1)",
        )
        .bind(format!("{}.{}", ident(&index.on.schema), ident(&index.name)))
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(Error::statement("looking at the indexes"))
    }

    /// Whether the foreign key holds for all rows; `None` if there is none.
    async fn reference_is_valid(
        &mut self,
        reference: &NewReference,
    ) -> Result<Option<bool>, Error> {
        sqlx::query_scalar(
            "SELECT convalidated FROM pg_catalog.pg_constraint
             WHERE conrelid = pg_catalog.to_regclass($1) AND conname = $2 AND contype = 'f'",
        )
        .bind(reference.on.quoted())
        .bind(&reference.name)
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(Error::statement("looking at the foreign keys"))
    }

    async fn index(&mut self, index: &NewIndex, is_broken: bool) -> Result<(), Error> {
        self.tell_of(&index.on, format!("building {}", index.what), None);
        if is_broken {
            // One that was stopped half-way is left behind, and not usable.
            let schema = ident(&index.on.schema);
            let name = ident(&index.name);
            self.long(format!("DROP INDEX CONCURRENTLY {schema}.{name}")).await?;
        }
        if index.holds_rows() {
            self.long(index.create(true)).await
        } else {
            self.short(&index.create(false)).await
        }
    }

    async fn reference(&mut self, reference: &NewReference, is_there: bool) -> Result<(), Error> {
        self.refuse_broken(reference).await?;
        if !is_there {
            self.short(&reference.add(true)).await?;
        }
        self.long(reference.validate()).await
    }

    async fn refuse_broken(&mut self, reference: &NewReference) -> Result<(), Error> {
        let table = &reference.on;
        self.tell_of(table, format!("validating foreign key {}", reference.replaces), None);
        let broken = rows::count(self.conn, &reference.violations).await?;
        if broken > 0 {
            let problem = format!(
                "has rows that refer by foreign key {} to rows of another organization ({broken} of them); put them right first",
                reference.replaces
            );
            return Err(Error::TableUnfit { table: table.to_string(), problem });
        }
        Ok(())
    }

    /// Validates the foreign keys that came with the keys that they refer to.
    pub(super) async fn finish(&mut self, shapes: &[Shape]) -> Result<Vec<String>, Error> {
        let mut changes = Vec::new();
        for shape in shapes {
            for reference in shape.references.iter().filter(|it| it.unvalidated) {
                let (table, name) = (shape.name().quoted(), ident(&reference.name));
                self.tell(shape, &format!("validating foreign key {}", reference.name));
                let validate = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}");
                match self.conn.execute(AssertSqlSafe(validate)).await {
                    Ok(_) => {}
                    Err(error) if is_broken(&error) => {
                        let problem = format!(
                            "has rows that refer by foreign key {} to no row of their organization, written while its key was replaced; put them right and go on",
                            reference.name
                        );
                        return Err(Error::TableUnfit { table: shape.name().to_string(), problem });
                    }
                    Err(error) => return Err(lacks("the ownership of the tables")(error)),
                }
                self.short(&format!("COMMENT ON CONSTRAINT {name} ON {table} IS NULL")).await?;
                changes.push(format!("validated {} of {}", reference.name, shape.name()));
            }
        }
        Ok(changes)
    }

    /// Puts new keys in the place of the old.
    pub(super) async fn swap(&mut self, swap: &Swap) -> Result<String, Error> {
        self.tell_of(&swap.table, format!("replacing {}", swap.what), None);
        self.short(&swap.in_use()).await?;
        Ok(swap.done())
    }
}

/// foreign_key_violation: PostgreSQL documentation, appendix A.
fn is_broken(error: &sqlx::Error) -> bool {
    sqlstate(error).as_deref() == Some("23503")
}

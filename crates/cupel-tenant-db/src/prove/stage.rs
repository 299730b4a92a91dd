use cupel_tenant::{OrgId, OrgPair, TenantScope, WorkspaceId};
use sqlx::{AssertSqlSafe, Executor};

use super::value::value;
use crate::catalog::{self, Column, Reference, Relation};
use crate::error::sqlstate;
use crate::schema::{ident, literal};
use crate::{Error, TableKind, TenantDb};

/// The tables that are attacked, with rows of both organizations in them.
pub(super) struct Stage {
    pub(super) db: TenantDb,
    /// The same database over one connection.
    pub(super) single: TenantDb,
    /// What can be read and belongs to organizations, declared or not, parents before children.
    pub(super) tables: Vec<Relation>,
    /// What belongs to organizations, is not declared and cannot be read.
    pub(super) undeclared: Vec<Relation>,
    pair: OrgPair,
    gaps: Vec<String>,
}

/// The rows that both organizations have, under the same ids.
pub(super) const COMMON: [u16; 2] = [1, 2];
/// A row that both organizations have, and share with their workspaces where a table has them.
pub(super) const SHARED: u16 = 21;
/// A row that an attack or its control inserts, and that is rolled back.
pub(super) const FRESH: u16 = 3;
/// The same in a workspace.
pub(super) const FRESH_IN_WORKSPACE: u16 = 4;
/// A row that nobody has.
pub(super) const ABSENT: u16 = 59;

impl Stage {
    pub(super) async fn set(db: &TenantDb, pair: &OrgPair) -> Result<Self, Error> {
        let relations = {
            let mut look = db.look().await?;
            let relations = catalog::relations(look.connection()).await?;
            look.done().await?;
            relations
        };
        let (tables, undeclared) = relations.into_iter().partition(|it| it.readable);
        let mut stage = Self {
            db: db.clone(),
            single: db.with_one_connection(),
            tables,
            undeclared,
            pair: pair.clone(),
            gaps: Vec::new(),
        };
        for org in [pair.first(), pair.second()] {
            for table in 0..stage.tables.len() {
                if let Some(gap) = stage.seed(table, org).await? {
                    stage.gaps.push(gap);
                }
            }
        }
        if !stage.tables.iter().any(Relation::is_declared_of_orgs) {
            stage.gaps.push("no table is declared".to_owned());
        }
        Ok(stage)
    }

    /// The number of the row that `org` has and the other does not.
    pub(super) fn only(&self, org: &OrgId) -> u16 {
        if org == self.pair.first() { 11 } else { 12 }
    }

    /// Why a refusal shows nothing: a table without rows to attack.
    pub(super) fn gap(&self) -> Option<String> {
        self.gaps.first().cloned()
    }

    pub(super) fn leave(self) {
        self.single.pool().close();
    }

    /// Inserts the rows of one organization, as it would; says why if that is not possible.
    async fn seed(&self, table: usize, org: &OrgId) -> Result<Option<String>, Error> {
        let Some(table) = self.tables.get(table) else { return Ok(None) };
        for n in [COMMON[0], COMMON[1], SHARED, self.only(org)] {
            let Some(insert) = self.insert(table, org, n, n) else {
                return Ok(Some(format!("{} has a column that no value is known for", table.name)));
            };
            let mut tx = self.db.begin(&Self::scope_of(table, org, n)).await?;
            match tx.execute(AssertSqlSafe(insert)).await {
                Ok(_) => tx.commit().await?,
                // The row is there already; ON CONFLICT would not do where a key is deferrable.
                Err(error) if sqlstate(&error).as_deref() == Some("23505") => {}
                Err(error) => {
                    let Some(code) = sqlstate(&error) else {
                        return Err(Error::statement("setting the stage")(error));
                    };
                    return Ok(Some(format!("{} took no rows (SQLSTATE {code})", table.name)));
                }
            }
        }
        Ok(None)
    }

    /// Whether row `n` is its organization's own, apart from all workspaces.
    fn is_apart(table: &Relation, n: u16) -> bool {
        table.kind == Some(TableKind::Separate)
            && ![COMMON[0], COMMON[1], FRESH_IN_WORKSPACE].contains(&n)
    }

    /// The scope that writes row `n` of the organization.
    fn scope_of(table: &Relation, org: &OrgId, n: u16) -> TenantScope {
        let scope = TenantScope::org(org.clone());
        if table.kind != Some(TableKind::Separate) || Self::is_apart(table, n) {
            return scope;
        }
        let narrow = |it| TenantScope::org(org.clone()).narrow_to(it).ok();
        workspace(table, n).and_then(narrow).unwrap_or(scope)
    }

    /// Returns the statement that inserts row `n` of `org`, which refers to rows `parent`. `None` if a
    /// column needs a value that we cannot make.
    pub(super) fn insert(
        &self,
        table: &Relation,
        org: &OrgId,
        n: u16,
        parent: u16,
    ) -> Option<String> {
        let refer = |_: &Reference| parent;
        self.insert_referring(table, org, n, &refer)
    }

    /// The same, with the row that each foreign key refers to.
    pub(super) fn insert_referring(
        &self,
        table: &Relation,
        org: &OrgId,
        n: u16,
        parent: &dyn Fn(&Reference) -> u16,
    ) -> Option<String> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in table.columns.iter().filter(|it| !it.generated) {
            let wanted = column.required
                || [&table.org_column, &table.workspace_column].contains(&&column.name)
                || table.primary_key.contains(&column.name)
                || self.reference(table, &column.name).is_some()
                || self.is_referred_to(table, &column.name);
            if wanted {
                names.push(ident(&column.name));
                values.push(self.cell(table, column, org, n, parent)?);
            }
        }
        Some(format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
            table.name.quoted(),
            names.join(", "),
            values.join(", ")
        ))
    }

    /// Returns the condition that finds row `n` of `org` by the primary key.
    pub(super) fn key(&self, table: &Relation, org: &OrgId, n: u16) -> Option<String> {
        let terms: Option<Vec<String>> = table
            .primary_key
            .iter()
            .map(|name| {
                let column = table.columns.iter().find(|it| it.name == *name)?;
                let value = self.cell(table, column, org, n, &|_| n)?;
                Some(format!("{} = {value}", ident(name)))
            })
            .collect();
        terms.filter(|terms| !terms.is_empty()).map(|terms| terms.join(" AND "))
    }

    fn cell(
        &self,
        table: &Relation,
        column: &Column,
        org: &OrgId,
        n: u16,
        parent: &dyn Fn(&Reference) -> u16,
    ) -> Option<String> {
        if column.name == table.org_column {
            return Some(format!("{}::{}", literal(org.as_str()), column.type_name));
        }
        if column.name == table.workspace_column && Self::is_apart(table, n) {
            return Some("cupel.shared_workspace()".to_owned());
        }
        if column.name == table.workspace_column && n == SHARED && !column.required {
            return Some("NULL".to_owned());
        }
        let Some((reference, there)) = self.reference(table, &column.name) else {
            return value(column, n);
        };
        let to = self.tables.iter().find(|it| it.name == reference.to)?;
        let there = to.columns.iter().find(|it| it.name == *there)?;
        // A key that is itself made of references has the number of its row all the way up.
        let number = parent(reference);
        if to.name == table.name {
            return value(there, number);
        }
        self.cell(to, there, org, number, &|_| number)
    }

    /// Returns the foreign key that the column is part of, if it leads to a table of organizations,
    /// and the column that it refers to.
    fn reference<'a>(
        &self,
        table: &'a Relation,
        column: &str,
    ) -> Option<(&'a Reference, &'a String)> {
        table.references.iter().filter(|it| self.tables.iter().any(|to| to.name == it.to)).find_map(
            |reference| {
                let (_, there) = reference.columns.iter().find(|(here, _)| here == column)?;
                (column != table.org_column).then_some((reference, there))
            },
        )
    }

    /// Whether the key of a row, beside its organization, has something of a row that it refers to.
    pub(super) fn is_keyed_by_reference(&self, table: &Relation) -> bool {
        table.primary_key.iter().any(|it| self.reference(table, it).is_some())
    }

    fn is_referred_to(&self, table: &Relation, column: &str) -> bool {
        self.tables.iter().flat_map(|it| &it.references).any(|reference| {
            reference.to == table.name && reference.columns.iter().any(|(_, there)| there == column)
        })
    }
}

/// The workspace of row `n`.
pub(super) fn workspace(table: &Relation, n: u16) -> Option<WorkspaceId> {
    let column = table.column(&table.workspace_column)?;
    // The value is written E'text'::type.
    value(column, n)?.split('\'').nth(1)?.parse().ok()
}

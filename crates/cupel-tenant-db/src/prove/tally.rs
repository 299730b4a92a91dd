use cupel_tenant::{Control, Observed, TenantScope};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::Turn;
use crate::Error;
use crate::catalog::Relation;
use crate::error::sqlstate;

/// What a statement per table came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: u64,
    most: Option<(String, u64)>,
    /// The SQLSTATE of the last refusal.
    code: Option<String>,
    /// What failed for a reason that says nothing about isolation.
    odd: Option<String>,
    refused: usize,
    tried: usize,
}

/// What is counted of a statement's answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// The number in the first column of the only row.
    Answer,
    /// The rows that were affected.
    Affected,
}

impl Tally {
    pub(super) fn note(&mut self, table: &Relation, rows: u64) {
        self.tried += 1;
        self.rows += rows;
        if rows > self.most.as_ref().map_or(0, |(_, most)| *most) {
            self.most = Some((table.name.to_string(), rows));
        }
    }

    pub(super) fn refuse(&mut self, table: &Relation, code: String) {
        // Row security is checked before constraints: who meets one of them was already through.
        // unique_violation, foreign_key_violation
        if matches!(code.as_str(), "23503" | "23505") {
            return self.note(table, 1);
        }
        self.tried += 1;
        // insufficient_privilege: what a missing right and a policy's check both answer. Anything else,
        // such as a lock that was not had in time, refuses nobody in particular.
        if !matches!(code.as_str(), "42501" | NO_TENANT) {
            self.odd = Some(format!("{}: {}", table.name, meaning(&code)));
        }
        self.refused += 1;
        self.code = Some(code);
    }

    /// Whether there was no table to try it on.
    pub(super) fn is_empty(&self) -> bool {
        self.tried == 0
    }

    /// Concludes for the attacker: any row reached is a leak. `act` is the past participle: "read".
    pub(super) fn observed(&self, act: &str) -> Observed {
        match (&self.most, &self.code) {
            (Some((table, _)), _) => {
                Observed::reached(format!("{} rows {act}, most in {table}", self.rows))
            }
            (None, _) if self.odd.is_some() => {
                Observed::unclear(self.odd.clone().unwrap_or_default())
            }
            (None, Some(code)) if self.refused == self.tried => {
                Observed::refused(format!("refused: {}", meaning(code)))
            }
            (None, _) => Observed::refused(format!("0 rows {act} in {} tables", self.tried)),
        }
    }

    /// Concludes for the owner, who must have reached something and been refused nothing.
    pub(super) fn control(&self, act: &str) -> Control {
        match &self.code {
            Some(code) => Control::failed(format!("owner is refused: {}", meaning(code))),
            None => Control::expect(self.rows > 0, format!("owner {act} {}", self.rows)),
        }
    }
}

/// What a policy of a strict database answers where no organization is named.
pub(super) const NO_TENANT: &str = "CU001";

/// The condition that the server names, in words: PostgreSQL documentation, appendix A.
pub(super) fn meaning(code: &str) -> String {
    match code {
        "42501" => "insufficient privilege".to_owned(),
        "23503" => "foreign key violation".to_owned(),
        "23505" => "unique violation".to_owned(),
        "26000" => "no such prepared statement".to_owned(),
        "34000" => "no such cursor".to_owned(),
        NO_TENANT => "no organization is named".to_owned(),
        "0A000" => "not supported".to_owned(),
        code => format!("SQLSTATE {code}"),
    }
}

impl Turn<'_> {
    /// Runs a statement per table in a scope, each in a transaction that is rolled back. A table for
    /// which there is no statement is left out.
    pub(super) async fn tally(
        &self,
        scope: &TenantScope,
        count: Count,
        statements: impl Fn(&Relation) -> Option<Vec<String>>,
    ) -> Result<Tally, Error> {
        let mut tally = Tally::default();
        for table in &self.stage.tables {
            let Some(statements) = statements(table) else { continue };
            let mut tx = self.stage.db.begin(scope).await?;
            match run(&mut tx, count, statements).await {
                Ok(rows) => tally.note(table, rows),
                Err(error) => match sqlstate(&error) {
                    Some(code) => tally.refuse(table, code),
                    None => return Err(Error::statement("an attack")(error)),
                },
            }
            tx.rollback().await?;
        }
        Ok(tally)
    }
}

/// Runs the statements one after the other and counts the last one's answer.
pub(super) async fn run(
    tx: &mut crate::TenantTx,
    count: Count,
    statements: Vec<String>,
) -> Result<u64, sqlx::Error> {
    let mut rows = 0;
    for statement in statements {
        rows = match count {
            Count::Affected => tx.execute(AssertSqlSafe(statement)).await?.rows_affected(),
            Count::Answer => {
                match tx.fetch_optional(sqlx::query(AssertSqlSafe(statement))).await? {
                    Some(row) => row.try_get::<i64, _>(0).map_or(0, i64::unsigned_abs),
                    None => 0,
                }
            }
        };
    }
    Ok(rows)
}

use std::time::{Duration, SystemTime};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::Error;
use crate::migration::Opened;
use crate::schema;
use crate::shape::Shape;

/// How far the adoption of one table is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Adopted {
    /// The table, with its schema.
    pub table: String,
    /// Its phase.
    pub phase: Phase,
    /// Since when is counted, in the shadow.
    pub since: Option<SystemTime>,
    /// How many statements enforcement would have blocked.
    pub violations: Violations,
}

/// The phase of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Nothing was done to it yet.
    Untouched,
    /// What enforcement would block is counted.
    Shadow,
    /// It is isolated.
    Enforced,
    /// It is the same for everybody, and there is nothing to adopt.
    Global,
}

impl Phase {
    /// Returns the phase as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Shadow => "shadow",
            Self::Enforced => "enforced",
            Self::Global => "global",
        }
    }
}

/// Statements that would have been blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violations {
    /// Reads that named no organization.
    pub unbound_reads: u64,
    /// Reads of rows of another organization than they named.
    pub foreign_reads: u64,
    /// Reads of rows of the organization that they named, and not of its workspace.
    pub outside_reads: u64,
    /// Writes that named no organization.
    pub unbound_writes: u64,
    /// Writes of rows of another organization than they named.
    pub foreign_writes: u64,
    /// Writes of rows of the organization that they named, and not of its workspace.
    pub outside_writes: u64,
}

impl Violations {
    /// Returns all of them.
    pub fn total(&self) -> u64 {
        let reads = self.unbound_reads + self.foreign_reads + self.outside_reads;
        reads + self.unbound_writes + self.foreign_writes + self.outside_writes
    }
}

pub(super) async fn read(opened: &mut Opened) -> Result<Vec<Adopted>, Error> {
    let mut all = Vec::with_capacity(opened.shapes.len());
    for shape in &opened.shapes {
        let counted = counted(&mut opened.conn, shape).await?;
        let (since, violations) = counted.map_or((None, Violations::default()), |(at, counts)| {
            let since = Duration::try_from_secs_f64(at).ok();
            (since.map(|since| SystemTime::UNIX_EPOCH + since), of(&counts))
        });
        let phase = match shape {
            _ if !shape.declared.is_of_orgs() => Phase::Global,
            _ if shape.in_shadow => Phase::Shadow,
            _ if shape.enforced => Phase::Enforced,
            _ => Phase::Untouched,
        };
        all.push(Adopted { table: shape.name().to_string(), phase, since, violations });
    }
    Ok(all)
}

/// Refuses if a table in its shadow was violated, or if one was not in its shadow at all.
pub(super) async fn refuse_violations(opened: &mut Opened) -> Result<(), Error> {
    let unseen = |it: &&Shape| super::is_to_adopt(it) && !it.in_shadow && it.has_rows;
    if let Some(shape) = opened.shapes.iter().find(unseen) {
        let problem = "has rows and was not in its shadow, so nobody knows what enforcement would block; begin with its shadow".to_owned();
        return Err(Error::TableUnfit { table: shape.name().to_string(), problem });
    }
    let all = read(opened).await?;
    for (adopted, shape) in all.into_iter().zip(&opened.shapes) {
        let violations = adopted.violations.total();
        let is_unfilled = shape.shadow_default && shape.org.as_ref().is_some_and(|it| !it.not_null);
        if violations > 0 && is_unfilled {
            let column = &shape.declared.org_column;
            let problem = format!(
                "was looked at while its rows had no {column} yet, which counts as a violation whoever looks ({violations} of them); once a corrected service is everywhere, fill it with `cupel adopt validate`, and count anew"
            );
            return Err(Error::TableUnfit { table: adopted.table, problem });
        }
        if violations > 0 {
            return Err(Error::StillViolated { table: adopted.table, violations });
        }
    }
    Ok(())
}

async fn counted(conn: &mut PgConnection, shape: &Shape) -> Result<Option<(f64, Vec<i64>)>, Error> {
    if !shape.in_shadow {
        return Ok(None);
    }
    sqlx::query_as(AssertSqlSafe(schema::counts(shape.name())))
        .fetch_optional(conn)
        .await
        .map_err(Error::statement("reading what was counted"))
}

fn of(counts: &[i64]) -> Violations {
    let count = |at: usize| counts.get(at).map_or(0, |count| (*count).max(0).unsigned_abs());
    Violations {
        unbound_reads: count(0),
        foreign_reads: count(1),
        outside_reads: count(2),
        unbound_writes: count(3),
        foreign_writes: count(4),
        outside_writes: count(5),
    }
}

use std::collections::HashSet;

use cupel_tenant::{Finding, LayerName, Severity};

use super::facts::{Facts, Kind, Relation};
use super::rules::{Fix, Place};

/// What an [`Audit`](crate::Audit) found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditReport {
    /// The version of the server, in its own words.
    pub server: String,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// How many tables have the tenant column, each with its partitions as one.
    pub tables: usize,
    /// What the policies of declared tables were compared with; `None` if no migration made any.
    pub policies: Option<PolicyCheck>,
    statements: Vec<Statement>,
}

/// What the policies that a migration made were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyCheck {
    /// With policies that were made from the declaration and rolled back, as this server writes them out.
    /// The owner of the migration has that done, or a superuser.
    Made,
    /// With what the migration wrote down. Whoever can change policies can change that too.
    Recorded,
    /// With nothing: a migration was run, and whoever asked may not read what it wrote down.
    Unread,
}

/// One step of the migration that puts things right.
#[derive(Clone, Debug)]
struct Statement {
    /// Rights are taken before anything is built on them.
    phase: u8,
    text: String,
    /// Of the first finding that it puts right.
    about: String,
}

impl AuditReport {
    pub(super) fn of(facts: &Facts, mut places: Vec<Place>, policies: Option<PolicyCheck>) -> Self {
        places.sort_by(|a, b| {
            (b.severity, &a.rule.id, &a.object).cmp(&(a.severity, &b.rule.id, &b.object))
        });
        places.dedup_by(|a, b| a.rule.id == b.rule.id && a.object == b.object);
        let mut statements: Vec<Statement> = places.iter().flat_map(statements).collect();
        // In a phase the order is that of the findings, and each statement is needed once.
        statements.sort_by_key(|it| it.phase);
        let mut seen = HashSet::new();
        statements.retain(|it| seen.insert(it.text.clone()));
        let findings = places.into_iter().map(finding).collect();
        let server = facts.server.text.clone();
        let counts = |it: &&Relation| {
            it.has_tenant_column()
                && matches!(it.kind, Kind::Table | Kind::Foreign)
                && !it.is_partition
                && it.schema != "cupel"
        };
        let tables = facts.relations().filter(counts).count();
        Self { server, findings, tables, policies, statements }
    }

    /// Returns the worst severity of any finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|it| it.severity).max()
    }

    /// Renders one migration that puts right what a statement can put right, in an order in which no
    /// step opens what a later one closes. What needs a decision stands in it as a comment.
    ///
    /// Read it before running it: a right that is revoked may be in use.
    pub fn fix_sql(&self) -> String {
        let mut sql = String::from("BEGIN;\n");
        for statement in &self.statements {
            sql += &format!("-- {}\n{}\n", one_line(&statement.about), statement.text);
        }
        sql += "COMMIT;\n";
        sql
    }
}

fn statements(place: &Place) -> Vec<Statement> {
    let about = format!("{} {}: {}", place.rule.id, place.object, place.rule.problem);
    let texts = match &place.fix {
        Fix::Sql(texts) => texts.iter().map(|it| format!("{it};")).collect(),
        Fix::Words(text) => vec![format!("-- by hand: {}", one_line(text))],
    };
    let phase = place.rule.phase;
    texts.into_iter().map(|text| Statement { phase, text, about: about.clone() }).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn finding(place: Place) -> Finding {
    let problem = match place.note {
        Some(note) => format!("{}: {note}", place.rule.problem),
        None => place.rule.problem.to_owned(),
    };
    let fix = match place.fix {
        Fix::Sql(texts) => texts.join("; "),
        Fix::Words(text) => text,
    };
    Finding::new(
        LayerName::Database,
        place.rule.id,
        place.severity,
        place.object,
        problem,
        place.rule.allows,
        fix,
    )
}

//! One file for each family of rules.

mod admin;
mod columns;
pub(super) mod declared;
mod functions;
mod grants;
mod indexes;
mod keys;
mod leakproof;
mod policies;
mod roles;
mod routines;
mod server;
mod settings;
mod tables;
mod triggers;
mod uses;
mod views;

use std::collections::HashSet;

use cupel_tenant::Severity;
use sqlx::{AssertSqlSafe, PgConnection};

use super::Question;
use super::expr::Class;
use super::facts::Facts;

/// One thing that can be wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    /// How much it matters, unless a place says otherwise.
    pub(crate) severity: Severity,
    /// When its fix is run: 1 roles, 2 rights, 3 code, 4 policies, 5 tables, 6 keys, 7 indexes, 8 the rest.
    pub(crate) phase: u8,
    pub(crate) problem: &'static str,
    pub(crate) allows: &'static str,
}

/// A rule whose places one query finds: the object, the fix, and a severity if it is not the rule's.
#[derive(Debug)]
struct Asked {
    rule: Rule,
    query: &'static str,
}

/// Where a rule is broken.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) rule: &'static Rule,
    pub(crate) severity: Severity,
    pub(crate) object: String,
    pub(crate) fix: Fix,
    /// What is particular about this place.
    pub(crate) note: Option<String>,
}

/// How a place is put right.
#[derive(Clone, Debug)]
pub(crate) enum Fix {
    /// One or more statements.
    Sql(Vec<String>),
    /// Something to decide.
    Words(String),
}

impl Rule {
    fn at(&'static self, object: impl Into<String>, fix: Fix) -> Place {
        Place { rule: self, severity: self.severity, object: object.into(), fix, note: None }
    }
}

impl Place {
    fn weighing(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    fn noting(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

fn sql(text: impl Into<String>) -> Fix {
    Fix::Sql(vec![text.into()])
}

fn steps(statements: impl IntoIterator<Item = String>) -> Fix {
    Fix::Sql(statements.into_iter().collect())
}

fn words(text: impl Into<String>) -> Fix {
    Fix::Words(text.into())
}

/// How much it matters that somebody is let through by a condition of the class.
fn severity_of(class: Class) -> Severity {
    match class {
        Class::Open | Class::FailOpen => Severity::Critical,
        Class::Switch => Severity::High,
        Class::Never | Class::Isolates | Class::Unknown => Severity::Medium,
    }
}

/// The rules that think about what was read.
pub(super) fn from_facts(facts: &Facts, question: &Question) -> Vec<Place> {
    let families: [fn(&Facts) -> Vec<Place>; 13] = [
        roles::find,
        grants::find,
        tables::find,
        policies::find,
        keys::find,
        views::find,
        functions::find,
        declared::ungranted,
        routines::find,
        triggers::find,
        uses::find,
        indexes::find,
        server::find,
    ];
    let mut places: Vec<Place> = families.iter().flat_map(|find| find(facts)).collect();
    places.extend(admin::find(facts, question.admin_role.as_deref()));
    places.extend(declared::drifted(facts, question));
    places
}

/// What every query can use: `r`, the roles that act; `q`, what is asked about.
const COMMON: &str = "WITH q AS (SELECT $1::int8[]::oid[] AS acting, $2::text AS context,
      $3::text AS revokees, $4::text[] AS tenant_columns, $5::oid AS app),
    r AS (SELECT unnest(q.acting) AS role FROM q)";

/// The rules that are one query each. `path_source` is where the session's own search path came from.
pub(super) async fn from_sql(
    conn: &mut PgConnection,
    facts: &Facts,
    question: &Question,
    path_source: &str,
) -> Result<Vec<Place>, sqlx::Error> {
    let mut places = Vec::new();
    let tenant_columns: HashSet<&str> =
        facts.relations().filter_map(|it| it.tenant_column.as_deref()).collect();
    let tenant_columns: Vec<&str> = tenant_columns.into_iter().collect();
    let every =
        [grants::ASKED, functions::ASKED, leakproof::ASKED, columns::ASKED, settings::ASKED];
    let ours: &[Asked] = if facts.declaration.is_ours { declared::ASKED } else { &[] };
    for asked in every.into_iter().flatten().chain(ours) {
        let rows: Vec<(String, String, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(format!("{COMMON} {}", asked.query)))
                .bind(facts.roles.acting())
                .bind(&question.context)
                .bind(facts.roles.revokees())
                .bind(&tenant_columns)
                .bind(facts.roles.app())
                .fetch_all(&mut *conn)
                .await?;
        for (object, fix, severity) in rows {
            let fix = match fix.strip_prefix("-- ") {
                Some(text) => words(text),
                None => sql(fix),
            };
            let found =
                Severity::ALL.into_iter().find(|it| Some(it.as_str()) == severity.as_deref());
            places.push(asked.rule.at(object, fix).weighing(found.unwrap_or(asked.rule.severity)));
        }
    }
    places.extend(admin::path(conn, facts, question.admin_role.as_deref(), path_source).await?);
    Ok(places)
}

//! What the catalogs say about isolation: rules that only read, and the SQL that puts each right.

mod confine;
mod expected;
mod expr;
mod facts;
mod report;
mod request;
mod rules;

use cupel_tenant::Finding;
use facts::Facts;
pub use report::{AuditReport, PolicyCheck};
pub use request::Audit;
use sqlx::{Executor, PgConnection, Row};

use crate::context::POOLED_ROLLBACK;
use crate::schema::Declared;
use crate::{ContextMode, Error, TenantDb};

/// What is asked about a database.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) app_role: String,
    pub(crate) admin_role: Option<String>,
    pub(crate) tenant_column: String,
    pub(crate) context: String,
    /// How the service is configured to name organizations, where that is known.
    pub(crate) mode: Option<ContextMode>,
    pub(crate) shared: Vec<String>,
    pub(crate) declared: Vec<Declared>,
}

impl Question {
    fn of(app_role: String) -> Self {
        Self {
            app_role,
            admin_role: None,
            tenant_column: crate::ORG_COLUMN.to_owned(),
            context: "app.current_org_id".to_owned(),
            mode: None,
            shared: Vec::new(),
            declared: Vec::new(),
        }
    }
}

/// Reads the whole database as the application's role, and leaves out what is only to be known.
pub(crate) async fn audit(db: &TenantDb) -> Result<Vec<Finding>, Error> {
    let mut session = db.pool().lend_tested().await?;
    // By the simple protocol, which prepares nothing.
    let app = session.connection().fetch_one("SELECT session_user::text").await;
    let app = app.and_then(|row| row.try_get(0)).map_err(Error::statement("the audit"))?;
    let closing = if db.is_behind_pooler() { POOLED_ROLLBACK } else { "ROLLBACK" };
    let question = Question { mode: Some(db.context_mode()), ..Question::of(app) };
    let report = run(session.connection(), &question, closing).await?;
    session.give_back();
    let mut findings = report.findings;
    findings.retain(|it| it.severity > cupel_tenant::Severity::Info);
    Ok(findings)
}

/// Asks in one transaction that writes nothing, of which every query sees the same state.
pub(crate) async fn run(
    conn: &mut PgConnection,
    question: &Question,
    closing: &'static str,
) -> Result<AuditReport, Error> {
    let report = in_snapshot(conn, question, closing).await;
    let report = report.map_err(Error::statement("the audit"))?;
    report.ok_or_else(|| Error::NoSuchRole { role: question.app_role.clone() })
}

async fn in_snapshot(
    conn: &mut PgConnection,
    question: &Question,
    closing: &'static str,
) -> Result<Option<AuditReport>, sqlx::Error> {
    const OPENING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SELECT source FROM pg_catalog.pg_settings WHERE name = 'search_path';
        SET LOCAL search_path = pg_catalog; SET LOCAL quote_all_identifiers = off;
        SET LOCAL jit = off; SET LOCAL work_mem = '32MB'";
    let opened = sqlx::raw_sql(OPENING).fetch_all(&mut *conn).await?;
    let path_source: String =
        opened.first().map(|it| it.try_get(0)).transpose()?.unwrap_or_default();
    let read = read(conn, question, &path_source).await;
    sqlx::raw_sql(closing).execute(&mut *conn).await?;
    let Some((facts, mut places)) = read? else { return Ok(None) };
    let mut policies = facts.installed.as_ref().map(|_| PolicyCheck::Unread);
    if facts.declaration.is_ours {
        let (made, now, by) = match expected::made(conn, &facts).await? {
            Some(made) => (made, expected::present(&facts), PolicyCheck::Made),
            None => {
                let (made, now) = expected::recorded(&facts);
                (made, now, PolicyCheck::Recorded)
            }
        };
        places.extend(rules::declared::changed(&facts, &made, &now));
        policies = Some(by);
    }
    Ok(Some(AuditReport::of(&facts, places, policies)))
}

async fn read(
    conn: &mut PgConnection,
    question: &Question,
    path_source: &str,
) -> Result<Option<(Facts, Vec<rules::Place>)>, sqlx::Error> {
    let Some(facts) = Facts::read(conn, question).await? else { return Ok(None) };
    let mut places = rules::from_facts(&facts, question);
    places.extend(rules::from_sql(conn, &facts, question, path_source).await?);
    Ok(Some((facts, places)))
}

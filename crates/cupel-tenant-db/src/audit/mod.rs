//! What the catalogs say about isolation: rules that only read, and the SQL that puts each right.

mod confine;
mod expr;
mod facts;
mod report;
mod request;
mod rules;

use cupel_tenant::Finding;
use facts::Facts;
pub use report::AuditReport;
pub use request::Audit;
use sqlx::PgConnection;

use crate::{Error, TenantDb};

/// What is asked about a database.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) app_role: String,
    pub(crate) admin_role: Option<String>,
    pub(crate) tenant_column: String,
    pub(crate) context: String,
    pub(crate) shared: Vec<String>,
}

impl Question {
    fn of(app_role: String) -> Self {
        Self {
            app_role,
            admin_role: None,
            tenant_column: crate::ORG_COLUMN.to_owned(),
            context: "app.current_org_id".to_owned(),
            shared: Vec::new(),
        }
    }
}

/// Reads the whole database as the application's role, and leaves out what is only to be known.
pub(crate) async fn audit(db: &TenantDb) -> Result<Vec<Finding>, Error> {
    let mut session = db.pool().lend_tested().await?;
    let app: String = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(session.connection())
        .await
        .map_err(Error::statement("the audit"))?;
    let report = run(session.connection(), &Question::of(app)).await?;
    session.give_back();
    Ok(report
        .findings
        .into_iter()
        .filter(|it| it.severity > cupel_tenant::Severity::Info)
        .collect())
}

/// Asks in one transaction that writes nothing, of which every query sees the same state.
pub(crate) async fn run(
    conn: &mut PgConnection,
    question: &Question,
) -> Result<AuditReport, Error> {
    let report = in_snapshot(conn, question).await.map_err(Error::statement("the audit"))?;
    report.ok_or_else(|| {
        let missing =
            sqlx::Error::Configuration("there is no role of the application's name".into());
        Error::statement("the audit")(missing)
    })
}

async fn in_snapshot(
    conn: &mut PgConnection,
    question: &Question,
) -> Result<Option<AuditReport>, sqlx::Error> {
    const OPENING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL search_path = pg_catalog; SET LOCAL quote_all_identifiers = off";
    sqlx::raw_sql(OPENING).execute(&mut *conn).await?;
    let report = read(conn, question).await;
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    report
}

async fn read(
    conn: &mut PgConnection,
    question: &Question,
) -> Result<Option<AuditReport>, sqlx::Error> {
    let Some(facts) = Facts::read(conn, question).await? else { return Ok(None) };
    let mut places = rules::from_facts(&facts, question);
    places.extend(rules::from_sql(conn, &facts, question).await?);
    Ok(Some(AuditReport::of(facts.server.text, places)))
}

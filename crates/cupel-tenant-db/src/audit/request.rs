use sqlx::{Connection, PgConnection};

use super::{AuditReport, Question, run};
use crate::builder::connect_options;
use crate::{ContextMode, Error, Table};

/// An audit of any PostgreSQL database, from version 15 on: whether the application's role, acting for
/// one organization, can reach the rows of another.
///
/// It reads the catalogs in one transaction that writes nothing. Any role may ask: what the rules need is
/// public. It says nothing of what the tables hold, and runs no code of the database.
///
/// Where the database was migrated by a [`Migration`](crate::Migration), its declaration counts, and an
/// audit as the role that may read it finds what departs from it. Asked by the owner of the migration, it
/// makes the declared policies on a temporary table, in a second transaction that is rolled back, and
/// compares how the server writes them out; [`AuditReport::policies`] says whether that was done. The functions,
/// procedures and triggers of the schema `cupel`, and of `cupel_shadow` while an adoption lasts, are compared with
/// those that this version makes, whoever asks.
///
/// # Examples
///
/// ```no_run
/// use cupel_tenant::Severity;
/// use cupel_tenant_db::Audit;
///
/// # async fn example(url: &str) -> Result<(), cupel_tenant_db::Error> {
/// let report = Audit::new(url)
///     .app_role("shop_app")
///     .tenant_column("tenant_id")
///     .context("app.tenant")
///     .shared(["countries", "public.currencies"])
///     .run()
///     .await?;
/// if report.worst() >= Some(Severity::High) {
///     println!("{}", report.fix_sql());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "an audit asks nothing until it is run"]
pub struct Audit {
    url: String,
    app_role: Option<String>,
    tables: Vec<Table>,
    question: Question,
    allow_plaintext: bool,
}

impl Audit {
    /// An audit of the database of this URL. The role in it is the application's, if none is named.
    pub fn new(database_url: &str) -> Self {
        let question = Question::of(String::new());
        Self {
            url: database_url.to_owned(),
            app_role: None,
            tables: Vec::new(),
            question,
            allow_plaintext: false,
        }
    }

    /// The role that the application connects as.
    pub fn app_role(self, role: &str) -> Self {
        Self { app_role: Some(role.to_owned()), ..self }
    }

    /// The role that administration connects as, and that may reach every organization.
    pub fn admin_role(mut self, role: &str) -> Self {
        self.question.admin_role = Some(role.to_owned());
        self
    }

    /// The column that names the organization of a row: `org_id` if none is named.
    pub fn tenant_column(mut self, column: &str) -> Self {
        column.clone_into(&mut self.question.tenant_column);
        self
    }

    /// The setting that names the organization of a transaction: `app.current_org_id` if none is named.
    pub fn context(mut self, setting: &str) -> Self {
        setting.clone_into(&mut self.question.context);
        self
    }

    /// How the service is configured to name organizations. Without it, a migrated database is believed what
    /// it says of that.
    pub fn context_mode(mut self, mode: ContextMode) -> Self {
        self.question.mode = Some(mode);
        self
    }

    /// Tables that are the same for every organization. A name without a schema is one of `public`.
    pub fn shared<S: Into<String>>(mut self, tables: impl IntoIterator<Item = S>) -> Self {
        self.question.shared = tables.into_iter().map(Into::into).collect();
        self
    }

    /// The declaration of the tables: whose their rows are, and by which column. A table that carries one of the
    /// columns and is not declared is a finding then, and so is what a migration made of another declaration.
    pub fn tables(self, tables: impl IntoIterator<Item = Table>) -> Self {
        Self { tables: tables.into_iter().collect(), ..self }
    }

    /// Says whether the network beyond loopback may be used without encryption, or without checking
    /// the server's certificate. It may not without this; a development environment may.
    pub fn allow_plaintext(self, allow_plaintext: bool) -> Self {
        Self { allow_plaintext, ..self }
    }

    /// Asks. Dropped half-way, it has changed nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`], [`Error::PlainText`], [`Error::InvalidTableName`] and
    /// [`Error::InvalidColumnName`] before any I/O; [`Error::LoginRefused`],
    /// [`Error::DatabaseMissing`] and [`Error::Unreachable`]; [`Error::NoSuchRole`]; [`Error::Statement`] if
    /// the server is older than 15.
    pub async fn run(&self) -> Result<AuditReport, Error> {
        let options = connect_options(&self.url, "audit", self.allow_plaintext)?;
        let mut question = self.question.clone();
        question.declared = self.tables.iter().map(Table::parsed).collect::<Result<_, _>>()?;
        question.app_role =
            self.app_role.clone().unwrap_or_else(|| options.get_username().to_owned());
        let mut conn =
            PgConnection::connect_with(&options).await.map_err(Error::connect("audit"))?;
        let report = run(&mut conn, &question, "ROLLBACK").await;
        let _ = conn.close().await;
        report
    }
}

impl std::fmt::Debug for Audit {
    /// Leaves the URL out: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit")
            .field("app_role", &self.app_role)
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

mod lock;
mod opened;

use std::fmt;

use cupel_tenant::Changes;
pub(crate) use opened::Opened;

use crate::schema::{self, Purpose, Whole};
use crate::work::Work;
use crate::{ColumnType, ContextMode, Error, SealKey, Table, apply};

/// What makes a database keep organizations apart: roles, the schema `cupel`, and row-level security on
/// every declared table.
///
/// It runs with the owner's URL and can be run again at any time; a second run changes nothing. The
/// tables themselves are the service's own and must be there. The names and passwords of the roles are
/// those of the URLs given.
///
/// The owner should be a superuser: only one can make a role that is exempt from row-level security
/// (for the admin path) and revoke `set_config`, without which one injected expression can switch
/// organizations inside a SELECT. The sealed context needs none: an owner with CREATEROLE makes the role
/// `cupel_guard`. Where somebody else has made it, from PostgreSQL 16 on the owner needs it WITH ADMIN OPTION.
///
/// One migration or [`Adoption`](crate::Adoption) at a time changes a database: each holds the advisory lock
/// [`LOCK`](Self::LOCK) for as long as it is connected. The owner's URL leads to the server itself, not to a pooler
/// that hands out backends by the transaction.
///
/// # Examples
///
/// ```no_run
/// use cupel_tenant_db::{Migration, Table};
///
/// # async fn example() -> Result<(), cupel_tenant_db::Error> {
/// let changes = Migration::new("postgres://postgres:…@localhost/cupel")
///     .app_url("postgres://cupel_app:…@localhost/cupel")
///     .admin_url("postgres://cupel_admin:…@localhost/cupel")
///     .tables([Table::org("pipelines"), Table::workspace("pipeline_runs")])
///     .run()
///     .await?;
/// for change in changes.iter() {
///     println!("{change}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a migration does nothing until it is run"]
pub struct Migration {
    owner_url: String,
    app_url: Option<String>,
    admin_url: Option<String>,
    whole: Whole,
    seal_keys: Vec<SealKey>,
    tables: Vec<Table>,
    allow_plaintext: bool,
}

impl Migration {
    /// The key of the advisory lock that a migration's session holds in its database: the bytes of `cupel-db`.
    ///
    /// Whatever else changes the schema can be kept apart from migrations by `pg_try_advisory_lock` of the same
    /// key. It should not wait for the lock in a statement, because an adoption that builds an index would wait
    /// for that statement.
    pub const LOCK: i64 = 0x6375_7065_6c2d_6462;

    /// A migration with the URL of the role that owns the tables.
    pub fn new(owner_url: &str) -> Self {
        Self {
            owner_url: owner_url.to_owned(),
            app_url: None,
            admin_url: None,
            whole: Whole::default(),
            seal_keys: Vec::new(),
            tables: Vec::new(),
            allow_plaintext: false,
        }
    }

    /// Says whether the network beyond loopback may be used without encryption, or without checking
    /// the server's certificate. It may not without this; a development environment may.
    pub fn allow_plaintext(self, allow_plaintext: bool) -> Self {
        Self { allow_plaintext, ..self }
    }

    /// The URL that the application will connect with. Left out, the role is `cupel_app`.
    pub fn app_url(self, url: &str) -> Self {
        Self { app_url: Some(url.to_owned()), ..self }
    }

    /// The URL that administration will connect with. Left out, there is no admin role.
    pub fn admin_url(self, url: &str) -> Self {
        Self { admin_url: Some(url.to_owned()), ..self }
    }

    /// The type of `org_id` and `workspace_id` in every table.
    pub fn column_type(self, column_type: ColumnType) -> Self {
        Self { whole: Whole { column_type, ..self.whole }, ..self }
    }

    /// How transactions tell the server whose they are; plain unless told. It can be changed by a later
    /// migration: services that are connected then must connect again.
    pub fn context(self, mode: ContextMode) -> Self {
        Self { whole: Whole { mode, ..self.whole }, ..self }
    }

    /// Says whether a policy raises an error, of SQLSTATE `CU001`, where no organization is named.
    /// Without this there are no rows then, as of an organization that has none.
    pub fn strict(self, strict: bool) -> Self {
        Self { whole: Whole { strict, ..self.whole }, ..self }
    }

    /// The keys that seals are opened with, all of them: one that is left out opens nothing from then on.
    ///
    /// To rotate, migrate with both, have every service seal with the new one, and migrate with the new
    /// one alone.
    pub fn seal_keys(self, keys: impl IntoIterator<Item = SealKey>) -> Self {
        Self { seal_keys: keys.into_iter().collect(), ..self }
    }

    /// The tables, all of them: one that carries `org_id` and is not declared fails the proof.
    pub fn tables(self, tables: impl IntoIterator<Item = Table>) -> Self {
        Self { tables: tables.into_iter().collect(), ..self }
    }

    /// Renders the migration without a database, and without passwords. What only a look at the tables tells,
    /// the columns, keys and indexes that they lack, is not in it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] and [`Error::InvalidTableName`].
    pub fn sql(&self) -> Result<String, Error> {
        // Nothing is connected to, so it does not matter how.
        let rendered = self.clone().allow_plaintext(true);
        let app = rendered.app()?;
        let admin = rendered.admin()?;
        let admin_name = admin.as_ref().map(|login| login.name.as_str());
        let mut sql = String::new();
        if self.is_sealed() {
            sql += &schema::create_role(schema::GUARD, Purpose::Guard);
        }
        sql += &schema::create_role(&app.name, Purpose::App);
        if let Some(admin) = admin_name {
            sql += &schema::create_role(admin, Purpose::Admin);
        }
        sql += &self.install_sql(&app.name, admin_name);
        for table in &self.tables {
            let table = table.parsed()?;
            let isolate = schema::isolate(&table, &app.name, admin_name);
            sql += "\n";
            sql += &isolate;
            sql += &schema::record(&table, &isolate);
        }
        sql += "\n";
        sql += &schema::invokers(&app.name);
        sql += &schema::give_nothing(&app.name);
        sql += &schema::hardening(None, admin_name, self.is_sealed());
        Ok(sql)
    }

    pub(crate) fn install_sql(&self, app: &str, admin: Option<&str>) -> String {
        schema::installation(&self.whole, app, admin)
    }

    /// Makes it so, and returns what changed.
    ///
    /// All of it but the roles is one transaction: dropped or failed half-way, it has changed nothing,
    /// and it can be run again. Tables without rows are given the keys, references and indexes that carry the
    /// organization; where there are rows, an [`Adoption`](crate::Adoption) does so without long locks, and
    /// this refuses. A table in its shadow phase is left as it is. While another migration of the database
    /// runs, this waits for some seconds, and then refuses.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`], [`Error::PlainText`], [`Error::InvalidTableName`] and
    /// [`Error::InvalidColumnName`] before any I/O; [`Error::TableUnfit`], [`Error::NeedsAdoption`] and
    /// [`Error::RoleUnfit`] before anything is written; [`Error::MigrationRunning`]; [`Error::PowerfulRole`] if
    /// the application's URL is the owner's; [`Error::OwnerLacksRight`]; [`Error::Unreachable`] and
    /// [`Error::LoginRefused`].
    pub async fn run(&self) -> Result<Changes, Error> {
        let mut opened = self.open().await?;
        let work = Work::of(&opened.shapes, self.whole.column_type)?;
        for table in &work.in_shadow {
            tracing::warn!(
                "{} is in its shadow phase and is isolated by the end of its adoption",
                table.name
            );
        }
        opened.make_roles().await?;
        apply::objects(&mut opened, self, Some(&work)).await?;
        Ok(opened.close().await)
    }

    pub(crate) fn type_of_columns(&self) -> ColumnType {
        self.whole.column_type
    }

    pub(crate) fn keys(&self) -> &[SealKey] {
        &self.seal_keys
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.whole.mode != ContextMode::Plain
    }
}

impl fmt::Debug for Migration {
    /// Leaves the URLs out: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("whole", &self.whole)
            .field("seal_keys", &self.seal_keys)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

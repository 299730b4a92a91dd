use std::fmt;

use cupel_tenant::Changes;
use percent_encoding::percent_decode_str;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use url::Url;

use crate::builder::connect_options;
use crate::error::sqlstate;
use crate::power::Powers;
use crate::schema::{self, Declared, Purpose};
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
/// organizations inside a SELECT.
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
    declared: Declared,
    seal_keys: Vec<SealKey>,
    tables: Vec<Table>,
    allow_plaintext: bool,
}

/// A role as a URL names it.
pub(crate) struct Login {
    pub(crate) name: String,
    purpose: Purpose,
    password: Option<String>,
    /// `None` for a role that nobody logs in as.
    options: Option<PgConnectOptions>,
}

impl Migration {
    /// A migration with the URL of the role that owns the tables.
    pub fn new(owner_url: &str) -> Self {
        Self {
            owner_url: owner_url.to_owned(),
            app_url: None,
            admin_url: None,
            declared: Declared::default(),
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
        Self { declared: Declared { column_type, ..self.declared }, ..self }
    }

    /// How transactions tell the server whose they are; plain unless told. It can be changed by a later
    /// migration: services that are connected then must connect again.
    pub fn context(self, mode: ContextMode) -> Self {
        Self { declared: Declared { mode, ..self.declared }, ..self }
    }

    /// Says whether a policy raises an error, of SQLSTATE `CU001`, where no organization is named.
    /// Without this there are no rows then, as of an organization that has none.
    pub fn strict(self, strict: bool) -> Self {
        Self { declared: Declared { strict, ..self.declared }, ..self }
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

    /// Renders the migration without a database, and without passwords.
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
            sql += "\n";
            sql += &schema::isolate(&table.parsed()?, table.kind(), &app.name, admin_name);
        }
        sql += "\n";
        sql += &schema::hardening(None, admin_name, self.is_sealed());
        Ok(sql)
    }

    pub(crate) fn install_sql(&self, app: &str, admin: Option<&str>) -> String {
        let mode = self.declared.mode;
        let mut sql = schema::install(&self.declared, app, admin);
        sql += &schema::grant_schema(app, Purpose::App, app, mode);
        if let Some(admin) = admin {
            sql += &schema::grant_schema(admin, Purpose::Admin, app, mode);
        }
        sql
    }

    /// Makes it so, and returns what changed.
    ///
    /// All of it but the roles is one transaction: dropped or failed half-way, it has changed nothing,
    /// and it can be run again.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`], [`Error::PlainText`] and [`Error::InvalidTableName`] before any I/O;
    /// [`Error::TableUnfit`] and [`Error::RoleUnfit`] before anything is written;
    /// [`Error::PowerfulRole`] if the application's URL is the owner's; [`Error::OwnerLacksRight`];
    /// [`Error::Unreachable`] and [`Error::LoginRefused`].
    pub async fn run(&self) -> Result<Changes, Error> {
        if self.is_sealed() && self.seal_keys.is_empty() {
            return Err(Error::NoSealKey { mode: self.declared.mode.as_str() });
        }
        let owner = connect_options(&self.owner_url, "owner", self.allow_plaintext)?;
        let app = self.app()?;
        let admin = self.admin()?;
        for table in &self.tables {
            table.parsed()?;
        }
        let taken = [Some(&app), admin.as_ref()];
        for login in taken.into_iter().flatten() {
            if login.name == owner.get_username() {
                let which = login.purpose.as_str();
                return Err(Error::PowerfulRole { which, power: "is the owner's role" });
            }
        }
        if admin.as_ref().is_some_and(|admin| admin.name == app.name) {
            return Err(Error::PowerfulRole { which: "app", power: "is the admin's role too" });
        }
        // Passwords are in some statements, and none of them is worth a line in a log.
        let owner = owner.disable_statement_logging();
        let mut conn = PgConnection::connect_with(&owner).await.map_err(Error::connect("owner"))?;
        apply::check_tables(&mut conn, &self.tables, self.declared.column_type).await?;
        let guard = self.is_sealed().then(Login::guard);
        let roles = || guard.iter().chain([&app]).chain(admin.as_ref());
        for role in roles() {
            role.check(&mut conn).await?;
        }
        let mut changes = Changes::none();
        for role in roles() {
            role.ensure(&mut conn, &mut changes).await?;
        }
        let admin = admin.as_ref().map(|login| login.name.as_str());
        apply::objects(&mut conn, self, &app.name, admin, &mut changes).await?;
        let _ = conn.close().await;
        Ok(changes)
    }

    pub(crate) fn declared(&self) -> &[Table] {
        &self.tables
    }

    pub(crate) fn keys(&self) -> &[SealKey] {
        &self.seal_keys
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.declared.mode != ContextMode::Plain
    }

    fn app(&self) -> Result<Login, Error> {
        match &self.app_url {
            Some(url) => Login::parse(url, Purpose::App, self.allow_plaintext),
            None => Ok(Login {
                name: "cupel_app".to_owned(),
                purpose: Purpose::App,
                password: None,
                options: Some(
                    connect_options(&self.owner_url, "owner", self.allow_plaintext)?
                        .username("cupel_app"),
                ),
            }),
        }
    }

    fn admin(&self) -> Result<Option<Login>, Error> {
        let parse = |url| Login::parse(url, Purpose::Admin, self.allow_plaintext);
        self.admin_url.as_deref().map(parse).transpose()
    }
}

impl fmt::Debug for Migration {
    /// Leaves the URLs out: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("declared", &self.declared)
            .field("seal_keys", &self.seal_keys)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl Login {
    fn parse(url: &str, purpose: Purpose, allow_plaintext: bool) -> Result<Self, Error> {
        let which = purpose.as_str();
        let options = connect_options(url, which, allow_plaintext)?;
        let parsed = Url::parse(url).map_err(|_| Error::InvalidUrl { which })?;
        let password = parsed
            .password()
            .map(|text| percent_decode_str(text).decode_utf8().map(Into::into))
            .transpose()
            .map_err(|_| Error::InvalidUrl { which })?;
        let name = options.get_username().to_owned();
        Ok(Self { name, purpose, password, options: Some(options) })
    }

    fn guard() -> Self {
        let name = schema::GUARD.to_owned();
        Self { name, purpose: Purpose::Guard, password: None, options: None }
    }

    /// Refuses a role that exists and is not as ours is. Reads only: whoever made it may rely on what it
    /// is.
    async fn check(&self, conn: &mut PgConnection) -> Result<(), Error> {
        let Some(powers) = Powers::of(conn, &self.name).await? else { return Ok(()) };
        let problem = match powers.too_much(self.purpose == Purpose::Admin) {
            Some(problem) => problem,
            None if !self.is_as_wanted(conn).await? => self.purpose.lacks(),
            None => return Ok(()),
        };
        let (role, fix) = (self.name.clone(), schema::correct_role(&self.name, self.purpose));
        Err(Error::RoleUnfit { role, problem, fix })
    }

    /// Makes the role if there is none.
    ///
    /// Roles belong to the whole server and locks to one database, so two migrations can meet here:
    /// what the other has just made is looked at again.
    async fn ensure(&self, conn: &mut PgConnection, changes: &mut Changes) -> Result<(), Error> {
        if Powers::of(conn, &self.name).await?.is_none() {
            let sql = schema::create_role(&self.name, self.purpose);
            let mut tries = 0;
            while let Err(error) =
                sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(&mut *conn).await
            {
                tries += 1;
                if tries > 10 || !met_another(&error) {
                    return Err(lacks(
                        "the right to create roles, and BYPASSRLS ones (a superuser)",
                    )(error));
                }
            }
            changes.push(format!("created role {}", self.name));
        }
        self.ensure_password(conn, changes).await
    }

    async fn ensure_password(
        &self,
        conn: &mut PgConnection,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let (Some(password), Some(options)) = (&self.password, &self.options) else {
            return Ok(());
        };
        let login = PgConnection::connect_with(options).await;
        match login {
            Ok(conn) => {
                let _ = conn.close().await;
                return Ok(());
            }
            Err(error) if sqlstate(&error).as_deref() != Some("28P01") => return Ok(()),
            Err(_) => {}
        }
        let sql = format!(
            "ALTER ROLE {} PASSWORD {}",
            schema::ident(&self.name),
            schema::literal(password)
        );
        let mut tries = 0;
        while let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(&mut *conn).await
        {
            tries += 1;
            if tries > 10 || !met_another(&error) {
                return Err(lacks("the right to set passwords of roles")(error));
            }
        }
        changes.push(format!("set the password of role {}", self.name));
        Ok(())
    }

    async fn is_as_wanted(&self, conn: &mut PgConnection) -> Result<bool, Error> {
        sqlx::query_scalar(
            "SELECT rolcanlogin = $3 AND rolbypassrls = $2 FROM pg_catalog.pg_roles WHERE rolname = $1",
        )
        .bind(&self.name)
        .bind(self.purpose == Purpose::Admin)
        .bind(self.purpose != Purpose::Guard)
        .fetch_one(conn)
        .await
        .map_err(Error::statement("looking at the roles"))
    }
}

/// duplicate_object; unique_violation in the catalog; "tuple concurrently updated".
pub(crate) fn met_another(error: &sqlx::Error) -> bool {
    match sqlstate(error).as_deref() {
        Some("42710" | "23505" | "40P01") => true,
        Some("XX000") => error.to_string().contains("concurrently"),
        _ => false,
    }
}

/// insufficient_privilege means that the owner lacks `needs`.
pub(crate) fn lacks(needs: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| {
        if sqlstate(&error).as_deref() == Some("42501") {
            Error::OwnerLacksRight { needs, source: error.into() }
        } else {
            Error::statement("the migration")(error)
        }
    }
}

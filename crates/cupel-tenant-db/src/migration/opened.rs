use cupel_tenant::Changes;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{Migration, lock};
use crate::builder::connect_options;
use crate::login::Login;
use crate::schema::Purpose;
use crate::shape::Shape;
use crate::{Error, fit};

/// The owner's connection, with what was looked at.
pub(crate) struct Opened {
    pub(crate) conn: PgConnection,
    app: Login,
    admin: Option<Login>,
    /// The role that reads the keys of seals, where contexts are sealed.
    guard: Option<Login>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) changes: Changes,
}

impl Opened {
    async fn check_roles(mut self) -> Result<Self, Error> {
        for role in self.guard.iter().chain([&self.app]).chain(&self.admin) {
            role.check(&mut self.conn).await?;
        }
        Ok(self)
    }

    pub(crate) async fn make_roles(&mut self) -> Result<(), Error> {
        for role in self.guard.iter().chain([&self.app]).chain(&self.admin) {
            role.ensure(&mut self.conn, &mut self.changes).await?;
        }
        Ok(())
    }

    /// Looks at the tables again.
    pub(crate) async fn reread(&mut self, migration: &Migration) -> Result<(), Error> {
        self.shapes =
            fit::shapes(&mut self.conn, &migration.tables, migration.whole.column_type).await?;
        Ok(())
    }

    pub(crate) fn app(&self) -> &str {
        &self.app.name
    }

    pub(crate) fn admin(&self) -> Option<&str> {
        self.admin.as_ref().map(|login| login.name.as_str())
    }

    /// Returns what changed.
    pub(crate) async fn close(self) -> Changes {
        let _ = self.conn.close().await;
        self.changes
    }
}

impl Migration {
    /// Connects as the owner, keeps other migrations out, and refuses what cannot be migrated. Writes nothing.
    pub(crate) async fn open(&self) -> Result<Opened, Error> {
        self.opened(true).await
    }

    /// The same for whoever only reads, and keeps nobody out.
    pub(crate) async fn open_to_read(&self) -> Result<Opened, Error> {
        self.opened(false).await
    }

    async fn opened(&self, alone: bool) -> Result<Opened, Error> {
        if self.is_sealed() && self.seal_keys.is_empty() {
            return Err(Error::NoSealKey { mode: self.whole.mode.as_str() });
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
        if alone {
            // Before anything is looked at: what another makes of it meanwhile would not be seen.
            lock::take(&mut conn).await?;
        }
        let shapes = fit::shapes(&mut conn, &self.tables, self.whole.column_type).await?;
        fit::views(&mut conn, &shapes, &app.name).await?;
        let guard = self.is_sealed().then(Login::guard);
        let opened = Opened { conn, app, admin, guard, shapes, changes: Changes::none() };
        opened.check_roles().await
    }

    pub(super) fn app(&self) -> Result<Login, Error> {
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

    pub(super) fn admin(&self) -> Result<Option<Login>, Error> {
        let parse = |url| Login::parse(url, Purpose::Admin, self.allow_plaintext);
        self.admin_url.as_deref().map(parse).transpose()
    }
}

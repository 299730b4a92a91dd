//! The roles of a migration, as its URLs name them.

use cupel_tenant::Changes;
use percent_encoding::percent_decode_str;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use crate::Error;
use crate::builder::connect_options;
use crate::error::sqlstate;
use crate::power::Powers;
use crate::schema::{self, Purpose};

/// A role as a URL names it.
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) purpose: Purpose,
    pub(crate) password: Option<String>,
    /// `None` for a role that nobody logs in as.
    pub(crate) options: Option<PgConnectOptions>,
}

impl Login {
    pub(crate) fn parse(url: &str, purpose: Purpose, allow_plaintext: bool) -> Result<Self, Error> {
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

    pub(crate) fn guard() -> Self {
        let name = schema::GUARD.to_owned();
        Self { name, purpose: Purpose::Guard, password: None, options: None }
    }

    /// Refuses a role that exists and is not as ours is. Reads only: whoever made it may rely on what it
    /// is.
    pub(crate) async fn check(&self, conn: &mut PgConnection) -> Result<(), Error> {
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
    pub(crate) async fn ensure(
        &self,
        conn: &mut PgConnection,
        changes: &mut Changes,
    ) -> Result<(), Error> {
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

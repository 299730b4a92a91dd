//! A PostgreSQL server whose processes can be looked at: one of this machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use cupel_testkit::{Postgres, Settings};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use url::Url;

use crate::{BoxError, processes};

/// A server that the testkit started, as programs and not in a container.
#[derive(Debug)]
pub struct Server {
    postgres: Postgres,
    postmaster: u32,
    programs: PathBuf,
    version: String,
    /// What stands in for the server's programs lives as long as the server.
    _stand_in: Option<TempDir>,
}

impl Server {
    /// Starts one as the tests have it.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not say where it runs.
    pub async fn start() -> Result<Self, BoxError> {
        let postgres = Postgres::start_with(&settings(None)?).await?;
        Self::look(postgres, None).await
    }

    /// Starts one that takes more connections than the tests need.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn with_connections(max: u32) -> Result<Self, BoxError> {
        let plain = Self::start().await?;
        let stand_in = stand_in(&plain, max)?;
        plain.stop().await?;
        let settings = settings(Some(&stand_in))?;
        Self::look(Postgres::start_with(&settings).await?, Some(stand_in)).await
    }

    async fn look(postgres: Postgres, stand_in: Option<TempDir>) -> Result<Self, BoxError> {
        let mut conn = PgConnection::connect(postgres.url()).await?;
        let (postmaster, programs, version): (String, String, String) = sqlx::query_as(
            "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1),
               (SELECT setting FROM pg_config WHERE name = 'BINDIR'),
               split_part(current_setting('server_version'), ' ', 1)",
        )
        .fetch_one(&mut conn)
        .await?;
        let (postmaster, programs) = (postmaster.parse()?, programs.into());
        Ok(Self { postgres, postmaster, programs, version, _stand_in: stand_in })
    }

    /// Returns the URL of the maintenance database, for the superuser.
    pub fn url(&self) -> &str {
        self.postgres.url()
    }

    /// Creates an empty database and returns its URL, for the superuser.
    ///
    /// # Errors
    ///
    /// If the server does not make one.
    pub async fn database(&self) -> Result<String, BoxError> {
        Ok(self.postgres.database().await?)
    }

    /// Returns where one of the programs that came with the server is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Returns the server's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the processor time that the server has taken.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn cpu(&self) -> Result<Duration, BoxError> {
        processes::cpu_of_family(self.postmaster)
    }

    /// Returns how many clients are connected, and what memory the backends that serve them hold, in bytes.
    ///
    /// # Errors
    ///
    /// If the server does not say, or a backend ends meanwhile.
    pub async fn backends(&self) -> Result<(usize, u64), BoxError> {
        let mut conn = PgConnection::connect(self.url()).await?;
        let pids: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        .fetch_all(&mut conn)
        .await?;
        let mut memory = 0;
        for pid in &pids {
            memory += processes::part_of_memory(u32::try_from(*pid)?)?;
        }
        Ok((pids.len(), memory))
    }

    /// Ends the server.
    ///
    /// # Errors
    ///
    /// If the operating system does not say how it ended.
    pub async fn stop(self) -> Result<(), BoxError> {
        Ok(self.postgres.stop().await?)
    }
}

/// The environment, but for what would lead to a server whose processes are somewhere else.
fn settings(programs: Option<&TempDir>) -> Result<Settings, BoxError> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = programs.map_or(path.clone(), |it| format!("{}:{path}", it.path().display()));
    Ok(Settings::from_lookup(|variable| match variable {
        "PATH" => Some(path.clone()),
        "TESTBED_PROVIDER" => Some("local".to_owned()),
        "TESTBED_POSTGRES_URL" => None,
        _ => std::env::var(variable).ok(),
    })?)
}

/// Makes a folder of programs that the testkit takes for the server's own. Of two settings of the same name
/// on its command line the server takes the last.
fn stand_in(server: &Server, max: u32) -> Result<TempDir, BoxError> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    for (name, more) in
        [("initdb", String::new()), ("postgres", format!(" -c max_connections={max}"))]
    {
        let script = folder.path().join(name);
        let program = server.program(name);
        fs::write(&script, format!("#!/bin/sh\nexec '{}' \"$@\"{more}\n", program.display()))?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    }
    Ok(folder)
}

/// Returns the same server and database as another role, whose password is its name.
///
/// # Errors
///
/// If it is not a URL of a server.
pub fn with_role(url: &str, role: &str) -> Result<String, BoxError> {
    let mut url: Url = url.parse()?;
    let refused = "the URL takes no user";
    url.set_username(role).map_err(|()| refused)?;
    url.set_password(Some(role)).map_err(|()| refused)?;
    Ok(url.to_string())
}

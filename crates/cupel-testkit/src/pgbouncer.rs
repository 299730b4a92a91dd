use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use nix::unistd::geteuid;
use url::Url;

use crate::Error;
use crate::Postgres;
use crate::Service;
use crate::Settings;
use crate::postgres;
use crate::running::Running;
use crate::supervisor::Folder;
use crate::supervisor::Supervised;
use crate::wait;

/// A PgBouncer in front of a PostgreSQL server, which hands out backends by the transaction.
///
/// It is a program of this machine, wherever the server is: there is no server of its own in it.
///
/// # Examples
///
/// ```no_run
/// use cupel_testkit::{PgBouncer, Postgres};
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let postgres = Postgres::shared().await?;
/// let pooler = PgBouncer::in_front_of(postgres, 2).await?;
/// let url = pooler.to(&postgres.database().await?)?; // the same database, through the pooler
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PgBouncer {
    program: PathBuf,
    server: Url,
    backends: u16,
    port: u16,
    /// `None` only while it is restarted.
    running: Option<Running>,
}

impl PgBouncer {
    /// Starts one that opens `backends` connections at most to each database and role.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such program; otherwise what went wrong with it.
    pub async fn in_front_of(postgres: &Postgres, backends: u16) -> Result<Self, Error> {
        let settings = Settings::from_env()?;
        let program = settings.program("pgbouncer").or_else(|| {
            // Where Debian puts it, and not every user looks.
            Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|it| it.is_file())
        });
        let Some(program) = program else {
            return Err(Error::NotFound {
                service: Service::Postgres,
                remedy: "its pooler is missing: run `scripts/install pgbouncer`, or install the \
                         package pgbouncer",
            });
        };
        let server = postgres::parse(postgres.url())?;
        let (port, running) = wait::start_again(|| async {
            let port = wait::free_port()?;
            Ok((port, Self::start(&program, &server, backends, port).await?))
        })
        .await?;
        Ok(Self { program, server, backends, port, running: Some(running) })
    }

    /// Ends it, with all that its clients were doing, and starts it on the same port.
    ///
    /// # Errors
    ///
    /// What went wrong with it.
    pub async fn restart(&mut self) -> Result<(), Error> {
        if let Some(running) = self.running.take() {
            running.stop().await?;
        }
        let start = || Self::start(&self.program, &self.server, self.backends, self.port);
        self.running = Some(wait::start_again(start).await?);
        Ok(())
    }

    async fn start(
        program: &Path,
        server: &Url,
        backends: u16,
        port: u16,
    ) -> Result<Running, Error> {
        let mut folder = Folder::create()?;
        if geteuid().is_root() {
            folder = folder.owned_by(postgres::unprivileged()?)?;
        }
        let (user, password) = (server.username(), server.password().unwrap_or_default());
        let users = folder.write("users", &format!("\"{user}\" \"{password}\"\n"))?;
        // Roles log in with their own passwords, which the server keeps as SCRAM secrets: a client's
        // proof is good for both. sqlx sends extra_float_digits as it connects.
        let configuration = format!(
            "[databases]\n* = host={host} port={server_port} auth_user={user}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {users}\n\
             auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1\n\
             pool_mode = transaction\ndefault_pool_size = {backends}\nmax_client_conn = 500\n\
             ignore_startup_parameters = extra_float_digits\nserver_tls_sslmode = disable\n",
            host = server.host_str().unwrap_or("127.0.0.1"),
            server_port = server.port().unwrap_or(5432),
            users = users.display(),
        );
        let configuration = folder.write("pgbouncer.ini", &configuration)?;
        let command: [OsString; 2] = [program.into(), configuration.into()];
        let running = Running::Local(vec![Supervised::spawn(folder, "TERM", command)?]);
        wait::until_ready(Service::Postgres, &running, || async {
            wait::connect("127.0.0.1", port).await?;
            Ok(())
        })
        .await?;
        Ok(running)
    }

    /// Returns the URL of the same database and role through the pooler.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if it is no URL.
    pub fn to(&self, url: &str) -> Result<String, Error> {
        let mut url = postgres::parse(url)?;
        let invalid = Error::InvalidSetting {
            variable: Service::Postgres.endpoint_variable(),
            rule: "it has a host and a port",
        };
        if url.set_host(Some("127.0.0.1")).is_err() || url.set_port(Some(self.port)).is_err() {
            return Err(invalid);
        }
        Ok(url.into())
    }

    /// Ends it and waits until nothing of it is left.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] if the operating system does not say how it ended.
    pub async fn stop(self) -> Result<(), Error> {
        match self.running {
            Some(running) => running.stop().await,
            None => Ok(()),
        }
    }
}

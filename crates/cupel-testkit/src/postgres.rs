use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use nix::unistd::User;
use nix::unistd::geteuid;
use sqlx::AssertSqlSafe;
use sqlx::Connection;
use sqlx::PgConnection;
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use crate::Error;
use crate::Provider;
use crate::Service;
use crate::Settings;
use crate::Source;
use crate::container::Container;
use crate::container::Request;
use crate::running::Running;
use crate::supervisor::Folder;
use crate::supervisor::Supervised;
use crate::wait;

/// Where distributions keep the server's programs, one folder for each version, off the search
/// path.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Makes a cluster and becomes its server: `sh -c SCRIPT postgres BIN FOLDER PORT OPTION...`.
///
/// The data live as long as one test run, so nothing is written through to the disk. Passwords
/// are checked, as in production: a role without one cannot log in.
const LOCAL: &str = r#"
set -eu
bin=$1 folder=$2 port=$3
"$bin/initdb" --pgdata="$folder/data" --username=postgres --pwfile="$folder/password" \
    --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync
rm "$folder/password"
shift 3
exec "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=200 \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off "$@"
"#;

/// Copies a server and becomes its standby: `sh -c SCRIPT postgres BIN FOLDER PORT PRIMARY`.
const STANDBY: &str = r#"
set -eu
bin=$1 folder=$2 port=$3 primary=$4
"$bin/pg_basebackup" --dbname="$primary" --pgdata="$folder/data" --wal-method=stream \
    --checkpoint=fast --write-recovery-conf --no-sync
exec "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=200 -c hot_standby_feedback=on \
    -c fsync=off -c full_page_writes=off
"#;

/// The port that PostgreSQL listens on in a container.
const PORT: u16 = 5432;

/// The same server as a container: the image makes the cluster, checks passwords from the start,
/// and listens to the network once it is made.
const CONTAINER: Request<'_> = Request {
    ports: &[PORT],
    env: &[("POSTGRES_PASSWORD", "postgres")],
    command: &[
        "-c",
        "max_connections=200",
        "-c",
        "fsync=off",
        "-c",
        "synchronous_commit=off",
        "-c",
        "full_page_writes=off",
    ],
    ..Request::new(Service::Postgres)
};

/// A PostgreSQL server.
///
/// # Examples
///
/// ```no_run
/// use cupel_testkit::Postgres;
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let url = Postgres::shared().await?.database().await?;
/// assert!(url.starts_with("postgres://postgres:postgres@"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Postgres {
    url: String,
    source: Source,
    running: Running,
}

impl Postgres {
    /// Returns the server that the tests of this process share; it ends with the process.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Finds or starts a server.
    ///
    /// Dropping this future at any point ends what it had started.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none; otherwise what went wrong with the one there is.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(&Settings::from_env()?).await
    }

    /// Finds or starts a server in the way that these settings say.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self, Error> {
        if let Some(url) = settings.endpoint(Service::Postgres) {
            return Self::at_endpoint(url).await;
        }
        if let Some(container) = Container::start(settings, CONTAINER).await? {
            return Self::in_container(container).await;
        }
        if settings.allows(Provider::Local)
            && let Some(programs) = programs(settings)
        {
            return wait::start_again(|| Self::local(&programs)).await;
        }
        Err(Error::NotFound { service: Service::Postgres, remedy: Service::Postgres.remedy() })
    }

    /// Returns the URL of the maintenance database, for the superuser.
    ///
    /// Make databases and roles from here; keep tables in one of [`Postgres::database`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates an empty database and returns its URL, for the superuser.
    ///
    /// Its name is new each time (`test_` and 32 hexadecimal digits). It is dropped with the
    /// server, so not by anyone where the server came from the environment.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the server does not make one.
    pub async fn database(&self) -> Result<String, Error> {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        let created = async {
            let mut maintenance = PgConnection::connect(&self.url).await?;
            sqlx::raw_sql(create).execute(&mut maintenance).await?;
            maintenance.close().await
        };
        created.await.map_err(|err| Error::Refused {
            service: Service::Postgres,
            action: "create a database",
            source: err.into(),
        })?;
        let mut url = parse(&self.url)?;
        url.set_path(&name);
        Ok(url.into())
    }

    /// Returns which server was taken.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Ends the server and waits until nothing of it is left.
    ///
    /// Without this call it ends, unobserved, when the value is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] if the operating system does not say how the server ended.
    pub async fn stop(self) -> Result<(), Error> {
        self.running.stop().await
    }

    async fn at_endpoint(url: &str) -> Result<Self, Error> {
        let variable = Service::Postgres.endpoint_variable();
        let at = place(&parse(url)?);
        PgConnection::connect(url).await.map_err(|err| Error::Unreachable {
            service: Service::Postgres,
            variable,
            source: err.into(),
        })?;
        let source = Source::new(Service::Postgres, Provider::Environment, variable, at);
        Ok(Self { url: url.to_owned(), source, running: Running::Elsewhere })
    }

    /// Starts a standby, which streams from this server and answers what only reads.
    ///
    /// It is a program of this machine, and so must the server be: one in a container lets no standby
    /// in.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such program; otherwise what went wrong with it.
    pub async fn standby(&self) -> Result<Self, Error> {
        let programs = Self::local_programs()?;
        let primary = [self.url.clone()];
        wait::start_again(|| Self::run(STANDBY, &programs, &primary)).await
    }

    /// Starts a server with these settings, each as `name=value`: those that only a start changes.
    ///
    /// It is a program of this machine.
    ///
    /// # Errors
    ///
    /// As [`Postgres::standby`].
    pub async fn configured(settings: &[&str]) -> Result<Self, Error> {
        let options: Vec<String> = settings.iter().map(|it| format!("--{it}")).collect();
        let programs = Self::local_programs()?;
        wait::start_again(|| Self::run(LOCAL, &programs, &options)).await
    }

    fn local_programs() -> Result<PathBuf, Error> {
        let service = Service::Postgres;
        programs(&Settings::from_env()?)
            .ok_or(Error::NotFound { service, remedy: service.remedy() })
    }

    async fn local(programs: &Path) -> Result<Self, Error> {
        Self::run(LOCAL, programs, &[]).await
    }

    async fn run(script: &str, programs: &Path, more: &[String]) -> Result<Self, Error> {
        let mut folder = Folder::create()?;
        if geteuid().is_root() {
            folder = folder.owned_by(unprivileged()?)?;
        }
        folder.write("password", "postgres")?;
        let port = wait::free_port()?;
        let mut command: Vec<OsString> = vec![
            "sh".into(),
            "-c".into(),
            script.into(),
            "postgres".into(),
            programs.into(),
            folder.path().into(),
            port.to_string().into(),
        ];
        command.extend(more.iter().map(OsString::from));
        // SIGQUIT ends the server at once, whoever is connected; its data are not needed again.
        let running = Running::Local(vec![Supervised::spawn(folder, "QUIT", command)?]);
        let program = programs.join("postgres");
        let at = format!("127.0.0.1:{port}");
        let source = Source::new(Service::Postgres, Provider::Local, program.display(), &at);
        Self::when_ready(&at, source, running).await
    }

    async fn in_container(container: Container) -> Result<Self, Error> {
        let at = container.address(PORT);
        let source = Source::new(Service::Postgres, Provider::Container, container.image(), &at);
        Self::when_ready(&at, source, Running::Container(Box::new(container))).await
    }

    async fn when_ready(at: &str, source: Source, running: Running) -> Result<Self, Error> {
        let url = format!("postgres://postgres:postgres@{at}/postgres");
        wait::until_ready(Service::Postgres, &running, || async {
            Ok(PgConnection::connect(&url).await?.close().await?)
        })
        .await?;
        Ok(Self { url, source, running })
    }
}

/// Finds the folder of `initdb` and `postgres`: on the search path, else the newest version that
/// the distribution installed.
fn programs(settings: &Settings) -> Option<PathBuf> {
    // What is on the path may be a link to the folder of all the programs.
    if let Some(found) = settings.program("initdb").and_then(|it| fs::canonicalize(it).ok())
        && let Some(folder) = found.parent()
        && folder.join("postgres").is_file()
    {
        return Some(folder.to_owned());
    }
    fs::read_dir(VERSIONS)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path().join("bin");
            folder.join("postgres").is_file().then_some((version, folder))
        })
        .max()
        .map(|(_, folder)| folder)
}

/// Returns the user that PostgreSQL runs as, which is never root: it refuses that.
pub(crate) fn unprivileged() -> Result<User, Error> {
    User::from_name("postgres").ok().flatten().ok_or(Error::NotFound {
        service: Service::Postgres,
        remedy: "it refuses to run as root, and there is no user `postgres`: add one, or run the \
                 tests as somebody else",
    })
}

pub(crate) fn parse(url: &str) -> Result<Url, Error> {
    Url::parse(url).map_err(|_| Error::InvalidSetting {
        variable: Service::Postgres.endpoint_variable(),
        rule: "it is a URL like postgres://user:password@host:port/database",
    })
}

/// Returns host and port of a URL, and nothing that is secret in it.
fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or("localhost"), url.port().unwrap_or(5432))
}

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time;
use url::Url;

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

/// The port that Redis listens on in a container.
const PORT: u16 = 6379;

const CONTAINER: Request<'_> = Request {
    ports: &[PORT],
    command: &["redis-server", "--save", "", "--appendonly", "no"],
    ..Request::new(Service::Redis)
};

/// A Redis server, without a password.
///
/// # Examples
///
/// ```no_run
/// use cupel_testkit::Redis;
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let redis = Redis::start().await?; // one of its own, since this test changes users
/// assert!(redis.url().starts_with("redis://127.0.0.1:"));
/// redis.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Redis {
    url: String,
    source: Source,
    running: Running,
}

impl Redis {
    /// Returns the server that the tests of this process share; it ends with the process.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<Redis> = OnceCell::const_new();
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
    /// As [`Redis::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self, Error> {
        if let Some(url) = settings.endpoint(Service::Redis) {
            return Self::at_endpoint(url).await;
        }
        if let Some(container) = Container::start(settings, CONTAINER).await? {
            let at = container.address(PORT);
            let source = Source::new(Service::Redis, Provider::Container, container.image(), &at);
            return Self::when_ready(&at, source, Running::Container(Box::new(container))).await;
        }
        if settings.allows(Provider::Local)
            && let Some(program) = settings.program("redis-server")
        {
            return wait::start_again(|| Self::local(&program)).await;
        }
        Err(Error::NotFound { service: Service::Redis, remedy: Service::Redis.remedy() })
    }

    /// Returns the server's URL, for its default user, who may do everything.
    pub fn url(&self) -> &str {
        &self.url
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

    async fn at_endpoint(text: &str) -> Result<Self, Error> {
        let variable = Service::Redis.endpoint_variable();
        let url =
            Url::parse(text).ok().filter(|url| url.has_host()).ok_or(Error::InvalidSetting {
                variable,
                rule: "it is a URL like redis://host:port",
            })?;
        let host = url.host_str().unwrap_or("localhost");
        let port = url.port().unwrap_or(6379);
        wait::connect(host, port).await.map_err(|err| Error::Unreachable {
            service: Service::Redis,
            variable,
            source: err.into(),
        })?;
        let at = format_args!("{host}:{port}");
        let source = Source::new(Service::Redis, Provider::Environment, variable, at);
        Ok(Self { url: text.to_owned(), source, running: Running::Elsewhere })
    }

    async fn local(program: &Path) -> Result<Self, Error> {
        let folder = Folder::create()?;
        let port = wait::free_port()?;
        let mut command: Vec<OsString> = vec![program.into(), "--port".into()];
        command.push(port.to_string().into());
        command.extend(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(Into::into));
        command.push("--dir".into());
        command.push(folder.path().into());
        let running = Running::Local(vec![Supervised::spawn(folder, "TERM", command)?]);
        let at = format!("127.0.0.1:{port}");
        let source = Source::new(Service::Redis, Provider::Local, program.display(), &at);
        Self::when_ready(&at, source, running).await
    }

    async fn when_ready(at: &str, source: Source, running: Running) -> Result<Self, Error> {
        wait::until_ready(Service::Redis, &running, || async { Ok(ping(at).await?) }).await?;
        Ok(Self { url: format!("redis://{at}"), source, running })
    }
}

/// Asks a server whether it is there: `PING`, answered by `+PONG` once it takes commands.
async fn ping(at: &str) -> io::Result<()> {
    let pong = async {
        let mut server = TcpStream::connect(at).await?;
        server.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        server.read_exact(&mut answer).await?;
        if answer == *b"+PONG\r\n" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    };
    time::timeout(Duration::from_secs(5), pong).await?
}

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use tokio::sync::OnceCell;
use url::Url;

use crate::Error;
use crate::Provider;
use crate::Service;
use crate::Settings;
use crate::Source;
use crate::container::Container;
use crate::container::Request;
use crate::http;
use crate::running::Running;
use crate::supervisor::Folder;
use crate::supervisor::Supervised;
use crate::wait;

/// What `scripts/install temporal` calls its folder in the cache.
const INSTALLED: &str = "temporal-1.9.1/bin/temporal";

/// What differs from the development server's defaults.
///
/// A rate limit is split over a queue's partitions, so a limit for one organization means what
/// it says with one partition only. The two others are features of servers since 1.31 that
/// earlier ones have behind a switch: priorities, and an answer to open polls when a worker ends.
const DYNAMIC_CONFIG: [&str; 12] = [
    "--dynamic-config-value",
    "matching.numTaskqueueReadPartitions=1",
    "--dynamic-config-value",
    "matching.numTaskqueueWritePartitions=1",
    "--dynamic-config-value",
    "matching.useNewMatcher=true",
    "--dynamic-config-value",
    "frontend.enableCancelWorkerPollsOnShutdown=true",
    // A run that has ended is deleted only after its end was noted as processed: every 30 s by default.
    "--dynamic-config-value",
    "history.transferProcessorUpdateAckInterval=\"1s\"",
    "--dynamic-config-value",
    "history.visibilityProcessorUpdateAckInterval=\"1s\"",
];

/// The ports that Temporal listens on in a container: gRPC, and the same as HTTP.
const PORT: u16 = 7233;
const HTTP_PORT: u16 = 7243;

const CONTAINER: Request<'_> = Request {
    ports: &[PORT, HTTP_PORT],
    command: &{
        let [a, b, c, d, e, f, g, h, i, j, k, l] = DYNAMIC_CONFIG;
        [
            "server",
            "start-dev",
            "--headless",
            "--ip",
            "0.0.0.0",
            "--port",
            "7233",
            "--http-port",
            "7243",
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            k,
            l,
        ]
    },
    ..Request::new(Service::Temporal)
};

/// A Temporal development server that keeps everything in memory.
///
/// # Examples
///
/// ```no_run
/// use cupel_testkit::Temporal;
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let temporal = Temporal::shared().await?;
/// assert!(temporal.address().starts_with("http://127.0.0.1:"));
/// assert_eq!(temporal.namespace(), "default");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Temporal {
    address: String,
    source: Source,
    running: Running,
}

impl Temporal {
    /// Returns the server that the tests of this process share; it ends with the process.
    ///
    /// # Errors
    ///
    /// As [`Temporal::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<Temporal> = OnceCell::const_new();
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
    /// As [`Temporal::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self, Error> {
        if let Some(url) = settings.endpoint(Service::Temporal) {
            return Self::at_endpoint(url).await;
        }
        if let Some(container) = Container::start(settings, CONTAINER).await? {
            let (at, http) = (container.address(PORT), container.address(HTTP_PORT));
            let source =
                Source::new(Service::Temporal, Provider::Container, container.image(), &at);
            let running = Running::Container(Box::new(container));
            return Self::when_ready(&at, &http, source, running).await;
        }
        if settings.allows(Provider::Local)
            && let Some(program) = program(settings)
        {
            return wait::start_again(|| Self::local(&program)).await;
        }
        Err(Error::NotFound { service: Service::Temporal, remedy: Service::Temporal.remedy() })
    }

    /// Returns the URL of the gRPC frontend.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the namespace that is there from the start.
    pub fn namespace(&self) -> &str {
        "default"
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
        let variable = Service::Temporal.endpoint_variable();
        let url = Url::parse(text)
            .ok()
            .filter(|url| url.has_host())
            .ok_or(Error::InvalidSetting { variable, rule: "it is a URL like http://host:7233" })?;
        let host = url.host_str().unwrap_or("localhost");
        let port = url.port().unwrap_or(7233);
        wait::connect(host, port).await.map_err(|err| Error::Unreachable {
            service: Service::Temporal,
            variable,
            source: err.into(),
        })?;
        let at = format_args!("{host}:{port}");
        let source = Source::new(Service::Temporal, Provider::Environment, variable, at);
        Ok(Self { address: text.to_owned(), source, running: Running::Elsewhere })
    }

    async fn local(program: &Path) -> Result<Self, Error> {
        let folder = Folder::create()?;
        let [port, http, metrics] = [wait::free_port()?, wait::free_port()?, wait::free_port()?];
        let mut command: Vec<OsString> = vec![program.into()];
        command.extend(["server", "start-dev", "--headless", "--ip", "127.0.0.1"].map(Into::into));
        for (flag, port) in [("--port", port), ("--http-port", http), ("--metrics-port", metrics)] {
            command.extend([flag.into(), port.to_string().into()]);
        }
        command.extend(DYNAMIC_CONFIG.map(Into::into));
        let running = Running::Local(vec![Supervised::spawn(folder, "TERM", command)?]);
        let at = format!("127.0.0.1:{port}");
        let source = Source::new(Service::Temporal, Provider::Local, program.display(), &at);
        Self::when_ready(&at, &format!("127.0.0.1:{http}"), source, running).await
    }

    async fn when_ready(
        at: &str,
        api: &str,
        source: Source,
        running: Running,
    ) -> Result<Self, Error> {
        // The port is open some time before the namespace is there.
        let namespace = || http::get(api, "/api/v1/namespaces/default");
        wait::until_ready(Service::Temporal, &running, namespace).await?;
        Ok(Self { address: format!("http://{at}"), source, running })
    }
}

/// Finds the program: the one named, one on the search path, the one `scripts/install` made.
fn program(settings: &Settings) -> Option<PathBuf> {
    if let Some(named) = settings.get("TESTBED_TEMPORAL_BIN") {
        return Some(PathBuf::from(named)).filter(|program| program.is_file());
    }
    settings.program("temporal").or_else(|| {
        let installed = settings.cache()?.join(INSTALLED);
        installed.is_file().then_some(installed)
    })
}

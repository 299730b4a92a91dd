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
pub(crate) const DYNAMIC_CONFIG: &[&str] = &[
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    "matching.useNewMatcher=true",
    "frontend.enableCancelWorkerPollsOnShutdown=true",
];

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
        wait::connects(host, port).await.map_err(|err| Error::Unreachable {
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
        for setting in DYNAMIC_CONFIG {
            command.extend(["--dynamic-config-value", setting].map(Into::into));
        }
        let server = Supervised::spawn(folder, "TERM", command)?;

        let namespace = format!("http://127.0.0.1:{http}/api/v1/namespaces/default");
        wait::until_ready(Service::Temporal, &[&server], || async {
            reqwest::get(&namespace).await?.error_for_status()?;
            Ok(())
        })
        .await?;
        let at = format_args!("127.0.0.1:{port}");
        let source = Source::new(Service::Temporal, Provider::Local, program.display(), at);
        let address = format!("http://127.0.0.1:{port}");
        Ok(Self { address, source, running: Running::Local(vec![server]) })
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

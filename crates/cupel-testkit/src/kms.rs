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

/// moto's server with the checks that a test of isolation needs.
const SERVER: &str = include_str!("moto_kms_strict.py");

/// What `scripts/install kms` calls its folder in the cache.
const INSTALLED: &str = "moto-5.2.5/bin/python";

/// The port that moto listens on in a container.
const PORT: u16 = 5000;

const CONTAINER: Request<'_> = Request {
    ports: &[PORT],
    entrypoint: Some("python"),
    command: &["/moto_kms_strict.py", "-H", "0.0.0.0", "-p", "5000"],
    file: Some(("/moto_kms_strict.py", SERVER)),
    ..Request::new(Service::Kms)
};

/// A key management service with the interface of AWS KMS: moto, made strict.
///
/// On top of moto 5.2.5, a key that is disabled or waits for its deletion refuses to work, a
/// `Deny` statement of a key policy denies, and a ciphertext of another key than the one named is
/// refused as such.
///
/// # Examples
///
/// ```no_run
/// use cupel_testkit::Kms;
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let kms = Kms::shared().await?;
/// assert!(kms.endpoint().starts_with("http://127.0.0.1:"));
/// assert_eq!(kms.region(), "us-east-1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Kms {
    endpoint: String,
    source: Source,
    running: Running,
}

impl Kms {
    /// Returns the server that the tests of this process share; it ends with the process.
    ///
    /// # Errors
    ///
    /// As [`Kms::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<Kms> = OnceCell::const_new();
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
    /// As [`Kms::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self, Error> {
        if let Some(url) = settings.endpoint(Service::Kms) {
            return Self::at_endpoint(url).await;
        }
        if let Some(container) = Container::start(settings, CONTAINER).await? {
            let at = container.address(PORT);
            let source = Source::new(Service::Kms, Provider::Container, container.image(), &at);
            return Self::when_ready(&at, source, Running::Container(Box::new(container))).await;
        }
        if settings.allows(Provider::Local)
            && let Some(python) = python(settings)
        {
            return wait::start_again(|| Self::local(&python)).await;
        }
        Err(Error::NotFound { service: Service::Kms, remedy: Service::Kms.remedy() })
    }

    /// Returns the URL that a client takes for its endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the region that keys are made in.
    pub fn region(&self) -> &str {
        "us-east-1"
    }

    /// Returns the access key; moto accepts any.
    pub fn access_key_id(&self) -> &str {
        "test"
    }

    /// Returns the secret that belongs to the access key; moto accepts any.
    pub fn secret_access_key(&self) -> &str {
        "test"
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
        let variable = Service::Kms.endpoint_variable();
        let url = Url::parse(text)
            .ok()
            .filter(|url| url.has_host())
            .ok_or(Error::InvalidSetting { variable, rule: "it is a URL like http://host:port" })?;
        let host = url.host_str().unwrap_or("localhost");
        let port = url.port_or_known_default().unwrap_or(80);
        wait::connect(host, port).await.map_err(|err| Error::Unreachable {
            service: Service::Kms,
            variable,
            source: err.into(),
        })?;
        let at = format_args!("{host}:{port}");
        let source = Source::new(Service::Kms, Provider::Environment, variable, at);
        Ok(Self { endpoint: text.to_owned(), source, running: Running::Elsewhere })
    }

    async fn local(python: &Path) -> Result<Self, Error> {
        let folder = Folder::create()?;
        let script = folder.write("moto_kms_strict.py", SERVER)?;
        let port = wait::free_port()?;
        let command: [OsString; 6] = [
            python.into(),
            script.into(),
            "-H".into(),
            "127.0.0.1".into(),
            "-p".into(),
            port.to_string().into(),
        ];
        let running = Running::Local(vec![Supervised::spawn(folder, "TERM", command)?]);
        let at = format!("127.0.0.1:{port}");
        let program = format_args!("moto of {}", python.display());
        let source = Source::new(Service::Kms, Provider::Local, program, &at);
        Self::when_ready(&at, source, running).await
    }

    async fn when_ready(at: &str, source: Source, running: Running) -> Result<Self, Error> {
        let endpoint = format!("http://{at}");
        wait::until_ready(Service::Kms, &running, || http::get(at, "/moto-api/")).await?;
        Ok(Self { endpoint, source, running })
    }
}

/// Finds a Python that has moto: the one named, else the one that `scripts/install` made.
fn python(settings: &Settings) -> Option<PathBuf> {
    let python = match settings.get("TESTBED_KMS_PYTHON") {
        Some(named) => named.into(),
        None => settings.cache()?.join(INSTALLED),
    };
    python.is_file().then_some(python)
}

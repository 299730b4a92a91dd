use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use tokio::sync::OnceCell;

use crate::Error;
use crate::Provider;
use crate::Service;
use crate::Settings;
use crate::Source;
use crate::apiserver::Access;
use crate::apiserver::Apiserver;
use crate::container::Container;
use crate::container::Request;
use crate::running::Running;
use crate::supervisor::Folder;
use crate::supervisor::Supervised;
use crate::wait;

/// What `scripts/install kubernetes` calls its folder in the cache.
const INSTALLED: &str = "kubernetes-v1.35.4";

/// The three programs of a control plane without nodes.
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// An object that nobody but a controller makes: once it is there, the controllers are at work.
const BY_CONTROLLERS: &str = "/api/v1/namespaces/default/serviceaccounts/default";

/// The port that the API server listens on in a container.
const PORT: u16 = 6443;

/// k3s, without what it brings beside Kubernetes itself.
const CONTAINER: Request<'_> = Request {
    ports: &[PORT],
    command: &[
        "server",
        "--disable=traefik,metrics-server,servicelb,local-storage",
        "--tls-san=127.0.0.1",
    ],
    privileged: true,
    ..Request::new(Service::Cluster)
};

/// A Kubernetes control plane: an API server with RBAC and admission, the controllers, no node.
///
/// Whatever the API server decides is real; pods are accepted and never run, except in the k3s
/// of a container.
///
/// # Examples
///
/// ```no_run
/// use cupel_testkit::Cluster;
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let cluster = Cluster::shared().await?;
/// assert!(cluster.kubeconfig().contains("current-context"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: String,
    path: PathBuf,
    source: Source,
    running: Running,
}

impl Cluster {
    /// Returns the cluster that the tests of this process share; it ends with the process.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Finds or starts a cluster.
    ///
    /// Dropping this future at any point ends what it had started.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none; otherwise what went wrong with the one there is.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(&Settings::from_env()?).await
    }

    /// Finds or starts a cluster in the way that these settings say.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self, Error> {
        if let Some(path) = settings.endpoint(Service::Cluster) {
            return Self::at_endpoint(Path::new(path));
        }
        if let Some(container) = Container::start(settings, CONTAINER).await? {
            return Self::in_container(container).await;
        }
        if settings.allows(Provider::Local)
            && let Some(programs) = programs(settings)
        {
            return wait::start_again(|| Self::local(&programs)).await;
        }
        Err(Error::NotFound { service: Service::Cluster, remedy: Service::Cluster.remedy() })
    }

    /// Returns the text of a kubeconfig file whose user may do everything.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Returns where the kubeconfig file lies, for programs that take a path.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.path
    }

    /// Returns which cluster was taken.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Ends the cluster and waits until nothing of it is left.
    ///
    /// Without this call it ends, unobserved, when the value is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] if the operating system does not say how a server ended.
    pub async fn stop(self) -> Result<(), Error> {
        self.running.stop().await
    }

    fn at_endpoint(path: &Path) -> Result<Self, Error> {
        let variable = Service::Cluster.endpoint_variable();
        let kubeconfig = fs::read_to_string(path).map_err(|err| Error::Unreachable {
            service: Service::Cluster,
            variable,
            source: err.into(),
        })?;
        let source = Source::new(Service::Cluster, Provider::Environment, variable, path.display());
        Ok(Self { kubeconfig, path: path.to_owned(), source, running: Running::Elsewhere })
    }

    async fn in_container(container: Container) -> Result<Self, Error> {
        let at = container.address(PORT);
        let source = Source::new(Service::Cluster, Provider::Container, container.image(), &at);
        let container = Box::new(container);
        let running = Running::Container(container);
        // Only a container is there to be asked.
        let run = |command: &'static [&'static str]| {
            let running = &running;
            async move {
                match running {
                    Running::Container(container) => container.run(command).await,
                    Running::Elsewhere | Running::Local(_) => Err("not a container".into()),
                }
            }
        };
        wait::until_ready(Service::Cluster, &running, || async {
            run(&["kubectl", "get", "--raw", BY_CONTROLLERS]).await.map(drop)
        })
        .await?;
        let inside = run(&["cat", "/etc/rancher/k3s/k3s.yaml"]).await.map_err(|source| {
            Error::Refused { service: Service::Cluster, action: "give its kubeconfig", source }
        })?;
        let kubeconfig = inside.replace("127.0.0.1:6443", &at);
        let folder = Folder::create()?;
        let path = folder.write("kubeconfig", &kubeconfig)?;
        Ok(Self { kubeconfig, path, source, running })
    }

    async fn local(programs: &Path) -> Result<Self, Error> {
        let [etcd_port, peer_port, port, controllers_port] =
            [wait::free_port()?, wait::free_port()?, wait::free_port()?, wait::free_port()?];

        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let etcd = spawn(
            Folder::create()?,
            &programs.join("etcd"),
            [
                "--data-dir=data".to_owned(),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
                "--unsafe-no-fsync".to_owned(),
            ],
        )?;

        let api = Apiserver::prepare()?;
        let home = api.folder.path().to_owned();
        let apiserver = spawn(
            api.folder,
            &programs.join("kube-apiserver"),
            [
                format!("--etcd-servers={etcd_url}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                // Nobody reaches this server from a pod, so it need not announce itself to them.
                "--endpoint-reconciler-type=none".to_owned(),
                "--cert-dir=.".to_owned(),
                "--token-auth-file=tokens.csv".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--service-account-signing-key-file=service-accounts.pem".to_owned(),
                "--service-account-key-file=service-accounts.pem".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                // As on most clusters: privileged pods are for pod security admission to refuse.
                "--allow-privileged=true".to_owned(),
            ],
        )?;
        // It makes its certificate when it starts.
        let certificate = home.join("apiserver.crt");
        let url = format!("https://127.0.0.1:{port}");
        let access = Access { port, certificate: &certificate, token: &api.token };
        let running = Running::Local(vec![etcd, apiserver]);
        wait::until_ready(Service::Cluster, &running, || access.get("/readyz")).await?;

        let kubeconfig = access.kubeconfig()?;
        let path = home.join("kubeconfig");
        fs::write(&path, &kubeconfig).map_err(Error::machine("write the kubeconfig"))?;

        let user = path.display();
        let controllers = spawn(
            Folder::create()?,
            &programs.join("kube-controller-manager"),
            [
                format!("--kubeconfig={user}"),
                format!("--authentication-kubeconfig={user}"),
                format!("--authorization-kubeconfig={user}"),
                format!(
                    "--service-account-private-key-file={}",
                    home.join("service-accounts.pem").display()
                ),
                format!("--secure-port={controllers_port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--cert-dir=.".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        )?;
        let running = running.and(controllers);
        wait::until_ready(Service::Cluster, &running, || access.get(BY_CONTROLLERS)).await?;

        let program = programs.join("kube-apiserver");
        let source = Source::new(Service::Cluster, Provider::Local, program.display(), &url);
        Ok(Self { kubeconfig, path, source, running })
    }
}

fn spawn<const N: usize>(
    folder: Folder,
    program: &Path,
    flags: [String; N],
) -> Result<Supervised, Error> {
    let command = [program.as_os_str().to_owned()].into_iter();
    Supervised::spawn(folder, "TERM", command.chain(flags.into_iter().map(OsString::from)))
}

/// Finds the folder of the three programs: the one named, else the one that `scripts/install`
/// made.
fn programs(settings: &Settings) -> Option<PathBuf> {
    let folder = match settings.get("TESTBED_KUBERNETES_BIN") {
        Some(named) => named.into(),
        None => settings.cache()?.join(INSTALLED),
    };
    PROGRAMS.map(OsStr::new).iter().all(|program| folder.join(program).is_file()).then_some(folder)
}

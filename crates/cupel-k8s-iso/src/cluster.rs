use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cupel_tenant::TenantScope;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, DynamicObject, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::manifest::Kind;
use crate::objects::WORKLOAD_ACCOUNT;
use crate::{Blueprint, Error, NamespaceName};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take to begin. Watches, which are silent for longer, are not used.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the cluster is, and as whom it is spoken to.
///
/// The default looks where `kubectl` does: `$KUBECONFIG`, `~/.kube/config`, and else the service
/// account of the pod that we run in.
#[derive(Clone, Default)]
#[must_use]
pub struct ClusterConfig {
    kubeconfig: Option<Source>,
    context: Option<String>,
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Text(String),
}

impl ClusterConfig {
    /// The usual places.
    pub fn inferred() -> Self {
        Self::default()
    }

    /// A kubeconfig file.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { kubeconfig: Some(Source::File(path.into())), context: None }
    }

    /// The text of a kubeconfig. It holds credentials, and is never printed.
    pub fn from_text(yaml: impl Into<String>) -> Self {
        Self { kubeconfig: Some(Source::Text(yaml.into())), context: None }
    }

    /// The context to use, in place of the kubeconfig's current one.
    pub fn context(self, name: impl Into<String>) -> Self {
        Self { context: Some(name.into()), ..self }
    }

    async fn load(self) -> Result<Config, Error> {
        fn unusable<E: std::error::Error + Send + Sync + 'static>(source: E) -> Error {
            Error::Kubeconfig { source: source.into() }
        }
        let options = KubeConfigOptions { context: self.context, ..KubeConfigOptions::default() };
        let mut config = match self.kubeconfig {
            None if options.context.is_none() => Config::infer().await.map_err(unusable)?,
            None => Config::from_kubeconfig(&options).await.map_err(unusable)?,
            Some(source) => {
                let kubeconfig = match source {
                    Source::File(path) => Kubeconfig::read_from(path),
                    Source::Text(text) => Kubeconfig::from_yaml(&text),
                };
                let kubeconfig = kubeconfig.map_err(unusable)?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)?
            }
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        Ok(config)
    }
}

impl std::fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kubeconfig = match &self.kubeconfig {
            None => "inferred".to_owned(),
            Some(Source::File(path)) => path.display().to_string(),
            Some(Source::Text(_)) => "(text)".to_owned(),
        };
        let mut debug = f.debug_struct("ClusterConfig");
        debug.field("kubeconfig", &kubeconfig).field("context", &self.context).finish()
    }
}

/// A Kubernetes cluster in which every organization has a namespace of its own.
///
/// Cloning is cheap: clones share the client.
#[derive(Clone)]
pub struct TenantCluster {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// The same, without credentials: an attacker's own are added.
    anonymous: Config,
    blueprint: Blueprint,
    username: String,
    version: String,
}

impl TenantCluster {
    /// Connects, and asks the API server for its version and for who we are.
    ///
    /// # Errors
    ///
    /// [`Error::Blueprint`] before anything is asked; [`Error::Kubeconfig`], [`Error::Unreachable`],
    /// [`Error::Unauthenticated`]; [`Error::TooOld`] below Kubernetes 1.30.
    pub async fn connect(config: ClusterConfig, blueprint: Blueprint) -> Result<Self, Error> {
        blueprint.check()?;
        let config = config.load().await?;
        let mut anonymous = config.clone();
        anonymous.auth_info = AuthInfo::default();
        let client = Client::try_from(config).map_err(|source| Error::of("connect", source))?;
        let info = client
            .apiserver_version()
            .await
            .map_err(|source| Error::of("tell its version", source))?;
        if !is_recent(&info.major, &info.minor) {
            return Err(Error::TooOld);
        }
        let username = whoami(&client).await?;
        let blueprint = if blueprint.manager_names().is_empty() {
            blueprint.managers([username.clone()])
        } else {
            blueprint
        };
        let version = info.git_version.trim_start_matches('v').to_owned();
        let shared = Shared { client, anonymous, blueprint, username, version };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the handle of one organization. Asks nothing of the cluster.
    pub fn scoped(&self, scope: &TenantScope) -> ScopedCluster {
        ScopedCluster { namespace: NamespaceName::of(scope.org_id()) }
    }

    /// Returns what namespaces are rendered from, with the managers that are in force.
    pub fn blueprint(&self) -> &Blueprint {
        &self.shared.blueprint
    }

    /// Returns whom the API server takes us for.
    pub fn username(&self) -> &str {
        &self.shared.username
    }

    pub(crate) fn version(&self) -> &str {
        &self.shared.version
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Returns where the cluster is and how to trust it, with nobody's credentials.
    pub(crate) fn anonymous(&self) -> &Config {
        &self.shared.anonymous
    }

    pub(crate) fn api(&self, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        let client = self.shared.client.clone();
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind.resource()),
            None => Api::all_with(client, &kind.resource()),
        }
    }

    /// Refuses an account that the guards would refuse, before it writes half of something.
    pub(crate) fn require_manager(&self) -> Result<(), Error> {
        let managers = self.shared.blueprint.manager_names();
        if managers.contains(&self.shared.username) { Ok(()) } else { Err(Error::NotManager) }
    }
}

impl std::fmt::Debug for TenantCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantCluster")
            .field("endpoint", &self.shared.anonymous.cluster_url)
            .field("username", &self.shared.username)
            .finish_non_exhaustive()
    }
}

/// ValidatingAdmissionPolicy is v1 since Kubernetes 1.30. Clouds write the minor as `30+`.
fn is_recent(major: &str, minor: &str) -> bool {
    let number = |text: &str| text.trim_end_matches('+').parse::<u32>().unwrap_or(0);
    (number(major), number(minor)) >= (1, 30)
}

async fn whoami(client: &Client) -> Result<String, Error> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(|source| Error::of("ask who we are", source))?;
    let user = review.status.and_then(|status| status.user_info);
    Ok(user.and_then(|user| user.username).unwrap_or_default())
}

/// The cluster as one organization has it: names, and no client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedCluster {
    namespace: NamespaceName,
}

impl ScopedCluster {
    /// Returns the namespace, as `cupel-org-acme-corp`.
    pub fn namespace(&self) -> &str {
        self.namespace.as_str()
    }

    /// Returns the service account for the organization's workloads. It has no rights, and its
    /// token is not mounted unless a pod asks for it.
    pub fn service_account(&self) -> &'static str {
        WORKLOAD_ACCOUNT
    }

    /// Returns the labels that the namespace carries and that select the organization's pods from
    /// elsewhere, as (key, value).
    pub fn labels(&self) -> [(&'static str, &str); 2] {
        let name = self.namespace.as_str();
        [
            (crate::names::ORG_LABEL, self.namespace.org_id().as_str()),
            (crate::names::NAME_LABEL, name),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_policies_need_1_30() {
        assert!(is_recent("1", "30+"));
        assert!(is_recent("1", "35"));
        assert!(is_recent("2", "0"));
        assert!(!is_recent("1", "29"));
        assert!(!is_recent("", ""));
    }

    #[test]
    fn a_kubeconfig_is_not_printed() {
        let config = ClusterConfig::from_text("token: hunter2").context("x");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

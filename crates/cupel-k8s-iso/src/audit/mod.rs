//! What is wrong with one organization's namespace and with the guards, found by reading.

mod reach;

use cupel_tenant::{Finding, LayerName, OrgId, OrgSpec, Severity};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::Value;

use crate::manifest::{Kind, Manifest};
use crate::names::{ORG_LABEL, RESERVED_PREFIX, TIER_LABEL};
use crate::objects::suspended;
use crate::{Error, NamespaceName, TenantCluster, guards, render};

/// Looks at everything that keeps `org` apart. Reads only.
pub(crate) async fn audit(cluster: &TenantCluster, org: &OrgId) -> Result<Vec<Finding>, Error> {
    let audit = Audit { cluster, org, name: NamespaceName::of(org) };
    let mut findings = Vec::new();
    match cluster.own_namespace(org).await {
        Ok(Some(live)) => {
            findings.extend(audit.objects(&live).await?);
            findings.extend(audit.policies().await?);
            findings.extend(audit.workloads().await?);
        }
        Ok(None) => findings.push(audit.absent()),
        Err(Error::ForeignNamespace { .. }) => findings.push(audit.foreign()),
        Err(Error::Terminating { .. }) => {}
        Err(error) => return Err(error),
    }
    findings.extend(audit.impostors().await?);
    findings.extend(audit.guards().await?);
    Ok(findings)
}

struct Audit<'a> {
    cluster: &'a TenantCluster,
    org: &'a OrgId,
    name: NamespaceName,
}

impl Audit<'_> {
    fn finding(
        &self,
        rule: &'static str,
        severity: Severity,
        (object, problem): (String, String),
        allows: &str,
        fix: String,
    ) -> Finding {
        Finding::new(LayerName::Cluster, rule, severity, object, problem, allows, fix)
    }

    fn absent(&self) -> Finding {
        self.finding(
            "C1",
            Severity::Medium,
            (self.name.to_string(), "the namespace is missing".to_owned()),
            "whoever may create namespaces to take its name",
            format!("cupel onboard {}", self.org),
        )
    }

    fn foreign(&self) -> Finding {
        self.finding(
            "C2",
            Severity::Critical,
            (
                self.name.to_string(),
                "the namespace does not carry the labels of its name".to_owned(),
            ),
            "its pods to be taken for nobody's, outside guards and policies",
            format!("look who made it: kubectl get namespace {} -o yaml", self.name),
        )
    }

    /// Every object of ours, as it would be rendered now for the tier that the namespace carries.
    async fn objects(&self, namespace: &Value) -> Result<Vec<Finding>, Error> {
        let tier = namespace.pointer("/metadata/labels").and_then(|labels| labels.get(TIER_LABEL));
        let tier = tier.and_then(Value::as_str).and_then(|tier| tier.parse().ok());
        let objects = tier.map(|tier| OrgSpec::new(self.org.clone(), tier));
        let objects = match objects.map(|spec| render(&spec, self.cluster.blueprint())) {
            Some(Ok(objects)) => objects,
            None | Some(Err(Error::UnknownTier { .. })) => {
                return Ok(vec![self.finding(
                    "C3",
                    Severity::Medium,
                    (self.name.to_string(), "the namespace's tier has no limits".to_owned()),
                    "its quotas to go unchecked",
                    format!("add the tier to the configuration, then cupel onboard {}", self.org),
                )]);
            }
            Some(Err(error)) => return Err(error),
        };
        let mut findings = Vec::new();
        for manifest in objects.iter() {
            if let Some(problem) = self.drift(manifest).await? {
                findings.push(self.drifted(manifest, &problem));
            }
        }
        Ok(findings)
    }

    async fn drift(&self, wanted: &Manifest) -> Result<Option<String>, Error> {
        let live = self.cluster.read(wanted.kind(), wanted.namespace(), wanted.name()).await?;
        Ok(match live {
            None => Some("it is missing".to_owned()),
            Some(live) => wanted.drift(&live).map(|field| format!("{field} is not as rendered")),
        })
    }

    fn drifted(&self, manifest: &Manifest, problem: &str) -> Finding {
        let (severity, allows) = match manifest.kind() {
            Kind::NetworkPolicy => {
                (Severity::Critical, "connections that the rendered policies do not")
            }
            Kind::Namespace => (Severity::Critical, "pods that pod security would refuse"),
            Kind::ServiceAccount => {
                (Severity::Medium, "pods to hold a token that they did not ask for")
            }
            _ => (Severity::Medium, "the organization to take more than its tier has"),
        };
        let object = format!("{}/{}", self.name, manifest.name());
        let problem = format!("{} differs: {problem}", manifest.kind().resource().kind);
        self.finding(
            "C4",
            severity,
            (object, problem),
            allows,
            format!("cupel onboard {}", self.org),
        )
    }

    /// Policies of others only ever add to what ours allow.
    async fn policies(&self) -> Result<Vec<Finding>, Error> {
        let policies: Api<NetworkPolicy> = self.inside();
        let policies = list(&policies, &ListParams::default()).await?;
        let mut findings = Vec::new();
        for policy in policies.iter().filter(|one| !one.name_any().starts_with(RESERVED_PREFIX)) {
            let name = policy.name_any();
            let as_json = serde_json::to_value(policy).unwrap_or_default();
            if let Some(rule) = reach::beyond(&as_json, self.org.as_str()) {
                findings.push(self.finding(
                    "C5",
                    Severity::Critical,
                    (
                        format!("{}/{name}", self.name),
                        format!("{rule} reaches beyond the organization"),
                    ),
                    "connections with pods of other organizations",
                    format!("kubectl -n {} delete networkpolicy {name}", self.name),
                ));
            }
        }
        Ok(findings)
    }

    /// What runs or serves past the policies, from before the guards or past them.
    async fn workloads(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        for pod in list(&self.inside::<Pod>(), &ListParams::default()).await? {
            let on_node = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
            if on_node {
                let name = pod.name_any();
                findings.push(self.finding(
                    "C6",
                    Severity::Critical,
                    (
                        format!("{}/{name}", self.name),
                        "the pod is on the node's network".to_owned(),
                    ),
                    "connections past every network policy",
                    format!("kubectl -n {} delete pod {name}", self.name),
                ));
            }
        }
        for service in list(&self.inside::<Service>(), &ListParams::default()).await? {
            let spec = service.spec.as_ref();
            let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP");
            let external = spec.and_then(|spec| spec.external_ips.as_ref());
            if kind != "ClusterIP" || external.is_some_and(|addresses| !addresses.is_empty()) {
                let name = service.name_any();
                findings.push(self.finding(
                    "C7",
                    Severity::Medium,
                    (
                        format!("{}/{name}", self.name),
                        "the service leads out of the cluster".to_owned(),
                    ),
                    "traffic that no network policy sees",
                    format!("kubectl -n {} delete service {name}", self.name),
                ));
            }
        }
        Ok(findings)
    }

    /// Namespaces that carry the organization's label and are not its own.
    async fn impostors(&self) -> Result<Vec<Finding>, Error> {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client().clone());
        let labelled = ListParams::default().labels(&format!("{ORG_LABEL}={}", self.org));
        let found = list(&namespaces, &labelled).await?;
        let others =
            found.iter().map(ResourceExt::name_any).filter(|name| name != self.name.as_str());
        Ok(others
            .map(|name| {
                self.finding(
                    "C8",
                    Severity::Critical,
                    (name.clone(), format!("the namespace carries {ORG_LABEL}={}", self.org)),
                    "its pods to be taken for the organization's own",
                    format!("kubectl label namespace {name} {ORG_LABEL}-"),
                )
            })
            .collect())
    }

    /// The guards are of the whole cluster; a hole in them is one in every organization.
    async fn guards(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        for manifest in guards(self.cluster.blueprint())?.iter() {
            if let Some(problem) = self.drift(manifest).await? {
                findings.push(self.finding(
                    "C9",
                    Severity::Critical,
                    (manifest.to_string(), format!("the guard differs: {problem}")),
                    "accounts with rights in a namespace to relabel or open it",
                    "cupel migrate".to_owned(),
                ));
            }
        }
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.cluster.client().clone());
        for policy in list(&policies, &ListParams::default()).await? {
            let name = policy.name_any();
            let checked = policy.status.and_then(|status| status.type_checking);
            let warned = checked.and_then(|checked| checked.expression_warnings);
            if name.starts_with(RESERVED_PREFIX) && warned.is_some_and(|all| !all.is_empty()) {
                findings.push(self.finding(
                    "C10",
                    Severity::Medium,
                    (name, "the API server warns about the guard's expressions".to_owned()),
                    "the guard to refuse everything, or what it should not",
                    "report it, with the version of Kubernetes".to_owned(),
                ));
            }
        }
        if self.suspended_while_running().await? {
            findings.push(self.finding(
                "C11",
                Severity::Medium,
                (
                    self.name.to_string(),
                    "the organization is suspended, and pods are left".to_owned(),
                ),
                "a suspended organization to go on",
                format!("cupel suspend {}", self.org),
            ));
        }
        Ok(findings)
    }

    async fn suspended_while_running(&self) -> Result<bool, Error> {
        let quota = suspended(&self.name);
        let live = self.cluster.read(quota.kind(), quota.namespace(), quota.name()).await?;
        Ok(live.is_some() && !list(&self.inside::<Pod>(), &ListParams::default()).await?.is_empty())
    }

    fn inside<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client().clone(), self.name.as_str())
    }
}

async fn list<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let listed = api.list(params).await;
    Ok(listed.map_err(|source| Error::of("list objects", source))?.items)
}

//! The objects of one organization, as they are wanted. Nothing here talks to a cluster.

mod namespace;
mod policies;
mod quotas;

use cupel_tenant::OrgSpec;

use crate::manifest::{self, Kind, Manifest};
use crate::{Blueprint, Error, NamespaceName};

pub(crate) use quotas::suspended;

/// The name of the service account that an organization's workloads run as.
pub(crate) const WORKLOAD_ACCOUNT: &str = "cupel-workload";

/// Everything that one organization has in a cluster: its namespace, and what lies in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    namespace: Manifest,
    contents: Vec<Manifest>,
}

impl Objects {
    /// Returns the objects in the order they are applied in: the namespace first, then policies, so
    /// that no workload runs before them.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        std::iter::once(&self.namespace).chain(&self.contents)
    }

    /// Returns the objects as YAML documents, as `kubectl apply -f -` reads them.
    pub fn to_yaml(&self) -> String {
        manifest::to_yaml(self.iter())
    }

    pub(crate) fn namespace(&self) -> &Manifest {
        &self.namespace
    }

    pub(crate) fn contents(&self) -> &[Manifest] {
        &self.contents
    }
}

/// Renders the objects of one organization. Needs no cluster.
///
/// # Examples
///
/// ```
/// use cupel_k8s_iso::{Blueprint, render};
/// use cupel_tenant::{OrgSpec, Tier};
///
/// let acme = OrgSpec::new("acme-corp".parse()?, Tier::ENTERPRISE);
/// let yaml = render(&acme, &Blueprint::default())?.to_yaml();
/// assert!(yaml.contains("name: cupel-org-acme-corp"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::UnknownTier`] if the blueprint has no limits for the tier, [`Error::Blueprint`] if it
/// breaks a rule.
pub fn render(spec: &OrgSpec, blueprint: &Blueprint) -> Result<Objects, Error> {
    blueprint.check()?;
    let limits = blueprint.limits_of(spec.tier())?;
    let name = NamespaceName::of(spec.org_id());
    let mut contents = policies::render(&name, blueprint);
    contents.extend(quotas::render(&name, limits));
    contents.extend(accounts(&name));
    Ok(Objects { namespace: namespace::render(&name, spec.tier(), blueprint), contents })
}

/// No pod gets a token of the API server that it did not ask for.
fn accounts(namespace: &NamespaceName) -> [Manifest; 2] {
    ["default", WORKLOAD_ACCOUNT].map(|name| {
        let body = serde_json::json!({ "automountServiceAccountToken": false });
        Manifest::namespaced(Kind::ServiceAccount, namespace.as_str(), name, body)
    })
}

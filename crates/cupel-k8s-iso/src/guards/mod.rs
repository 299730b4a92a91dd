//! What the API server refuses, whoever asks: admission policies, and the objects they become.
//!
//! Kubernetes' own rights say which kinds an account may write, not what it may write into them. An
//! account that may patch its own namespace may relabel it, and a network policy selects by label;
//! an account that may make network policies may open what ours closed, because policies add up. The
//! guards close that, in the API server, with no process of ours in the way.

pub(crate) mod canaries;
mod expressions;

use serde_json::{Value, json};

use crate::manifest::{self, Kind, Manifest};
use crate::names::{MANAGED_BY_LABEL, MANAGER, ORG_LABEL};
use crate::{Blueprint, Error};

use expressions::Rule;

/// The admission policies of a cluster and their bindings.
#[derive(Clone, Debug, PartialEq)]
pub struct Guards(Vec<Manifest>);

impl Guards {
    /// Returns the objects in the order they are applied in: the policies, then what puts them in
    /// force.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.0.iter()
    }

    /// Returns the objects as YAML documents, as `kubectl apply -f -` reads them.
    pub fn to_yaml(&self) -> String {
        manifest::to_yaml(self.iter())
    }
}

/// Renders the admission guards of a cluster. Needs no cluster.
///
/// # Errors
///
/// [`Error::NotManager`] if the blueprint names no manager: the guards would then refuse everybody,
/// us included. [`Error::Blueprint`] if it breaks a rule.
pub fn guards(blueprint: &Blueprint) -> Result<Guards, Error> {
    blueprint.check()?;
    if blueprint.manager_names().is_empty() {
        return Err(Error::NotManager);
    }
    let guards = ALL.map(|guard| guard(blueprint.manager_names()));
    let policies = guards.iter().map(Guard::policy);
    let bindings = guards.iter().map(Guard::binding);
    Ok(Guards(policies.chain(bindings).collect()))
}

/// The guards, by what each protects.
const ALL: [fn(&[String]) -> Guard; 5] =
    [managed_objects, network_policies, services, endpoints, namespaces];

const ENDPOINTS: &str = "cupel-endpoints";
const MANAGED_OBJECTS: &str = "cupel-managed-objects";
const NAMESPACES: &str = "cupel-namespaces";
const NETWORK_POLICIES: &str = "cupel-network-policies";
const SERVICES: &str = "cupel-services";

/// Which objects a guard looks at, and what must be true of them.
struct Guard {
    name: &'static str,
    resources: Vec<Value>,
    everywhere: bool,
    rules: Vec<Rule>,
}

/// Labels that decide whose a namespace is change by our hand only, on every path that writes them.
///
/// `namespaces/status` and `namespaces/finalize` write metadata too; a guard that does not match
/// them is walked around (GHSA-2ww6-hf35-mfjm).
fn namespaces(managers: &[String]) -> Guard {
    Guard {
        name: NAMESPACES,
        resources: vec![resources(
            "",
            &["namespaces", "namespaces/status", "namespaces/finalize"],
            &["CREATE", "UPDATE", "DELETE"],
        )],
        everywhere: true,
        rules: expressions::namespaces(managers),
    }
}

/// What cupel put into an organization's namespace stays as it is.
///
/// The status of a quota is part of it: the API server admits pods by what stands there.
fn managed_objects(managers: &[String]) -> Guard {
    let operations = &["CREATE", "UPDATE", "DELETE"];
    Guard {
        name: MANAGED_OBJECTS,
        resources: vec![
            resources(
                "",
                &["resourcequotas", "resourcequotas/status", "limitranges", "serviceaccounts"],
                operations,
            ),
            resources("networking.k8s.io", &["networkpolicies"], operations),
            resources("rbac.authorization.k8s.io", &["roles", "rolebindings"], operations),
        ],
        everywhere: false,
        rules: expressions::managed_objects(managers),
    }
}

/// A network policy of an organization's own allows its own pods only.
fn network_policies(managers: &[String]) -> Guard {
    Guard {
        name: NETWORK_POLICIES,
        resources: vec![resources(
            "networking.k8s.io",
            &["networkpolicies"],
            &["CREATE", "UPDATE"],
        )],
        everywhere: false,
        rules: expressions::network_policies(managers),
    }
}

/// A service is reachable from inside the cluster only (CVE-2020-8554 for external addresses).
fn services(managers: &[String]) -> Guard {
    Guard {
        name: SERVICES,
        resources: vec![resources("", &["services"], &["CREATE", "UPDATE"])],
        everywhere: false,
        rules: expressions::services(managers),
    }
}

/// The addresses behind a service are written by the cluster's controllers only: an ingress or load
/// balancer forwards to whatever stands there, another organization's pods included
/// (CVE-2021-25740, which has no patch).
fn endpoints(managers: &[String]) -> Guard {
    let operations = &["CREATE", "UPDATE"];
    Guard {
        name: ENDPOINTS,
        resources: vec![
            resources("", &["endpoints"], operations),
            resources("discovery.k8s.io", &["endpointslices"], operations),
        ],
        everywhere: false,
        rules: expressions::endpoints(managers),
    }
}

impl Guard {
    fn policy(&self) -> Manifest {
        let canary = (!self.everywhere).then(|| expressions::canary(self.name));
        let validations: Vec<Value> = canary
            .iter()
            .chain(&self.rules)
            .map(|rule| {
                json!({
                    "expression": rule.expression,
                    "message": rule.message,
                    "reason": "Forbidden",
                })
            })
            .collect();
        let spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": self.selector(),
                "objectSelector": {},
                "resourceRules": self.resources,
            },
            "validations": validations,
        });
        Manifest::cluster(Kind::Policy, self.name, &labels(), json!({ "spec": spec }))
    }

    fn binding(&self) -> Manifest {
        let spec = json!({ "policyName": self.name, "validationActions": ["Deny"] });
        Manifest::cluster(Kind::PolicyBinding, self.name, &labels(), json!({ "spec": spec }))
    }

    /// The label is to be trusted here because the guard of namespaces keeps it.
    fn selector(&self) -> Value {
        if self.everywhere {
            return json!({});
        }
        json!({ "matchExpressions": [{ "key": ORG_LABEL, "operator": "Exists" }] })
    }
}

fn labels() -> Value {
    json!({ MANAGED_BY_LABEL: MANAGER })
}

fn resources(group: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": resources,
        "scope": "*",
    })
}

//! Pods and services: what an organization may run, and where it may answer.

use cupel_tenant::{Attempt, Control};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::Duel;
use super::access::create;
use super::verdict::{control, observed};
use crate::objects::WORKLOAD_ACCOUNT;

impl Duel<'_> {
    pub(super) async fn workloads(&self) -> Vec<Attempt> {
        let greedy = json!({ "requests": { "cpu": "1000000" }, "limits": { "cpu": "1000000" } });
        vec![
            self.run("take more CPU than its tier has", "/spec/containers/0/resources", greedy)
                .await,
            self.run(
                "outrank everybody's pods by a system priority",
                "/spec/priorityClassName",
                json!("system-cluster-critical"),
            )
            .await,
            self.run("run a pod on the node's network", "/spec/hostNetwork", json!(true)).await,
            self.run(
                "run a privileged container",
                "/spec/containers/0/securityContext",
                json!({ "privileged": true }),
            )
            .await,
            self.point_by_hand().await,
            self.serve(
                "draw an address's traffic by a service",
                json!({ "externalIPs": ["203.0.113.7"] }),
            )
            .await,
            self.serve(
                "lead a service out of the cluster by name",
                json!({ "type": "ExternalName", "externalName": "metadata.google.internal" }),
            )
            .await,
            self.serve("open a port on every node", json!({ "type": "NodePort" })).await,
        ]
    }

    /// One field of an ordinary pod is changed; the owner's control is the pod without the change.
    async fn run(&self, name: &'static str, field: &str, value: Value) -> Attempt {
        let mut pod = ordinary_pod();
        let (parent, key) = field.rsplit_once('/').unwrap_or_default();
        if let Some(parent) = pod.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.insert(key.to_owned(), value);
        }
        let theirs = create::<Pod>(self.attacker, self.attacker, &pod).await;
        let own = create::<Pod>(self.victim, self.victim, &ordinary_pod()).await;
        self.conclude(name, observed(&theirs, "pod accepted"), runs_within_limits(&own))
    }

    async fn point_by_hand(&self) -> Attempt {
        let slice = json!({
            "metadata": {
                "name": "canary-slice",
                "labels": { "kubernetes.io/service-name": "canary" },
            },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.128.0.7"] }],
            "ports": [{ "port": 5432 }],
        });
        let theirs = create::<EndpointSlice>(self.attacker, self.attacker, &slice).await;
        let platform = self.platform_creates::<EndpointSlice>(&slice).await;
        self.conclude(
            "point a service at another organization's pods by hand",
            observed(&theirs, "endpoints accepted"),
            control(&platform, "the platform may"),
        )
    }

    /// The owner's control is the same service inside the cluster.
    async fn serve(&self, name: &'static str, change: Value) -> Attempt {
        let theirs = create::<Service>(self.attacker, self.attacker, &service(change)).await;
        let own = create::<Service>(self.victim, self.victim, &service(json!({}))).await;
        self.conclude(
            name,
            observed(&theirs, "service accepted"),
            control(&own, "owner's service accepted inside the cluster"),
        )
    }
}

/// A pod that asks for nothing, and that the strictest pod security accepts.
pub(super) fn ordinary_pod() -> Value {
    json!({
        "metadata": { "name": "canary-pod" },
        "spec": {
            "serviceAccountName": WORKLOAD_ACCOUNT,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "canary",
                "image": "registry.invalid/canary",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}

fn service(change: Value) -> Value {
    let mut spec = json!({ "ports": [{ "port": 80 }], "selector": { "app": "canary" } });
    if let (Some(spec), Value::Object(change)) = (spec.as_object_mut(), change) {
        spec.extend(change);
    }
    json!({ "metadata": { "name": "canary" }, "spec": spec })
}

/// The owner's pod runs, and got limits although it asked for none.
fn runs_within_limits(answer: &kube::Result<Pod>) -> Control {
    let Ok(pod) = answer else { return control(answer, "") };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let limited = containers.filter_map(|container| container.resources.as_ref()?.limits.as_ref());
    let limited = limited.filter(|limits| limits.contains_key("cpu")).count();
    Control::expect(limited == 1, "owner's pod accepted, with the tier's default limits")
}

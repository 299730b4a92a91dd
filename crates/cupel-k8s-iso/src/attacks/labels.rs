//! Identity: what an organization may write on its own namespace, on each path that writes it.

use cupel_tenant::{Attempt, Control, Observed};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::Duel;
use super::stage::Tenant;
use super::verdict::{control, observed};
use crate::names::{MANAGED_BY_LABEL, NAME_LABEL, ORG_LABEL};

/// The paths that write the metadata of a namespace.
#[derive(Clone, Copy)]
enum Path {
    Finalize,
    Main,
    Status,
}

impl Duel<'_> {
    pub(super) async fn labels(&self) -> Vec<Attempt> {
        let paths = [
            (Path::Main, "take the other organization's label"),
            (Path::Status, "take its label through namespaces/status"),
            (Path::Finalize, "take its label through namespaces/finalize"),
        ];
        let mut attempts = Vec::new();
        for (path, name) in paths {
            attempts.push(self.take_the_label(path, name).await);
        }
        attempts.push(self.take_the_name().await);
        attempts.push(self.pose_as_control_plane().await);
        attempts.push(
            self.take_off(
                "pod-security.kubernetes.io/enforce",
                "switch off pod security in its own namespace",
            )
            .await,
        );
        attempts.push(
            self.take_off(MANAGED_BY_LABEL, "disown its namespace, so that nobody suspends it")
                .await,
        );
        attempts.push(self.delete_the_namespace().await);
        attempts
    }

    async fn take_the_label(&self, path: Path, name: &'static str) -> Attempt {
        let victim = self.victim.org.as_str();
        let theirs = set(self.attacker, path, ORG_LABEL, Some(victim)).await;
        let own = set(self.victim, path, ORG_LABEL, Some(victim)).await;
        self.conclude(name, wrote(&theirs, ORG_LABEL, victim), kept(&own, ORG_LABEL, victim))
    }

    /// The API server writes this label itself, so the answer to look at is what it wrote.
    async fn take_the_name(&self) -> Attempt {
        let victim = self.victim.namespace.as_str();
        let theirs = set(self.attacker, Path::Main, NAME_LABEL, Some(victim)).await;
        let own = set(self.victim, Path::Main, NAME_LABEL, Some(victim)).await;
        let observed = wrote(&theirs, NAME_LABEL, victim);
        self.conclude(
            "take the name of the other's namespace",
            observed,
            kept(&own, NAME_LABEL, victim),
        )
    }

    async fn pose_as_control_plane(&self) -> Attempt {
        let (label, value) = ("cupel.io/component", "control-plane");
        let theirs = set(self.attacker, Path::Main, label, Some(value)).await;
        let platform = self.platform_sets(label, Some(value)).await;
        self.conclude(
            "pose as the control plane by a label",
            wrote(&theirs, label, value),
            control(&platform, "the platform may"),
        )
    }

    async fn take_off(&self, label: &str, name: &'static str) -> Attempt {
        let theirs = set(self.attacker, Path::Main, label, None).await;
        let platform = self.platform_sets(label, None).await;
        self.conclude(
            name,
            observed(&theirs, "label removed"),
            control(&platform, "the platform may"),
        )
    }

    async fn delete_the_namespace(&self) -> Attempt {
        let name = self.attacker.namespace.as_str();
        let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
        let platform: Api<Namespace> = Api::all(self.cluster.client().clone());
        let theirs = self.attacker.all::<Namespace>().delete(name, &dry_run).await;
        let platform = platform.delete(name, &dry_run).await;
        self.conclude(
            "delete its namespace, fences and all",
            observed(&theirs, "deleted"),
            control(&platform, "the platform may"),
        )
    }

    async fn platform_sets(&self, label: &str, value: Option<&str>) -> kube::Result<Namespace> {
        let namespaces = Api::all(self.cluster.client().clone());
        write(&namespaces, self.attacker, Path::Main, label, value).await
    }
}

async fn set(
    who: &Tenant,
    path: Path,
    label: &str,
    value: Option<&str>,
) -> kube::Result<Namespace> {
    write(&who.all(), who, path, label, value).await
}

/// Tries to write a label on the namespace of `whose`, and leaves it as it is.
async fn write(
    namespaces: &Api<Namespace>,
    whose: &Tenant,
    path: Path,
    label: &str,
    value: Option<&str>,
) -> kube::Result<Namespace> {
    let name = whose.namespace.as_str();
    let patch = Patch::Merge(json!({ "metadata": { "labels": { label: value } } }));
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    match path {
        Path::Main => namespaces.patch(name, &dry_run, &patch).await,
        Path::Status => namespaces.patch_subresource("status", name, &dry_run, &patch).await,
        Path::Finalize => {
            let mut namespace = namespaces.get(name).await?;
            let labels = namespace.metadata.labels.get_or_insert_default();
            match value {
                Some(value) => labels.insert(label.to_owned(), value.to_owned()),
                None => labels.remove(label),
            };
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            namespaces.replace_subresource("finalize", name, &dry_run, &namespace).await
        }
    }
}

fn label_of<'a>(namespace: &'a Namespace, label: &str) -> Option<&'a str> {
    namespace.metadata.labels.as_ref()?.get(label).map(String::as_str)
}

/// An accepted request that changed nothing is a refusal too.
fn wrote(answer: &kube::Result<Namespace>, label: &str, value: &str) -> Observed {
    match answer {
        Ok(namespace) if label_of(namespace, label) != Some(value) => {
            Observed::refused("refused: the API server keeps its own value")
        }
        _ => observed(answer, "label accepted"),
    }
}

fn kept(answer: &kube::Result<Namespace>, label: &str, value: &str) -> Control {
    match answer {
        Ok(namespace) if label_of(namespace, label) != Some(value) => {
            Control::failed("owner does not carry it")
        }
        _ => control(answer, "owner carries it"),
    }
}

//! Making it so: what is wanted is compared with what is there, and written only where it differs.

use std::time::Duration;

use cupel_tenant::{Changes, OrgId, OrgSpec};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::manifest::{Kind, Manifest};
use crate::names::{MANAGED_BY_LABEL, MANAGER, ORG_LABEL};
use crate::wait::Patience;
use crate::{Error, NamespaceName, TenantCluster, render};

/// How long the quota controller may take to account for a quota. Until then the API server refuses
/// every pod: "status unknown for quota".
const QUOTA_DEADLINE: Duration = Duration::from_secs(30);

impl TenantCluster {
    /// Makes the namespace of `spec` and everything in it, and returns what changed.
    #[tracing::instrument(level = "debug", skip_all, fields(org = %spec.org_id()))]
    pub(crate) async fn apply(&self, spec: &OrgSpec) -> Result<Changes, Error> {
        let objects = render(spec, self.blueprint())?;
        self.require_manager()?;
        let mut changes = self.ensure_guards().await?;
        self.create_namespace(spec.org_id(), objects.namespace(), &mut changes).await?;
        for manifest in objects.contents() {
            self.put(manifest, &mut changes).await?;
        }
        for quota in objects.contents().iter().filter(|one| one.kind() == Kind::ResourceQuota) {
            self.wait_for_quota(quota).await?;
        }
        Ok(changes)
    }

    /// Creates the namespace, or brings ours up to date. One that is not ours is left alone.
    ///
    /// Server-side apply alone would make or update, and so take over whatever has the name.
    async fn create_namespace(
        &self,
        org: &OrgId,
        wanted: &Manifest,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let api = self.api(Kind::Namespace, None);
        if self.own_namespace(org).await?.is_none() {
            let created = api.create(&writing(), &dynamic(wanted)?).await;
            match created {
                Ok(_) => {
                    changes.push(format!("created {wanted}"));
                    // The first namespace is where most guards can be seen for the first time.
                    return self.wait_for_guards(&NamespaceName::of(org)).await;
                }
                // Somebody was faster: what they made is looked at like any other.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(source) => return Err(Error::of("create a namespace", source)),
            }
        }
        let Some(live) = self.own_namespace(org).await? else {
            return Err(Error::NotProvisioned { org: org.clone() });
        };
        if wanted.drift(&live).is_some() {
            let mut patch = wanted.as_json().clone();
            let uid = live.pointer("/metadata/uid").cloned().unwrap_or_default();
            if let Some(metadata) = patch.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                // The API server refuses the patch if the namespace was made anew meanwhile.
                metadata.insert("uid".to_owned(), uid);
            }
            api.patch(wanted.name(), &applying(), &Patch::Apply(&patch))
                .await
                .map_err(|source| Error::of("update a namespace", source))?;
            changes.push(format!("updated {wanted}"));
        }
        Ok(())
    }

    /// Returns the namespace of `org`; `None` if there is none.
    pub(crate) async fn own_namespace(&self, org: &OrgId) -> Result<Option<Value>, Error> {
        let name = NamespaceName::of(org);
        let live = self.read(Kind::Namespace, None, name.as_str()).await?;
        let Some(live) = live else { return Ok(None) };
        let carries = |label: &str, value: &str| {
            live.pointer("/metadata/labels").and_then(|labels| labels.get(label))
                == Some(&json!(value))
        };
        if !carries(ORG_LABEL, org.as_str()) || !carries(MANAGED_BY_LABEL, MANAGER) {
            return Err(Error::ForeignNamespace { org: org.clone() });
        }
        if live.pointer("/metadata/deletionTimestamp").is_some() {
            return Err(Error::Terminating { org: org.clone() });
        }
        Ok(Some(live))
    }

    /// Returns an object as it is; `None` if it is not there.
    pub(crate) async fn read(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let live = self
            .api(kind, namespace)
            .get_opt(name)
            .await
            .map_err(|source| Error::of("read an object", source))?;
        live.map(json_of).transpose()
    }

    /// Brings one object to what is wanted. Writes nothing if it is.
    pub(crate) async fn put(&self, wanted: &Manifest, changes: &mut Changes) -> Result<(), Error> {
        let live = self.read(wanted.kind(), wanted.namespace(), wanted.name()).await?;
        if live.as_ref().is_some_and(|live| wanted.drift(live).is_none()) {
            return Ok(());
        }
        let api = self.api(wanted.kind(), wanted.namespace());
        let failed = |source| Error::of("apply an object", source);
        let applied = api
            .patch(wanted.name(), &applying(), &Patch::Apply(wanted.as_json()))
            .await
            .map_err(failed)?;
        let applied_json = json_of(applied.clone())?;
        if wanted.drift(&applied_json).is_some() {
            // Apply leaves the fields alone that only others own. They go with a replacement.
            let mut whole = dynamic(wanted)?;
            whole.metadata.resource_version = applied.metadata.resource_version;
            api.replace(wanted.name(), &writing(), &whole).await.map_err(failed)?;
        }
        let verb = if live.is_some() { "updated" } else { "created" };
        changes.push(match wanted.namespace() {
            Some(namespace) => format!("{verb} {wanted} in {namespace}"),
            None => format!("{verb} {wanted}"),
        });
        Ok(())
    }

    /// Waits until the quota is accounted for.
    pub(crate) async fn wait_for_quota(&self, quota: &Manifest) -> Result<(), Error> {
        let patience = Patience::with("the quotas were not accounted for", QUOTA_DEADLINE);
        loop {
            let live = self.read(quota.kind(), quota.namespace(), quota.name()).await?;
            let accounted = live.is_some_and(|live| {
                let hard = live.pointer("/status/hard");
                hard.is_some() && hard == live.pointer("/spec/hard")
            });
            if accounted {
                return Ok(());
            }
            patience.pause().await?;
        }
    }
}

/// Writes as us.
pub(crate) fn writing() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// Applies as us, taking back fields of ours that others wrote. Unknown fields are refused.
fn applying() -> PatchParams {
    PatchParams::apply(MANAGER).force().validation_strict()
}

fn dynamic(wanted: &Manifest) -> Result<DynamicObject, Error> {
    serde_json::from_value(wanted.as_json().clone())
        .map_err(|source| Error::of("read our own object", kube::Error::SerdeError(source)))
}

pub(crate) fn json_of(object: DynamicObject) -> Result<Value, Error> {
    serde_json::to_value(object)
        .map_err(|source| Error::of("read an object", kube::Error::SerdeError(source)))
}

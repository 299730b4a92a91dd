use crate::{Actor, OrgId, WorkspaceId};

/// Whose data is touched, and by whom: the only door to every store.
///
/// A scope is made at the edge, after authentication, and passed explicitly. It can be narrowed to a
/// workspace, and neither widened nor moved.
///
/// # Examples
///
/// ```
/// use cupel_tenant::{Actor, TenantScope};
///
/// let scope = TenantScope::org("acme-corp".parse()?).acting_as(Actor::new("nightly-import")?);
/// let narrow = scope.narrow_to("analytics".parse()?)?;
/// assert_eq!(narrow.org_id().as_str(), "acme-corp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantScope {
    org: OrgId,
    workspace: Option<WorkspaceId>,
    actor: Option<Actor>,
}

impl TenantScope {
    /// The whole of one organization.
    pub fn org(org: OrgId) -> Self {
        Self { org, workspace: None, actor: None }
    }

    /// Says who is acting, for audit and traces. Nothing is decided by it.
    #[must_use]
    pub fn acting_as(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }

    /// Narrows the scope to one workspace of its organization.
    ///
    /// # Errors
    ///
    /// [`AlreadyNarrowed`] if the scope is one of another workspace: a scope never moves sideways.
    pub fn narrow_to(self, workspace: WorkspaceId) -> Result<Self, AlreadyNarrowed> {
        match &self.workspace {
            Some(current) if *current != workspace => Err(AlreadyNarrowed),
            _ => Ok(Self { workspace: Some(workspace), ..self }),
        }
    }

    /// Returns the organization.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }

    /// Returns the workspace, if the scope was narrowed to one.
    pub fn workspace_id(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref()
    }

    /// Returns who is acting, if it was said.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }
}

/// The scope is already one of another workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the scope is already narrowed to another workspace; start from the organization's scope instead"
)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct AlreadyNarrowed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_narrows_once() {
        let scope = TenantScope::org("acme".parse().unwrap());
        let narrow = scope.narrow_to("analytics".parse().unwrap()).unwrap();
        assert_eq!(narrow.clone().narrow_to("analytics".parse().unwrap()), Ok(narrow.clone()));
        assert_eq!(narrow.narrow_to("finance".parse().unwrap()), Err(AlreadyNarrowed));
    }
}

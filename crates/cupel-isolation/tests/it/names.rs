//! No two organizations share a name in any layer, and every name parses back to its organization.

use cupel_isolation::cache::{Key, Namespace};
use cupel_isolation::cluster::NamespaceName;
use cupel_isolation::keys::KeyAlias;
use cupel_isolation::queues::{QueueName, RunId};
use cupel_isolation::{OrgId, TenantScope, WorkspaceId};
use proptest::prelude::*;

fn orgs() -> impl Strategy<Value = OrgId> {
    "[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?".prop_filter_map("an identifier", |text| text.parse().ok())
}

fn spaces() -> impl Strategy<Value = Option<WorkspaceId>> {
    proptest::option::of(
        "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
            .prop_filter_map("an identifier", |text| text.parse().ok()),
    )
}

proptest! {
    #[test]
    fn names_parse_back(org in orgs()) {
        let queue: QueueName = QueueName::of(&org).to_string().parse()?;
        let namespace: NamespaceName = NamespaceName::of(&org).to_string().parse()?;
        let alias: KeyAlias = KeyAlias::of(&org).as_str().parse()?;
        prop_assert_eq!([queue.org_id(), namespace.org_id(), alias.org_id()], [&org, &org, &org]);
    }

    #[test]
    fn a_run_id_is_its_organization_and_its_name(org in orgs(), name in "[!-~]{1,40}") {
        if let Ok(name) = name.parse() {
            let id = RunId::new(&org, name);
            prop_assert_eq!(id.to_string().parse::<RunId>()?, id);
        }
    }

    #[test]
    fn two_scopes_share_no_key(
        a in orgs(), b in orgs(), in_a in spaces(), in_b in spaces(), tail in ".{0,40}",
    ) {
        let scope = |org: &OrgId, space: &Option<WorkspaceId>| match space {
            Some(space) => TenantScope::org(org.clone()).narrow_to(space.clone()),
            None => Ok(TenantScope::org(org.clone())),
        };
        let (one, other) = (scope(&a, &in_a)?, scope(&b, &in_b)?);
        prop_assume!(one != other);
        if let (Ok(one), Ok(other)) = (
            Key::new(&one, Namespace::Cache, tail.as_bytes()),
            Key::new(&other, Namespace::Cache, tail.as_bytes()),
        ) {
            prop_assert_ne!(one.as_bytes(), other.as_bytes());
            let parsed = Key::parse(one.as_bytes())?;
            prop_assert_eq!(parsed.org_id(), &a);
        }
    }

    #[test]
    fn two_organizations_share_no_name(a in orgs(), b in orgs()) {
        prop_assume!(a != b);
        prop_assert_ne!(QueueName::of(&a).to_string(), QueueName::of(&b).to_string());
        prop_assert_ne!(NamespaceName::of(&a).to_string(), NamespaceName::of(&b).to_string());
        prop_assert_ne!(KeyAlias::of(&a), KeyAlias::of(&b));
    }
}

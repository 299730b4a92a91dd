//! No two organizations share a name in any layer, and every name parses back to its organization.

use cupel_isolation::cluster::NamespaceName;
use cupel_isolation::queues::{QueueName, RunId};
use cupel_isolation::{OrgId, TenantScope, WorkspaceId};
use proptest::prelude::*;

fn orgs() -> impl Strategy<Value = OrgId> {
    "[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?".prop_filter_map("an identifier", |text| text.parse().ok())
}

proptest! {
    #[test]
    fn names_parse_back(org in orgs()) {
        prop_assert_eq!(QueueName::from(&org).to_string().parse::<QueueName>()?.org_id(), &org);
        prop_assert_eq!(NamespaceName::from(&org).to_string().parse::<NamespaceName>()?.org_id(), &org);
        prop_assert_eq!(cupel_isolation::keys::alias(&org), format!("alias/cupel-org-{org}"));
    }

    #[test]
    fn two_organizations_share_no_name(a in orgs(), b in orgs()) {
        prop_assume!(a != b);
        prop_assert_ne!(QueueName::from(&a).to_string(), QueueName::from(&b).to_string());
        prop_assert_ne!(NamespaceName::from(&a).to_string(), NamespaceName::from(&b).to_string());
        prop_assert_ne!(cupel_isolation::keys::alias(&a), cupel_isolation::keys::alias(&b));
    }
}

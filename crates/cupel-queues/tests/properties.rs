//! What holds for every organization and every name.

use cupel_queues::{QueueName, RunId, RunName};
use cupel_tenant::OrgId;
use proptest::prelude::*;

/// Every organization id of up to 53 bytes that is no UUID in disguise.
fn org_id() -> impl Strategy<Value = OrgId> {
    "[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?".prop_filter_map("a UUID in disguise", |id| id.parse().ok())
}

/// Run names of one to five parts.
fn run_name() -> impl Strategy<Value = RunName> {
    let part = "[a-zA-Z0-9._:@+=,#%&*~!?<>|(){}$^;-]{1,39}";
    let name = prop::collection::vec(part, 1..=5).prop_map(|parts| parts.join("/"));
    name.prop_filter_map("a part is a dot or two", |name| name.parse().ok())
}

proptest! {
    #[test]
    fn a_queue_parses_back_to_its_organization(org in org_id()) {
        let queue = QueueName::of(&org);
        prop_assert_eq!(queue.to_string().parse(), Ok(queue));
    }

    #[test]
    fn a_run_parses_back_to_its_organization_and_name(org in org_id(), name in run_name()) {
        let id = RunId::new(&org, name);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn two_organizations_share_no_queue_and_no_run(
        a in org_id(),
        b in org_id(),
        name in run_name(),
        other in run_name(),
    ) {
        prop_assume!(a != b);
        prop_assert_ne!(QueueName::of(&a).to_string(), QueueName::of(&b).to_string());
        prop_assert_ne!(RunId::new(&a, name).to_string(), RunId::new(&b, other).to_string());
    }

    #[test]
    fn an_organization_whose_id_starts_with_anothers_shares_nothing_either(
        a in "[a-z0-9]{1,20}",
        rest in "-[a-z0-9]{1,10}",
        name in run_name(),
    ) {
        let b: OrgId = format!("{a}{rest}").parse()?;
        let a: OrgId = a.parse()?;
        prop_assert_ne!(QueueName::of(&a).to_string(), QueueName::of(&b).to_string());
        let prefix = format!("{a}/");
        prop_assert!(!RunId::new(&b, name).to_string().starts_with(&prefix));
    }

    #[test]
    fn an_id_fits_the_columns_of_temporals_schemas(org in org_id(), name in run_name()) {
        prop_assert!(RunId::new(&org, name).to_string().len() < 255);
    }

    #[test]
    fn no_text_at_all_makes_a_parser_panic(text in ".{0,300}") {
        let _ = text.parse::<QueueName>();
        let _ = text.parse::<RunName>();
        let _ = text.parse::<RunId>();
    }
}

//! What holds for every organization and every name.

use cupel_queues::{QueueName, RunId, RunName};
use cupel_tenant::OrgId;
use proptest::prelude::*;

prop_compose! {
    fn org_id()(text in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?") -> Option<OrgId> {
        text.parse().ok()
    }
}

prop_compose! {
    fn run_name()(text in "[!-~]{1,40}") -> Option<RunName> {
        text.parse().ok()
    }
}

proptest! {
    #[test]
    fn a_queue_parses_back_to_its_organization(org in org_id()) {
        prop_assume!(org.is_some());
        let org = org.unwrap();
        let queue: QueueName = QueueName::of(&org).to_string().parse().unwrap();
        prop_assert_eq!(queue.org_id(), &org);
    }

    #[test]
    fn a_run_parses_back_to_its_organization_and_name(org in org_id(), name in run_name()) {
        prop_assume!(org.is_some() && name.is_some());
        let id = RunId::new(&org.unwrap(), name.unwrap());
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn two_organizations_share_no_queue_and_no_run(
        a in org_id(),
        b in org_id(),
        name in run_name(),
        other in run_name(),
    ) {
        prop_assume!(a.is_some() && b.is_some() && a != b);
        prop_assume!(name.is_some() && other.is_some());
        let (a, b) = (a.unwrap(), b.unwrap());
        prop_assert_ne!(QueueName::of(&a).to_string(), QueueName::of(&b).to_string());
        let runs = [RunId::new(&a, name.unwrap()), RunId::new(&b, other.unwrap())];
        prop_assert_ne!(runs[0].to_string(), runs[1].to_string());
    }

    #[test]
    fn an_id_fits_the_columns_of_temporals_schemas(org in "[a-z0-9]{53}", name in "[!-~]{200}") {
        let (org, name) = (org.parse::<OrgId>(), name.parse::<RunName>());
        prop_assume!(org.is_ok() && name.is_ok());
        prop_assert!(RunId::new(&org.unwrap(), name.unwrap()).to_string().len() <= 255);
    }

    #[test]
    fn no_text_at_all_makes_a_parser_panic(text in ".{0,300}") {
        let _ = text.parse::<QueueName>();
        let _ = text.parse::<RunName>();
        let _ = text.parse::<RunId>();
    }
}

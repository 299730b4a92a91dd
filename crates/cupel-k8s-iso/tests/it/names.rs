use cupel_k8s_iso::{Blueprint, NamespaceName, render};
use cupel_tenant::{OrgId, OrgSpec, Tier};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

fn org() -> impl Strategy<Value = OrgId> {
    "[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?"
        .prop_filter_map("not an organization id", |text| text.parse().ok())
}

proptest! {
    #[test]
    fn a_namespace_parses_back_to_its_organization(org in org()) {
        let name = NamespaceName::of(&org);
        prop_assert!(name.as_str().len() <= 63);
        let parsed: NamespaceName = name.as_str().parse().unwrap();
        prop_assert_eq!(parsed.org_id(), &org);
    }

    #[test]
    fn different_organizations_share_no_namespace(one in org(), other in org()) {
        let (a, b) = (NamespaceName::of(&one), NamespaceName::of(&other));
        prop_assert_eq!(one == other, a.as_str() == b.as_str());
    }

    #[test]
    fn everything_rendered_lies_in_the_organizations_namespace(org in org()) {
        let spec = OrgSpec::new(org.clone(), Tier::STANDARD);
        let name = NamespaceName::of(&org);
        for object in render(&spec, &Blueprint::default()).unwrap().iter() {
            let place = object.namespace().unwrap_or(object.name());
            prop_assert_eq!(place, name.as_str());
        }
    }

    #[test]
    fn no_text_is_a_namespace_by_accident(text in ".{0,70}") {
        if let Ok(name) = text.parse::<NamespaceName>() {
            prop_assert_eq!(name.as_str(), text);
        }
    }
}

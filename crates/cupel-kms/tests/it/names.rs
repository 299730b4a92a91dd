use cupel_kms::KeyAlias;
use cupel_tenant::OrgId;
use proptest::prelude::{Strategy, prop_assert_eq, proptest};

fn org() -> impl Strategy<Value = OrgId> {
    "[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?".prop_filter_map("an id", |text| text.parse().ok())
}

proptest! {
    #[test]
    fn an_alias_parses_back_to_its_organization(org in org()) {
        let alias = KeyAlias::of(&org);
        prop_assert_eq!(alias.as_str().parse::<KeyAlias>(), Ok(alias.clone()));
        prop_assert_eq!(alias.org_id(), &org);
    }

    #[test]
    fn two_organizations_never_share_an_alias(one in org(), other in org()) {
        let same = KeyAlias::of(&one).as_str() == KeyAlias::of(&other).as_str();
        prop_assert_eq!(same, one == other);
    }

    #[test]
    fn no_text_breaks_the_parsers(text in ".*", bytes in proptest::collection::vec(0_u8.., 0..300)) {
        if let Ok(alias) = text.parse::<KeyAlias>() {
            prop_assert_eq!(alias.as_str(), text);
        }
        if let Ok(sealed) = cupel_kms::Sealed::parse(bytes.as_slice()) {
            prop_assert_eq!(sealed.as_bytes(), bytes);
        }
    }
}

#[test]
fn an_alias_of_anything_else_is_none() {
    for text in [
        "",
        "alias/cupel-org-",
        "alias/cupel-org-A",
        "alias/other",
        "cupel-org-acme",
        "alias/cupel-org-acme/stray",
    ] {
        assert!(text.parse::<KeyAlias>().is_err(), "{text:?}");
    }
}

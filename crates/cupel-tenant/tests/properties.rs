//! What holds for every text.

use cupel_tenant::{Actor, OrgId, OrgPair, Tier, WorkspaceId};
use proptest::prelude::*;
use uuid::Uuid;

/// Texts that are identifiers, texts that nearly are, and anything else.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9][a-z0-9-]{0,51}[a-z0-9]", "[a-zA-Z0-9:/._ -]{0,60}", "\\PC{0,64}", ".*"]
}

proptest! {
    #[test]
    fn what_is_accepted_is_the_grammar_and_nothing_else(text in texts()) {
        let bytes = text.as_bytes();
        let digits: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'-').collect();
        let uuid = digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit);
        let grammatical = (1..=53).contains(&bytes.len())
            && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && (!uuid || Uuid::try_parse(&text).is_ok_and(|id| id.hyphenated().to_string() == text));
        prop_assert_eq!(text.parse::<OrgId>().is_ok(), grammatical);
        prop_assert_eq!(text.parse::<WorkspaceId>().is_ok(), grammatical);
        prop_assert_eq!(text.parse::<Tier>().is_ok(), grammatical);
    }

    #[test]
    fn an_accepted_text_is_kept_as_it_is(text in texts()) {
        if let Ok(org) = text.parse::<OrgId>() {
            prop_assert_eq!(org.as_str(), &text);
            prop_assert_eq!(org.to_string().parse::<OrgId>(), Ok(org));
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_text(text in "[A-Z]{8,60}") {
        let error = text.parse::<OrgId>().unwrap_err();
        let said = format!("{error} {error:?}");
        prop_assert!(!said.contains(&text));
    }

    #[test]
    fn every_uuid_is_an_organization_id_with_one_spelling(bits in any::<u128>()) {
        let id = Uuid::from_u128(bits);
        let org = OrgId::from(id);
        prop_assert_eq!(org.as_str().parse::<OrgId>(), Ok(org.clone()));
        prop_assert_eq!(org.as_uuid(), Some(id));
        prop_assert!(id.simple().to_string().parse::<OrgId>().is_err());
    }

    #[test]
    fn canaries_differ_and_are_accepted(bits in any::<u128>()) {
        let pair = OrgPair::canary(Uuid::from_u128(bits));
        prop_assert_ne!(pair.first(), pair.second());
        prop_assert!(pair.first().as_uuid().is_some());
    }

    #[test]
    fn an_actor_is_printable(text in texts()) {
        let printable = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        prop_assert_eq!(Actor::new(&text).is_ok(), printable);
    }
}

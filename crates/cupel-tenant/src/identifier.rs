//! The grammar that organization, workspace and tier names share.

/// The longest identifier, in bytes: a Kubernetes name holds 63, of which `cupel-org-` takes ten.
pub(crate) const MAX_LEN: usize = 53;

/// The rule that a text broke, so that it is not an identifier.
///
/// The text itself is not kept: it is untrusted, and errors end up in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdRule {
    /// The text was empty.
    #[error("it is empty")]
    Empty,

    /// A byte is outside `a-z`, `0-9` and `-`.
    #[error("the byte at offset {offset} is not one of a-z, 0-9 and '-'")]
    IllegalByte {
        /// Where the byte stands in the text.
        offset: usize,
    },

    /// The first byte is `-`.
    #[error("it starts with a hyphen")]
    LeadingHyphen,

    /// Without its hyphens the text is 32 hexadecimal digits, and it is not grouped 8-4-4-4-12.
    ///
    /// PostgreSQL reads every grouping as the same UUID, and the other systems read each as another
    /// name; only the canonical one means the same everywhere.
    #[error("it is a UUID that is not written 8-4-4-4-12")]
    NonCanonicalUuid,

    /// The text is longer than 53 bytes.
    #[error("it is {len} bytes long, and at most {MAX_LEN} are allowed")]
    TooLong {
        /// The length of the text, in bytes.
        len: usize,
    },

    /// The last byte is `-`.
    #[error("it ends with a hyphen")]
    TrailingHyphen,
}

/// Checks `text` against the grammar: 1 to [`MAX_LEN`] bytes of `a-z 0-9 -`, alphanumeric at either
/// end, and canonical if it is a UUID.
pub(crate) fn check(text: &str) -> Result<(), IdRule> {
    match text.as_bytes() {
        [] => Err(IdRule::Empty),
        bytes if bytes.len() > MAX_LEN => Err(IdRule::TooLong { len: bytes.len() }),
        [b'-', ..] => Err(IdRule::LeadingHyphen),
        [.., b'-'] => Err(IdRule::TrailingHyphen),
        bytes => match bytes.iter().position(|byte| !is_allowed(*byte)) {
            Some(offset) => Err(IdRule::IllegalByte { offset }),
            None if is_uuid(bytes) && !is_canonical_uuid(bytes) => Err(IdRule::NonCanonicalUuid),
            None => Ok(()),
        },
    }
}

fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

fn is_uuid(bytes: &[u8]) -> bool {
    let digits = bytes.iter().filter(|byte| **byte != b'-');
    digits.clone().count() == 32 && digits.clone().all(u8::is_ascii_hexdigit)
}

fn is_canonical_uuid(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'-').map(<[u8]>::len).eq([8, 4, 4, 4, 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: &str, rule: IdRule) {
        assert_eq!(check(text), Err(rule), "checking {text:?}");
    }

    #[test]
    fn accepts_the_whole_alphabet_at_every_length() {
        for text in ["a", "0", "acme-corp", "a--b", "a1-2b", &"z".repeat(MAX_LEN)] {
            assert_eq!(check(text), Ok(()), "checking {text:?}");
        }
    }

    #[test]
    fn refuses_what_a_backend_would_interpret() {
        for separator in [":", "/", "*", "{", "'", "\0", "\n", " ", ".", "_", "A", "é"] {
            refuses(&format!("acme{separator}eu"), IdRule::IllegalByte { offset: 4 });
        }
    }

    #[test]
    fn refuses_by_position_and_length() {
        refuses("", IdRule::Empty);
        refuses("-a", IdRule::LeadingHyphen);
        refuses("a-", IdRule::TrailingHyphen);
        refuses("-", IdRule::LeadingHyphen);
        refuses(&"a".repeat(54), IdRule::TooLong { len: 54 });
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        assert_eq!(check("0192d4c6-5b1a-7c3e-9f00-0123456789ab"), Ok(()));
        for other in [
            "0192d4c65b1a7c3e9f000123456789ab",
            "0192-d4c6-5b1a-7c3e-9f00-0123-4567-89ab",
            "0192d4c65b1a-7c3e-9f00-0123456789ab",
            "0192d4c6-5b1a-7c3e-9f00-01234567-89ab",
        ] {
            refuses(other, IdRule::NonCanonicalUuid);
        }
        // Thirty-two characters that are not all hexadecimal are an ordinary name.
        assert_eq!(check("g192d4c65b1a7c3e9f000123456789ab"), Ok(()));
    }
}

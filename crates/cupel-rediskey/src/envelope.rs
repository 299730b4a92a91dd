//! The bytes of a stored value. No I/O.
//!
//! ```text
//! offset  length
//!      0       1   0xCE
//!      1       1   version of the layout: 1
//!      2       1   encoding of the body: 1 is JSON
//!      3       1   kind of the tag: 1 is a SHA-256 digest; 2 is kept for a tag under a secret key
//!      4      12   stamp: a digest of the generations that the value was made under
//!     16      16   tag over bytes 0 to 15, the name of the key, and the body
//!     32       …   body
//! ```
//!
//! The tag binds a value to its key, and so to its organization. A plain digest notices a value that
//! was delivered, renamed or copied to another key, and one that was damaged; it does not stop
//! whoever can write to the server and knows this layout. A tag under a key takes the same place.

use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{self, Context, SHA256};

use crate::key::Key;

const MAGIC: u8 = 0xCE;
const VERSION: u8 = 1;
const JSON: u8 = 1;
const DIGEST: u8 = 1;

const HEAD: [u8; 4] = [MAGIC, VERSION, JSON, DIGEST];
const STAMP_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// How many bytes a value is longer than its body.
pub(crate) const OVERHEAD: usize = HEAD.len() + STAMP_LEN + TAG_LEN;

/// The generations of one moment, as one short text to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([u8; STAMP_LEN]);

impl Stamp {
    pub(crate) fn of(generations: &[Vec<u8>]) -> Self {
        let mut context = Context::new(&SHA256);
        for generation in generations {
            context.update(&length(generation));
            context.update(generation);
        }
        Self(truncate(&context.finish()))
    }
}

/// What stored bytes are, seen from the key that they were read under.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened<'a> {
    /// Written under this key, in this generation.
    Fresh(&'a [u8]),
    /// Written under this key, in a generation that has passed, or in a layout to come.
    Stale,
    /// Not written under this key.
    Foreign,
}

/// Makes the bytes to store under `key`.
pub(crate) fn seal(key: &Key, stamp: Stamp, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(OVERHEAD + body.len());
    value.extend_from_slice(&HEAD);
    value.extend_from_slice(&stamp.0);
    value.extend_from_slice(&tag(HEAD, stamp, key, body));
    value.extend_from_slice(body);
    value
}

/// Reads bytes that were stored under `key`.
pub(crate) fn open<'a>(key: &Key, stamp: Stamp, value: &'a [u8]) -> Opened<'a> {
    let Some(Parts { head, stamp: stored, tag: sealed, body }) = split(value) else {
        return Opened::Foreign;
    };
    match head {
        [MAGIC, VERSION, JSON, DIGEST] => {}
        [MAGIC, _, _, _] => return Opened::Stale,
        _ => return Opened::Foreign,
    }
    if constant_time::verify_slices_are_equal(&tag(head, stored, key, body), &sealed).is_err() {
        return Opened::Foreign;
    }
    if stored == stamp { Opened::Fresh(body) } else { Opened::Stale }
}

/// A stored value, taken apart.
struct Parts<'a> {
    head: [u8; 4],
    stamp: Stamp,
    tag: [u8; TAG_LEN],
    body: &'a [u8],
}

fn split(value: &[u8]) -> Option<Parts<'_>> {
    let (head, rest) = value.split_first_chunk()?;
    let (stamp, rest) = rest.split_first_chunk()?;
    let (tag, body) = rest.split_first_chunk()?;
    Some(Parts { head: *head, stamp: Stamp(*stamp), tag: *tag, body })
}

fn tag(head: [u8; 4], stamp: Stamp, key: &Key, body: &[u8]) -> [u8; TAG_LEN] {
    let key = key.as_bytes();
    let mut context = Context::new(&SHA256);
    context.update(&head);
    context.update(&stamp.0);
    context.update(&length(key));
    context.update(key);
    context.update(body);
    truncate(&context.finish())
}

/// The length in bytes, in the same eight bytes on every machine: it goes into what is stored.
fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}

fn truncate<const N: usize>(digest: &digest::Digest) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use cupel_tenant::TenantScope;

    use super::*;
    use crate::key::Namespace;

    fn key(org: &str, namespace: Namespace, tail: &str) -> Key {
        let scope = TenantScope::org(org.parse().unwrap());
        Key::new(&scope, namespace, tail.as_bytes()).unwrap()
    }

    #[test]
    fn a_value_opens_under_its_own_key_and_generation_only() {
        let here = key("acme", Namespace::Cache, "schemas:a");
        let (now, then) = (Stamp::of(&[vec![1], vec![2]]), Stamp::of(&[vec![1, 2]]));
        let value = seal(&here, now, b"{}");

        assert_eq!(value.len(), OVERHEAD + 2);
        assert_eq!(open(&here, now, &value), Opened::Fresh(b"{}"));
        assert_eq!(open(&here, then, &value), Opened::Stale);
        for other in [
            key("globex", Namespace::Cache, "schemas:a"),
            key("acme", Namespace::Status, "schemas:a"),
            key("acme", Namespace::Cache, "schemas:b"),
        ] {
            assert_eq!(open(&other, now, &value), Opened::Foreign);
        }
    }

    #[test]
    fn a_damaged_value_does_not_open() {
        let here = key("acme", Namespace::Cache, "schemas:a");
        let now = Stamp::of(&[vec![1]]);
        let value = seal(&here, now, b"body");
        for at in 0..value.len() {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert!(!matches!(open(&here, now, &damaged), Opened::Fresh(_)), "byte {at}");
        }
        for len in 0..value.len() {
            assert_eq!(open(&here, now, &value[..len]), Opened::Foreign, "length {len}");
        }
    }

    #[test]
    fn a_layout_to_come_is_a_miss_and_no_alarm() {
        let here = key("acme", Namespace::Cache, "schemas:a");
        let now = Stamp::of(&[vec![1]]);
        for at in 1..4 {
            let mut value = seal(&here, now, b"body");
            value[at] += 1;
            assert_eq!(open(&here, now, &value), Opened::Stale);
        }
    }
}

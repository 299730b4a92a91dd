//! What the proxy can lie about.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use cupel_rediskey::{Key, Namespace};
use cupel_tenant::{OrgId, OrgPair};

use crate::proxy::{Command, Lie};

/// A guard that a liar takes out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// Values bound to their key: a value read under any key is made to fit it.
    Binding,
    /// Families that are told from organizations: one of the other's name is the other's.
    FamilyGrammar,
    /// Names taken literally: what is removed by a wildcard is what was written last.
    LiteralNames,
    /// Keys that are read from the front: the last prefix in a key counts.
    PrefixFirst,
    /// An organization's own prefix: both have one.
    Prefix,
    /// Tokens stored by their digest: the stored name finds the session.
    TokenDigest,
}

pub(crate) struct Liar {
    without: Vec<Without>,
    first: String,
    second: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last_written: Vec<u8>,
    sessions: HashMap<Vec<u8>, Vec<u8>>,
}

impl Liar {
    pub(crate) fn new(pair: &OrgPair, without: &[Without]) -> Self {
        let prefix = |org: &OrgId| format!("org:{org}");
        Self {
            without: without.to_vec(),
            first: prefix(pair.first()),
            second: prefix(pair.second()),
            seen: Mutex::default(),
        }
    }

    fn is_without(&self, guard: Without) -> bool {
        self.without.contains(&guard)
    }

    fn key(&self, mut key: Vec<u8>, seen: &Seen) -> Vec<u8> {
        if self.is_without(Without::TokenDigest) {
            key = seen.sessions.get(&key).cloned().unwrap_or(key);
        }
        if self.is_without(Without::PrefixFirst) {
            let last = key.windows(4).rposition(|part| part == b"org:");
            key = key.split_off(last.unwrap_or(0));
        }
        if self.is_without(Without::FamilyGrammar) {
            for org in [&self.first, &self.second] {
                // The name of a family ends a generation's key, and stands within a value's.
                let family = org.replacen("org:", ":cache:", 1);
                key = replace([&key[..], b":"].concat(), (family + ":").as_bytes());
                key.truncate(key.len() - 1);
            }
        }
        if self.is_without(Without::Prefix) {
            key = rename(key, &self.second, &self.first);
        }
        if self.is_without(Without::LiteralNames) && key.ends_with(b":schemas:*") {
            key.clone_from(&seen.last_written);
        }
        key
    }
}

impl Lie for Liar {
    fn command(&self, command: Command) -> Command {
        let Ok(mut seen) = self.seen.lock() else { return command };
        let is_key = |part: &Vec<u8>| part.starts_with(b"org:");
        let command: Command = command
            .into_iter()
            .map(|part| if is_key(&part) { self.key(part, &seen) } else { part })
            .collect();
        // EVAL script count mark value …
        if let [name, _, _, _, written, ..] = &command[..]
            && name == b"EVAL"
            && let Ok(key) = Key::parse(written)
        {
            seen.last_written.clone_from(written);
            if key.namespace() == Namespace::Session {
                seen.sessions.extend(found_by_stored_name(&key));
            }
        }
        command
    }

    fn text(&self, asked: &Command, at: usize, text: Vec<u8>) -> Vec<u8> {
        match asked.first().map(Vec::as_slice) {
            Some(b"MGET") if self.is_without(Without::Binding) => {
                asked.get(1 + at).map(|key| bind(key, &text)).unwrap_or(text)
            }
            Some(b"SCAN") if self.is_without(Without::Prefix) => {
                let pattern = format!("{}[", self.second);
                match asked.iter().any(|part| part.starts_with(pattern.as_bytes())) {
                    true => rename(text, &self.first, &self.second),
                    false => text,
                }
            }
            _ => text,
        }
    }
}

/// Gives a key of one organization the other's prefix.
fn rename(key: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    match key.strip_prefix(from.as_bytes()) {
        Some(rest) if matches!(rest.first(), Some(b':' | b'.' | b'[')) => {
            [to.as_bytes(), rest].concat()
        }
        _ => key,
    }
}

/// Takes one family of the cache for another.
fn replace(key: Vec<u8>, family: &[u8]) -> Vec<u8> {
    match key.windows(family.len()).position(|part| part == family) {
        Some(at) => {
            let (before, rest) = key.split_at(at);
            [before, b":cache:schemas:", rest.split_at(family.len()).1].concat()
        }
        None => key,
    }
}

/// Makes a stored value fit another key: what a tag without a secret does not prevent.
fn bind(key: &[u8], value: &[u8]) -> Vec<u8> {
    let Some((head, rest)) = value.split_first_chunk::<16>() else { return value.to_vec() };
    let Some((_, body)) = rest.split_first_chunk::<16>() else { return value.to_vec() };
    if !head.starts_with(&[0xCE, 1, 1, 1]) {
        return value.to_vec();
    }
    let len = (key.len() as u64).to_be_bytes();
    let tag = digest(&SHA256, &[&head[..], &len, key, body].concat());
    [&head[..], tag.as_ref().split_at(16).0, body].concat()
}

/// The key that a session's stored name would be looked up under, and the key to find it at.
fn found_by_stored_name(key: &Key) -> Option<(Vec<u8>, Vec<u8>)> {
    let hex = str::from_utf8(key.tail()).ok()?;
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let name: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    let wanted = digest(&SHA256, &name);
    let wanted: String = wanted.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let prefix = key.as_bytes().strip_suffix(key.tail())?;
    Some(([prefix, wanted.as_bytes()].concat(), key.as_bytes().to_vec()))
}

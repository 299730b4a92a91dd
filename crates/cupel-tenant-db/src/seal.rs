use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{hmac, rand};
use cupel_tenant::TenantScope;
use zeroize::Zeroizing;

use crate::Error;

/// The key that a service seals contexts with, and that the database opens them by.
///
/// As text it is an id of 1 to 16 bytes of `a-z 0-9`, a colon, and 64 hexadecimal digits from a source
/// of random numbers, such as `openssl rand -hex 32`. It is not printed, and wiped from memory.
///
/// # Examples
///
/// ```
/// use cupel_tenant_db::SealKey;
///
/// let key: SealKey = format!("k1:{}", "0f".repeat(32)).parse()?;
/// assert_eq!(key.id(), "k1");
/// assert_eq!(format!("{key:?}"), "SealKey(k1)");
/// # Ok::<(), cupel_tenant_db::InvalidSealKey>(())
/// ```
#[derive(Clone)]
pub struct SealKey {
    id: String,
    secret: Zeroizing<[u8; 32]>,
}

/// The text given is not a [`SealKey`]. It is not kept: it may be one but for a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid seal key: write an id of 1 to 16 bytes of a-z and 0-9, a colon, and 64 hexadecimal digits, as of `openssl rand -hex 32`"
)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct InvalidSealKey;

impl SealKey {
    /// Returns the id: it stands in every seal, so that two keys can be in use while they are rotated.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key padded as HMAC pads it, inner and outer: RFC 2104, section 2, for blocks of 64 bytes.
    pub(crate) fn pads(&self) -> [Zeroizing<Vec<u8>>; 2] {
        [0x36, 0x5c].map(|pad| {
            let mut block = Zeroizing::new(vec![pad; 64]);
            for (padded, byte) in block.iter_mut().zip(self.secret.iter()) {
                *padded ^= byte;
            }
            block
        })
    }
}

impl FromStr for SealKey {
    type Err = InvalidSealKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, digits) = text.split_once(':').ok_or(InvalidSealKey)?;
        let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(1..=16).contains(&id.len()) || !id.bytes().all(is_id) || digits.len() != 64 {
            return Err(InvalidSealKey);
        }
        let mut secret = Zeroizing::new([0; 32]);
        for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let mut value = 0;
            for digit in pair {
                let digit = char::from(*digit).to_digit(16).ok_or(InvalidSealKey)?;
                value = value << 4 | u8::try_from(digit).map_err(|_| InvalidSealKey)?;
            }
            *byte = value;
        }
        Ok(Self { id: id.to_owned(), secret })
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id)
    }
}

/// How long after it was made a seal opens in a transaction that begins then. A transaction may last
/// longer: what counts is when it began.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10);

/// Where a seal opens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In one backend, by its process id.
    Backend(i32),
    /// In whatever backend a pooler chooses. Each seal is then another, by its nonce.
    Anywhere,
}

/// Makes seals.
pub(crate) struct Sealer {
    id: String,
    mac: hmac::Key,
    /// What the server's clock is ahead of ours, in seconds.
    ahead: f64,
}

impl Sealer {
    pub(crate) fn new(key: &SealKey, ahead: f64) -> Self {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_slice());
        Self { id: key.id.clone(), mac, ahead }
    }

    /// Returns a seal that opens for the scope, in one place and not for long: a text of
    /// `a-z 0-9 . -`, so that it needs no quoting.
    ///
    /// No separator is in the alphabet of an id, so no two scopes have one text.
    pub(crate) fn seal(&self, scope: &TenantScope, place: Place) -> Result<String, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires = now.as_secs_f64() + self.ahead + LIFETIME.as_secs_f64();
        let place = match place {
            Place::Backend(backend) => backend.to_string(),
            Place::Anywhere => {
                let mut nonce = [0; 16];
                rand::fill(&mut nonce).map_err(|_| Error::NoRandomness)?;
                format!("n{}", hex(&nonce))
            }
        };
        let body = format!(
            "v1.{id}.{org}.{workspace}.{place}.{expires:.0}",
            id = self.id,
            org = scope.org_id(),
            workspace = scope.workspace_id().map_or("-", |it| it.as_str()),
        );
        let mac = hmac::sign(&self.mac, body.as_bytes());
        Ok(format!("{body}.{}", hex(mac.as_ref())))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.id)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> SealKey {
        format!("k1:{}", digit.repeat(64)).parse().unwrap()
    }

    #[test]
    fn a_key_has_an_id_and_a_length() {
        assert_eq!(key("a").id(), "k1");
        for refused in ["", "k1", "k1:", "k1:ff", "K1:", ":"] {
            assert_eq!(refused.parse::<SealKey>().unwrap_err(), InvalidSealKey, "{refused}");
        }
        let digits = "0".repeat(64);
        for id in ["", "K", "a.b", "a_b", &"a".repeat(17)] {
            assert!(format!("{id}:{digits}").parse::<SealKey>().is_err(), "{id}");
        }
        assert!(format!("k1:{}", "g".repeat(64)).parse::<SealKey>().is_err());
    }

    #[test]
    fn the_pads_make_the_code_of_the_library() {
        use aws_lc_rs::digest::{SHA256, digest};
        let key = key("7");
        let [inner, outer] = key.pads();
        let hash = |parts: [&[u8]; 2]| digest(&SHA256, &parts.concat()).as_ref().to_vec();
        let ours = hash([&outer, &hash([&inner, b"text"])]);
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_slice()), b"text");
        assert_eq!(ours, mac.as_ref());
    }

    #[test]
    fn a_seal_names_scope_place_and_end() {
        let scope = TenantScope::org("acme-eu".parse().unwrap());
        let sealer = Sealer::new(&key("7"), 0.0);
        let seal = sealer.seal(&scope, Place::Backend(42)).unwrap();
        assert!(seal.starts_with("v1.k1.acme-eu.-.42."), "{seal}");
        assert_eq!(seal.split('.').count(), 7);
        assert_eq!(seal.rsplit('.').next().unwrap().len(), 64);
        let [one, two] = [(); 2].map(|()| sealer.seal(&scope, Place::Anywhere).unwrap());
        assert_ne!(one, two);
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", key("7")), "SealKey(k1)");
        assert_eq!(format!("{:?}", Sealer::new(&key("7"), 0.0)), "Sealer(k1)");
    }
}

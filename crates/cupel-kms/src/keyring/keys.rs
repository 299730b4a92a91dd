//! The keys of a keyring (pure but for random bytes).

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use cupel_tenant::OrgId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::provider::{EncryptionContext, KeyId, KeyState, OrgKey};
use crate::{DataKey, Error, WrappedKey};

/// Every key, by the text of its [`KeyId`], and the aliases that lead to them.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    keys: BTreeMap<String, Key>,
    aliases: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    owner: String,
    state: State,
    /// When a key that awaits deletion is gone.
    delete_after: Option<jiff::Timestamp>,
    material: Material,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Disabled,
    Enabled,
    PendingDeletion,
}

/// 256 random bits that wrap data keys.
struct Material(Zeroizing<[u8; 32]>);

impl Serialize for Material {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Material {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

/// A wrapped key is the id of its key (16 bytes), a nonce (12), and the data key with its tag (48).
const ID_LEN: usize = 16;

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn alias(&self, alias: &str) -> Result<OrgKey, Error> {
        let id = self.aliases.get(alias).ok_or(Error::NoKey)?;
        let key = self.keys.get(id).ok_or(Error::NoKey)?;
        Ok(OrgKey::new(KeyId::new(id.as_str()), key.owner.parse().ok(), key.state.into()))
    }

    pub(super) fn create(&mut self, org: &OrgId, alias: &str) -> Result<OrgKey, Error> {
        if let Ok(existing) = self.alias(alias) {
            return Ok(existing);
        }
        let mut material = Zeroizing::new([0; 32]);
        rand::fill(&mut material[..])?;
        let id = format!("{KEY_PREFIX}{}", Uuid::new_v4());
        let key = Key {
            owner: org.as_str().to_owned(),
            state: State::Enabled,
            delete_after: None,
            material: Material(material),
        };
        self.keys.insert(id.clone(), key);
        self.aliases.insert(alias.to_owned(), id);
        self.alias(alias)
    }

    pub(super) fn point(&mut self, alias: &str, key: &KeyId) -> Result<(), Error> {
        self.find(key)?;
        self.aliases.insert(alias.to_owned(), key.as_str().to_owned());
        Ok(())
    }

    pub(super) fn delete_alias(&mut self, alias: &str) -> bool {
        self.aliases.remove(alias).is_some()
    }

    pub(super) fn state(&self, key: &KeyId) -> Result<KeyState, Error> {
        Ok(self.find(key)?.state.into())
    }

    /// Enables or disables a key, unless it awaits deletion.
    pub(super) fn set_enabled(&mut self, key: &KeyId, enabled: bool) -> Result<(), Error> {
        let key = self.find_mut(key)?;
        if key.state == State::PendingDeletion {
            return Err(Error::AwaitsDeletion);
        }
        key.state = if enabled { State::Enabled } else { State::Disabled };
        Ok(())
    }

    pub(super) fn schedule_deletion(
        &mut self,
        key: &KeyId,
        when: jiff::Timestamp,
    ) -> Result<(), Error> {
        let key = self.find_mut(key)?;
        if key.state != State::PendingDeletion {
            key.state = State::PendingDeletion;
            key.delete_after = Some(when);
        }
        Ok(())
    }

    /// Forgets the keys whose time has come.
    pub(super) fn delete_due(&mut self, now: jiff::Timestamp) {
        self.keys.retain(|_, key| key.delete_after.is_none_or(|when| when > now));
        let keys = &self.keys;
        self.aliases.retain(|_, id| keys.contains_key(id));
    }

    pub(super) fn generate(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let (id, key) = self.find_usable(key)?;
        let mut data_key = Zeroizing::new([0; 32]);
        rand::fill(&mut data_key[..])?;
        let mut nonce = [0; 12];
        rand::fill(&mut nonce)?;
        let mut body = Zeroizing::new(Vec::with_capacity(48));
        body.extend_from_slice(&data_key[..]);
        let cipher = key.cipher()?;
        cipher.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound(id, context)),
            &mut *body,
        )?;
        let wrapped = [id.as_bytes().as_slice(), &nonce, &body].concat();
        Ok((DataKey::new(*data_key), WrappedKey::new(wrapped)))
    }

    pub(super) fn unwrap_key(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, Error> {
        let (id, key) = self.find_usable(key)?;
        let parts = || {
            let (wrapped_by, rest) = wrapped.as_bytes().split_first_chunk::<ID_LEN>()?;
            let (nonce, body) = rest.split_first_chunk::<12>()?;
            (wrapped_by == id.as_bytes()).then(|| (*nonce, Zeroizing::new(body.to_vec())))
        };
        let (nonce, mut body) = parts().ok_or(Error::DoesNotOpen)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = key
            .cipher()?
            .open_in_place(nonce, Aad::from(bound(id, context)), &mut body)
            .map_err(|_| Error::DoesNotOpen)?;
        let bytes: &[u8; 32] = (&*opened).try_into().map_err(|_| Error::DoesNotOpen)?;
        Ok(DataKey::new(*bytes))
    }

    fn find(&self, key: &KeyId) -> Result<&Key, Error> {
        self.keys.get(key.as_str()).ok_or(Error::NoKey)
    }

    fn find_mut(&mut self, key: &KeyId) -> Result<&mut Key, Error> {
        self.keys.get_mut(key.as_str()).ok_or(Error::NoKey)
    }

    fn find_usable(&self, key: &KeyId) -> Result<(Uuid, &Key), Error> {
        let id = uuid_of(key)?;
        let key = self.find(key)?;
        match key.state {
            State::Enabled => Ok((id, key)),
            State::Disabled => Err(Error::Disabled),
            State::PendingDeletion => Err(Error::AwaitsDeletion),
        }
    }
}

impl Key {
    /// Random nonces under one key are safe for 2^32 data keys (NIST SP 800-38D, section 8.3).
    fn cipher(&self) -> Result<LessSafeKey, Error> {
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.material.0[..])?))
    }
}

impl From<State> for KeyState {
    fn from(state: State) -> Self {
        match state {
            State::Disabled => Self::Disabled,
            State::Enabled => Self::Enabled,
            State::PendingDeletion => Self::PendingDeletion,
        }
    }
}

/// What a wrapped key is authenticated with: its key, and each name and value, length first.
fn bound(id: Uuid, context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = id.as_bytes().to_vec();
    for part in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

const KEY_PREFIX: &str = "local:key/";

fn uuid_of(key: &KeyId) -> Result<Uuid, Error> {
    let id = key.as_str().strip_prefix(KEY_PREFIX).ok_or(Error::NoKey)?;
    id.parse().map_err(|_| Error::NoKey)
}

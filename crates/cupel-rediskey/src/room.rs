//! The part of one scope in one namespace: where every command of a handle is made.

use cupel_tenant::TenantScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::Error;
use crate::Ttl;
use crate::body::{decode, encode};
use crate::envelope::{self, Opened, Stamp};
use crate::key::{Key, Namespace};
use crate::script;
use crate::server::{Command, Server};

/// How often a write that was overtaken by an invalidation is tried again.
const TRIES: usize = 3;

/// How many values are read at once.
const BATCH: usize = 256;

/// One scope's keys in one namespace; in the cache, of one family.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    server: Server,
    scope: TenantScope,
    namespace: Namespace,
    family: Option<Box<str>>,
    suspended: Key,
    index: Key,
    /// From the widest to the narrowest; a value is fresh while none of them has changed.
    generations: Vec<Key>,
}

/// What the generations were when a value was about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Moment(Vec<Vec<u8>>);

impl Room {
    /// The room of `scope` in `namespace`. A family's name has been checked before.
    pub(crate) fn new(
        server: Server,
        scope: TenantScope,
        namespace: Namespace,
        family: Option<&str>,
    ) -> Self {
        let org = TenantScope::org(scope.org_id().clone());
        let mut generations = vec![generation(&org)];
        let owners = if scope.workspace_id().is_some() { vec![&org, &scope] } else { vec![&org] };
        for owner in owners {
            let words = ["generation", namespace.as_str()];
            generations.push(Key::meta(owner, &words));
            if let Some(family) = family {
                generations.push(Key::meta(owner, &[&words[..], &[family]].concat()));
            }
        }
        let suspended = suspended(&org);
        let index = Key::meta(&scope, &["index", namespace.as_str()]);
        let family = family.map(Into::into);
        Self { server, scope, namespace, family, suspended, index, generations }
    }

    /// Names a key of this room.
    pub(crate) fn key(&self, tail: &[u8]) -> Result<Key, Error> {
        if tail.is_empty() {
            return Err(crate::InvalidKey::Empty.into());
        }
        let tail = match &self.family {
            Some(family) => [family.as_bytes(), b":", tail].concat(),
            None => tail.to_vec(),
        };
        Ok(Key::new(&self.scope, self.namespace, &tail)?)
    }

    /// Reads a value together with the generations, in one round trip.
    pub(crate) async fn read(&self, key: &Key) -> Result<(Option<Moment>, Option<Vec<u8>>), Error> {
        let (moment, mut bodies) = self.read_all(&[key]).await?;
        Ok((moment, bodies.pop().flatten()))
    }

    async fn read_all(
        &self,
        keys: &[&Key],
    ) -> Result<(Option<Moment>, Vec<Option<Vec<u8>>>), Error> {
        let known = [&self.suspended].into_iter().chain(&self.generations);
        let names = known.chain(keys.iter().copied()).map(Key::as_bytes);
        let command = Command::new("MGET").args(names);
        let mut answer: Vec<Option<Vec<u8>>> = self.server.ask(&command).await?;
        let values = answer.split_off(answer.len().min(1 + self.generations.len()));
        let mut answer = answer.into_iter();
        if answer.next().flatten().is_some() {
            return Err(Error::Suspended);
        }
        let Some(moment) = answer.collect::<Option<_>>().map(Moment) else {
            return Ok((None, vec![None; keys.len()]));
        };
        let stamp = Stamp::of(&moment.0);
        let bodies = keys.iter().zip(values).map(|(key, value)| self.unseal(key, stamp, &value?));
        let bodies = bodies.collect();
        Ok((Some(moment), bodies))
    }

    /// Takes the body out of a value that was written under this key and is still fresh.
    fn unseal(&self, key: &Key, stamp: Stamp, value: &[u8]) -> Option<Vec<u8>> {
        match envelope::open(key, stamp, value) {
            Opened::Fresh(body) => Some(body.to_vec()),
            Opened::Stale => None,
            Opened::Foreign => {
                self.server.count_foreign_value();
                tracing::error!(
                    org = %self.scope.org_id(),
                    namespace = %self.namespace,
                    "a value that was not written under its key was treated as missing"
                );
                None
            }
        }
    }

    /// Returns the generations of now, and begins those that there are none of.
    pub(crate) async fn now(&self) -> Result<Moment, Error> {
        if let (Some(moment), _) = self.read_all(&[]).await? {
            return Ok(moment);
        }
        for generation in &self.generations {
            begin(&self.server, &self.suspended, generation).await?;
        }
        self.read_all(&[]).await?.0.ok_or(Error::Generation)
    }

    /// Writes a value that was made at `moment`. Returns false if an invalidation was faster.
    pub(crate) async fn write(
        &self,
        key: &Key,
        moment: &Moment,
        body: &[u8],
        ttl: Ttl,
        listed_as: &[u8],
    ) -> Result<bool, Error> {
        let value = envelope::seal(key, Stamp::of(&moment.0), body);
        let keys = [&self.suspended, key, &self.index].into_iter().chain(&self.generations);
        let command = eval(script::PUT, keys)
            .arg(value)
            .arg(ttl.as_millis())
            .arg(listed_as)
            .arg(Ttl::MAX.as_millis())
            .args(moment.0.iter().map(Vec::as_slice));
        self.decide(&command).await
    }

    /// Writes a value as one made now, however often an invalidation is faster.
    pub(crate) async fn put<T: Serialize + ?Sized>(
        &self,
        key: &Key,
        value: &T,
        ttl: Ttl,
        listed_as: &[u8],
    ) -> Result<(), Error> {
        let body = encode(value)?;
        for _ in 0..TRIES {
            let moment = self.now().await?;
            if self.write(key, &moment, &body, ttl, listed_as).await? {
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// Reads a value of a type.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Error> {
        let (_, body) = self.read(key).await?;
        body.as_deref().map(decode).transpose()
    }

    /// Removes a value. Returns whether there was one.
    pub(crate) async fn remove(&self, key: &Key, listed_as: &[u8]) -> Result<bool, Error> {
        let command = eval(script::REMOVE, [&self.suspended, key, &self.index]).arg(listed_as);
        self.decide(&command).await
    }

    /// Makes a value live for `ttl` from now. Returns whether there was one.
    pub(crate) async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool, Error> {
        let command = eval(script::TOUCH, [&self.suspended, key]).arg(ttl.as_millis());
        self.decide(&command).await
    }

    /// Begins a new generation of exactly this room.
    pub(crate) async fn bump(&self) -> Result<(), Error> {
        let Some(narrowest) = self.generations.last() else { return Ok(()) };
        let command = eval(script::BUMP, [&self.suspended, narrowest]).arg(nonce());
        self.decide(&command).await.map(drop)
    }

    /// Reads every listed value that is fresh, with the names they are listed by.
    pub(crate) async fn list<T: DeserializeOwned>(&self) -> Result<Vec<(Vec<u8>, T)>, Error> {
        let command = Command::new("ZRANGE").arg(self.index.as_bytes()).arg(0).arg(-1);
        let names: Vec<Vec<u8>> = self.server.ask(&command).await?;
        // Asks at least once, so that a suspended organization is refused when nothing is listed.
        if names.is_empty() {
            self.read_all(&[]).await?;
        }
        let mut listed = Vec::new();
        for names in names.chunks(BATCH) {
            let keys = names.iter().map(|name| self.key(name)).collect::<Result<Vec<_>, _>>()?;
            let (_, bodies) = self.read_all(&keys.iter().collect::<Vec<_>>()).await?;
            for (name, body) in names.iter().zip(bodies) {
                if let Some(body) = body {
                    listed.push((name.clone(), decode(&body)?));
                }
            }
        }
        Ok(listed)
    }

    async fn decide(&self, command: &Command) -> Result<bool, Error> {
        decision(self.server.ask(command).await?)
    }
}

/// The generation of a whole organization.
pub(crate) fn generation(org: &TenantScope) -> Key {
    Key::meta(org, &["generation"])
}

/// The mark of a suspended organization.
pub(crate) fn suspended(org: &TenantScope) -> Key {
    Key::meta(org, &["suspended"])
}

/// Begins a generation unless there is one. Returns whether there was none.
///
/// A generation is random, not counted: when one is lost (evicted, or not replicated before a
/// failover), a count would begin again and bring back values that were invalidated long ago. A
/// suspended organization begins none, so that nothing is made behind an erasure.
pub(crate) async fn begin(
    server: &Server,
    suspended: &Key,
    generation: &Key,
) -> Result<bool, Error> {
    let command = eval(script::BEGIN, [suspended, generation]).arg(nonce());
    decision(server.ask(&command).await?)
}

/// What a script decided.
fn decision(answer: i64) -> Result<bool, Error> {
    match answer {
        script::SUSPENDED => Err(Error::Suspended),
        decision => Ok(decision != 0),
    }
}

/// A generation that there has never been: 122 random bits.
pub(crate) fn nonce() -> Vec<u8> {
    Uuid::new_v4().into_bytes().to_vec()
}

fn eval<'a>(script: &'static str, keys: impl IntoIterator<Item = &'a Key>) -> Command {
    let keys: Vec<&[u8]> = keys.into_iter().map(Key::as_bytes).collect();
    Command::new("EVAL").arg(script).arg(keys.len()).args(keys)
}

use cupel_tenant::BoxError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::InvalidFamily;
use crate::Ttl;
use crate::body::{decode, encode};
use crate::room::Room;

/// Values of one kind that can be made again: one family of one scope's cache.
///
/// A family is invalidated as a whole in one step, however many values it has.
///
/// # Examples
///
/// ```no_run
/// # use cupel_rediskey::{Error, ScopedCache, Ttl};
/// # async fn load() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn f(cache: ScopedCache) -> Result<(), Error> {
/// let schemas = cache.family("schemas").living(Ttl::hours(1));
/// let schema = schemas.get_or_load("crm.contacts", load).await?;
/// schemas.invalidate().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Family {
    room: Result<Room, InvalidFamily>,
    ttl: Ttl,
}

impl Family {
    pub(crate) fn new(room: Result<Room, InvalidFamily>) -> Self {
        Self { room, ttl: Ttl::minutes(10) }
    }

    /// Sets how long a value lives that [`Family::get_or_load`] has loaded. Ten minutes without this.
    #[must_use]
    pub fn living(self, ttl: Ttl) -> Self {
        Self { ttl, ..self }
    }

    /// Returns the value of a key, if there is one and it was not invalidated.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFamily`] or [`Error::InvalidKey`] before anything is sent, [`Error::Suspended`],
    /// [`Error::Decode`] if the value is not a `T`, or what went wrong with the server.
    pub async fn get<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        let room = self.room()?;
        room.get(&room.key(key.as_ref())?).await
    }

    /// Stores a value as one that was made now.
    ///
    /// What was read before an invalidation and is stored after it counts as new: where that can
    /// happen, [`Family::get_or_load`] is the way. It takes two round trips.
    ///
    /// # Errors
    ///
    /// As [`Family::get`], and [`Error::Encode`] or [`Error::ValueTooLarge`] for the value.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        ttl: Ttl,
    ) -> Result<(), Error> {
        let room = self.room()?;
        room.put(&room.key(key.as_ref())?, value, ttl, b"").await
    }

    /// Returns the value of a key, and makes and stores it if there is none.
    ///
    /// An invalidation while `load` runs wins: what was loaded is returned to this caller and not
    /// stored. Callers that miss at the same time each load. Dropped while it loads, it has stored
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Family::set`], and [`Error::Load`] if `load` fails. A stored value that is not a `T` is
    /// loaded anew.
    pub async fn get_or_load<T, E, F>(
        &self,
        key: impl AsRef<[u8]>,
        load: impl FnOnce() -> F,
    ) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        E: Into<BoxError>,
        F: Future<Output = Result<T, E>>,
    {
        let room = self.room()?;
        let key = room.key(key.as_ref())?;
        let (moment, body) = room.read(&key).await?;
        if let Some(Ok(value)) = body.as_deref().map(decode) {
            return Ok(value);
        }
        let moment = match moment {
            Some(moment) => moment,
            None => room.now().await?,
        };
        let value = load().await.map_err(|err| Error::Load { source: err.into() })?;
        room.write(&key, &moment, &encode(&value)?, self.ttl, b"").await?;
        Ok(value)
    }

    /// Removes the value of a key. Returns whether there was one, fresh or not.
    ///
    /// A load that is under way may store what it has read before;
    /// [`invalidate`](Self::invalidate) prevents that too.
    ///
    /// # Errors
    ///
    /// As [`Family::get`].
    pub async fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let room = self.room()?;
        room.remove(&room.key(key.as_ref())?, b"").await
    }

    /// Invalidates every value of the family, in one step; in the scope of an organization those of
    /// its workspaces too.
    ///
    /// # Errors
    ///
    /// As [`Family::get`].
    pub async fn invalidate(&self) -> Result<(), Error> {
        self.room()?.bump().await
    }

    fn room(&self) -> Result<&Room, Error> {
        self.room.as_ref().map_err(|rule| (*rule).into())
    }
}

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::Ttl;
use crate::room::Room;

/// What the live pipelines of one scope last said of themselves.
///
/// A pipeline that stops saying so is gone once its time to live has passed.
///
/// # Examples
///
/// ```no_run
/// # use cupel_rediskey::{Error, ScopedCache, Ttl};
/// # async fn f(cache: ScopedCache) -> Result<(), Error> {
/// let status = cache.status();
/// status.set("nightly", "loading", Ttl::minutes(2)).await?;
/// for (pipeline, phase) in status.list::<String>().await? {
///     println!("{pipeline}: {phase}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Status {
    room: Room,
}

impl Status {
    pub(crate) fn new(room: Room) -> Self {
        Self { room }
    }

    /// Says what a pipeline is doing, for as long as `ttl`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`], [`Error::Encode`] or [`Error::ValueTooLarge`] before anything is sent,
    /// [`Error::Suspended`], or what went wrong with the server.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        pipeline: &str,
        status: &T,
        ttl: Ttl,
    ) -> Result<(), Error> {
        let key = self.room.key(pipeline.as_bytes())?;
        self.room.put(&key, status, ttl, pipeline.as_bytes()).await
    }

    /// Returns what a pipeline is doing, if it is live.
    ///
    /// # Errors
    ///
    /// As [`Status::set`], and [`Error::Decode`] if the status is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, pipeline: &str) -> Result<Option<T>, Error> {
        self.room.get(&self.room.key(pipeline.as_bytes())?).await
    }

    /// Returns every live pipeline with its status, the one that expires first first.
    ///
    /// In the scope of an organization these are the pipelines of the organization itself, without
    /// those of its workspaces.
    ///
    /// # Errors
    ///
    /// As [`Status::get`].
    pub async fn list<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>, Error> {
        let listed = self.room.list().await?;
        let named = listed.into_iter().map(|(name, status)| match String::from_utf8(name) {
            Ok(name) => Ok((name, status)),
            Err(source) => Err(Error::Decode { source: source.into() }),
        });
        named.collect()
    }

    /// Removes a pipeline. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// As [`Status::set`].
    pub async fn remove(&self, pipeline: &str) -> Result<bool, Error> {
        let key = self.room.key(pipeline.as_bytes())?;
        self.room.remove(&key, pipeline.as_bytes()).await
    }
}

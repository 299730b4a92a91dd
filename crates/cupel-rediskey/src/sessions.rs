use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::rand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::Ttl;
use crate::key::Key;
use crate::room::Room;

/// The sessions of one scope.
///
/// A session is stored under the SHA-256 digest of its token, so what the server holds (and a dump
/// of it, and its log) logs nobody in. Clearing the cache does not log anybody out.
///
/// # Examples
///
/// ```no_run
/// # use cupel_rediskey::{Error, ScopedCache, Ttl};
/// # async fn f(cache: ScopedCache) -> Result<(), Error> {
/// let sessions = cache.sessions();
/// let token = sessions.create("alice", Ttl::hours(8)).await?;
/// let user: Option<String> = sessions.get(&token).await?;
/// sessions.revoke_all().await?; // one step, however many there are
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    room: Room,
}

impl Sessions {
    pub(crate) fn new(room: Room) -> Self {
        Self { room }
    }

    /// Begins a session, and returns the token that it is found by. Nothing else knows the token.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], [`Error::ValueTooLarge`] or [`Error::Randomness`] before anything is sent,
    /// [`Error::Suspended`], or what went wrong with the server.
    pub async fn create<T: Serialize + ?Sized>(
        &self,
        session: &T,
        ttl: Ttl,
    ) -> Result<SessionToken, Error> {
        let token = SessionToken::random()?;
        self.room.put(&self.key(&token)?, session, ttl, b"").await?;
        Ok(token)
    }

    /// Returns the session of a token, if it is one of this scope's and still valid.
    ///
    /// # Errors
    ///
    /// [`Error::Suspended`], [`Error::Decode`] if the session is not a `T`, or what went wrong with
    /// the server.
    pub async fn get<T: DeserializeOwned>(&self, token: &SessionToken) -> Result<Option<T>, Error> {
        self.room.get(&self.key(token)?).await
    }

    /// Makes a valid session live for `ttl` from now. Returns whether there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Suspended`], or what went wrong with the server.
    pub async fn touch(&self, token: &SessionToken, ttl: Ttl) -> Result<bool, Error> {
        let key = self.key(token)?;
        match self.room.read(&key).await? {
            (_, Some(_)) => self.room.touch(&key, ttl).await,
            _ => Ok(false),
        }
    }

    /// Ends a session. Returns whether there was one, valid or not.
    ///
    /// # Errors
    ///
    /// As [`Sessions::touch`].
    pub async fn revoke(&self, token: &SessionToken) -> Result<bool, Error> {
        self.room.remove(&self.key(token)?, b"").await
    }

    /// Ends every session of the scope, in one step; in the scope of an organization those of its
    /// workspaces too.
    ///
    /// # Errors
    ///
    /// As [`Sessions::touch`].
    pub async fn revoke_all(&self) -> Result<(), Error> {
        self.room.bump().await
    }

    fn key(&self, token: &SessionToken) -> Result<Key, Error> {
        self.room.key(stored_name(token).as_bytes())
    }
}

/// The name that a session is stored under: the SHA-256 digest of its token, in hexadecimal.
pub(crate) fn stored_name(token: &SessionToken) -> String {
    hex(digest::digest(&digest::SHA256, &token.0).as_ref())
}

/// What a session is found by: 256 random bits, as 64 hexadecimal digits.
///
/// Whoever has it is the user: it is not printed by `Debug`, and cannot be compared.
#[derive(Clone)]
pub struct SessionToken([u8; 32]);

impl SessionToken {
    fn random() -> Result<Self, Error> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| Error::Randomness)?;
        Ok(Self(bytes))
    }

    /// Exposes the token as text, for the cookie.
    pub fn expose(&self) -> String {
        hex(&self.0)
    }
}

impl FromStr for SessionToken {
    type Err = InvalidToken;

    /// Reads a token from a cookie. That there is a session is not said by it.
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(InvalidToken);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

/// The text given is no [`SessionToken`]. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid session token: it is 64 lower-case hexadecimal digits")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct InvalidToken;

fn digit(byte: u8) -> Result<u8, InvalidToken> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidToken),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_never_printed() {
        let token = SessionToken::random().unwrap();
        let text = token.expose();
        assert_eq!(text.parse::<SessionToken>().unwrap().0, token.0);
        assert_eq!(format!("{token:?}"), "SessionToken(..)");
        assert_ne!(stored_name(&token), text);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = SessionToken::random().unwrap().expose();
        let short = "0".repeat(63);
        for text in ["", &short, &format!("{token}0"), &"G".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<SessionToken>().err(), Some(InvalidToken));
        }
    }
}

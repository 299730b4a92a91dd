use std::time::Duration;

/// How long a value lives: at least a millisecond, at most [`Ttl::MAX`].
///
/// There is no "forever". Replication in Redis is asynchronous, so an invalidation can be lost with
/// a failing primary; a bounded life is what ends every stale value nonetheless.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use cupel_rediskey::Ttl;
///
/// assert_eq!(Ttl::minutes(10).as_duration(), Duration::from_secs(600));
/// assert_eq!(Ttl::hours(100_000), Ttl::MAX);
/// assert!(Ttl::try_from(Duration::ZERO).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl {
    millis: u64,
}

impl Ttl {
    /// The longest life: 30 days. A limit of ours.
    pub const MAX: Self = Self { millis: 30 * 24 * 3600 * 1000 };

    /// So many seconds. Zero counts as one, and what is longer than [`Ttl::MAX`] is cut to it.
    pub const fn seconds(seconds: u32) -> Self {
        Self::clamped(seconds, 1)
    }

    /// So many minutes. Zero counts as one, and what is longer than [`Ttl::MAX`] is cut to it.
    pub const fn minutes(minutes: u32) -> Self {
        Self::clamped(minutes, 60)
    }

    /// So many hours. Zero counts as one, and what is longer than [`Ttl::MAX`] is cut to it.
    pub const fn hours(hours: u32) -> Self {
        Self::clamped(hours, 3600)
    }

    const fn clamped(count: u32, seconds: u64) -> Self {
        let count = if count == 0 { 1 } else { count as u64 };
        let millis = count * seconds * 1000;
        if millis > Self::MAX.millis { Self::MAX } else { Self { millis } }
    }

    /// Returns the life as a duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.millis)
    }

    pub(crate) const fn as_millis(self) -> u64 {
        self.millis
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = InvalidTtl;

    /// Takes a duration that is a configuration's or a caller's; nothing is cut to size.
    fn try_from(duration: Duration) -> Result<Self, InvalidTtl> {
        match u64::try_from(duration.as_millis()) {
            Ok(millis @ 1..) if millis <= Self::MAX.millis => Ok(Self { millis }),
            _ => Err(InvalidTtl),
        }
    }
}

/// The duration given is no life of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid time to live: it is between one millisecond and 30 days")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct InvalidTtl;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lives_forever_or_never() {
        assert_eq!(Ttl::seconds(0), Ttl::seconds(1));
        assert_eq!(Ttl::seconds(u32::MAX), Ttl::MAX);
        assert_eq!(Ttl::hours(720), Ttl::MAX);
        assert_eq!(Ttl::try_from(Duration::from_micros(999)), Err(InvalidTtl));
        assert_eq!(Ttl::try_from(Ttl::MAX.as_duration()), Ok(Ttl::MAX));
        let longer = Ttl::MAX.as_duration() + Duration::from_millis(1);
        assert_eq!(Ttl::try_from(longer), Err(InvalidTtl));
    }
}

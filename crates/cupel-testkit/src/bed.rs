use std::ops::Deref;

use tokio::sync::OnceCell;

use crate::Cluster;
use crate::Error;
use crate::Kms;
use crate::Postgres;
use crate::Redis;
use crate::Settings;
use crate::Source;
use crate::Temporal;
use crate::config::Text;

/// All five servers.
///
/// # Examples
///
/// A service hands the configuration to its own code, as `cupel.toml` would be in production:
///
/// ```no_run
/// use cupel_testkit::TestBed;
///
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let bed = TestBed::start().await?; // real servers: environment, Docker, or local programs
/// for source in bed.sources() {
///     println!("{source}");
/// }
/// let config: String = bed.config().await?; // for cupel_isolation::Config::from_toml
/// bed.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestBed {
    postgres: Held<Postgres>,
    redis: Held<Redis>,
    temporal: Held<Temporal>,
    kms: Held<Kms>,
    cluster: Held<Cluster>,
}

impl TestBed {
    /// Returns the servers that the tests of this process share; they end with the process.
    ///
    /// They are those of [`Postgres::shared`] and its like.
    ///
    /// # Errors
    ///
    /// As [`TestBed::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<TestBed> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                let (postgres, redis, temporal, kms, cluster) = tokio::try_join!(
                    Postgres::shared(),
                    Redis::shared(),
                    Temporal::shared(),
                    Kms::shared(),
                    Cluster::shared(),
                )?;
                Ok(Self {
                    postgres: Held::Shared(postgres),
                    redis: Held::Shared(redis),
                    temporal: Held::Shared(temporal),
                    kms: Held::Shared(kms),
                    cluster: Held::Shared(cluster),
                })
            })
            .await
    }

    /// Finds or starts all servers, at the same time.
    ///
    /// Dropping this future at any point ends what it had started.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong with any of them; the others are ended.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(&Settings::from_env()?).await
    }

    /// Finds or starts all servers in the way that these settings say.
    ///
    /// # Errors
    ///
    /// As [`TestBed::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self, Error> {
        let (postgres, redis, temporal, kms, cluster) = tokio::try_join!(
            Postgres::start_with(settings),
            Redis::start_with(settings),
            Temporal::start_with(settings),
            Kms::start_with(settings),
            Cluster::start_with(settings),
        )?;
        Ok(Self {
            postgres: Held::Own(postgres),
            redis: Held::Own(redis),
            temporal: Held::Own(temporal),
            kms: Held::Own(kms),
            cluster: Held::Own(cluster),
        })
    }

    /// Returns the text of a `cupel.toml` for all layers.
    ///
    /// As [`config`](crate::config()), on these servers; the database is new each time.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if PostgreSQL does not make a database.
    pub async fn config(&self) -> Result<String, Error> {
        let mut text = Text::new();
        text.database(&self.postgres).await?;
        text.cache(&self.redis);
        text.queues(&self.temporal);
        text.cluster(&self.cluster);
        text.keys(&self.kms);
        Ok(text.0)
    }

    /// Returns the PostgreSQL server.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Returns the Redis server.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Returns the Temporal server.
    pub fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    /// Returns the key management service.
    pub fn kms(&self) -> &Kms {
        &self.kms
    }

    /// Returns the Kubernetes cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns which servers were taken.
    pub fn sources(&self) -> [&Source; 5] {
        [
            self.postgres.source(),
            self.redis.source(),
            self.temporal.source(),
            self.cluster.source(),
            self.kms.source(),
        ]
    }

    /// Ends all servers and waits until nothing of them is left.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] if the operating system does not say how one ended.
    pub async fn stop(self) -> Result<(), Error> {
        let Self { postgres, redis, temporal, kms, cluster } = self;
        tokio::try_join!(
            async { if let Held::Own(it) = postgres { it.stop().await } else { Ok(()) } },
            async { if let Held::Own(it) = redis { it.stop().await } else { Ok(()) } },
            async { if let Held::Own(it) = temporal { it.stop().await } else { Ok(()) } },
            async { if let Held::Own(it) = kms { it.stop().await } else { Ok(()) } },
            async { if let Held::Own(it) = cluster { it.stop().await } else { Ok(()) } },
        )?;
        Ok(())
    }
}

/// A server of this bed, or one that all tests of the process share.
#[derive(Debug)]
enum Held<T: 'static> {
    Own(T),
    Shared(&'static T),
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(server) => server,
            Self::Shared(server) => server,
        }
    }
}

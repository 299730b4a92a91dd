//! The pool, and the one way to it. Nothing here leaves the crate.
//!
//! A connection goes back to the pool in the state that it was made in: no command that changes a
//! connection (AUTH, SELECT, HELLO, CLIENT, WATCH, SUBSCRIBE) is ever sent by this crate, and
//! deadpool's recycling would not undo one. A dropped future is safe: redis discards the answer that
//! nobody waits for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_redis::redis::io::tcp::TcpSettings;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError, ServerErrorKind,
    ToRedisArgs, cmd,
};
use deadpool_redis::{Manager, Pool, PoolError, Runtime, TimeoutType};
use url::Url;

use crate::Error;

/// How long to wait for a connection to be made, for one to become free, and for an answer. Ours;
/// the client's own limit for an answer is half a second, which a busy server exceeds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many connections the pool makes. Each carries one command at a time.
const CONNECTIONS: usize = 16;

/// A Redis server, through a pool.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    pool: Pool,
    info: ConnectionInfo,
    endpoint: String,
    local: bool,
    foreign: AtomicU64,
}

impl Server {
    /// Checks the URL, and makes a pool without a connection yet.
    pub(crate) fn new(url: &str, allow_plaintext: bool) -> Result<Self, Error> {
        let parsed = Url::parse(url).map_err(|_| Error::InvalidUrl)?;
        let info = parsed.into_connection_info().map_err(|_| Error::InvalidUrl)?;
        let (local, guarded) = match info.addr() {
            ConnectionAddr::Tcp(host, _) => (is_loopback(host), false),
            ConnectionAddr::TcpTls { host, insecure, .. } => (is_loopback(host), !insecure),
            ConnectionAddr::Unix(_) => (true, true),
            _ => return Err(Error::InvalidUrl),
        };
        if !(local || guarded || allow_plaintext) {
            return Err(Error::PlainText);
        }
        let endpoint = info.addr().to_string();
        let redis = info.redis_settings().clone();
        let redis = redis.set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_redis_settings(redis).set_tcp_settings(tcp);
        let manager =
            Manager::new_with_config(info.clone(), patience()).map_err(|_| Error::InvalidUrl)?;
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .recycle_timeout(Some(PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| Error::InvalidUrl)?;
        Ok(Self(Arc::new(Inner { pool, info, endpoint, local, foreign: AtomicU64::new(0) })))
    }

    /// Returns host and port, or the path of the socket; no credentials.
    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Returns whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.0.local
    }

    /// Counts a value that was not written under the key that it was read under.
    pub(crate) fn count_foreign_value(&self) {
        self.0.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many such values were seen.
    pub(crate) fn foreign_values(&self) -> u64 {
        self.0.foreign.load(Ordering::Relaxed)
    }

    /// Sends one command and reads its answer.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Command) -> Result<T, Error> {
        let mut connection = self.0.pool.get().await.map_err(|err| match err {
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
            PoolError::Backend(err) => translate(err, command.name),
            other => Error::Unreachable { source: other.into() },
        })?;
        let answer = command.cmd.query_async(&mut connection).await;
        answer.map_err(|err| translate(err, command.name))
    }

    /// Returns whether the server lets in who brings no credentials, and lets them run commands.
    pub(crate) async fn lets_anybody_in(&self) -> Result<bool, Error> {
        let anonymous = self.0.info.clone().set_redis_settings(RedisConnectionInfo::default());
        let client = Client::open(anonymous).map_err(|err| translate(err, "PING"))?;
        let ping = async {
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&patience()).await?;
            cmd("PING").query_async::<()>(&mut connection).await
        };
        match ping.await.map_err(|err| translate(err, "PING")) {
            Ok(()) => Ok(true),
            Err(Error::Credentials { .. } | Error::MissingRight { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.endpoint())
    }
}

/// A command and its name, for errors that name it.
pub(crate) struct Command {
    name: &'static str,
    cmd: Cmd,
}

impl Command {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, cmd: cmd(name) }
    }

    pub(crate) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.cmd.arg(arg);
        self
    }

    /// Adds arguments, each of them exactly one.
    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a [u8]>) -> Self {
        for arg in args {
            self.cmd.arg(arg);
        }
        self
    }
}

fn patience() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Says in our words what went wrong with a command.
fn translate(err: RedisError, command: &'static str) -> Error {
    let kind = err.kind();
    let code = err.code().map(str::to_owned);
    let io = err.is_io_error() || err.is_timeout() || err.is_connection_dropped();
    let source = err.into();
    match (kind, code.as_deref()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
            Error::Credentials { source }
        }
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => Error::MissingRight { command, source },
        _ if io => Error::Unreachable { source },
        _ => Error::Server { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, allow_plaintext: bool, expected: Result<&str, &str>) {
        let actual = Server::new(url, allow_plaintext).map(|it| it.endpoint().to_owned());
        let actual = actual.map_err(|err| format!("{err:?}"));
        assert_eq!(actual.as_deref().map_err(String::as_str), expected, "opening {url}");
    }

    #[test]
    fn plain_text_stays_on_the_machine_unless_allowed() {
        check("redis://127.0.0.1:6380", false, Ok("127.0.0.1:6380"));
        check("redis://[::1]", false, Ok("::1:6379"));
        check("redis://localhost", false, Ok("localhost:6379"));
        check("rediss://u:secret@redis.example:1/3", false, Ok("redis.example:1"));
        check("redis://redis.example", false, Err("PlainText"));
        check("redis://127.0.0.1.redis.example", false, Err("PlainText"));
        check("rediss://redis.example/#insecure", false, Err("PlainText"));
        check("redis://redis.example", true, Ok("redis.example:6379"));
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused() {
        for url in ["", "localhost:6379", "http://localhost", "redis://", "redis://h/notadb"] {
            check(url, true, Err("InvalidUrl"));
        }
    }
}

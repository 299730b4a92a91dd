//! What the server is, and what our user may do there.

use std::collections::HashMap;

use crate::Error;
use crate::server::{Command, Server};

/// A key that matches `org:*` and that no organization can have: `_` is in no id.
const PROBE: &str = "org:_:meta:probe";

/// Tries every command that this crate sends, in a form that writes nothing.
pub(crate) async fn check(server: &Server) -> Result<(), Error> {
    let facts = Facts::read(server).await?;
    if facts.is_cluster() {
        return Err(Error::NotBuilt {
            what: "redis in cluster mode",
            remedy: "use a server that is not a cluster's node",
        });
    }
    let on_probe = |name| Command::new(name).arg(PROBE);
    for command in [
        Command::new("PING"),
        Command::new("UNWATCH"),
        on_probe("MGET"),
        on_probe("SET").arg("").arg("XX"),
        Command::new("EVAL").arg("return 1").arg(1).arg(PROBE),
        on_probe("EXISTS"),
        on_probe("GET"),
        on_probe("PEXPIRE").arg(1),
        on_probe("PTTL"),
        on_probe("UNLINK"),
        on_probe("ZADD").arg("XX").arg(0).arg(""),
        on_probe("ZRANGE").arg(0).arg(-1),
        on_probe("ZREM").arg(""),
        on_probe("ZREMRANGEBYSCORE").arg("-inf").arg("-inf"),
        Command::new("TIME"),
        Command::new("SCAN").arg(0).arg("MATCH").arg(PROBE).arg("COUNT").arg(1),
    ] {
        server.ask::<()>(&command).await?;
    }
    Ok(())
}

/// What the server says of itself.
#[derive(Debug)]
pub(crate) struct Facts(HashMap<String, String>);

impl Facts {
    pub(crate) async fn read(server: &Server) -> Result<Self, Error> {
        let text: String = server.ask(&Command::new("INFO")).await?;
        Ok(Self::parse(&text))
    }

    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn is_cluster(&self) -> bool {
        self.get("cluster_enabled") == "1" || self.get("redis_mode") == "cluster"
    }

    /// Returns which product it is.
    pub(crate) fn product(&self) -> &'static str {
        if self.get("server_name") == "valkey" { "Valkey" } else { "Redis" }
    }

    /// Returns its version, in the product's own counting.
    pub(crate) fn version(&self) -> &str {
        self.get(if self.product() == "Valkey" { "valkey_version" } else { "redis_version" })
    }

    /// Returns what it does when its memory is full.
    pub(crate) fn eviction(&self) -> &str {
        self.get("maxmemory_policy")
    }

    /// Returns whether its memory has a limit.
    pub(crate) fn has_memory_limit(&self) -> bool {
        !matches!(self.get("maxmemory"), "" | "0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_and_its_own_version_are_told_apart() {
        let redis = Facts::parse("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n");
        assert_eq!((redis.product(), redis.version()), ("Redis", "7.0.15"));
        let valkey =
            Facts::parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.1\r\n");
        assert_eq!((valkey.product(), valkey.version()), ("Valkey", "9.0.1"));
    }

    #[test]
    fn a_node_of_a_cluster_is_known_by_either_line() {
        assert!(Facts::parse("redis_mode:cluster\r\n").is_cluster());
        assert!(Facts::parse("cluster_enabled:1\r\n").is_cluster());
        assert!(!Facts::parse("redis_mode:standalone\r\ncluster_enabled:0\r\n").is_cluster());
    }
}

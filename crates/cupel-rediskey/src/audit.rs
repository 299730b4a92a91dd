//! What is wrong with a server, or with an organization's keys on it.

use cupel_tenant::{Finding, LayerName, OrgId, Severity};

use crate::Error;
use crate::erase;
use crate::rights::Facts;
use crate::server::Server;

/// The first release of each line in which `GEORADIUS … STORE … STORE …` no longer writes past the key
/// patterns of a user: redis/redis#15478 and the release notes that name it.
const FIXED: [(u64, u64, u64); 6] =
    [(7, 2, 16), (7, 4, 11), (8, 2, 9), (8, 4, 6), (8, 6, 6), (8, 10, 0)];

pub(crate) async fn audit(server: &Server, org: &OrgId) -> Result<Vec<Finding>, Error> {
    let facts = Facts::read(server).await?;
    let open = !server.is_local() && server.lets_anybody_in().await?;
    let immortal = erase::count_immortal(server, org).await?;
    let at = server.endpoint();
    let found = [
        open.then(|| anybody(at)),
        (facts.product() == "Redis" && is_old(facts.version())).then(|| old(at, facts.version())),
        may_evict(&facts).then(|| evicts(at, facts.eviction())),
        (immortal > 0).then(|| keys_for_ever(org, immortal)),
    ];
    Ok(found.into_iter().flatten().collect())
}

/// Returns whether a version of Redis is known to lack the fix. A version that cannot be read is not.
fn is_old(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let line = FIXED.into_iter().find(|(a, b, _)| (*a, *b) == (major, minor));
    match line {
        Some(fixed) => (major, minor, patch) < fixed,
        None => (major, minor) < (8, 10),
    }
}

/// Returns whether a full memory may cost keys that have no time to live: generations, and the marks
/// of suspension.
fn may_evict(facts: &Facts) -> bool {
    facts.has_memory_limit() && facts.eviction().starts_with("allkeys-")
}

fn anybody(at: &str) -> Finding {
    Finding::new(
        LayerName::Cache,
        "R1",
        Severity::Critical,
        at,
        "the server takes commands from whoever connects",
        "anybody on the network to read and write every organization's keys",
        "ACL SETUSER default off",
    )
}

fn old(at: &str, version: &str) -> Finding {
    Finding::new(
        LayerName::Cache,
        "R2",
        Severity::Medium,
        at,
        format!("Redis {version} lets GEORADIUS write past a user's key patterns"),
        "a Redis user who is limited to one organization's keys to overwrite another's",
        "upgrade to 7.2.16, 7.4.11, 8.2.9, 8.4.6, 8.6.6 or 8.10",
    )
}

fn evicts(at: &str, policy: &str) -> Finding {
    Finding::new(
        LayerName::Cache,
        "R3",
        Severity::Low,
        at,
        format!("maxmemory-policy is {policy}"),
        "a full memory to drop sessions, and the mark that an organization is suspended",
        "CONFIG SET maxmemory-policy volatile-lru",
    )
}

fn keys_for_ever(org: &OrgId, count: u64) -> Finding {
    Finding::new(
        LayerName::Cache,
        "R4",
        Severity::Low,
        format!("org:{org}"),
        format!("{count} values live for ever; none was written by this crate"),
        "data to outlive every bound that was promised for it",
        "remove them, or give them a time to live: PEXPIRE key milliseconds",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_old_by_the_release_of_its_line() {
        for old in ["6.2.14", "7.0.15", "7.2.15", "7.4.10", "8.0.9", "8.2.8", "8.6.5", "8.8.1"] {
            assert!(is_old(old), "{old}");
        }
        for fixed in ["7.2.16", "7.4.12", "8.2.9", "8.4.6", "8.6.6", "8.10.0", "9.0.0", "dev", ""] {
            assert!(!is_old(fixed), "{fixed}");
        }
    }

    #[test]
    fn only_a_full_memory_that_takes_every_key_matters() {
        let facts = |limit, policy| {
            Facts::parse(&format!("maxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n"))
        };
        assert!(may_evict(&facts(1, "allkeys-lru")));
        assert!(!may_evict(&facts(0, "allkeys-lru")));
        assert!(!may_evict(&facts(1, "volatile-lru")));
        assert!(!may_evict(&facts(1, "noeviction")));
    }
}

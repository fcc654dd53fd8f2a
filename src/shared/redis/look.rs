//! What the tier is: old versions are refused, and what may lose marks is warned of.

use std::time::Duration;

use redis::Value;

use super::wire::{DialError, Wire};

/// The oldest versions that do all that the scripts ask.
const REDIS: (u64, u64) = (6, 2);
const VALKEY: (u64, u64) = (7, 2);
/// The oldest of either that can say whether a write is on the disk.
const QUEUE: (u64, u64) = (7, 2);

/// What a server is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// What replicas share, and can do without.
    Tier,
    /// What must not be lost.
    Queue,
}

impl Use {
    /// What it is called in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tier => "the shared tier",
            Self::Queue => "the server of the queue",
        }
    }

    /// What a cluster's client gives up by itself: long after those who asked.
    pub(super) const fn given_up(self) -> Duration {
        match self {
            Self::Tier => Duration::from_millis(500),
            Self::Queue => Duration::from_secs(10),
        }
    }
}

/// Looks at what must hold before the server is used.
pub(super) async fn check(wire: &mut Wire, what_for: Use) -> Result<(), DialError> {
    match what_for {
        Use::Tier => of_tier(wire).await,
        Use::Queue => of_queue(wire).await,
    }
}

/// The server of a queue must keep what it is given. One that does not say is not used.
async fn of_queue(wire: &mut Wire) -> Result<(), DialError> {
    let refuse = |problem: String| DialError::unusable(format!("the server of the queue {problem}"));
    let mut sections = [("server", String::new()), ("memory", String::new()), ("persistence", String::new())];
    for (section, text) in &mut sections {
        let told = info(wire, section).await;
        *text = told.ok_or_else(|| DialError::new("it does not answer INFO; permit +info to its user"))?;
    }
    let [(_, server), (_, memory), (_, persistence)] = &sections;
    let is_valkey = field(server, "valkey_version:").is_some();
    let found = field(server, if is_valkey { "valkey_version:" } else { "redis_version:" }).unwrap_or_default();
    if version(found).is_none_or(|found| found < QUEUE) {
        let (major, minor) = QUEUE;
        return Err(refuse(format!("is of version {found}; use Redis or Valkey {major}.{minor} or later")));
    }
    // W-28: no eviction
    match field(memory, "maxmemory_policy:") {
        Some("noeviction") => {}
        policy => {
            let policy = policy.unwrap_or("unknown");
            return Err(refuse(format!(
                "may evict events when it is full; set maxmemory-policy noeviction (it is {policy})"
            )));
        }
    }
    // W-28: no disk
    if field(persistence, "aof_enabled:") != Some("1") {
        return Err(refuse("keeps nothing on a disk; set appendonly yes".to_owned()));
    }
    Ok(())
}

/// Looks at version and memory. A server that does not say is taken as it is: its rules may forbid to ask.
async fn of_tier(wire: &mut Wire) -> Result<(), DialError> {
    let Some(text) = info(wire, "server").await else {
        tracing::warn!("the shared tier does not tell its version; permit info to look at it");
        return Ok(());
    };
    let (name, found, least) = match field(&text, "valkey_version:") {
        Some(found) => ("Valkey", found, VALKEY),
        None => ("Redis", field(&text, "redis_version:").unwrap_or_default(), REDIS),
    };
    if version(found).is_some_and(|found| found < least) {
        return Err(DialError::too_old(name, least));
    }
    if let Some(memory) = info(wire, "memory").await
        && let Some(policy) = field(&memory, "maxmemory_policy:").filter(|policy| policy.starts_with("allkeys"))
    {
        tracing::warn!(
            policy,
            "the shared tier may evict marks of sign-outs when it is full; set maxmemory-policy to noeviction or volatile-ttl"
        );
    }
    Ok(())
}

/// A section of what a server tells of itself; of a cluster, that of any node.
async fn info(wire: &mut Wire, section: &str) -> Option<String> {
    let mut question = redis::cmd("INFO");
    question.arg(section);
    let answer: Value = match wire {
        Wire::One(one) => question.query_async(one).await.ok()?,
        Wire::Many(many) => {
            let route = redis::cluster_routing::RoutingInfo::SingleNode(
                redis::cluster_routing::SingleNodeRoutingInfo::RandomPrimary,
            );
            many.route_command(question, route).await.ok()?
        }
    };
    match answer {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_not_text() {
        assert_eq!(version("7.0.15"), Some((7, 0)));
        assert!(version("10.1.0").unwrap() > REDIS && version("6.0.16").unwrap() < REDIS);
        assert_eq!(version("unknown"), None);
        let told = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        assert_eq!((field(told, "valkey_version:"), field(told, "redis_version:")), (Some("9.1.2"), Some("7.2.4")));
    }
}

//! Who calls providers through us, where, and what each caller may do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Listen, Peers, Tls};
use crate::definition::Key;
use crate::pacing::Rate;

pub use super::raw::ActsAs;

/// The gateway. Nothing listens and nothing costs without one.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where every mount is served, each below a path of its own.
    pub listen: Listen,
    /// TLS on this listener and on those of the mounts, if it is spoken.
    pub tls: Option<Tls>,
    /// Values of `Host` beside the names of this machine and the address of the listener; lower case, without port.
    pub hosts: Vec<String>,
    /// How long a call waits for its turn at the provider.
    pub wait: Duration,
    /// Calls at work at once.
    pub max_in_flight: usize,
    /// Calls of one caller at work at once.
    pub max_in_flight_per_caller: usize,
    /// Providers that are called through it, each once. At least one.
    pub mounts: Vec<Mount>,
    /// Who may call, by name.
    pub callers: BTreeMap<String, GatewayCaller>,
    /// File of the section, for messages.
    pub origin: String,
}

impl Gateway {
    /// Its listeners, each with its key.
    pub fn listeners(&self) -> impl Iterator<Item = (String, &Listen)> {
        let own = |mount: &'_ Mount| mount.key.below("listen").to_string();
        let mounts = self.mounts.iter().filter_map(move |mount| Some((own(mount), mount.listen.as_ref()?)));
        std::iter::once(("gateway.listen".to_owned(), &self.listen)).chain(mounts)
    }
}

/// A provider that is called through the gateway.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Name of the provider.
    pub provider: String,
    /// Where it is served at `/`, beside its path on the gateway's listener.
    pub listen: Option<Listen>,
    /// File, for messages.
    pub origin: String,
    /// Key in that file, for messages: `gateway.mounts[0]`.
    pub key: Key,
}

impl Mount {
    /// Its path on the gateway's listener.
    pub fn path(&self) -> String {
        format!("/gateway/{}/", self.provider)
    }
}

/// A service that calls providers.
#[derive(Clone, Debug)]
pub struct GatewayCaller {
    /// Its own keys, of which it shows one where the provider's SDK puts a key. Empty where the proof is enough.
    pub key_files: Vec<PathBuf>,
    /// What else proves it. Every kind that is set must hold.
    pub proof: Peers,
    /// Whether it may call as a user.
    pub as_user: ActsAs,
    /// What it may do. At least one.
    pub grants: Vec<Grant>,
    /// File of the table, for messages.
    pub origin: String,
}

impl GatewayCaller {
    /// Whether an address is all that proves it: then every process of that machine is this caller.
    pub fn is_known_by_network_alone(&self) -> bool {
        let others = Peers { networks: Vec::new(), ..self.proof.clone() };
        self.key_files.is_empty() && !self.proof.networks.is_empty() && others.is_empty()
    }
}

/// What a caller may do at one provider.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Name of the provider, which has a mount.
    pub provider: String,
    /// Names of operations: `default`, `NAME`, `GROUP.*`, `-NAME`. What they mean is the definition's to say.
    pub allow: Vec<String>,
    /// Values that parameters may have, by parameter: whole, or a beginning and a star.
    pub only: BTreeMap<String, Vec<ValuePattern>>,
    /// Calls under this grant, if they are limited.
    pub rate: Option<Rate>,
    /// File, for messages.
    pub origin: String,
    /// Key in that file, for messages: `gateway.callers.shop.grants[0]`.
    pub key: Key,
}

/// A value of a parameter: the whole of one, or the beginning and a star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePattern {
    text: String,
    is_prefix: bool,
}

impl ValuePattern {
    /// From `shop-1` or `shop-*`. A star alone, or one inside, is none: it would say nothing, or not what it seems to.
    pub fn parse(text: &str) -> Option<Self> {
        let (own, is_prefix) = text.strip_suffix('*').map_or((text, false), |own| (own, true));
        (!own.is_empty() && !own.contains('*')).then(|| Self { text: own.to_owned(), is_prefix })
    }

    /// Whether `value` is one of these, to the byte.
    pub fn covers(&self, value: &str) -> bool {
        if self.is_prefix { value.starts_with(&self.text) } else { value == self.text }
    }
}

impl std::fmt::Display for ValuePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_whole_or_end_with_a_star() {
        for (pattern, value, covers) in [
            ("shop-1", "shop-1", true),
            ("shop-1", "shop-10", false),
            ("shop-1", "Shop-1", false),
            ("shop-*", "shop-", true),
            ("shop-*", "shop-1", true),
            ("shop-*", "other-shop-1", false),
        ] {
            assert_eq!(ValuePattern::parse(pattern).expect(pattern).covers(value), covers, "{pattern} {value}");
        }
        for text in ["", "*", "a*b", "*a", "a**"] {
            assert_eq!(ValuePattern::parse(text), None, "{text}");
        }
    }
}

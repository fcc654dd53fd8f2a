//! The `[identity]` section, word for word.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ActsAs;
use crate::definition::{MINUTE, OneOrMany, Span};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Identity {
    pub(in crate::config) source: Option<OneOrMany<String>>,
    pub(in crate::config) leeway: Option<Span<MINUTE>>,
    pub(in crate::config) peers: Peers,
    pub(in crate::config) callers: BTreeMap<String, Caller>,
    pub(in crate::config) users: Users,
    pub(in crate::config) roles: BTreeMap<String, Vec<String>>,
    pub(in crate::config) sources: BTreeMap<String, Value>,
}

/// Declares `[identity.peers]`, `[identity.callers.NAME]` and `[gateway.callers.NAME]`: the keys that prove a peer stand in
/// all of them, and each has keys of its own. Serde's `flatten` would let unknown keys pass.
macro_rules! tables_that_prove {
    ($($key:ident: $type:ty,)*) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(in crate::config) struct Peers {
            $(pub(in crate::config) $key: $type,)*
            pub(in crate::config) insecure_trust_every_peer: bool,
        }

        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(in crate::config) struct Caller {
            routes: Vec<String>,
            $($key: $type,)*
            token: Option<CallerToken>,
        }

        impl Caller {
            /// What proves it, its token, and the routes that it may use.
            pub(in crate::config) fn into_parts(self) -> (Peers, Option<CallerToken>, Vec<String>) {
                let Self { routes, $($key,)* token } = self;
                (Peers { $($key,)* insecure_trust_every_peer: false }, token, routes)
            }
        }

        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(in crate::config) struct GatewayCaller {
            key_files: Vec<String>,
            $($key: $type,)*
            as_user: ActsAs,
            /// Read on their own, from all files.
            grants: IgnoredAny,
        }

        impl GatewayCaller {
            /// Its keys, what else proves it, and whether it may call as a user.
            pub(in crate::config) fn into_parts(self) -> (Vec<String>, Peers, ActsAs) {
                let Self { key_files, $($key,)* as_user, grants: IgnoredAny } = self;
                (key_files, Peers { $($key,)* insecure_trust_every_peer: false }, as_user)
            }
        }
    };
}

tables_that_prove! {
    networks: Vec<String>,
    unix_uids: Vec<u32>,
    certificates: Vec<String>,
    xfcc: Vec<String>,
    linkerd: Vec<String>,
    hmac_key_files: Vec<String>,
    secret_files: Vec<String>,
    secret_header: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CallerToken {
    pub(in crate::config) source: String,
    pub(in crate::config) subjects: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Users {
    pub(in crate::config) allow: Vec<String>,
    pub(in crate::config) allow_groups: Vec<String>,
    pub(in crate::config) deny: Vec<String>,
    pub(in crate::config) deny_file: Option<String>,
}

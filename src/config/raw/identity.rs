//! The `[identity]` section, word for word.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Identity {
    pub(in crate::config) source: Option<OneOrMore>,
    pub(in crate::config) peers: Peers,
    pub(in crate::config) callers: BTreeMap<String, Caller>,
    pub(in crate::config) users: Users,
    pub(in crate::config) roles: BTreeMap<String, Vec<String>>,
    pub(in crate::config) sources: BTreeMap<String, Value>,
}

/// Declares `[identity.peers]` and `[identity.callers.NAME]`: the keys that prove a peer stand in both, and each has keys
/// of its own. Serde's `flatten` would let unknown keys pass.
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

/// One text, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct OneOrMore(pub(in crate::config) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMore;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name, or a list of names")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![text.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(OneOrMore(names))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

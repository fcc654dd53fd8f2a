//! How a call proves who is calling, as a definition says it.

use serde::Deserialize;

use super::key::{Hmac, SideJwt};
use crate::definition::{Key, each_text, named_in};

/// How a call proves who is calling. The only way a secret gets into a request.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "Members")]
pub enum Auth {
    /// A secret in a header, perhaps with a word before it.
    Header {
        /// Name of the header; a template over settings.
        header: String,
        /// Name of the secret setting.
        secret: String,
        /// Word before the secret.
        scheme: Option<String>,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// Name of the secret setting.
        secret: String,
    },
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// Name of the secret setting that holds the password, or `user:password`.
        secret: String,
        /// User name; a template over settings. Without it the secret holds both.
        user: Option<String>,
    },
    /// A secret as a member of the JSON or form body.
    Member {
        /// Name of the member.
        member: String,
        /// Name of the secret setting.
        secret: String,
    },
    /// A JWT made for this call.
    Jwt {
        /// The JWT.
        jwt: SideJwt,
        /// The header; `Authorization` without it.
        header: Option<String>,
        /// Word before it; `Bearer` without it, none where it is empty.
        scheme: Option<String>,
    },
    /// A MAC over the request.
    Signature {
        /// The MAC; its text may name `request.method`, `request.path`, `request.query` (sorted), `request.query_plain` (decoded,
        /// with names in lower case, sorted) and `request.body`.
        mac: Hmac,
        /// Query parameter that carries it.
        query: Option<String>,
        /// Header that carries it.
        header: Option<String>,
        /// Text before it.
        prefix: String,
    },
}

/// Every member that a proof may have; which of them are there says which proof it is.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Members {
    header: Option<String>,
    secret: Option<String>,
    scheme: Option<String>,
    bearer: Option<String>,
    basic: Option<String>,
    user: Option<String>,
    member: Option<String>,
    jwt: Option<SideJwt>,
    signature: Option<Hmac>,
    query: Option<String>,
    prefix: Option<String>,
}

impl Auth {
    /// Secrets that it uses.
    pub(in crate::provider) fn secrets(&self) -> impl Iterator<Item = &str> {
        let key = match self {
            Self::Header { secret, .. }
            | Self::Bearer { secret }
            | Self::Basic { secret, .. }
            | Self::Member { secret, .. } => secret,
            Self::Jwt { jwt: SideJwt { key, .. }, .. } | Self::Signature { mac: Hmac { key, .. }, .. } => key.secret(),
        };
        std::iter::once(key.as_str())
    }

    /// Settings that it uses, secret ones too.
    pub(in crate::provider) fn settings(&self) -> Vec<String> {
        let mut texts: Vec<&str> = Vec::new();
        match self {
            Self::Header { header, .. } => texts.push(header),
            Self::Basic { user, .. } => texts.extend(user.as_deref()),
            Self::Jwt { jwt, header, .. } => {
                texts.extend([&*jwt.alg].into_iter().chain(jwt.kid.as_deref()).chain(header.as_deref()));
                for value in jwt.header.values().chain(jwt.claims.values()) {
                    each_text(value, &Key::default(), &mut |_, text| texts.push(text));
                }
            }
            Self::Signature { mac, .. } => texts.push(&mac.text),
            Self::Bearer { .. } | Self::Member { .. } => {}
        }
        let named = texts.into_iter().flat_map(|text| named_in("config.", text));
        named.chain(self.secrets().map(str::to_owned)).collect()
    }
}

impl TryFrom<Members> for Auth {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { header, secret, scheme, bearer, basic, user, member, jwt, signature, query, prefix } = members;
        match (bearer, basic, member, jwt, signature) {
            (Some(secret), None, None, None, None) => Ok(Self::Bearer { secret }),
            (None, Some(secret), None, None, None) => Ok(Self::Basic { secret, user }),
            (None, None, Some(member), None, None) => match secret {
                Some(secret) => Ok(Self::Member { member, secret }),
                None => Err("an auth with member lacks secret, the name of the secret setting"),
            },
            (None, None, None, Some(jwt), None) => Ok(Self::Jwt { jwt, header, scheme }),
            (None, None, None, None, Some(mac)) => {
                Ok(Self::Signature { mac, query, header, prefix: prefix.unwrap_or_default() })
            }
            (None, None, None, None, None) => match (header, secret) {
                (Some(header), Some(secret)) => Ok(Self::Header { header, secret, scheme }),
                _ => Err(FORMS),
            },
            _ => Err("an auth is one proof; write a list for several"),
        }
    }
}

const FORMS: &str =
    "an auth is { header, secret }, { bearer }, { basic, user }, { member, secret }, { jwt } or { signature }";

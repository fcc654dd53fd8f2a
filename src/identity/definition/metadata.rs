//! What a proxy verified itself and tells in no header: the tables `metadata` and `principal`.

use serde::Deserialize;

use super::token::{self, RawClaims};
use crate::definition::{Key, Mistake, OneOrMany};
use crate::identity::claims::{ClaimNames, Expiry};

/// The table `metadata` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetadata {
    filter: String,
    key: String,
    issuer: String,
    expiry: Option<Expiry>,
}

/// The table `principal` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrincipal {
    #[serde(default)]
    prefix: OneOrMany<String>,
}

/// Where the claims of a verified token stand, and which is what.
#[derive(Clone, Debug)]
pub(in crate::identity) struct MetadataRules {
    /// The filter that verified it.
    pub(in crate::identity) filter: String,
    /// Where that puts the claims.
    pub(in crate::identity) key: String,
    /// What `iss` must be.
    pub(in crate::identity) issuer: String,
    /// What is asked of `exp`.
    pub(in crate::identity) expiry: Expiry,
    /// Which claim is what.
    pub(in crate::identity) claims: ClaimNames,
}

/// Whom a principal names.
#[derive(Clone, Debug)]
pub(in crate::identity) struct PrincipalRules {
    /// Beginnings of principals; empty where all will do.
    pub(in crate::identity) prefixes: Vec<String>,
}

impl MetadataRules {
    pub(super) fn check(raw: RawMetadata, claims: RawClaims) -> Result<Self, Mistake> {
        for (key, text) in [("filter", &raw.filter), ("key", &raw.key), ("issuer", &raw.issuer)] {
            if text.is_empty() {
                return Err(Mistake::new(Key::of("metadata").below(key), "is empty"));
            }
        }
        let claims = token::claim_names(claims)?;
        if !claims.subject_within.is_empty() {
            return Err(Mistake::new(
                "claims.subject_within",
                "is for tokens of several issuers, and here is one; remove it",
            ));
        }
        let expiry = raw.expiry.unwrap_or(Expiry::Required);
        Ok(Self { filter: raw.filter, key: raw.key, issuer: raw.issuer, expiry, claims })
    }
}

impl PrincipalRules {
    pub(super) fn check(raw: RawPrincipal) -> Result<Self, Mistake> {
        // Everything begins with nothing, so the empty text is refused: it would look like a check that is made.
        Ok(Self { prefixes: token::filled("principal.prefix", raw.prefix)? })
    }
}

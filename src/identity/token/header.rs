//! Checks the JOSE header (RFC 7515, 4), which says nothing but which of our keys to try.
//!
//! Members that bring a key along or say where one is (`jwk`, `jku`, `x5u`, `x5c`) are not read at all (T-19); those that
//! change what a signature means (`crit`, `b64`, `zip`, `enc`) are refused.

use crate::clock::Timestamp;
use crate::identity::Refusal;
use crate::identity::claims::{Claims, object, text_of, time_of};
use crate::identity::definition::{TokenForm, TokenRules};
use crate::identity::keys::{Algorithm, MOST_KID_BYTES};

/// Members that change what a signature means.
const REFUSED: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// What a header says that fits the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<&'t str>,
    /// Only load balancers write it here.
    pub(super) exp: Option<Timestamp>,
}

/// The members of a header.
pub(super) fn members(header: &[u8]) -> Result<Claims, Refusal> {
    object(header).ok_or(Refusal::TokenMalformed)
}

impl<'t> Header<'t> {
    /// Checks them. The algorithm comes first, so that no other leads any further (T-17, T-18).
    pub(super) fn of(members: &'t Claims, rules: &TokenRules) -> Result<Self, Refusal> {
        let algorithm = text_of(members, "alg").and_then(Algorithm::named);
        // T-17: listed algorithm
        let algorithm = algorithm.filter(|algorithm| rules.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(Refusal::TokenAlgorithm)?;
        // T-19: keys in a token
        if REFUSED.iter().any(|name| members.contains_key(*name)) || !is_of_type(members, rules) {
            return Err(Refusal::TokenHeader);
        }
        let kid = members.get("kid").map(|kid| kid.as_str().ok_or(Refusal::TokenHeader)).transpose()?;
        // An empty one is none: Teleport writes it (T-20).
        let kid = kid.filter(|kid| !kid.is_empty());
        // T-20: shape of a kid
        if kid.is_some_and(|kid| kid.len() > MOST_KID_BYTES || !kid.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Refusal::TokenHeader);
        }
        let exp = if rules.form == TokenForm::Alb { Some(balancer(members, kid, rules)?) } else { None };
        Ok(Self { algorithm, kid, exp })
    }
}

/// Whether the token is of a kind that stands for a user (RFC 8725, 3.11).
fn is_of_type(members: &Claims, rules: &TokenRules) -> bool {
    if !members.contains_key("typ") {
        return !rules.typed;
    }
    let is = |typ: &str| {
        let short = typ.get(..12).filter(|start| start.eq_ignore_ascii_case("application/")).and(typ.get(12..));
        rules.types.iter().any(|own| own.eq_ignore_ascii_case(short.unwrap_or(typ)))
    };
    text_of(members, "typ").is_some_and(is)
}

/// Any customer of AWS has a balancer whose keys are served beside ours: only ours may sign, and only for our client
/// (T-22). The id of the key becomes part of an address, so it is a UUID or nothing (T-20).
fn balancer(members: &Claims, kid: Option<&str>, rules: &TokenRules) -> Result<Timestamp, Refusal> {
    // T-22: signer
    let signer = text_of(members, "signer").filter(|signer| rules.signers.iter().any(|own| own == signer));
    // T-22: client of the balancer
    let client = text_of(members, "client").filter(|client| rules.client.as_deref() == Some(client));
    if signer.is_none() || client.is_none() || !kid.is_some_and(is_uuid) {
        return Err(Refusal::TokenHeader);
    }
    let issuer = text_of(members, "iss").ok_or(Refusal::TokenHeader)?;
    if !rules.issuers.iter().any(|own| own == issuer) {
        return Err(Refusal::Issuer);
    }
    time_of(members, "exp").ok().flatten().ok_or(Refusal::TokenHeader)
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(|group| group.bytes().all(|b| b.is_ascii_hexdigit()).then_some(group.len()));
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

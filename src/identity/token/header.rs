//! The JOSE header (RFC 7515, 4): believed in nothing but which of our keys to try.
//!
//! Members that bring a key along or say where one is (`jwk`, `jku`, `x5u`, `x5c`) are not read at all (T-19); those that
//! change what a signature means (`crit`, `b64`, `zip`, `enc`) are refused.

use crate::clock::Timestamp;
use crate::identity::Refusal;
use crate::identity::claims::reader::{Slot, Values, Wanted};
use crate::identity::definition::{Form, TokenRules};
use crate::identity::keys::{Algorithm, MOST_KID_BYTES};

/// Reads headers.
#[derive(Debug)]
pub(super) struct HeaderReader {
    wanted: Wanted,
    alg: Slot,
    kid: Slot,
    typ: Slot,
    refused: [Slot; 4],
    signer: Slot,
    client: Slot,
    issuer: Slot,
    exp: Slot,
}

/// What a header says that fits the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<&'t str>,
    /// Only load balancers write it here.
    pub(super) exp: Option<Timestamp>,
}

impl HeaderReader {
    pub(super) fn new() -> Self {
        let mut wanted = Wanted::default();
        Self {
            alg: wanted.want(["alg"]),
            kid: wanted.want(["kid"]),
            typ: wanted.want(["typ"]),
            refused: ["crit", "b64", "zip", "enc"].map(|name| wanted.want([name])),
            signer: wanted.want(["signer"]),
            client: wanted.want(["client"]),
            issuer: wanted.want(["iss"]),
            exp: wanted.want(["exp"]),
            wanted,
        }
    }

    /// The members of a header.
    pub(super) fn members<'t>(&self, header: &'t [u8]) -> Result<Values<'t>, Refusal> {
        self.wanted.read(header).ok_or(Refusal::TokenMalformed)
    }

    /// Checks them. The algorithm comes first, so that no other leads any further (T-17, T-18).
    pub(super) fn check<'t>(&self, members: &'t Values<'_>, rules: &TokenRules) -> Result<Header<'t>, Refusal> {
        let algorithm = members.text(self.alg).and_then(Algorithm::named);
        // T-17: listed algorithm
        let algorithm = algorithm.filter(|algorithm| rules.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(Refusal::TokenAlgorithm)?;
        // T-19: keys in a token
        if self.refused.iter().any(|slot| members.has(*slot)) || !self.is_of_type(members, rules) {
            return Err(Refusal::TokenHeader);
        }
        let kid = if members.has(self.kid) { Some(members.text(self.kid).ok_or(Refusal::TokenHeader)?) } else { None };
        // An empty one is none: Teleport writes it (T-20).
        let kid = kid.filter(|kid| !kid.is_empty());
        // T-20: shape of a kid
        if kid.is_some_and(|kid| kid.len() > MOST_KID_BYTES || !kid.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Refusal::TokenHeader);
        }
        let mut header = Header { algorithm, kid, exp: None };
        if rules.form == Form::Alb {
            header.exp = Some(self.balancer(members, &header, rules)?);
        }
        Ok(header)
    }

    /// Whether the token is of a kind that stands for a user (RFC 8725, 3.11).
    fn is_of_type(&self, members: &Values<'_>, rules: &TokenRules) -> bool {
        if !members.has(self.typ) {
            return !rules.typed;
        }
        let is = |typ: &str| {
            let short = typ.get(..12).filter(|start| start.eq_ignore_ascii_case("application/")).and(typ.get(12..));
            rules.types.iter().any(|own| own.eq_ignore_ascii_case(short.unwrap_or(typ)))
        };
        members.text(self.typ).is_some_and(is)
    }

    /// Any customer of AWS has a balancer whose keys are served beside ours: only ours may sign, and only for our client
    /// (T-22). The id of the key becomes part of an address, so it is a UUID or nothing (T-20).
    fn balancer(&self, members: &Values<'_>, header: &Header<'_>, rules: &TokenRules) -> Result<Timestamp, Refusal> {
        // T-22: signer
        let signer = members.text(self.signer).filter(|signer| rules.signers.iter().any(|own| own == signer));
        // T-22: client of the balancer
        let client = members.text(self.client).filter(|client| rules.client.as_deref() == Some(client));
        if signer.is_none() || client.is_none() || !header.kid.is_some_and(is_uuid) {
            return Err(Refusal::TokenHeader);
        }
        let issuer = members.text(self.issuer).ok_or(Refusal::TokenHeader)?;
        if !rules.issuers.iter().any(|own| own == issuer) {
            return Err(Refusal::Issuer);
        }
        super::claims::time(members.at(self.exp)).ok_or(Refusal::TokenHeader)
    }
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(|group| group.bytes().all(|b| b.is_ascii_hexdigit()).then_some(group.len()));
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

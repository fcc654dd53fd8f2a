//! Reads identity that a proxy verified itself and relays in its own call: claims of a token, or the name in the
//! certificate of its client. No header of the client's request is looked at.

use std::sync::Arc;

use serde_json::Value;

use crate::identity::claims::{Groups, Validity, signed, text_of};
use crate::identity::definition::{MetadataRules, PrincipalRules};
use crate::identity::user::profile::{HeaderLines, Profile};
use crate::identity::{PeerProof, Refusal, Relayed};

/// Reads the user from verified claims. The proof is not looked at: having it is the point.
pub(super) fn of_metadata(
    rules: &MetadataRules,
    validity: &Validity,
    _proof: PeerProof,
    relayed: &Relayed,
) -> Result<Arc<Profile>, Refusal> {
    let claims = relayed.claims(&rules.filter, &rules.key)?;
    // T-22: issuer of metadata
    if text_of(claims, "iss") != Some(&rules.issuer) {
        return Err(Refusal::Issuer);
    }
    validity.check(claims, rules.expiry)?; // T-29: metadata ends
    let names = &rules.claims;
    // Metadata holds numbers as doubles, in which large ones run together, so only those are taken that are told apart;
    // `inbound` hands on no other as whole.
    let subject = match names.subject(claims)? {
        // T-15: integer subject
        Some(Value::Number(number)) => number.as_i64().ok_or(Refusal::Claim)?.to_string(),
        _ => names.signed_subject(claims)?,
    };
    Ok(Arc::new(names.profile(claims, subject, Groups::One)))
}

/// The user that the certificate names, whole.
pub(super) fn of_principal<'r>(
    rules: &PrincipalRules,
    _proof: PeerProof,
    relayed: &'r Relayed,
) -> Result<HeaderLines<'r>, Refusal> {
    let subject = signed(relayed.principal().ok_or(Refusal::Absent)?)?;
    let fits = rules.prefixes.is_empty() || rules.prefixes.iter().any(|own| subject.starts_with(own.as_str()));
    if fits { Ok(HeaderLines { subject, ..HeaderLines::default() }) } else { Err(Refusal::Issuer) }
}

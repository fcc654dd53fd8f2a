//! Reads identity that a proxy verified itself and relays in its own call: claims of a token, or the name in the
//! certificate of its client. No header of the client's request is looked at.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::headers::Told as Lines;
use crate::clock::{Clock, Timestamp};
use crate::identity::definition::{ClaimNames, Expiry, MetadataRules, Path, PrincipalRules};
use crate::identity::user::profile::Profile;
use crate::identity::user::text::{self, SubjectFault, Told};
use crate::identity::{PeerProof, Refusal, Relayed};

/// How long after its `exp` a token is believed. Envoy has checked the time already, with the same allowance.
const LEEWAY: Duration = Duration::from_secs(60);

/// Reads the user from verified claims. The proof is not looked at: having it is the point.
pub(super) fn of_metadata(
    rules: &MetadataRules,
    clock: &dyn Clock,
    _proof: PeerProof,
    relayed: &Relayed,
) -> Result<Arc<Profile>, Refusal> {
    let claims = relayed.claims(&rules.filter, &rules.key)?;
    // T-22: issuer of metadata
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(Refusal::Issuer);
    }
    hold(rules.expiry, claims, clock)?;
    let names = &rules.claims;
    let name = texts(claims, &names.name).find_map(|name| text::display_name(name.as_bytes()));
    Ok(Arc::new(Profile {
        issuer: Some(rules.issuer.clone()),
        subject: subject(names, claims)?,
        name: name.map(Cow::into_owned),
        email: email(names, claims),
        avatar: texts(claims, &names.avatar).find_map(text::avatar).map(str::to_owned),
        groups: groups(names, claims),
    }))
}

/// The user that the certificate names, whole.
pub(super) fn of_principal<'r>(
    rules: &PrincipalRules,
    _proof: PeerProof,
    relayed: &'r Relayed,
) -> Result<Lines<'r>, Refusal> {
    let subject = exactly(relayed.principal().ok_or(Refusal::Absent)?)?;
    let fits = rules.prefixes.is_empty() || rules.prefixes.iter().any(|own| subject.starts_with(own.as_str()));
    if fits { Ok(Lines { subject, ..Lines::default() }) } else { Err(Refusal::Issuer) }
}

/// Whether the time of the token has not passed.
fn hold(expiry: Expiry, claims: &Map<String, Value>, clock: &dyn Clock) -> Result<(), Refusal> {
    let end = match claims.get("exp") {
        _ if expiry == Expiry::Ignored => return Ok(()),
        None if expiry == Expiry::IfPresent => return Ok(()),
        end => end.and_then(Value::as_f64).ok_or(Refusal::Claim)?, // T-21: exp of metadata
    };
    let end = Duration::try_from_secs_f64(end).map_err(|_| Refusal::Claim)?;
    let is_over = clock.now() >= Timestamp::from_millis(0).plus(end).plus(LEEWAY);
    // T-29: metadata ends
    if is_over { Err(Refusal::Expired) } else { Ok(()) }
}

/// The subject: text, or a whole number. Metadata holds numbers as doubles, in which large ones run together, so only
/// those are taken that are told apart; `inbound` hands on no other as whole.
fn subject(names: &ClaimNames, claims: &Map<String, Value>) -> Result<String, Refusal> {
    // An address that nobody looked at may be somebody else's, who would then be this user.
    if names.email.contains(&names.subject) && !is_vouched_for(names, claims) {
        return Err(Refusal::Claim);
    }
    match find(claims, &names.subject) {
        Some(Value::String(own)) => exactly(own).map(str::to_owned),
        // T-15: integer subject
        Some(Value::Number(number)) => number.as_i64().map(|whole| whole.to_string()).ok_or(Refusal::Claim),
        _ => Err(Refusal::Claim),
    }
}

/// A subject that nobody joined to another. One that names nobody is wrong; it is not the absence of one.
fn exactly(own: &str) -> Result<&str, Refusal> {
    text::subject(own.as_bytes(), Told::Signed).map_err(|fault| match fault {
        SubjectFault::Absent => Refusal::Claim,
        fault => fault.into(),
    })
}

fn email(names: &ClaimNames, claims: &Map<String, Value>) -> Option<String> {
    let mut addresses = texts(claims, &names.email).filter(|_| is_vouched_for(names, claims));
    addresses.find_map(|address| text::email(address.as_bytes())).map(str::to_owned)
}

/// Whether the address is the user's, as far as the issuer says. Some write the flag as text.
fn is_vouched_for(names: &ClaimNames, claims: &Map<String, Value>) -> bool {
    names.email_verified.as_ref().is_none_or(|path| match find(claims, path) {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    })
}

/// A list, or one group as text.
fn groups(names: &ClaimNames, claims: &Map<String, Value>) -> Vec<String> {
    let fits = |group: &&str| text::is_group(group);
    let one = |value: &Value| match value {
        Value::String(group) => Some([group.as_str()].into_iter().filter(fits).map(str::to_owned).collect()),
        Value::Array(groups) => {
            let groups = groups.iter().filter_map(Value::as_str).filter(fits).take(text::MAX_GROUPS);
            Some(groups.map(str::to_owned).collect())
        }
        _ => None,
    };
    names.groups.iter().filter_map(|path| find(claims, path)).find_map(one).unwrap_or_default()
}

/// The texts at `paths`, in order.
fn texts<'c>(claims: &'c Map<String, Value>, paths: &[Path]) -> impl Iterator<Item = &'c str> {
    paths.iter().filter_map(|path| find(claims, path)?.as_str())
}

/// A member by the names of those around it, from the outside in.
fn find<'c>(claims: &'c Map<String, Value>, path: &[String]) -> Option<&'c Value> {
    let (first, within) = path.split_first()?;
    within.iter().try_fold(claims.get(first)?, |value, name| value.get(name))
}

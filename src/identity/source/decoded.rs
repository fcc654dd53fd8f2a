//! Reads identity from headers that must be decoded first, each as its source declares.
//!
//! A subject that cannot be decoded is refused. What is only shown to people, and groups, is dropped instead.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::headers::{self, Lines};
use crate::clock::{Clock, Timestamp};
use crate::identity::Refusal;
use crate::identity::claims::Claims;
use crate::identity::definition::{Decoding, Expiry, HeaderNames, Issuer, Payload, Place};
use crate::identity::request::encoding::{Encoding, Texts, Undecodable};
use crate::identity::user::profile::Profile;
use crate::identity::user::text::{self, SubjectFault, Told};

/// How long after its `exp` a payload is believed. Envoy has checked the time already, with the same allowance.
const LEEWAY: Duration = Duration::from_secs(60);

/// Reads the identity that `lines` of `headers` tell.
pub(super) fn read(
    names: &HeaderNames,
    decoding: &Decoding,
    clock: &dyn Clock,
    lines: &Lines<'_>,
    headers: &HeaderMap,
) -> Result<Profile, Refusal> {
    let claims = open(names, decoding, clock, lines)?;
    let claims = claims.as_ref();
    let subject = subject(names, decoding, claims, lines)?;
    headers::hold(&names.conditions, headers)?;
    let field = |place: &Option<Place>, line| place.as_ref().and_then(|place| read_text(place, line, claims));
    let email = field(&decoding.email, lines.email).filter(|_| decoding.is_vouched_for(claims));
    let name = field(&decoding.name, lines.name);
    let avatar = field(&decoding.avatar, lines.avatar);
    let issuer = claims.and_then(|claims| claims.text("iss").ok().flatten());
    Ok(Profile {
        issuer: issuer.map(str::to_owned),
        subject,
        name: name.and_then(|name| text::display_name(name.as_bytes()).map(Cow::into_owned)),
        email: email.and_then(|email| text::email(email.as_bytes()).map(str::to_owned)),
        avatar: avatar.and_then(|avatar| text::avatar(&avatar).map(str::to_owned)),
        groups: groups(names, decoding, claims, lines, headers),
    })
}

/// The claims of the payload. One that cannot be read is a refusal where the user depends on it, and none elsewhere.
fn open(
    names: &HeaderNames,
    decoding: &Decoding,
    clock: &dyn Clock,
    lines: &Lines<'_>,
) -> Result<Option<Claims>, Refusal> {
    let (Some(payload), Some(line)) = (&decoding.payload, lines.payload) else { return Ok(None) };
    let value = line.as_bytes().trim_ascii();
    if value.is_empty() {
        return Ok(None);
    }
    let claims = payload.encoding.decode(value).and_then(|text| Claims::parse(&text, payload.form));
    let Ok(claims) = claims else {
        let decides = names.depends_on_payload();
        let is_json = payload.encoding == Encoding::Utf8;
        return match undecoded(value) {
            Refusal::Template if is_json && decides => Err(Refusal::Encoding),
            refusal if decides => Err(lines.refusal_of(refusal)),
            _ => Ok(None),
        };
    };
    payload.check(&claims, clock)?;
    Ok(Some(claims))
}

impl Payload {
    /// Whether the claims are of the right issuer and time.
    fn check(&self, claims: &Claims, clock: &dyn Clock) -> Result<(), Refusal> {
        if let Issuer::Exactly(issuer) = &self.issuer
            && claims.text("iss").ok().flatten() != Some(issuer)
        {
            return Err(Refusal::Issuer);
        }
        if self.expiry == Expiry::Ignored {
            return Ok(());
        }
        match claims.seconds("exp").map_err(|_| Refusal::Claim)? {
            Some(end) if clock.now() >= Timestamp::from_millis(0).plus(end).plus(LEEWAY) => Err(Refusal::Expired),
            None if self.expiry == Expiry::Required => Err(Refusal::Claim), // fuzzing: required expiry
            _ => Ok(()),
        }
    }
}

impl Lines<'_> {
    /// The refusal of a payload that says nothing: nobody, unless other headers name somebody.
    fn refusal_of(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Absent => Lines { payload: None, ..*self }.refusal(SubjectFault::Absent),
            refusal => refusal,
        }
    }
}

/// What a value that cannot be decoded is. Proxies send words for nobody, and templates that they did not fill in, without
/// encoding them.
fn undecoded(value: &[u8]) -> Refusal {
    match text::subject(value.trim_ascii(), Told::Value) {
        Err(SubjectFault::Absent) => Refusal::Absent,
        Err(SubjectFault::Template) => Refusal::Template,
        _ => Refusal::Encoding,
    }
}

fn subject(
    names: &HeaderNames,
    decoding: &Decoding,
    claims: Option<&Claims>,
    lines: &Lines<'_>,
) -> Result<String, Refusal> {
    let text = match (&decoding.subject, lines.subject) {
        (Place::Line(_), None) => Cow::Borrowed(""),
        (Place::Line(encoding), Some(line)) => match encoding.decode(line.as_bytes()) {
            Ok(text) => text,
            Err(Undecodable) => {
                return Err(match undecoded(line.as_bytes()) {
                    Refusal::Absent => lines.refusal(SubjectFault::Absent),
                    refusal => refusal,
                });
            }
        },
        (Place::Claims(wanted), _) => Cow::Borrowed(match first_claim(wanted, claims)? {
            // An address that nobody looked at may be somebody else's, who would then be this user.
            // T-13: verified claim
            Some((claim, _)) if decoding.is_email(claim) && !decoding.is_vouched_for(claims) => {
                return Err(Refusal::Claim);
            }
            found => found.map_or("", |(_, text)| text),
        }),
    };
    let told = names.subject_told();
    let judge = |text: &str| {
        let subject = headers::subject(names, text.as_bytes(), told);
        subject.map(str::to_owned).map_err(|fault| lines.refusal(fault))
    };
    let subject = judge(&text)?;
    // Judged again in the form that is looked up and kept (R8), and before it because the Kelvin sign becomes a plain `k`.
    if decoding.lower_case { judge(&subject.to_lowercase()) } else { Ok(subject) }
}

impl Decoding {
    /// Whether a claim tells the address.
    fn is_email(&self, claim: &str) -> bool {
        matches!(&self.email, Some(Place::Claims(own)) if own.iter().any(|own| own == claim))
    }

    /// Whether the address is the user's, as far as the payload says.
    fn is_vouched_for(&self, claims: Option<&Claims>) -> bool {
        self.email_verified.as_ref().is_none_or(|claim| claims.is_some_and(|claims| claims.is_true(claim)))
    }
}

/// The first of the wanted claims that says something, and its text; a wrong one is not passed over.
fn first_claim<'c>(wanted: &'c [String], claims: Option<&'c Claims>) -> Result<Option<(&'c str, &'c str)>, Refusal> {
    for claim in wanted {
        match claims.map(|claims| claims.text(claim)).transpose() {
            Ok(found) => {
                if let Some(text) = found.flatten() {
                    return Ok(Some((claim, text)));
                }
            }
            Err(_) => return Err(Refusal::Claim),
        }
    }
    Ok(None)
}

/// A text that may be missing.
fn read_text<'v>(place: &Place, line: Option<&'v HeaderValue>, claims: Option<&'v Claims>) -> Option<Cow<'v, str>> {
    match place {
        Place::Line(encoding) => encoding.decode(line?.as_bytes()).ok(),
        Place::Claims(wanted) => wanted.iter().find_map(|claim| claims?.text(claim).ok().flatten()).map(Cow::Borrowed),
    }
}

fn groups(
    names: &HeaderNames,
    decoding: &Decoding,
    claims: Option<&Claims>,
    lines: &Lines<'_>,
    headers: &HeaderMap,
) -> Vec<String> {
    let texts: Vec<Texts<'_>> = match &decoding.groups {
        None => return Vec::new(),
        Some(Place::Line(_)) if lines.groups.is_none() => return Vec::new(),
        Some(Place::Claims(wanted)) => wanted.iter().find_map(|claim| claims?.texts(claim)).into_iter().collect(),
        Some(Place::Line(encoding)) => {
            let lines = names.groups().into_iter().flat_map(|name: &HeaderName| headers.get_all(name));
            lines.filter_map(|line| encoding.decode_texts(line.as_bytes()).ok()).collect()
        }
    };
    let mut groups: Vec<String> = Vec::new();
    for texts in texts {
        match texts {
            // A comma in the name of a group is part of it, where a list is one already.
            Texts::One(text) if decoding.repeated_groups => groups.push(text.into_owned()),
            Texts::One(text) => {
                groups.extend(text::groups(text.as_bytes(), names.group_separator).map(str::to_owned));
            }
            Texts::List(list) => groups.extend(list.into_iter().map(Cow::into_owned)),
        }
    }
    groups.retain(|group| text::is_group(group));
    groups.truncate(text::MAX_GROUPS);
    groups
}

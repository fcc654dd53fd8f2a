//! The requests that `sidemint doctor` sends: each forgery of each header that carries identity or proves the proxy.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

use crate::identity::{Peers, Resolver, Worth};

/// Requests of one run at most.
const MOST_REQUESTS: usize = 300;
/// Larger than any value that sidemint reads.
const OVERSIZE: usize = 9 * 1024;
/// The user that forged headers name. Always the same, so that a provider meets one such user at most.
pub(super) const FORGED: &str = "sidemint-doctor";
/// Half of more than sidemint reads: where a proxy joins two lines into one, that is too long.
const HALF: usize = 4200;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A visitor who has not signed in.
    Visitor,
    /// The operator, signed in.
    User,
}

/// What is done to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trick {
    /// Nothing: an honest request.
    Nothing,
    /// It is sent, as if the login had.
    Spoofed,
    /// It is sent twice, with long values. One of a header that the login leaves out would be believed and tell nothing;
    /// two are refused, and so are they where a proxy joins them.
    Doubled,
    /// It is sent without a value: what sets it only where it is missing leaves it so.
    Missing,
    /// `_` for each `-`.
    Underscore,
    /// `.` for each `-`.
    Dot,
    /// One of each.
    Mixed,
    /// `Connection` tells the proxy to drop it.
    Listed,
    /// It is sent with more bytes than are read.
    Oversized,
    /// All of them at once.
    Together,
}

/// A header that counts.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) name: HeaderName,
    pub(super) worth: Worth,
    /// Whether it tells who the user is; otherwise it proves the proxy.
    pub(super) identity: bool,
}

/// One request.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) who: Who,
    pub(super) trick: Trick,
    /// `None` where all are meant.
    pub(super) header: Option<HeaderName>,
    pub(super) worth: Worth,
    pub(super) lines: HeaderMap,
}

/// All requests of one kind of asker, between two honest ones.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) who: Who,
    pub(super) cases: Vec<Case>,
}

/// All requests.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
}

impl Plan {
    pub(super) fn requests(&self) -> usize {
        self.parts.iter().map(|part| part.cases.len() + 2).sum()
    }
}

impl Who {
    fn tricks(self, identity: bool) -> &'static [Trick] {
        use Trick::{Dot, Doubled, Listed, Missing, Mixed, Oversized, Spoofed, Underscore};
        match (self, identity) {
            (Self::Visitor, true) => &[Spoofed, Doubled, Underscore, Dot, Mixed],
            (Self::User, true) => &[Spoofed, Doubled, Missing, Underscore, Dot, Mixed, Listed, Oversized],
            // A visitor says nothing that a proof could be for.
            (Self::Visitor, false) => &[],
            (Self::User, false) => &[Spoofed, Doubled, Listed],
        }
    }
}

/// The headers that count on a route. One that signs the operator in is left out: it is the operator's to send.
pub(super) fn evidence(resolver: &Resolver, peers: &Peers, sign_in: &HeaderMap) -> Vec<Evidence> {
    let told = resolver.headers_with_worth().map(|(name, worth)| (name, worth, true));
    let proofs = peers.headers_with_worth().map(|(name, worth)| (name, worth, false));
    let mut all: Vec<Evidence> = Vec::new();
    for (name, worth, identity) in told.chain(proofs) {
        if !sign_in.contains_key(name) && !all.iter().any(|own| own.name == *name) {
            all.push(Evidence { name: name.clone(), worth, identity });
        }
    }
    all
}

/// Plans every request; their number where they would be too many.
pub(super) fn plan(who: &[Who], evidence: &[Evidence]) -> Result<Plan, usize> {
    let parts = who.iter().map(|who| Part { who: *who, cases: cases(*who, evidence) });
    let plan = Plan { parts: parts.collect() };
    let count = plan.requests();
    if count > MOST_REQUESTS { Err(count) } else { Ok(plan) }
}

fn cases(who: Who, evidence: &[Evidence]) -> Vec<Case> {
    let mut cases = Vec::new();
    for Evidence { name, worth, identity } in evidence {
        for trick in who.tricks(*identity) {
            let Some(lines) = lines(*trick, name) else { continue };
            // Aliases of a short name are all the same.
            if cases.iter().any(|case: &Case| case.lines == lines) {
                continue;
            }
            cases.push(Case { who, trick: *trick, header: Some(name.clone()), worth: *worth, lines });
        }
    }
    let mut lines = HeaderMap::new();
    for Evidence { name, .. } in evidence.iter().filter(|evidence| evidence.identity) {
        lines.insert(name.clone(), HeaderValue::from_static(FORGED));
    }
    if lines.len() > 1 {
        let any_asserted = evidence.iter().any(|evidence| evidence.worth == Worth::Asserted);
        let worth = if any_asserted { Worth::Asserted } else { Worth::Proven };
        cases.push(Case { who, trick: Trick::Together, header: None, worth, lines });
    }
    cases
}

/// The header lines of a trick, which every name has.
fn lines(trick: Trick, name: &HeaderName) -> Option<HeaderMap> {
    let forged = HeaderValue::from_static(FORGED);
    let mut lines = HeaderMap::new();
    match trick {
        Trick::Nothing | Trick::Together => {}
        Trick::Spoofed => {
            lines.insert(name.clone(), forged);
        }
        Trick::Doubled => {
            for end in ["x", "y"] {
                lines.append(name.clone(), long(end, HALF)?);
            }
        }
        Trick::Missing => {
            lines.insert(name.clone(), HeaderValue::from_static(""));
        }
        Trick::Underscore | Trick::Dot | Trick::Mixed => {
            lines.insert(alias(trick, name)?, forged);
        }
        Trick::Listed => {
            lines.insert(CONNECTION, HeaderValue::from_str(&format!("close, {name}")).ok()?);
        }
        Trick::Oversized => {
            lines.insert(name.clone(), long("x", OVERSIZE)?);
        }
    }
    Some(lines)
}

/// A long value.
fn long(end: &str, bytes: usize) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{FORGED}{}", end.repeat(bytes))).ok()
}

/// A name that some programs behind a proxy read as `name`.
fn alias(trick: Trick, name: &HeaderName) -> Option<HeaderName> {
    let name = name.as_str();
    let alias = match trick {
        Trick::Dot => name.replace('-', "."),
        Trick::Mixed => name.replacen('-', ".", 1).replace('-', "_"),
        _ => name.replace('-', "_"),
    };
    // A name without a dash has an alias as well: with something at its end.
    let alias = if alias == name { format!("{name}_") } else { alias };
    HeaderName::from_bytes(alias.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &'static str) -> Evidence {
        Evidence { name: HeaderName::from_static(name), worth: Worth::Asserted, identity: true }
    }

    #[test]
    fn every_case_bends_its_header() {
        let plan = plan(&[Who::Visitor, Who::User], &[said("remote-user"), said("email")]).expect("few");
        let mut count = 0;
        for case in plan.parts.iter().flat_map(|part| &part.cases) {
            assert!(!case.lines.is_empty(), "{case:?}");
            count += 1;
        }
        assert_eq!(count, (4 + 3 + 1) + (7 + 6 + 1));
        assert_eq!(plan.requests(), count + 4, "and two honest requests each");
    }

    #[test]
    fn aliases_are_other_names() {
        let alias = |trick, name| alias(trick, &HeaderName::from_static(name)).expect("a name").to_string();
        assert_eq!(alias(Trick::Underscore, "x-forwarded-user"), "x_forwarded_user");
        assert_eq!(alias(Trick::Dot, "x-forwarded-user"), "x.forwarded.user");
        assert_eq!(alias(Trick::Mixed, "x-forwarded-user"), "x.forwarded_user");
        for trick in [Trick::Underscore, Trick::Dot, Trick::Mixed] {
            assert_eq!(alias(trick, "email"), "email_");
        }
    }

    /// What proves the proxy must not come from a client either. Left empty or under another name, it proves nothing.
    #[test]
    fn a_header_that_proves_the_proxy_is_bent_less() {
        let proof = Evidence { name: HeaderName::from_static("x-secret"), worth: Worth::Proven, identity: false };
        let tricks: Vec<Trick> = cases(Who::User, &[proof]).iter().map(|case| case.trick).collect();
        assert_eq!(tricks, [Trick::Spoofed, Trick::Doubled, Trick::Listed]);
    }

    /// A run cannot grow without bound with the number of sources.
    #[test]
    fn too_many_requests_are_not_sent() {
        let name = |n: usize| HeaderName::from_bytes(format!("x-h{n}").as_bytes()).expect("a name");
        let many: Vec<Evidence> =
            (0..30).map(|n| Evidence { name: name(n), worth: Worth::Asserted, identity: true }).collect();
        assert!(plan(&[Who::Visitor, Who::User], &many).expect_err("too many") > MOST_REQUESTS);
    }
}

//! What a signed token must be, and which claim is what: the tables `jwt` and `claims`.

use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use strum::VariantArray as _;

use super::names::{claim_path, header_name};
use crate::definition::{Key, Mistake, OneOrMany, Span, YEAR};
use crate::identity::claims::{ClaimNames, Path};
use crate::identity::keys::{Algorithm, Family};

/// The table `jwt` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    header: String,
    scheme: Option<String>,
    #[serde(default)]
    form: TokenForm,
    algorithms: Vec<String>,
    #[serde(default)]
    issuer: OneOrMany<String>,
    #[serde(default)]
    audience: OneOrMany<String>,
    max_age: Option<Span<YEAR>>,
    #[serde(default)]
    require_peer: bool,
    types: Option<Vec<String>>,
    #[serde(default)]
    authorized_parties: OneOrMany<String>,
    #[serde(default)]
    subject_prefix: OneOrMany<String>,
    #[serde(default)]
    machine: OneOrMany<String>,
    #[serde(default)]
    signers: OneOrMany<String>,
    client: Option<String>,
}

/// The table `claims` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClaims {
    subject: Option<String>,
    #[serde(default)]
    subject_within: OneOrMany<String>,
    #[serde(default)]
    name: OneOrMany<String>,
    #[serde(default)]
    email: OneOrMany<String>,
    email_verified: Option<String>,
    #[serde(default)]
    avatar: OneOrMany<String>,
    #[serde(default)]
    groups: OneOrMany<String>,
}

/// How the parts of a token are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::identity) enum TokenForm {
    /// RFC 7515, 7.1.
    #[default]
    Jws,
    /// That of AWS load balancers: padded parts, the signer in the header, no audience.
    Alb,
}

/// What a signed token must be, checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct TokenRules {
    /// Where it comes.
    pub(in crate::identity) header: HeaderName,
    /// What stands before it there.
    pub(in crate::identity) scheme: Option<String>,
    /// How it is written.
    pub(in crate::identity) form: TokenForm,
    /// All of one family.
    pub(in crate::identity) algorithms: Vec<Algorithm>,
    /// Exact values of `iss`. Empty where every subject names its trust domain.
    pub(in crate::identity) issuers: Vec<String>,
    /// Exact values of `aud`. Empty for load balancers only.
    pub(in crate::identity) audiences: Vec<String>,
    /// Since `iat`, at most.
    pub(in crate::identity) max_age: Option<Duration>,
    /// Whether the peer must be proven as well.
    pub(in crate::identity) require_peer: bool,
    /// Values of `typ`, in lower case.
    pub(in crate::identity) types: Vec<String>,
    /// Whether `typ` must be there.
    pub(in crate::identity) typed: bool,
    /// Values of `azp` and `client_id`, where that matters.
    pub(in crate::identity) authorized_parties: Vec<String>,
    /// Beginnings of subjects, where that matters.
    pub(in crate::identity) subject_prefixes: Vec<String>,
    /// Balancers that may sign.
    pub(in crate::identity) signers: Vec<String>,
    /// The client that a balancer names.
    pub(in crate::identity) client: Option<String>,
    /// Which claim is what.
    pub(in crate::identity) claims: ClaimNames,
    /// Claims of machines, which have no subject.
    pub(in crate::identity) machine: Vec<Path>,
}

/// `typ` where none is given. Others, such as `logout+jwt`, are made by the same issuer for other ends.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "jose"];

impl TokenRules {
    pub(super) fn check(raw: Raw, claims: RawClaims) -> Result<Self, Mistake> {
        let header = header_name(&raw.header).map_err(|mistake| mistake.within("jwt.header"))?;
        let scheme = raw.scheme.or_else(|| (header == AUTHORIZATION).then(|| "Bearer".to_owned()));
        if scheme.as_ref().is_some_and(|scheme| !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')) {
            return Err(Mistake::new("jwt.scheme", "must be one word, such as Bearer"));
        }
        let algorithms = algorithms(&raw.algorithms)?;
        let rules = Self {
            header,
            scheme: scheme.filter(|scheme| !scheme.is_empty()),
            form: raw.form,
            algorithms,
            issuers: filled("jwt.issuer", raw.issuer)?,
            audiences: filled("jwt.audience", raw.audience)?,
            max_age: raw.max_age.map(|span| span.0),
            require_peer: raw.require_peer,
            typed: raw.types.is_some(),
            types: match raw.types {
                None => TYPES.map(str::to_owned).to_vec(),
                Some(types) => types.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
            },
            authorized_parties: filled("jwt.authorized_parties", raw.authorized_parties)?,
            subject_prefixes: filled("jwt.subject_prefix", raw.subject_prefix)?,
            signers: filled("jwt.signers", raw.signers)?,
            client: raw.client.filter(|client| !client.is_empty()),
            claims: claim_names(claims)?,
            machine: paths("jwt.machine", raw.machine)?,
        };
        rules.fit_together()?;
        Ok(rules)
    }

    fn fit_together(&self) -> Result<(), Mistake> {
        let by_domain = |prefix: &String| {
            prefix
                .strip_prefix("spiffe://")
                .is_some_and(|rest| rest.split_once('/').is_some_and(|(d, _)| !d.is_empty()))
        };
        let names_domains = !self.subject_prefixes.is_empty() && self.subject_prefixes.iter().all(by_domain);
        if self.issuers.is_empty() && !names_domains {
            return Err(Mistake::new(
                "jwt.issuer",
                "is missing; only SPIFFE ids can do without, with jwt.subject_prefix = \"spiffe://TRUST-DOMAIN/\"",
            ));
        }
        // Subjects are unique within an issuer: two issuers in one source would share chat users (T-30).
        let one_issuer = self.issuers.windows(2).all(|pair| matches!(pair, [a, b] if bare(a) == bare(b)));
        if !one_issuer && self.claims.subject_within.is_empty() {
            return Err(Mistake::new(
                "jwt.issuer",
                "names several issuers, and equal subjects of two could be two people; define a source for each, with a \
                 namespace, or name the claim that tells them apart in claims.subject_within",
            ));
        }
        let (key, problem) = match self.form {
            TokenForm::Jws if self.audiences.is_empty() => {
                ("audience", "is missing; without it a token for any other application of the issuer would do")
            }
            TokenForm::Jws if !self.signers.is_empty() => ("signers", "is for jwt.form = \"alb\""),
            TokenForm::Jws if self.client.is_some() => ("client", "is for jwt.form = \"alb\""),
            TokenForm::Alb if self.signers.is_empty() => {
                ("signers", "is missing; name the load balancers: without it any customer's balancer could sign")
            }
            TokenForm::Alb if self.client.is_none() => {
                ("client", "is missing; without it a token for any other client of the balancer would do")
            }
            TokenForm::Alb if !self.audiences.is_empty() => {
                ("audience", "tokens of load balancers have none; remove it")
            }
            TokenForm::Alb if self.algorithms != [Algorithm::Es256] => {
                ("algorithms", "load balancers sign with ES256 only")
            }
            TokenForm::Jws | TokenForm::Alb => return Ok(()),
        };
        Err(Mistake::new(Key::of("jwt").below(key), problem))
    }

    /// Whether the key is a shared secret.
    pub(in crate::identity) fn uses_secret(&self) -> bool {
        self.algorithms.iter().any(|algorithm| algorithm.family() == Family::Mac)
    }
}

/// Checks the table `claims`.
pub(super) fn claim_names(raw: RawClaims) -> Result<ClaimNames, Mistake> {
    Ok(ClaimNames {
        subject: paths("claims.subject", OneOrMany(vec![raw.subject.unwrap_or_else(|| "sub".to_owned())]))?,
        subject_within: paths("claims.subject_within", raw.subject_within)?,
        name: paths("claims.name", raw.name)?,
        email: paths("claims.email", raw.email)?,
        email_verified: paths("claims.email_verified", OneOrMany(Vec::from_iter(raw.email_verified)))?.pop(),
        avatar: paths("claims.avatar", raw.avatar)?,
        groups: paths("claims.groups", raw.groups)?,
    })
}

fn paths(key: &str, names: OneOrMany<String>) -> Result<Vec<Path>, Mistake> {
    names.0.iter().map(|name| claim_path(name)).collect::<Result<_, _>>().map_err(|mistake| mistake.within(key))
}

/// An issuer without what some write of it and some do not: `accounts.example` and `https://accounts.example/` are one.
fn bare(issuer: &str) -> &str {
    let host = issuer.strip_prefix("https://").unwrap_or(issuer);
    host.strip_suffix('/').unwrap_or(host)
}

fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, Mistake> {
    let known = || Algorithm::VARIANTS.iter().map(|own| own.name()).collect::<Vec<_>>().join(", ");
    let wrong = |problem: String| Mistake::new("jwt.algorithms", problem);
    let named = |name: &String| {
        Algorithm::named(name).ok_or_else(|| wrong(format!("no algorithm \"{name}\"; there are {}", known())))
    };
    let algorithms: Vec<Algorithm> = names.iter().map(named).collect::<Result<_, _>>()?;
    let family = algorithms.first().map(|algorithm| algorithm.family());
    // T-17: one family
    if family.is_none() || algorithms.iter().any(|algorithm| Some(algorithm.family()) != family) {
        let problem = "must be of one family (RS and PS, ES, EdDSA, or HS), so that no token chooses how a key is read";
        return Err(wrong(problem.to_owned()));
    }
    Ok(algorithms)
}

pub(super) fn filled(key: &str, texts: OneOrMany<String>) -> Result<Vec<String>, Mistake> {
    if texts.0.iter().any(|text| text.is_empty() || text.contains('*')) {
        return Err(Mistake::new(key, "must be exact; neither empty nor with '*'"));
    }
    Ok(texts.0)
}

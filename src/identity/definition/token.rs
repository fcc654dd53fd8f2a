//! What a signed token must be, and which claim is what: the tables `jwt` and `claims`.

use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use crate::identity::claims::{ClaimNames, Path};
use crate::identity::keys::{Algorithm, Family};

/// The table `jwt` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    header: String,
    scheme: Option<String>,
    #[serde(default)]
    form: Form,
    algorithms: Vec<String>,
    #[serde(default)]
    issuer: Several,
    #[serde(default)]
    audience: Several,
    max_age: Option<String>,
    #[serde(default)]
    require_peer: bool,
    types: Option<Vec<String>>,
    #[serde(default)]
    authorized_parties: Several,
    #[serde(default)]
    subject_prefix: Several,
    #[serde(default)]
    machine: Several,
    #[serde(default)]
    signers: Several,
    client: Option<String>,
}

/// The table `claims` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClaims {
    subject: Option<String>,
    #[serde(default)]
    subject_within: Several,
    #[serde(default)]
    name: Several,
    #[serde(default)]
    email: Several,
    email_verified: Option<String>,
    #[serde(default)]
    avatar: Several,
    #[serde(default)]
    groups: Several,
}

/// One text, or a list of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Several(Vec<String>);

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "must be text, or a list of texts")]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::One(text) => vec![text],
            Either::Many(texts) => texts,
        }))
    }
}

/// How the parts of a token are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::identity) enum Form {
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
    pub(in crate::identity) form: Form,
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

/// Leeway where none is given, and at most.
/// `typ` where none is given. Others, such as `logout+jwt`, are made by the same issuer for other ends.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "jose"];

impl TokenRules {
    pub(super) fn check(raw: Raw, claims: RawClaims) -> Result<Self, String> {
        let header = HeaderName::from_bytes(raw.header.as_bytes())
            .ok()
            .filter(|name| !name.as_str().contains(['_', '.']))
            .ok_or_else(|| format!("jwt.header: \"{}\" is not a header name of letters, digits and '-'", raw.header))?;
        let scheme = raw.scheme.or_else(|| (header == AUTHORIZATION).then(|| "Bearer".to_owned()));
        if scheme.as_ref().is_some_and(|scheme| !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')) {
            return Err("jwt.scheme: must be one word, such as Bearer".to_owned());
        }
        let algorithms = algorithms(&raw.algorithms)?;
        let rules = Self {
            header,
            scheme: scheme.filter(|scheme| !scheme.is_empty()),
            form: raw.form,
            algorithms,
            issuers: filled("jwt.issuer", raw.issuer)?,
            audiences: filled("jwt.audience", raw.audience)?,
            max_age: span("jwt.max_age", raw.max_age.as_deref())?,
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

    fn fit_together(&self) -> Result<(), String> {
        let by_domain = |prefix: &String| {
            prefix
                .strip_prefix("spiffe://")
                .is_some_and(|rest| rest.split_once('/').is_some_and(|(d, _)| !d.is_empty()))
        };
        let names_domains = !self.subject_prefixes.is_empty() && self.subject_prefixes.iter().all(by_domain);
        if self.issuers.is_empty() && !names_domains {
            return Err("jwt.issuer: is missing; only SPIFFE ids can do without, with jwt.subject_prefix = \
                        \"spiffe://TRUST-DOMAIN/\""
                .to_owned());
        }
        // Subjects are unique within an issuer: two issuers in one source would share chat users (T-30).
        let one_issuer = self.issuers.windows(2).all(|pair| matches!(pair, [a, b] if bare(a) == bare(b)));
        if !one_issuer && self.claims.subject_within.is_empty() {
            return Err(
                "jwt.issuer: names several issuers, and equal subjects of two could be two people; define a source \
                        for each, with a namespace, or name the claim that tells them apart in claims.subject_within"
                    .to_owned(),
            );
        }
        match self.form {
            Form::Jws if self.audiences.is_empty() => {
                Err("jwt.audience: is missing; without it a token for any other application of the issuer would do"
                    .to_owned())
            }
            Form::Jws if !self.signers.is_empty() || self.client.is_some() => {
                Err("jwt.signers and jwt.client: are for jwt.form = \"alb\"".to_owned())
            }
            Form::Alb if self.signers.is_empty() || self.client.is_none() => {
                Err("jwt.signers and jwt.client: name the load balancers and the client; without them anybody's \
                     balancer could sign"
                    .to_owned())
            }
            Form::Alb if !self.audiences.is_empty() => {
                Err("jwt.audience: tokens of load balancers have none; remove it".to_owned())
            }
            Form::Alb if self.algorithms != [Algorithm::Es256] => {
                Err("jwt.algorithms: load balancers sign with ES256 only".to_owned())
            }
            Form::Jws | Form::Alb => Ok(()),
        }
    }

    /// Whether the key is a shared secret.
    pub(in crate::identity) fn uses_secret(&self) -> bool {
        self.algorithms.iter().any(|algorithm| algorithm.family() == Family::Mac)
    }
}

/// Checks the table `claims`.
pub(super) fn claim_names(raw: RawClaims) -> Result<ClaimNames, String> {
    Ok(ClaimNames {
        subject: vec![path("claims.subject", raw.subject.as_deref().unwrap_or("sub"))?],
        subject_within: paths("claims.subject_within", raw.subject_within)?,
        name: paths("claims.name", raw.name)?,
        email: paths("claims.email", raw.email)?,
        email_verified: raw.email_verified.map(|text| path("claims.email_verified", &text)).transpose()?,
        avatar: paths("claims.avatar", raw.avatar)?,
        groups: paths("claims.groups", raw.groups)?,
    })
}

fn paths(key: &str, texts: Several) -> Result<Vec<Path>, String> {
    texts.0.iter().map(|text| path(key, text)).collect()
}

/// A claim's name, or a pointer.
pub(super) fn path(key: &str, text: &str) -> Result<Path, String> {
    Path::parse(text).ok_or_else(|| {
        format!("{key}: \"{text}\" is not the name of a claim, nor a pointer such as \"/realm_access/roles\"")
    })
}

/// An issuer without what some write of it and some do not: `accounts.example` and `https://accounts.example/` are one.
fn bare(issuer: &str) -> &str {
    let host = issuer.strip_prefix("https://").unwrap_or(issuer);
    host.strip_suffix('/').unwrap_or(host)
}

fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, String> {
    let known = || Algorithm::ALL.map(|(_, name)| name).join(", ");
    let named = |name: &String| {
        Algorithm::named(name).ok_or_else(|| format!("jwt.algorithms: no algorithm \"{name}\"; there are {}", known()))
    };
    let algorithms: Vec<Algorithm> = names.iter().map(named).collect::<Result<_, _>>()?;
    let family = algorithms.first().map(|algorithm| algorithm.family());
    // T-17: one family
    if family.is_none() || algorithms.iter().any(|algorithm| Some(algorithm.family()) != family) {
        return Err(
            "jwt.algorithms: must be of one family (RS and PS, ES, EdDSA, or HS), so that no token chooses how a \
                    key is read"
                .to_owned(),
        );
    }
    Ok(algorithms)
}

pub(super) fn filled(key: &str, texts: Several) -> Result<Vec<String>, String> {
    if texts.0.iter().any(|text| text.is_empty() || text.contains('*')) {
        return Err(format!("{key}: must be exact; neither empty nor with '*'"));
    }
    Ok(texts.0)
}

fn span(key: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    let read = |text| humantime::parse_duration(text).map_err(|_| format!("{key}: must be a time such as \"30s\""));
    text.map(read).transpose()
}

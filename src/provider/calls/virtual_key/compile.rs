//! Makes the scheme out of a definition's `auth` and what its `virtual` says beside it.

use std::time::Duration;

use http::HeaderName;

use super::form::KeyForm;
use super::jwt::JwtRule;
use super::{Kind, Place, VirtualScheme};
use crate::definition::{Mistake, Mistakes};
use crate::provider::calls::auth::StepAuth;
use crate::provider::credentials::{Needs, Scheme};
use crate::provider::definition::gateway::VirtualKey;
use crate::provider::definition::{Auth, gateway};
use crate::provider::keys::Alg;
use crate::provider::keys::mac::Hash;

/// How far the time of a signed request may lie from now, where nothing is said: as Pusher has it.
const SKEW: Duration = Duration::from_mins(10);

impl VirtualScheme {
    /// Reads `written`, which is compiled to `auths`, backwards. Keys of mistakes stand below `[gateway]`.
    pub(in crate::provider) fn of(
        section: &gateway::Gateway,
        written: &[Auth],
        auths: &[StepAuth],
        needs: &Needs,
    ) -> Result<Self, Mistakes> {
        let own = section.virtual_key.clone().unwrap_or_default();
        let mut mistakes = Mistakes::default();
        let mut refuse = |member: &str, problem: String| mistakes.refuse(format!("virtual.{member}").as_str(), problem);
        let kind = kind(&own, written, auths, needs).map_err(|mistake| refuse("header", mistake.problem)).ok();
        let is_jwt = matches!(kind, Some(Kind::Jwt { .. }));
        if !is_jwt && kind.is_some() && !own.user_claims.is_empty() {
            refuse("user_claims", "are of a JWT, and none is sent; remove them".to_owned());
        }
        let mut place = |member: &str, text: &Option<String>| {
            let text = text.as_deref()?;
            Place::parse(text, is_jwt).map_err(|mistake| refuse(member, mistake.problem)).ok()
        };
        let (key_id, at) = (place("key_id", &own.key_id), place("time", &own.time));
        let time = at.map(|at| (at, own.skew.map_or(SKEW, |skew| skew.0)));
        if matches!(kind, Some(Kind::Signature { .. })) && own.time.is_none() {
            let problem = "is missing: a signed request that was overheard would be good forever; write where its time \
                           stands, such as \"query:auth_timestamp\"";
            refuse("time", problem.to_owned());
        }
        let default =
            if matches!(kind, Some(Kind::Basic { has_user: false })) { "{{ caller }}:{{ key }}" } else { "{{ key }}" };
        let form = KeyForm::compile(own.form.as_deref().unwrap_or(default));
        let form = form.map_err(|mistake| refuse("form", mistake.problem)).ok();
        if matches!(kind, Some(Kind::Basic { has_user: false })) && form.as_ref().is_some_and(|form| !form.has(':')) {
            refuse("form", "holds no colon, and user and key are shown with one between them".to_owned());
        }
        let signs_body = |text: &String| text.contains("request.body");
        let of_auth = |auth: &Auth| matches!(auth, Auth::Signature { mac, .. } if signs_body(&mac.text));
        let of_set = section.set.query.values().chain(section.set.headers.values()).any(signs_body);
        let is_signature = matches!(kind, Some(Kind::Signature { .. }));
        // A hash of the body is compared once the caller is known: no body of a stranger is taken for it.
        let reads_body = is_signature && written.iter().any(of_auth); // G-22: body of a stranger
        let hashes_body = is_signature && of_set;
        match (kind, form) {
            (Some(kind), Some(form)) => mistakes.or(Self { kind, key_id, time, form, reads_body, hashes_body }),
            _ => Err(mistakes),
        }
    }
}

fn kind(own: &VirtualKey, written: &[Auth], auths: &[StepAuth], needs: &Needs) -> Result<Kind, Mistake> {
    if let Some(name) = &own.query {
        return Ok(Kind::Query(name.clone()));
    }
    if let Some(name) = &own.header {
        return Ok(Kind::Header { name: header_name(name)?, word: own.scheme.clone().unwrap_or_default() });
    }
    let unknown = || {
        let problem = "is missing, and «auth» does not say where an SDK puts its key; write virtual = { header = \
                       \"authorization\", scheme = \"Bearer\" }";
        Mistake::from(problem)
    };
    let ([auth], [written]) = (auths, written) else { return Err(unknown()) };
    match auth {
        StepAuth::Header { name, value } => Ok(match needs.headers.get(*value).map(|rule| &rule.scheme) {
            Some(Scheme::Basic(user)) => Kind::Basic { has_user: user.is_some() },
            Some(Scheme::Word(word)) => Kind::Header { name: name.clone(), word: word.clone() },
            Some(Scheme::Alone) | None => Kind::Header { name: name.clone(), word: String::new() },
        }),
        StepAuth::Member { .. } => Err(unknown()),
        StepAuth::Jwt { signer, header, scheme, .. } => {
            let signer = needs.signers.get(*signer).ok_or_else(unknown)?;
            let hash = match signer.alg {
                Alg::Hs256 => Hash::Sha256,
                Alg::Hs384 => Hash::Sha384,
                Alg::Hs512 => Hash::Sha512,
                // A caller holds no private key that others could verify with a secret.
                _ => return Err(unknown()),
            };
            let expires = matches!(written, Auth::Jwt { jwt, .. } if jwt.claims.contains_key("exp"));
            let rule = JwtRule { alg: signer.alg.name(), expires, of_users: own.user_claims.clone() };
            let word = scheme.trim_end().to_owned();
            Ok(Kind::Jwt { header: header.clone(), word, rule, hash, form: signer.form.clone() })
        }
        StepAuth::Signature { mac, .. } => {
            let rule = needs.macs.get(mac.key).ok_or_else(unknown)?;
            Ok(Kind::Signature { auth: 0, hash: rule.hash, form: rule.form.clone() })
        }
    }
}

impl Place {
    fn parse(text: &str, has_claims: bool) -> Result<Self, Mistake> {
        if let Some(name) = text.strip_prefix("query:") {
            return Ok(Self::Query(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("header:") {
            return header_name(name).map(Self::Header);
        }
        if !has_claims {
            return Err(
                format!("\"{text}\" is a claim, and no JWT is sent; write \"query:NAME\" or \"header:NAME\"").into()
            );
        }
        Ok(Self::Claim(text.to_owned()))
    }
}

fn header_name(text: &str) -> Result<HeaderName, Mistake> {
    HeaderName::try_from(text).map_err(|_error| format!("\"{text}\" is not a header name").into())
}

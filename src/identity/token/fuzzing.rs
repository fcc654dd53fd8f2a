//! What must hold for any token before a signature is looked at, and for any payload behind one.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::identity::definition::{self, Kind, TokenForm};
use crate::identity::keys::MOST_KID_BYTES;
use crate::identity::user::text;

const ISSUER: &str = "https://issuer.example/";
const AUDIENCE: &str = "chat";
const SIGNER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/ours/1";

/// What reads the tokens of one source, without its keys.
struct Front {
    rules: TokenRules,
}

static JWS: LazyLock<Option<Front>> = LazyLock::new(|| {
    Front::of(&json!({
        "kind": "jwt",
        "jwt": { "header": "Authorization", "algorithms": ["RS256"], "issuer": ISSUER, "audience": AUDIENCE },
        "keys": { "url": "https://issuer.example/keys" },
        "claims": { "name": "name", "email": "email", "avatar": "picture", "groups": ["groups", "/realm/roles"] },
    }))
});

static ALB: LazyLock<Option<Front>> = LazyLock::new(|| {
    Front::of(&json!({
        "preset": "aws-alb", "region": "eu-west-1", "signers": [SIGNER], "client": "client", "issuer": ISSUER,
    }))
});

impl Front {
    fn of(own: &Value) -> Option<Self> {
        let Kind::Token(token) = definition::compile("own", Some(own)).ok()?.kind else { return None };
        let (rules, _) = *token;
        Some(Self { rules })
    }

    /// Everything but the signature, in the order of [`Verifier::verify`]; each step asserts what it let through.
    fn read(&self, token: &[u8]) -> Result<(), Refusal> {
        let parts = Parts::of(token, self.rules.form)?;
        assert!(token.len() <= 16 * 1024 && token.split(|b| *b == b'.').count() == 3);
        assert!(parts.signed().len() < token.len() && token.starts_with(parts.signed()), "the signature is not signed");
        let mut room = Vec::new();
        let decoded = parts.decode(&mut room)?;
        self.has_one_spelling(token, [decoded.header, decoded.payload, decoded.signature]);
        let members = header::members(decoded.header)?;
        let header = Header::of(&members, &self.rules)?;
        self.is_header(decoded.header, &header);
        let claims = object(decoded.payload).ok_or(Refusal::TokenMalformed)?;
        self.rules.check_claims(&claims, header.exp, Duration::ZERO)?;
        let names = &self.rules.claims;
        let profile = names.profile(&claims, names.signed_subject(&claims)?, Groups::One);
        self.is_told_by(decoded.payload, &profile);
        Ok(())
    }

    /// What was decoded gives the text back: bare, or for balancers padded.
    fn has_one_spelling(&self, token: &[u8], decoded: [&[u8]; 3]) {
        for (part, bytes) in token.split(|b| *b == b'.').zip(decoded) {
            let bare = URL_SAFE_NO_PAD.encode(bytes).as_bytes() == part;
            let padded = self.rules.form == TokenForm::Alb && URL_SAFE.encode(bytes).as_bytes() == part;
            assert!(bare || padded, "one text has one spelling");
        }
    }

    /// Another reader of JSON sees the same header.
    fn is_header(&self, text: &[u8], header: &Header<'_>) {
        let other = value(text);
        assert!(self.rules.algorithms.contains(&header.algorithm), "only what is configured reaches a key");
        assert!(["crit", "b64", "zip", "enc"].iter().all(|name| other.get(name).is_none()));
        let kid = other.get("kid").and_then(Value::as_str).filter(|kid| !kid.is_empty());
        assert_eq!(header.kid, kid);
        assert!(kid.is_none_or(|kid| kid.len() <= MOST_KID_BYTES && kid.bytes().all(|b| b.is_ascii_graphic())));
        if self.rules.form == TokenForm::Alb {
            assert!(is(&other, "signer", SIGNER) && is(&other, "client", "client") && is(&other, "iss", ISSUER));
            assert!(kid.is_some_and(|kid| kid.len() == 36), "the id of the key goes into an address");
        }
    }

    /// Another reader of JSON sees the same user, of our issuer and for us.
    fn is_told_by(&self, text: &[u8], profile: &Profile) {
        let other = value(text);
        assert!(is(&other, "sub", &profile.subject), "the subject is what was sent");
        assert!(text::subject(&profile.subject, Medium::Signed) == Ok(&profile.subject));
        assert!(is(&other, "iss", ISSUER) && other.get("exp").is_some_and(Value::is_number));
        let ours = |audience: &Value| audience == AUDIENCE;
        let audience = other.get("aud");
        let listed = audience.is_some_and(|aud| ours(aud) || aud.as_array().is_some_and(|all| all.iter().any(ours)));
        assert!(listed || self.rules.form == TokenForm::Alb);
        let verified = other.get("email_verified").is_some_and(|flag| flag == true || flag == "true");
        assert!(profile.email.is_none() || verified || self.rules.form == TokenForm::Jws);
        assert!(profile.avatar.as_ref().is_none_or(|avatar| avatar.starts_with("https://")));
        assert!(profile.groups.len() <= 256 && profile.groups.iter().all(|group| !group.trim().is_empty()));
    }
}

fn value(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

fn is(object: &Value, member: &str, wanted: &str) -> bool {
    object.get(member).is_some_and(|own| own == wanted)
}

/// The token itself; or header and payload in plain text, a line each, so that changes get past the base64.
fn each(front: &LazyLock<Option<Front>>, bytes: &[u8]) {
    let Some(front) = front.as_ref() else { return };
    let _refused = front.read(bytes);
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    if let (Some(header), Some(payload)) = (lines.next(), lines.next()) {
        let part = |text| URL_SAFE_NO_PAD.encode(text);
        let _refused = front.read(format!("{}.{}.c2ln", part(header), part(payload)).as_bytes());
    }
}

/// Tokens in the compact form, up to the signature.
pub(crate) fn token(bytes: &[u8]) {
    each(&JWS, bytes);
}

/// Tokens of load balancers, up to the signature.
pub(crate) fn alb_token(bytes: &[u8]) {
    each(&ALB, bytes);
}

/// A target that is built of nothing would hold for anything.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_tokens_get_through() {
        for (front, file) in [(&JWS, "fuzz/seeds/token/lines"), (&ALB, "fuzz/seeds/alb_token/lines")] {
            let seed = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
            let (header, payload) = seed.split_at(seed.iter().position(|b| *b == b'\n').expect("two lines"));
            let part = |text| URL_SAFE_NO_PAD.encode(text);
            let token = format!("{}.{}.c2ln", part(header), part(&payload[1..]));
            assert_eq!(front.as_ref().expect("a source").read(token.as_bytes()), Ok(()), "{file}");
        }
    }
}

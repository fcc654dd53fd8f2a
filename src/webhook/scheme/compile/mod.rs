//! From `[webhook]` of a definition to a scheme. What would prove less than it seems to is refused here.

mod mac;

use std::time::Duration;

use http::{HeaderName, header};

use super::challenge::{Handshake, Question};
use super::jwt::JwtRule;
use super::text::{Piece, wrong};
use super::time::TimeRule;
use super::{Field, Memory, Proof, Scheme};
use crate::decode::members::Places;
use crate::definition::{Count, Encoding, Key, Mistakes};
use crate::provider::webhook::{self, JwtAlg, TimeKind, Unpack, Webhook};
use crate::provider::{Decode, Encode, Form, Hash};
use crate::webhook::keys::KeyRule;

/// Where the definition does not say: longer than the longest retries of a provider.
const REMEMBER_IDS: Duration = Duration::from_hours(4 * 24);
/// Where events are known by their bodies alone.
const REMEMBER_BODIES: Duration = Duration::from_hours(24);
/// Where the definition does not say how long the previous secret is taken.
const OVERLAP: Duration = Duration::from_hours(24);
/// Bytes of a body, where the definition does not say.
const MAX_BYTES: usize = 1024 * 1024;

impl Scheme {
    /// Compiles `webhook`. `public_url` is the address that the provider was given, where it is a part of what is signed.
    pub fn compile(webhook: &Webhook, public_url: Option<&str>) -> Result<Self, Mistakes> {
        let (mistakes, cautions, places) = (Mistakes::default(), Vec::new(), Places::default());
        let mut compiler = Compiler { webhook, public_url, places, mistakes, cautions };
        match compiler.compile() {
            Some(scheme) if compiler.mistakes.is_empty() => Ok(scheme),
            _ => Err(compiler.mistakes),
        }
    }
}

struct Compiler<'w> {
    webhook: &'w Webhook,
    public_url: Option<&'w str>,
    /// What is read of a body that is JSON.
    places: Places,
    mistakes: Mistakes,
    cautions: Vec<String>,
}

impl Compiler<'_> {
    fn refuse(&mut self, place: impl Into<Key>, problem: impl Into<String>) {
        self.mistakes.refuse(place, problem);
    }

    fn compile(&mut self) -> Option<Scheme> {
        let webhook = self.webhook;
        let accept = self.accept();
        let proof = self.proof(&accept);
        let covers_body = matches!(proof, Some(Proof::Mac(_) | Proof::Jwt(_)));
        let (id, event, order) = (
            self.field("id", webhook.id.as_ref()),
            self.field("event", webhook.event.as_ref()),
            self.field("order", webhook.order.as_ref()),
        );
        let body_time = self.body_time(covers_body);
        let (questions, handshakes) = self.challenges();
        let forward = self.forward();
        let hashes = self.hashes();
        self.key_form();
        let id_is_signed = match (&id, &proof) {
            (Some(Field::Header(name)), Some(Proof::Mac(rule))) => {
                rule.pieces.iter().any(|piece| *piece == Piece::Id || *piece == Piece::Header(name.clone()))
            }
            (Some(Field::Header(_)), _) => false,
            _ => covers_body,
        };
        let window =
            webhook.time.as_ref().map(|time| time.window.0.max(time.ahead.map_or(Duration::ZERO, |span| span.0)));
        let usual = if id.is_some() { REMEMBER_IDS } else { REMEMBER_BODIES };
        let remember = webhook.remember.map_or(usual, |span| span.0);
        let leeway = webhook.jwt.as_ref().map(|jwt| jwt.leeway.0);
        if window.is_none() && leeway.is_none() {
            let shown = humantime::format_duration(remember);
            self.cautions
                .push(format!("its events carry no signed time: one that was captured is taken anew after {shown}"));
        }
        Some(Scheme {
            keys: KeyRule {
                strip: webhook.key.strip.clone(),
                after: webhook.key.after.clone(),
                form: Form {
                    decode: decoding(webhook.key.decode),
                    min_bytes: webhook.key.min_bytes,
                    ..Form::default()
                },
                hashes,
            },
            proof: proof?,
            accept,
            unpack: webhook.unpack == Some(Unpack::Gzip),
            places: std::mem::take(&mut self.places),
            body_time,
            id,
            id_is_signed,
            event,
            order,
            questions,
            handshakes,
            forward,
            memory: Memory { key: remember, proof: window.map_or(remember, |window| window.saturating_mul(2)) },
            overlap: webhook.overlap.map_or(OVERLAP, |span| span.0),
            max_bytes: webhook.max_bytes.map_or(MAX_BYTES, Count::size),
            cautions: std::mem::take(&mut self.cautions),
        })
    }

    fn proof(&mut self, accept: &[String]) -> Option<Proof> {
        let webhook = self.webhook;
        let ways = [webhook.hmac.is_some(), webhook.jwt.is_some(), webhook.basic, webhook.token.is_some()];
        if ways.iter().filter(|is_there| **is_there).count() != 1 {
            self.refuse("", "must have exactly one of hmac, jwt, basic and token: how an event is proven");
            return None;
        }
        self.check_keys();
        if webhook.hmac.is_none() {
            for (member, is_there) in [
                ("signature", webhook.signature.is_some()),
                ("text", webhook.text.is_some()),
                ("algorithm", webhook.algorithm.is_some()),
                ("body_hash", webhook.body_hash.is_some()),
                ("key_id", webhook.key_id.is_some()),
            ] {
                if is_there {
                    self.refuse(member, "belongs to hmac, and there is none; remove it");
                }
            }
        }
        if let Some(jwt) = &webhook.jwt {
            return self.jwt(jwt).map(Proof::Jwt);
        }
        if let Some(token) = &webhook.token {
            self.says_nothing_of_bodies();
            let header = self.header_name("token.header", &token.header)?;
            return Some(Proof::Token { header, prefix: token.prefix.clone() });
        }
        if webhook.basic {
            self.says_nothing_of_bodies();
            return Some(Proof::Basic);
        }
        self.mac(accept).map(|rule| Proof::Mac(Box::new(rule)))
    }

    fn says_nothing_of_bodies(&mut self) {
        self.cautions.push("its proof says nothing of the body: who reads one event can send others".to_owned());
        if self.webhook.time.is_some() {
            self.refuse("time", "is not covered by the proof, so that anybody could set it; remove it"); // W-07: covered time of credentials
        }
    }

    /// A secret, or several by id; an id where there are several.
    fn check_keys(&mut self) {
        let webhook = self.webhook;
        let by_id = webhook.keys.is_some() || webhook.pair.is_some();
        match (webhook.secret.is_some(), by_id) {
            (true, true) => self.refuse("secret", "stands beside keys; write one of them"),
            (false, false) => {
                self.refuse("secret", "is missing; name the secret setting, or the table of keys with keys");
            }
            _ => {}
        }
        if by_id && webhook.hmac.is_some() && webhook.key_id.is_none() {
            self.refuse("key_id", "is missing; say where the request names its key: { header = \"…\" }");
        }
        if !by_id && (webhook.jwt.is_some() || webhook.key_id.is_some()) {
            self.refuse("keys", "is missing; the request names its key, so keys have ids");
        }
        if by_id && (webhook.basic || webhook.token.is_some()) {
            self.refuse("keys", "have ids, and credentials name none; write secret");
        }
    }

    fn body_time(&mut self, covers_body: bool) -> Option<(usize, TimeRule)> {
        let time = self.webhook.time.as_ref()?;
        let Some(at) = &time.json else {
            if self.webhook.jwt.is_some() {
                self.refuse("time", "is not covered by the proof: a JWT has times of its own; remove it");
            }
            return None;
        };
        if time.header.is_some() || time.member.is_some() {
            self.refuse("time", "must have exactly one of header, json and member");
        }
        if !covers_body {
            return None;
        }
        Some((self.pointer("time.json", at)?, time_rule(time)))
    }

    fn jwt(&mut self, jwt: &webhook::WebhookJwt) -> Option<JwtRule> {
        let header = self.header_name("jwt.header", &jwt.header);
        let Some(body_hash) = &jwt.body_hash else {
            // W-08: hash of the body required
            self.refuse("jwt.body_hash", "is missing; without it any token of this key would prove any body");
            return None;
        };
        let alg = match jwt.alg {
            JwtAlg::Hs256 => ("HS256", Hash::Sha256),
            JwtAlg::Hs384 => ("HS384", Hash::Sha384),
            JwtAlg::Hs512 => ("HS512", Hash::Sha512),
        };
        let leeway = whole_seconds(jwt.leeway.0);
        Some(JwtRule {
            header: header?,
            alg,
            leeway,
            claim: body_hash.claim.clone(),
            encode: encoding(body_hash.encode),
        })
    }

    /// Every hash that a request may be signed with.
    fn hashes(&self) -> Vec<Hash> {
        let named =
            self.webhook.algorithm.iter().flat_map(|rule| rule.map.values().chain(&rule.absent)).copied().map(hash);
        let jwt = self.webhook.jwt.as_ref().map(|jwt| match jwt.alg {
            JwtAlg::Hs256 => Hash::Sha256,
            JwtAlg::Hs384 => Hash::Sha384,
            JwtAlg::Hs512 => Hash::Sha512,
        });
        let mut hashes: Vec<Hash> = Vec::new();
        for own in self.webhook.hmac.map(hash).into_iter().chain(named).chain(jwt) {
            if !hashes.contains(&own) {
                hashes.push(own);
            }
        }
        hashes
    }

    fn key_form(&mut self) {
        if !matches!(self.webhook.key.decode, Encoding::Text | Encoding::Base64 | Encoding::Base64url | Encoding::Hex) {
            self.refuse("key.decode", "is for private keys; write text, base64, base64url or hex");
        }
        if self.webhook.key.min_bytes == Some(0) {
            self.refuse("key.min_bytes", "is 0; an empty key proves nothing");
        }
    }

    fn accept(&mut self) -> Vec<String> {
        if self.webhook.accept.is_empty() {
            return vec!["application/json".to_owned()];
        }
        let mut accept = Vec::new();
        for (n, own) in self.webhook.accept.iter().enumerate() {
            let is_type = own.split_once('/').is_some_and(|(one, other)| {
                let is_token = |text: &str| {
                    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
                };
                is_token(one) && is_token(other)
            });
            if !is_type {
                self.refuse(
                    Key::from("accept").item(n),
                    format!("\"{own}\" is no content type; write \"application/json\""),
                );
            }
            accept.push(own.to_ascii_lowercase());
        }
        accept
    }

    fn field(&mut self, member: &str, field: Option<&webhook::Field>) -> Option<Field> {
        let field = field?;
        match (&field.header, &field.json, &field.form) {
            (Some(name), None, None) => self.header_name(&format!("{member}.header"), name).map(Field::Header),
            (None, Some(at), None) => self.pointer(&format!("{member}.json"), at).map(Field::Json),
            (None, None, Some(name)) => Some(Field::Form(name.clone())),
            _ => {
                self.refuse(member, "must have exactly one of header, json and form");
                None
            }
        }
    }

    fn pointer(&mut self, place: &str, at: &str) -> Option<usize> {
        if at.is_empty() || at.starts_with('/') {
            return Some(self.places.add(at));
        }
        self.refuse(place, format!("\"{at}\" is no JSON Pointer; write \"/{at}\""));
        None
    }

    fn header_name(&mut self, place: &str, name: &str) -> Option<HeaderName> {
        let parsed = name.parse().map_err(|_| wrong(place, format!("\"{name}\" is not a header name")));
        self.mistakes.note(parsed)
    }

    /// What is passed on is no proof of who sent it, nor anything else that a hop keeps for itself.
    fn forward(&mut self) -> Vec<HeaderName> {
        let proofs = [
            self.webhook.signature.as_ref().map(|own| &own.header),
            self.webhook.jwt.as_ref().map(|own| &own.header),
            self.webhook.token.as_ref().map(|own| &own.header),
        ];
        let proofs: Vec<HeaderName> = proofs.into_iter().flatten().filter_map(|name| name.parse().ok()).collect();
        let mut forward = Vec::new();
        for (n, name) in self.webhook.forward.iter().enumerate() {
            let place = Key::from("forward").item(n);
            match name.parse::<HeaderName>() {
                Err(_) => self.refuse(place, format!("\"{name}\" is not a header name")),
                Ok(own) if proofs.contains(&own) || is_private(&own) => {
                    self.refuse(
                        place,
                        format!("\"{name}\" is not for the application: it proves who sends, or frames the request"),
                    );
                }
                Ok(own) => forward.push(own),
            }
        }
        forward
    }

    fn challenges(&mut self) -> (Vec<Question>, Vec<Handshake>) {
        let (mut questions, mut handshakes) = (Vec::new(), Vec::new());
        for (n, own) in self.webhook.challenge.iter().enumerate() {
            let place = Key::from("challenge").item(n);
            let outcome = match (own.method, &own.json) {
                (None, Some(at)) => {
                    Question::compile(own, at, &mut self.places).map(|question| questions.push(question))
                }
                (Some(method), None) => Handshake::compile(own, method).map(|handshake| handshakes.push(handshake)),
                _ => Err("must have exactly one of json (a proven question) and method (an unproven one)".into()),
            };
            self.mistakes.note(outcome.map_err(|mistake| mistake.within(&place)));
        }
        (questions, handshakes)
    }
}

/// Headers that are between a provider and us, or between two hops.
fn is_private(name: &HeaderName) -> bool {
    const OWN: [HeaderName; 11] = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
    ];
    OWN.contains(name) || name.as_str().starts_with("webhook-") || name.as_str().starts_with("sidemint-")
}

fn time_rule(time: &webhook::Time) -> TimeRule {
    let window = whole_seconds(time.window.0);
    let kind: TimeKind = time.kind;
    TimeRule { kind, window, ahead: time.ahead.map_or(window, |span| whole_seconds(span.0)) }
}

fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

fn hash(own: webhook::Hash) -> Hash {
    match own {
        webhook::Hash::Sha1 => Hash::Sha1,
        webhook::Hash::Sha256 => Hash::Sha256,
        webhook::Hash::Sha384 => Hash::Sha384,
        webhook::Hash::Sha512 => Hash::Sha512,
    }
}

fn encoding(own: webhook::MacEncoding) -> Encode {
    match own {
        webhook::MacEncoding::Hex => Encode::Hex,
        webhook::MacEncoding::UpperHex => Encode::UpperHex,
        webhook::MacEncoding::Base64 => Encode::Base64,
        webhook::MacEncoding::Base64url => Encode::Base64Url,
    }
}

fn decoding(own: Encoding) -> Decode {
    own.into()
}

//! From `[webhook]` of a definition to a scheme. What would prove less than it seems to is refused here.

use std::time::Duration;

use http::{HeaderName, header};
use url::Url;

use super::challenge::{Handshake, Question};
use super::jwt::JwtRule;
use super::mac::{AlgorithmRule, MacRule, TimePlace};
use super::signature::SignatureRule;
use super::text::{self, Piece, wrong};
use super::time::TimeRule;
use super::{Field, Memory, Proof, Scheme, form};
use crate::definition::{Count, Encoding, Key, Mistake, Mistakes};
use crate::provider::webhook::{self, HandshakeMethod, JwtAlg, TimeKind, Unpack, Webhook};
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
        let mut compiler = Compiler { webhook, public_url, mistakes: Mistakes::default(), cautions: Vec::new() };
        match compiler.compile() {
            Some(scheme) if compiler.mistakes.is_empty() => Ok(scheme),
            _ => Err(compiler.mistakes),
        }
    }
}

struct Compiler<'w> {
    webhook: &'w Webhook,
    public_url: Option<&'w str>,
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
            self.refuse("time", "is not covered by the proof, so that anybody could set it; remove it"); // W-07: covered time
        }
    }

    /// A secret, or several by id; an id where there are several.
    fn check_keys(&mut self) {
        let webhook = self.webhook;
        let by_id = webhook.keys.is_some() || webhook.pair.is_some();
        match (webhook.secret.is_some(), by_id) {
            (true, true) => self.refuse("secret", "stands beside keys; write one of them"),
            (false, false) => {
                self.refuse("secret", "is missing; name the secret setting, or the table of keys with keys")
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

    fn mac(&mut self, accept: &[String]) -> Option<MacRule> {
        let webhook = self.webhook;
        let Some(signature) = &webhook.signature else {
            self.refuse("signature", "is missing; say where the MAC stands: { header = \"…\", encode = \"hex\" }");
            return None;
        };
        let Some(text) = &webhook.text else {
            self.refuse("text", "is missing; say what is signed: \"{{ request.body }}\"");
            return None;
        };
        let header = self.header_name("signature.header", &signature.header);
        if signature.list.as_ref().is_some_and(String::is_empty) {
            self.refuse("signature.list", "is empty; write what stands between signatures");
        }
        if signature.pick.is_some() && signature.list.is_none() {
            self.refuse(
                "signature.pick",
                "chooses from a list, and there is none; write list, or prefix in place of pick",
            );
        }
        let strict = webhook.time.as_ref().is_some_and(|time| time.json.is_none());
        let pieces = self.mistakes.note(text::compile(text, strict))?;
        let time = self.signed_time(&pieces);
        let id = self.signed_id(&pieces);
        self.check_cover(&pieces, accept);
        let (urls, query) = self.urls(&pieces);
        let algorithm = self.algorithm();
        let key_id = webhook.key_id.as_ref().and_then(|own| self.header_name("key_id.header", &own.header));
        Some(MacRule {
            header: header?,
            signature: SignatureRule {
                prefix: signature.prefix.clone(),
                encode: encoding(signature.encode),
                list: signature.list.clone(),
                pick: signature.pick.clone().unwrap_or_default(),
            },
            hash: hash(webhook.hmac?),
            algorithm,
            pieces,
            key_id,
            time,
            id,
            urls,
            query,
            body_hash: webhook.body_hash.as_ref().map(|own| (own.query.clone(), encoding(own.encode))),
        })
    }

    /// The proof must cover the body, and the address where that carries the hash of the body.
    fn check_cover(&mut self, pieces: &[Piece], accept: &[String]) {
        let has = |piece: &Piece| pieces.contains(piece);
        let only_forms = accept.iter().all(|own| own == form::CONTENT_TYPE);
        let by_hash = self.webhook.body_hash.is_some();
        // W-02: text with the body
        if !has(&Piece::Body) && !by_hash && !(has(&Piece::Form) && only_forms) {
            self.refuse("text", "says nothing of the body; write {{ request.body }} in it, or body_hash");
        }
        if by_hash && !has(&Piece::Url) {
            self.refuse("body_hash", "is in the query, which is not signed; write {{ request.url }} in text");
        }
        if has(&Piece::Body) && has(&Piece::Form) {
            self.refuse("text", "has the form twice: as it came and in its order");
        }
        let has_member = pieces.iter().any(|piece| matches!(piece, Piece::Member(_)));
        if has_member && self.webhook.signature.as_ref().is_some_and(|signature| signature.list.is_none()) {
            self.refuse("signature.list", "is missing; text names a member of it");
        }
    }

    /// The time that the text holds. One that the proof does not cover could be set by anybody.
    fn signed_time(&mut self, pieces: &[Piece]) -> Option<(TimePlace, TimeRule)> {
        let time = self.webhook.time.as_ref().filter(|time| time.json.is_none());
        if time.is_none() && pieces.contains(&Piece::Time) {
            self.refuse(
                "text",
                "holds {{ time }}, and no time is read from a header; write time = { header = \"…\", … }",
            );
        }
        let time = time?;
        let place = match (&time.header, &time.member) {
            (Some(header), None) => TimePlace::Header(self.header_name("time.header", header)?),
            (None, Some(member)) => {
                if self.webhook.signature.as_ref().is_some_and(|signature| signature.list.is_none()) {
                    self.refuse("time.member", "is a member of a list, and signature has no list");
                }
                TimePlace::Member(member.clone())
            }
            _ => {
                self.refuse("time", "must have exactly one of header, json and member");
                return None;
            }
        };
        let is_signed = pieces.iter().any(|piece| match (piece, &place) {
            (Piece::Time, _) => true,
            (Piece::Header(own), TimePlace::Header(name)) => own == name,
            (Piece::Member(own), TimePlace::Member(name)) => own == name,
            _ => false,
        });
        // W-07: covered time
        if !is_signed {
            self.refuse("time", "is not covered by the proof, so that anybody could set it; write {{ time }} in text");
        }
        Some((place, time_rule(time)))
    }

    fn signed_id(&mut self, pieces: &[Piece]) -> Option<HeaderName> {
        let header = self.webhook.id.as_ref().and_then(|id| id.header.clone());
        if pieces.contains(&Piece::Id) && header.is_none() {
            self.refuse("text", "holds {{ id }}, and no id is read from a header; write id = { header = \"…\" }");
        }
        header.and_then(|name| name.parse().ok())
    }

    fn body_time(&mut self, covers_body: bool) -> Option<(String, TimeRule)> {
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

    fn algorithm(&mut self) -> Option<AlgorithmRule> {
        let rule = self.webhook.algorithm.as_ref()?;
        let header = self.header_name("algorithm.header", &rule.header)?;
        if rule.map.is_empty() {
            self.refuse("algorithm.map", "is empty; write the names of the hashes");
        }
        let map = rule.map.iter().map(|(name, own)| (name.clone(), hash(*own))).collect();
        Some(AlgorithmRule { header, member: rule.member.clone(), map, absent: rule.absent.map(hash) })
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

    /// The address in the forms in which it may be signed, without its query, and the query.
    fn urls(&mut self, pieces: &[Piece]) -> (Vec<String>, Option<String>) {
        if !pieces.contains(&Piece::Url) {
            return (Vec::new(), None);
        }
        let Some(text) = self.public_url else {
            self.refuse("text", "holds {{ request.url }}: write the address that the provider was given as public_url");
            return (Vec::new(), None);
        };
        let (address, query) = text.split_once('?').map_or((text, None), |(address, query)| (address, Some(query)));
        let parsed = Url::parse(address).ok().filter(|url| url.username().is_empty() && url.password().is_none());
        let parts = address.split_once("://").map(|(scheme, rest)| {
            let (host, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
            (scheme, host, path)
        });
        let Some((url, (scheme, host, path))) = parsed.zip(parts) else {
            self.refuse("text", format!("holds {{{{ request.url }}}}, and public_url \"{address}\" is no address"));
            return (Vec::new(), None);
        };
        // Signers differ in whether they write the port, and both official verifiers try it with and without.
        let behind_host = host.rfind(']').map_or(0, |at| at + 1);
        let port = host.get(behind_host..).and_then(|rest| rest.rfind(':')).map(|at| behind_host + at);
        let bare = port.and_then(|at| host.get(..at)).unwrap_or(host);
        let number = url.port_or_known_default().unwrap_or(443);
        let urls = vec![format!("{scheme}://{bare}{path}"), format!("{scheme}://{bare}:{number}{path}")];
        (urls, query.map(str::to_owned))
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

    fn pointer(&mut self, place: &str, at: &str) -> Option<String> {
        if at.is_empty() || at.starts_with('/') {
            return Some(at.to_owned());
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
                (None, Some(at)) => question(own, at).map(|question| questions.push(question)),
                (Some(method), None) => handshake(own, method).map(|handshake| handshakes.push(handshake)),
                _ => Err("must have exactly one of json (a proven question) and method (an unproven one)".into()),
            };
            self.mistakes.note(outcome.map_err(|mistake| mistake.within(&place)));
        }
        (questions, handshakes)
    }
}

fn question(own: &webhook::Challenge, at: &str) -> Result<Question, Mistake> {
    if own.query.is_some() || own.require.is_some() || own.header.is_some() || !own.allow.is_empty() {
        return Err("has members of an unproven question beside json; write json, is and answer".into());
    }
    let answer = own.answer.as_ref().map(|answer| answer.text.json.clone());
    for pointer in [Some(at), answer.as_deref()].into_iter().flatten().filter(|at| !at.starts_with('/')) {
        return Err(format!("\"{pointer}\" is no JSON Pointer; write \"/{pointer}\"").into());
    }
    let is = own.is.as_ref().map_or(&[][..], |is| is.as_slice()).to_vec();
    if is.is_empty() {
        return Err(Mistake::new("is", "is missing; say what stands there in a question"));
    }
    Ok(Question { at: at.to_owned(), is, answer })
}

fn handshake(own: &webhook::Challenge, method: HandshakeMethod) -> Result<Handshake, Mistake> {
    if own.is.is_some() || own.answer.is_some() {
        return Err("has members of a proven question beside method; remove is and answer".into());
    }
    match method {
        HandshakeMethod::Get => {
            let query = own
                .query
                .clone()
                .ok_or_else(|| Mistake::new("query", "is missing; say which parameter is sent back"))?;
            let require = own.require.as_ref().map(|require| (require.query.clone(), require.secret.clone()));
            Ok(Handshake::Echo { query, require })
        }
        HandshakeMethod::Head => Ok(Handshake::Head),
        HandshakeMethod::Options => {
            let header = own.header.as_ref().and_then(|name| name.parse().ok());
            let header =
                header.ok_or_else(|| Mistake::new("header", "is missing; say which header names the origin"))?;
            if own.allow.is_empty() {
                return Err(Mistake::new("allow", "is empty; list the origins that may post"));
            }
            Ok(Handshake::Origin { header, allow: own.allow.clone() })
        }
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

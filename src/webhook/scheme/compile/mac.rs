//! HMACs: what is signed, where the signature stands, and what the proof must cover.

use http::HeaderName;
use url::Url;

use super::{Compiler, encoding, hash, time_rule};
use crate::webhook::scheme::form;
use crate::webhook::scheme::mac::{AlgorithmRule, MacRule, TimePlace};
use crate::webhook::scheme::signature::SignatureRule;
use crate::webhook::scheme::text::{self, Piece};
use crate::webhook::scheme::time::TimeRule;

impl Compiler<'_> {
    pub(super) fn mac(&mut self, accept: &[String]) -> Option<MacRule> {
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
        let covers = has(&Piece::Body) || by_hash || has(&Piece::Form) && only_forms;
        // W-02: text with the body
        if !covers {
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

    fn algorithm(&mut self) -> Option<AlgorithmRule> {
        let rule = self.webhook.algorithm.as_ref()?;
        let header = self.header_name("algorithm.header", &rule.header)?;
        if rule.map.is_empty() {
            self.refuse("algorithm.map", "is empty; write the names of the hashes");
        }
        let map = rule.map.iter().map(|(name, own)| (name.clone(), hash(*own))).collect();
        Some(AlgorithmRule { header, member: rule.member.clone(), map, absent: rule.absent.map(hash) })
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
        // W-14: port
        let urls = vec![format!("{scheme}://{bare}{path}"), format!("{scheme}://{bare}:{number}{path}")];
        (urls, query.map(str::to_owned))
    }
}

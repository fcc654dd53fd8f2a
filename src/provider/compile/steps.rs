//! Compiles the HTTP calls of a definition: every part, and every name in it.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, Method, header};

use super::Compiler;
use crate::definition::Key;
use crate::provider::calls::auth::{Carrier, StepAuth};
use crate::provider::calls::sequence::Sequence;
use crate::provider::calls::step::{Body, Condition, Follows, Meaning, Step, StepMetrics, Take};
use crate::provider::credentials::{HeaderRule, Scheme};
use crate::provider::definition::{self, Auth, Expires, ExpiryKind, OneOrMany, Only};
use crate::provider::template::text::{TextTemplate, UrlTemplate};
use crate::provider::template::{Expression, TemplatePlace};

/// Headers that no definition writes: with them a value could choose the host, or be taken for a request of its own.
const OF_THE_TRANSPORT: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
];

impl Compiler<'_> {
    pub(super) fn sequence(&mut self, room: &Key, steps: &[definition::Step]) -> Sequence {
        let mut seen = BTreeSet::new();
        for step in steps {
            if !seen.insert(&step.id) {
                self.refuse(room.below("steps"), format!("two steps are called \"{}\"", step.id));
            }
        }
        let compiled = steps.iter().filter_map(|step| self.step(room, step, steps)).collect();
        Sequence { steps: compiled, names: self.scope.taken.clone() }
    }

    fn step(&mut self, room: &Key, step: &definition::Step, all: &[definition::Step]) -> Option<Step> {
        let place = room.below("steps").below(&step.id);
        let addresses = [
            (Method::POST, &step.post),
            (Method::PUT, &step.put),
            (Method::PATCH, &step.patch),
            (Method::GET, &step.get),
            (Method::DELETE, &step.delete),
        ];
        let mut given = addresses.into_iter().filter_map(|(method, address)| Some((method, address.as_ref()?)));
        let (Some((method, address)), None) = (given.next(), given.next()) else {
            self.refuse(place, "must have exactly one of post, put, patch, get and delete");
            return None;
        };
        let outcome = UrlTemplate::compile(address, &place.below(method.as_str().to_lowercase()), &mut self.scope);
        let url = self.mistakes.note(outcome);
        self.unencrypted.extend(url.as_ref().and_then(UrlTemplate::open_host));
        let query = self.texts(&place.below("query"), &step.query);
        let headers = self.headers(&place, step);
        let body = self.body(&place, step);
        let auth = self.auths(&place, step.auth.as_ref().or(self.definition.auth.as_ref()));
        if step.only.is_some() && step.when.is_some() {
            self.refuse(&place, "runs where a rule says so, and a condition of its own would not count; remove when");
        }
        let is_object = step.json.as_ref().is_none_or(serde_json::Value::is_object);
        if !is_object && auth.iter().any(|auth| matches!(auth, StepAuth::Member { .. })) {
            self.refuse(&place, "has a secret as a member of its body, so the body must be a table");
        }
        let when = step.when.as_ref().and_then(|text| self.condition(&place.below("when"), text));
        let expires = step.expires.as_ref().map_or(&[][..], OneOrMany::as_slice);
        self.check_expires(&place, step, expires);
        self.pointers(&place, step);
        let on = self.meanings(&place, step, all);
        let take = self.take(step);
        Some(Step {
            id: step.id.clone(),
            method,
            host: url.as_ref().map(UrlTemplate::host).unwrap_or_default(),
            url: url?,
            when,
            called: step.only == Some(Only::Called),
            query,
            headers,
            auth,
            body,
            ok: step.ok.clone(),
            on,
            take,
            token: step.token.clone(),
            expires: expires.to_vec(),
            // A retry could create a second token that never expires.
            retry: step.retry.unwrap_or(!expires.iter().any(|rule| rule.kind == ExpiryKind::None)),
            metrics: StepMetrics::new(self.metrics, self.name, &step.id),
        })
    }

    pub(super) fn texts(&mut self, place: &Key, texts: &BTreeMap<String, String>) -> Vec<(String, TextTemplate)> {
        let compile = |(name, text): (&String, &String)| {
            self.text(&place.below(name), text).map(|template| (name.clone(), template))
        };
        texts.iter().filter_map(compile).collect()
    }

    fn headers(&mut self, place: &Key, step: &definition::Step) -> Vec<(HeaderName, TextTemplate)> {
        let mut compiled = Vec::new();
        for (name, template) in self.texts(&place.below("headers"), &step.headers) {
            compiled.extend(self.header_name(&place.below("headers"), &name).map(|name| (name, template)));
        }
        compiled
    }

    pub(super) fn header_name(&mut self, place: &Key, name: &str) -> Option<HeaderName> {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            self.refuse(place, format!("\"{name}\" is not a header name"));
            return None;
        };
        if OF_THE_TRANSPORT.contains(&parsed) {
            self.refuse(place, format!("\"{name}\" says where a call goes or how it is framed; the address does that"));
            return None;
        }
        Some(parsed)
    }

    fn body(&mut self, place: &Key, step: &definition::Step) -> Body {
        match (&step.json, &step.form) {
            (None, None) => Body::None,
            (Some(value), None) => self.json(&place.below("json"), value).map_or(Body::None, Body::Json),
            (None, Some(fields)) => Body::Form(self.texts(&place.below("form"), fields)),
            (Some(_), Some(_)) => {
                self.refuse(place, "has both json and form; a call has one body");
                Body::None
            }
        }
    }

    fn condition(&mut self, place: &Key, text: &str) -> Option<Condition> {
        let inner = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
        let Some(inner) = inner else {
            self.refuse(place, format!("\"{text}\" is not one expression; write \"{{{{ … }}}}\""));
            return None;
        };
        let outcome = Expression::compile(inner, &mut self.scope).map_err(|mistake| mistake.within(place));
        self.mistakes.note(outcome).map(|expression| Condition { expression, text: text.to_owned() })
    }

    pub(super) fn auths(&mut self, place: &Key, auth: Option<&OneOrMany<Auth>>) -> Vec<StepAuth> {
        let place = place.below("auth");
        let auths = auth.map_or(&[][..], OneOrMany::as_slice);
        auths.iter().filter_map(|auth| self.auth(&place, auth)).collect()
    }

    fn auth(&mut self, place: &Key, auth: &Auth) -> Option<StepAuth> {
        const AUTHORIZATION: &str = "authorization";
        match auth {
            Auth::Header { header, secret, scheme } => {
                let scheme = match scheme.as_deref() {
                    None | Some("") => Scheme::Alone,
                    Some(word) => Scheme::Word(word.to_owned()),
                };
                self.header(place, header, secret, scheme)
            }
            Auth::Bearer { secret } => self.header(place, AUTHORIZATION, secret, Scheme::Word("Bearer".to_owned())),
            Auth::Basic { secret, user } => {
                let user = match user {
                    Some(text) => Some(self.constant(&place.below("user"), text)??),
                    None => None,
                };
                self.header(place, AUTHORIZATION, secret, Scheme::Basic(user))
            }
            Auth::Member { member, secret } => {
                self.secret(place, secret).then_some(())?;
                self.needs.texts.push(secret.clone());
                Some(StepAuth::Member { name: member.clone(), text: self.needs.texts.len() - 1 })
            }
            Auth::Jwt { jwt, header, scheme } => {
                let (signer, claims) = self.side_jwt(&place.below("jwt"), jwt)?;
                let header = self.written_header(place, header.as_deref().unwrap_or(AUTHORIZATION))?;
                let scheme = match scheme.as_deref() {
                    None => "Bearer ".to_owned(),
                    Some("") => String::new(),
                    Some(word) => format!("{word} "),
                };
                Some(StepAuth::Jwt { signer, claims, header, scheme })
            }
            Auth::Signature { mac, query, header, prefix } => {
                let before = self.scope.place;
                if before == TemplatePlace::Mint {
                    self.scope.place = TemplatePlace::Signature;
                }
                let mac = self.mac(&place.below("signature"), mac);
                self.scope.place = before;
                let carrier = match (query, header) {
                    (Some(name), None) => Carrier::Query(name.clone()),
                    (None, Some(name)) => Carrier::Header(self.written_header(place, name)?),
                    _ => {
                        self.refuse(place, "must say which of query and header carries the signature");
                        return None;
                    }
                };
                Some(StepAuth::Signature { mac: mac?, carrier, prefix: prefix.clone() })
            }
        }
    }

    /// The name of a header, which may be a setting.
    fn written_header(&mut self, place: &Key, written: &str) -> Option<HeaderName> {
        let name = self.constant(place, written)?;
        let Some(name) = name else {
            self.refuse(place, format!("\"{written}\" has no value, and a header has a name"));
            return None;
        };
        self.header_name(place, &name)
    }

    /// A finished header; the same one is made once.
    fn header(&mut self, place: &Key, header: &str, secret: &str, scheme: Scheme) -> Option<StepAuth> {
        self.secret(place, secret).then_some(())?;
        let name = self.written_header(place, header)?;
        let rule = HeaderRule { secret: secret.to_owned(), scheme };
        let known = self.needs.headers.iter().position(|own| *own == rule);
        let value = known.unwrap_or_else(|| {
            self.needs.headers.push(rule);
            self.needs.headers.len() - 1
        });
        Some(StepAuth::Header { name, value })
    }

    fn check_expires(&mut self, place: &Key, step: &definition::Step, expires: &[Expires]) {
        if step.token.is_some() && expires.is_empty() {
            self.refuse(place, "says where the token is, and not how its end is told: expires = { at = …, kind = … }");
        }
        if expires.iter().any(|rule| rule.kind.is_read() && rule.at.is_none()) {
            self.refuse(place.below("expires"), "must say where the expiry is: at = \"/member\"");
        }
    }

    fn meanings(&mut self, place: &Key, step: &definition::Step, all: &[definition::Step]) -> Vec<Meaning> {
        let mut meanings = Vec::new();
        for (n, rule) in step.on.iter().enumerate() {
            let place = place.below("on").item(n);
            if (rule.is.is_some() || rule.is_not.is_some()) != rule.code.is_some() {
                self.refuse(&place, "code says where, and is or is_not what must be there; one is missing");
            }
            if rule.status.is_none() && rule.code.is_none() {
                self.refuse(&place, "would fit every answer; write status, or code and is");
            }
            if rule.blame.is_some() && rule.class.is_none() {
                self.refuse(&place, "blame says whom a failure is about; without class there is none");
            }
            let called = rule.run.as_ref().map(|id| all.iter().position(|other| other.id == *id));
            let then = match (rule.class, rule.accept, called) {
                (Some(class), false, None) => Follows::Failure(class, rule.blame),
                (None, true, None) => Follows::Success,
                (None, false, Some(Some(index))) => {
                    if all.get(index).is_none_or(|other| other.only.is_none()) || step.only.is_some() {
                        self.refuse(&place, "a step that is run must say only = \"called\", and runs no other");
                    }
                    Follows::Run(index, rule.then)
                }
                (None, false, Some(None)) => {
                    self.refuse(&place, format!("no step \"{}\"", rule.run.as_deref().unwrap_or_default()));
                    continue;
                }
                _ => {
                    self.refuse(&place, "must say exactly one of class, accept = true and run");
                    continue;
                }
            };
            meanings.push(Meaning { rule: rule.clone(), then });
        }
        meanings
    }

    fn pointers(&mut self, place: &Key, step: &definition::Step) {
        let expires = step.expires.as_ref().map_or(&[][..], OneOrMany::as_slice);
        let expires = expires.iter().filter_map(|rule| rule.at.as_ref());
        let codes = step.on.iter().filter_map(|rule| rule.code.as_ref());
        let all = step.take.values().chain(&step.token).chain(expires).chain(codes);
        for pointer in all.filter(|pointer| !pointer.starts_with('/')).cloned().collect::<Vec<_>>() {
            self.refuse(place, format!("\"{pointer}\" is not a JSON Pointer; write \"/member\""));
        }
    }

    fn take(&mut self, step: &definition::Step) -> Vec<Take> {
        let mut take = Vec::new();
        for (name, pointer) in &step.take {
            let (at, optional) = match pointer.strip_suffix('?') {
                Some(at) => (at, true),
                None => (pointer.as_str(), false),
            };
            self.scope.taken.push(format!("{}.{name}", step.id));
            take.push(Take { index: self.scope.taken.len() - 1, at: at.to_owned(), optional });
        }
        take
    }
}
